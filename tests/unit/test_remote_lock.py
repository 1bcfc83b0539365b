"""The lock of a server, by the scripts that run there: who has it, and how it is waited for."""

from __future__ import annotations

import subprocess
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from rondo.change import manner_of
from rondo.errors import InputError
from rondo.scripts import script

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


def test_a_slot_that_is_being_changed_shows_also_without_a_holder(tmp_path: Path) -> None:
    file = str(tmp_path / "lock.transaction")
    words = ("flock", "-s", file, "sh", "-c", "echo shared; exec cat")
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
        assert said(child) == "shared"
        assert holder(tmp_path) == ["busy"]
        assert child.stdin
        child.stdin.close()
    assert holder(tmp_path) == ["idle"]


def test_how_long_to_wait_is_a_duration() -> None:
    assert manner_of(wait="5m").wait == 300
    assert manner_of().wait == 0
    with pytest.raises(InputError, match="--wait: 'soon' is not a duration"):
        manner_of(wait="soon")
