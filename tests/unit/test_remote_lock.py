"""The lock of a server, by the scripts that run there: who has it, and how it is waited for."""

from __future__ import annotations

import subprocess
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from rondo.change import manner_of
from rondo.cluster import author, has_vanished
from rondo.errors import InputError
from rondo.scripts import changing, script

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@contextmanager
def locking(folder: Path, owner: str, wait: str = "0") -> Iterator[subprocess.Popen[str]]:
    """Take the lock for as long as its standard input is open."""
    words = ("sh", "-c", script("lock"), "rondo", str(folder / "lock"), owner, wait)
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
        yield child
        assert child.stdin
        child.stdin.close()


def said(child: subprocess.Popen[str]) -> str:
    assert child.stdout
    return child.stdout.readline().strip()


def holder(folder: Path) -> list[str]:
    files = (str(folder / "lock"), str(folder / "lock.transaction"))
    words = ("sh", "-c", script("holder"), "rondo", *files)
    done = subprocess.run(words, capture_output=True, text=True, check=True, timeout=10)
    return done.stdout.splitlines()


def test_a_lock_names_its_owner_until_the_owner_is_gone(tmp_path: Path) -> None:
    assert holder(tmp_path) == ["idle"]
    with locking(tmp_path, "me since today: deploy of x") as child:
        assert said(child) == "held"
        assert holder(tmp_path) == ["idle", "me since today: deploy of x"]
        with locking(tmp_path, "you") as other:
            assert said(other) == "me since today: deploy of x"
    assert holder(tmp_path) == ["idle"]


def test_who_waits_gets_the_lock_when_it_is_free(tmp_path: Path) -> None:
    with locking(tmp_path, "me") as child:
        assert said(child) == "held"
        with locking(tmp_path, "you", wait="30") as other:
            assert child.stdin
            child.stdin.close()
            assert said(other) == "held"
            assert holder(tmp_path) == ["idle", "you"]


def test_a_holder_is_spoken_to_so_that_the_server_finds_out_when_it_cannot_be_reached(
    tmp_path: Path,
) -> None:
    with locking(tmp_path, "me") as child:
        assert [said(child), said(child), said(child)] == ["held", "", ""]
        assert child.poll() is None
        assert holder(tmp_path) == ["idle", "me"]
    assert holder(tmp_path) == ["idle"], "what speaks does not hold the lock"


def test_a_slot_that_is_being_changed_shows_also_without_a_holder(tmp_path: Path) -> None:
    file = str(tmp_path / "lock.transaction")
    words = ("flock", "-s", file, "sh", "-c", "echo shared; exec cat")
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
        assert said(child) == "shared"
        assert holder(tmp_path) == ["busy"]
        assert child.stdin
        child.stdin.close()
    assert holder(tmp_path) == ["idle"]


def test_what_a_lost_client_left_to_finish_holds_up_the_next_owner_of_the_lock(
    tmp_path: Path,
) -> None:
    """Else an old prune would take away what the next deploy has just sent."""
    text = f'{changing()}\nshare_transactions "$1"\necho shared\nexec cat'
    words = ("sh", "-c", text, "rondo", str(tmp_path))
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as left:
        assert said(left) == "shared"
        alone = ("flock", "--nonblock", str(tmp_path / "lock.transaction"), "true")
        assert subprocess.run(alone, check=False, timeout=10).returncode == 1
        assert left.stdin
        left.stdin.close()
    with locking(tmp_path, "you") as child:
        assert said(child) == "held"


@pytest.mark.parametrize("name", ["accessory", "prune", "record", "site"])
def test_every_script_that_goes_on_without_its_client_does_so(name: str) -> None:
    assert "\nshare_transactions " in script(name)


def test_an_owner_on_this_machine_whose_process_has_ended_is_known_to_have_vanished() -> None:
    with subprocess.Popen(("cat",), stdin=subprocess.PIPE) as child:
        mine = f"{author()} since 2026-11-23T12:00:00+00:00: deploy of x (process {child.pid})"
        assert not has_vanished(mine), "it is at work"
    assert has_vanished(mine)
    assert not has_vanished(f"somebody@elsewhere since {mine.partition(' since ')[2]}")
    assert not has_vanished(mine.rpartition(" (")[0]), "an older Rondo tells no process"


def test_how_long_to_wait_is_a_duration() -> None:
    assert manner_of(wait="5m").wait == 300
    assert manner_of().wait == 0
    with pytest.raises(InputError, match="--wait: 'soon' is not a duration"):
        manner_of(wait="soon")
