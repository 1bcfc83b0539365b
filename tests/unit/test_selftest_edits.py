from __future__ import annotations

import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from rondo.errors import RondoError
from rondo.proof import nginxconf
from rondo.proof.evidence import Member
from rondo.proof.selftest import siteedits, slowly

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rondo.proof.evidence import Installed

    Between = Callable[[str, float], Path]

GOLDEN = Path(__file__).parent / "golden/one-name/servers/web-1/rondo-shop.conf"
SITE = GOLDEN.read_text()


def backend(text: str) -> Installed:
    return next(each for each in nginxconf.upstreams(text) if each.name == "rondo_shop_backend")


def members(text: str) -> dict[str, Member]:
    return {each.address.split("/")[-2]: each for each in backend(text).members}


def test_a_slot_is_marked_down_and_the_others_are_not() -> None:
    found = members(siteedits.down("backend-2")(SITE))
    assert [name for name, each in found.items() if each.down] == ["backend-2"]


def test_a_slot_is_marked_backup_and_the_others_are_not() -> None:
    found = members(siteedits.backup("backend-2")(SITE))
    assert [name for name, each in found.items() if each.backup] == ["backend-2"]


def test_a_slot_is_left_out() -> None:
    assert set(members(siteedits.without("backend-2")(SITE))) == {"backend-1", "backend-3"}


def test_slots_get_other_weights() -> None:
    found = members(siteedits.weights("backend", 11, 10, 10)(SITE))
    assert [each.weight for each in found.values()] == [11, 10, 10]


@pytest.mark.parametrize("policy", ["ip_hash", "random", "least_conn"])
def test_an_upstream_gets_another_policy_and_keeps_its_zone(policy: str) -> None:
    found = backend(siteedits.balance("backend", policy)(SITE))
    assert (found.policy, found.zone) == (policy, True)
    assert found.members == backend(SITE).members


def test_counters_are_no_longer_shared() -> None:
    assert not any(each.zone for each in nginxconf.upstreams(siteedits.unshared(SITE)))


def test_every_server_block_offers_tls_1_0() -> None:
    text = siteedits.old_tls(SITE)
    assert (
        text.count("ssl_protocols TLSv1 TLSv1.1 TLSv1.2 TLSv1.3;")
        == SITE.count("ssl_protocols ")
        > 1
    )
    assert text.count("@SECLEVEL=0;") == SITE.count("ssl_ciphers ")


def test_http_answers_by_itself() -> None:
    assert "return 308 https" not in siteedits.unredirected(SITE)


def test_only_servers_that_serve_drop_requests() -> None:
    assert siteedits.dropping(SITE).count("return 444;") == 1


def test_an_edit_that_does_not_fit_is_an_error_and_not_a_healthy_site() -> None:
    with pytest.raises(RondoError, match="no server line of slot queue-1"):
        siteedits.down("queue-1")(SITE)
    with pytest.raises(RondoError, match="nothing like"):
        siteedits.unredirected("server {}\n")


def test_a_member_of_the_healthy_site_is_neither_down_nor_backup() -> None:
    assert all(each == Member(each.address, weight=1) for each in backend(SITE).members)


class Echo(threading.Thread):
    """A backend: one answer on each connection, as uWSGI gives it."""

    def __init__(self, path: Path) -> None:
        super().__init__(daemon=True)
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.bind(str(path))
        self.socket.listen(64)

    def run(self) -> None:
        while True:
            try:
                client, _ = self.socket.accept()
            except OSError:
                return
            with client:
                client.recv(100)
                client.sendall(b"HTTP/1.1 200 OK\r\nX-Rondo-Release: r1\r\n\r\n" + b"x" * 100_000)


@pytest.fixture
def between(tmp_path: Path) -> Iterator[Between]:
    """Give a function that starts slowly.py before a backend, and the path that it took."""
    echo, path = Echo(tmp_path / "app.sock.real"), tmp_path / "app.sock"
    echo.start()
    children: list[subprocess.Popen[bytes]] = []

    def start(mode: str, value: float) -> Path:
        words = (sys.executable, slowly.__file__, mode, str(value), str(path))
        children.append(subprocess.Popen(words))
        while not path.exists():
            assert children[0].poll() is None
        return path

    yield start
    for child in children:
        child.kill()
        child.wait()
    echo.socket.close()


def ask(path: Path) -> tuple[bytes, float]:
    began = time.monotonic()
    with socket.socket(socket.AF_UNIX) as client:
        while client.connect_ex(str(path)):
            pass
        client.sendall(b"request")
        answer = b""
        while piece := client.recv(65536):
            answer += piece
    return answer, time.monotonic() - began


def test_what_stands_between_passes_answers_on_whole_and_late(between: Between) -> None:
    answer, seconds = ask(between("delay", 0.2))
    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
    assert len(answer) > 100_000
    assert seconds >= 0.2


def test_what_stands_between_turns_its_share_of_answers_into_errors_that_name_the_release(
    between: Between,
) -> None:
    answer, _ = ask(between("errors", 1))
    assert answer.startswith(b"HTTP/1.1 500 ")
    assert b"\r\nX-Rondo-Release: r1\r\n" in answer
    assert answer.endswith(b"sorry\n")
