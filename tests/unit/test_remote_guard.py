"""The guard, run by sh as on a server: it ends what it started, and nothing else."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest

from rondo.elevation import _shell

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def stranger() -> Iterator[subprocess.Popen[bytes]]:
    """Start a process of somebody else's, in a group of its own."""
    with subprocess.Popen(("sleep", "60"), start_new_session=True) as process:
        yield process
        process.kill()


def guarded(words: str) -> str:
    """Run words with the guard's functions, in a session as it has one."""
    functions, _, _ = _shell("guard").partition("exec 3>&1")
    done = subprocess.run(
        ("sh", "-c", f"{functions}\n{words}", "rondo", "survive", "exit 7", ""),
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
        start_new_session=True,
    )
    return done.stdout.strip()


def test_a_supplier_that_is_gone_costs_no_other_process_its_life(
    stranger: subprocess.Popen[bytes],
) -> None:
    assert guarded(f"echo {stranger.pid} | {{ run || echo $?; }}") == "7"
    with pytest.raises(subprocess.TimeoutExpired):
        stranger.wait(0.1)


def test_a_supplier_that_still_waits_for_its_client_is_ended() -> None:
    words = "sleep 60 >/dev/null &\necho $! | { run || echo $?; }\nwait $! 2>/dev/null || echo $?"
    assert guarded(words).split() == ["7", "137"]


def test_a_number_that_is_nobodys_harms_nothing() -> None:
    assert guarded("echo 4194305 | { run || echo $?; }") == "7"
