"""A port of the server that leads to this machine: over a real sshd, and gone afterwards."""

from __future__ import annotations

import re
import socket
import threading
from typing import TYPE_CHECKING

import pytest
from throwaway import wait_until

from rondo.errors import AccessError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from throwaway import Project, Sshd

BIG = bytes(range(256)) * 20_000


@pytest.fixture
def echo() -> Iterator[int]:
    """Serve here: say everything back, until the other side has ended."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            while True:
                try:
                    one, _ = server.accept()
                except OSError:
                    return
                threading.Thread(target=_echo, args=(one,), daemon=True).start()

        threading.Thread(target=serve, daemon=True).start()
        yield server.getsockname()[1]
        # Closing alone would leave the thread in accept().
        server.shutdown(socket.SHUT_RDWR)


def _echo(one: socket.socket) -> None:
    with one:
        while data := one.recv(65536):
            one.sendall(data)


def _refused(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0


def _asked(port: int, data: bytes) -> bytes:
    with socket.create_connection(("127.0.0.1", port), timeout=20) as one:
        sending = threading.Thread(target=one.sendall, args=(data,), daemon=True)
        sending.start()
        said = b""
        while len(said) < len(data):
            said += one.recv(65536)
        return said


def test_what_is_sent_to_the_servers_port_arrives_here_and_the_answer_there(
    project: Project, echo: int
) -> None:
    with project.fleet() as fleet, fleet.connection("web-1").reverse(echo) as port:
        assert _asked(port, BIG) == BIG


def test_many_come_through_at_once_beside_commands(project: Project, echo: int) -> None:
    with project.fleet() as fleet, fleet.connection("web-1").reverse(echo) as port:
        answers: list[bytes] = []
        threads = [
            threading.Thread(target=lambda: answers.append(_asked(port, b"x" * 100_000)))
            for _ in range(12)
        ]
        for each in threads:
            each.start()
        assert fleet["web-1"].run("echo here", step="greet").stdout == "here\n"
        for each in threads:
            each.join(30)
        assert [len(each) for each in answers] == [100_000] * 12


def test_the_port_and_what_came_through_are_gone_with_the_context(
    project: Project, echo: int
) -> None:
    with project.fleet() as fleet:
        with fleet.connection("web-1").reverse(echo) as port:
            open_one = socket.create_connection(("127.0.0.1", port), timeout=20)
            open_one.sendall(b"hello")
            assert open_one.recv(5) == b"hello"
        assert open_one.recv(1) == b""
        open_one.close()
        wait_until(lambda: _refused(port))
        assert fleet["web-1"].run("echo here", step="greet").stdout == "here\n"


def test_the_port_is_gone_with_the_connection(project: Project, echo: int) -> None:
    fleet = project.fleet()
    tunnel = fleet.connection("web-1").reverse(echo)
    port = tunnel.__enter__()
    assert _asked(port, b"hello") == b"hello"
    fleet.close()
    wait_until(lambda: _refused(port))
    tunnel.__exit__(None, None, None)


def test_who_comes_while_nobody_listens_here_is_sent_away_and_may_come_again(
    project: Project,
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        here = server.getsockname()[1]
    with project.fleet() as fleet, fleet.connection("web-1").reverse(here) as port:
        with socket.create_connection(("127.0.0.1", port), timeout=20) as one:
            assert one.recv(1) == b""
        with (
            socket.create_server(("127.0.0.1", here)) as server,
            socket.create_connection(("127.0.0.1", port), timeout=20) as one,
            server.accept()[0] as near,
        ):
            near.sendall(b"welcome")
            assert one.recv(7) == b"welcome"


def test_an_sshd_that_forwards_nothing_is_told_by_name_with_the_remedy(
    make_sshd: Callable[..., Sshd], make_project: Callable[..., Project]
) -> None:
    project = make_project(web_1=make_sshd("AllowTcpForwarding no"))
    with (
        project.fleet() as fleet,
        pytest.raises(AccessError, match=re.escape("AllowTcpForwarding must be yes")) as told,
        fleet.connection("web-1").reverse(9),
    ):
        pass
    assert str(told.value).startswith("web-1: ")
