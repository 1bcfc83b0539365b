"""The lock of the cluster, when the connection that holds it breaks in the middle of a change."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest
from throwaway import wait_until

from rondo import cluster
from rondo.errors import LockedError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from throwaway import Project

    from rondo.cluster import Locks
    from rondo.events import Event


@pytest.fixture
def lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give the file that servers are locked by; here they are this machine."""
    path = tmp_path / "lock"
    monkeypatch.setattr(cluster, "Layout", lambda _: SimpleNamespace(lock=str(path)))
    return path


def owners(lock: Path) -> Iterator[int]:
    """Yield the processes that have the file open."""
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if str(lock) in {str(each.readlink()) for each in (process / "fd").iterdir()}:
                yield int(process.name)
        except OSError:
            continue


def lose(locks: Locks, lock: Path) -> None:
    """End what holds a lock on the server, as sshd does when a connection breaks."""
    for process in owners(lock):
        os.kill(process, signal.SIGKILL)
    hold = locks._holds["web-1"]
    wait_until(lambda: hold.lost)


def test_a_lock_that_went_with_its_connection_is_taken_again(project: Project, lock: Path) -> None:
    told: list[Event] = []
    with (
        project.fleet() as fleet,
        cluster.locked(fleet, ["web-1"], "shop", "deploy", emit=told.append) as locks,
    ):
        locks.keep("web-1")
        assert not told
        lose(locks, lock)
        locks.keep("web-1")
        assert [each.text for each in told] == ["the connection broke, and with it the lock"]
        with project.fleet() as other, pytest.raises(LockedError, match=r": deploy \(process"):
            cluster.locked(other, ["web-1"], "shop", "restart").__enter__()


def test_a_lock_that_somebody_else_has_by_now_ends_the_change(
    project: Project, lock: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster, "VANISHED", 0)
    with (
        project.fleet() as fleet,
        project.fleet() as other,
        cluster.locked(fleet, ["web-1"], "shop", "deploy") as locks,
    ):
        lose(locks, lock)
        with (
            cluster.locked(other, ["web-1"], "shop", "restart"),
            pytest.raises(LockedError, match=r"the lock was lost with the connection, .* restart "),
        ):
            locks.keep("web-1")
