"""Out of rotation: a server is said to be out only when nothing is in flight to it any more."""

from __future__ import annotations

import shutil
import subprocess
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from house import BARE, inventory

from rondo.errors import RemoteError
from rondo.layout import Layout
from rondo.marks import marked
from rondo.rotation import _act
from rondo.scripts import script

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

TEXT = """\
upstream shop_servers {
    server 10.0.0.1:443 weight=1;  # web-1
    server 10.0.0.2:443 weight=1;  # web-2
}
"""
OUT = {"web-2": "since then"}
SITE_FILE = Layout("shop").site_file
MARKED = replace(BARE, drained=OUT, files={SITE_FILE: marked(TEXT, OUT)})


class Edge:
    """A server that notes what is asked of it."""

    name = "edge-1"

    def __init__(self, error: RemoteError | None = None) -> None:
        self.asked: list[tuple[str, ...]] = []
        self.error = error

    def run(self, *words: str, **_: object) -> None:
        self.asked.append(words)
        if self.error:
            raise self.error


def act(edge: Any, *, out: bool) -> bool:  # noqa: ANN401
    return _act(inventory(), edge, MARKED, "web-2", out=out, deadline=5)


def test_a_second_drain_waits_for_what_the_first_one_left_in_flight() -> None:
    edge = Edge()
    assert not act(edge, out=True), "the edge itself is as it was"
    (words,) = edge.asked
    assert "shutting down" in words[0]
    assert "nginx -s reload" not in words[0].partition("old_workers=\n")[2], "no reload for it"
    assert words[5:] == ("web-2\tsince then\n", "5")


def test_a_second_drain_fails_as_the_first_one_while_requests_are_in_flight() -> None:
    with pytest.raises(RemoteError, match="still finish"):
        act(Edge(RemoteError("edge-1: old workers still finish requests")), out=True)


def test_a_server_that_is_in_the_rotation_is_not_put_there_again() -> None:
    edge = Edge()
    there = replace(BARE, files={SITE_FILE: TEXT})
    remote: Any = edge
    assert not _act(inventory(), remote, there, "web-2", out=False, deadline=5)
    assert not edge.asked


@contextmanager
def worker(folder: Path, title: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run a process that looks like a worker of Nginx."""
    program = folder / "nginx"
    if not program.exists():
        shutil.copy(shutil.which("sleep") or "", program)
    process = subprocess.Popen((title, "60"), executable=program)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def wait(folder: Path, seconds: int, *workers: subprocess.Popen[bytes]) -> tuple[int, str]:
    """Run the scripts of a second drain on a machine whose Nginx has these workers."""
    known = " ".join(str(each.pid) for each in workers)
    text = "\n".join(
        (
            script("common"),
            f"nginx_workers() {{ echo {known}; }}",
            script("workers_ending", "rotation"),
        )
    )
    drained = folder / "drained"
    words = ("", "", "", str(drained), "web-2\tsince then\n", str(seconds))
    done = subprocess.run(
        ("sh", "-c", text, "rondo", *words), capture_output=True, text=True, timeout=60, check=False
    )
    assert drained.read_text() == "web-2\tsince then\n"
    return done.returncode, done.stderr


def test_workers_that_are_ending_are_waited_for_and_others_are_not(tmp_path: Path) -> None:
    with (
        worker(tmp_path, "nginx: worker process") as usual,
        worker(tmp_path, "nginx: worker process is shutting down") as ending,
    ):
        code, said = wait(tmp_path, 1, usual, ending)
        assert code == 15
        assert f"old workers of its Nginx still finish requests ({ending.pid} )" in said
        assert wait(tmp_path, 1, usual) == (0, "")
    assert wait(tmp_path, 1) == (0, "")
