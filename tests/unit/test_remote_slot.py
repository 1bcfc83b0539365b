"""The drain of a slot, with real sockets: what is still open when its deadline passes is told."""

from __future__ import annotations

import contextlib
import socket
import subprocess
from typing import TYPE_CHECKING

from rondo.scripts import changing

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def drain(path: Path, deadline: str) -> str:
    """Drain a socket of slot chat-1; give what the server would tell."""
    words = f'set -- :\n{changing("slot")}\nslot=chat-1\ndrain_socket "{path}" {deadline}'
    done = subprocess.run(
        ("sh", "-c", words), capture_output=True, text=True, timeout=60, check=True
    )
    return done.stdout


@contextlib.contextmanager
def listening(path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        server.listen()
        yield server


@contextlib.contextmanager
def visitors(path: Path, number: int) -> Iterator[None]:
    with contextlib.ExitStack() as stack:
        for _ in range(number):
            stack.enter_context(socket.socket(socket.AF_UNIX)).connect(str(path))
        yield


def test_a_drain_tells_how_many_connections_its_deadline_has_left(tmp_path: Path) -> None:
    path = tmp_path / "app.sock"
    with listening(path) as server, visitors(path, 2), server.accept()[0]:
        said = drain(path, "0")
    assert said.startswith("note\tdrain deadline of 0s passed with 2 connections of chat-1 open: ")
    assert "they are cut, unless their container ends them itself" in said


def test_a_drain_of_an_idle_socket_has_nothing_to_tell(tmp_path: Path) -> None:
    path = tmp_path / "app.sock"
    with listening(path), visitors(tmp_path / "app.sock", 1):
        pass
    assert drain(path, "30") == ""


def test_a_drain_ends_when_the_last_connection_does(tmp_path: Path) -> None:
    path = tmp_path / "app.sock"
    with listening(path) as server, visitors(path, 1):
        # The visitor stays; it is the application that has done with it.
        server.accept()[0].close()
        assert drain(path, "30") == ""


def test_a_gate_that_nobody_opens_is_told_from_a_wrong_answer() -> None:
    def told(seen: str) -> str:
        words = f"set -- :\n{changing('slot')}\npath=/health status=200 seen={seen}\n"
        script = f'{words}wrong_answer "for 5s"\nsay "$reason"'
        done = subprocess.run(("sh", "-c", script), capture_output=True, text=True, check=True)
        return done.stdout.strip()

    assert told("503") == "GET /health answered 503 instead of 200 for 5s"
    assert told("000").startswith(
        ("Nginx does not run on this server", "GET /health got no answer")
    )


def test_a_slot_whose_neighbour_goes_as_well_is_lent_on(tmp_path: Path) -> None:
    """Two are replaced in place at once: neither may lead to the other's old container."""
    sockets = tmp_path / "sockets"
    with contextlib.ExitStack() as stack:
        for number in (1, 2, 3):
            folder = sockets / f"backend-{number}"
            (folder / "old").mkdir(parents=True)
            stack.enter_context(listening(folder / "old" / "app.sock"))
            (folder / "slot.sock").symlink_to("old/app.sock")

        def do(slot: str, words: str) -> list[str]:
            given = f"sockets={sockets} root={tmp_path} service=backend slot={slot}"
            script = f"set -- :\n{changing('slot')}\n{given} folder={sockets}/{slot}\n{words}"
            subprocess.run(("sh", "-c", script), check=True, timeout=60)
            return [str((each / "slot.sock").readlink()) for each in sorted(sockets.iterdir())]

        assert do("backend-1", "with_links lend_slot old")[0] == "../backend-2/old/app.sock"
        lent = "../backend-3/old/app.sock"
        assert do("backend-2", "with_links lend_slot old") == [lent, lent, "old/app.sock"]
        assert do("backend-3", "with_links move_slot old new") == [
            "../backend-3/new/app.sock",
            "../backend-3/new/app.sock",
            "new/app.sock",
        ]
