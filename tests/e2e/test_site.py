"""The deployed site as its visitors meet it, and as strangers do."""

from __future__ import annotations

import errno
import json
import resource
import select
import socket
import ssl
import uuid
from typing import TYPE_CHECKING

import pytest
from clients import Site, shares
from shop import ACCESS_LOG, until

if TYPE_CHECKING:
    from collections.abc import Iterable

    from shop import Machine, Operator

pytestmark = pytest.mark.e2e

BACKENDS = ("backend-1", "backend-2", "backend-3")
CHEAP = "/api/ping"
WHO = "X-Shop-Backend"


def open_ports(address: str, ports: Iterable[int]) -> set[int]:
    """Try to connect to each port, many at a time; give those that accept."""
    left = list(ports)
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    found = set()
    while left:
        batch, left = left[: min(500, limit // 2)], left[min(500, limit // 2) :]
        found |= _accepting(address, batch)
    return found


def _accepting(address: str, ports: list[int]) -> set[int]:
    found = set()
    poll = select.poll()
    waiting = {}
    for port in ports:
        tried = socket.socket()
        tried.setblocking(False)  # noqa: FBT003 - its only argument
        if tried.connect_ex((address, port)) == errno.EINPROGRESS:
            waiting[tried.fileno()] = (tried, port)
            poll.register(tried, select.POLLOUT)
        else:
            tried.close()
    while waiting and (events := poll.poll(5000)):
        for number, _ in events:
            tried, port = waiting.pop(number)
            poll.unregister(number)
            if tried.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0:
                found.add(port)
            tried.close()
    for tried, _ in waiting.values():
        tried.close()
    return found


def listening(machine: Machine) -> dict[str, set[int]]:
    """Give what the server itself says it listens on: ports by address."""
    found: dict[str, set[int]] = {}
    for line in machine.run("ss -ltnH").splitlines():
        address, _, port = line.split()[3].rpartition(":")
        found.setdefault(address, set()).add(int(port))
    return found


def test_page_and_api_answer_over_verified_tls_on_every_server(
    shop: Operator, sites: tuple[Site, ...]
) -> None:
    for machine, site in zip(shop.machines, sites, strict=True):
        page = site.ask("/")
        assert page.status == 200
        assert page.headers["Content-Type"].startswith("text/html")
        assert b'<div id="app">' in page.body
        deep = site.ask("/parts/sparrow-bell")
        assert (deep.status, deep.body) == (200, page.body), "a single page answers every path"
        assert len(site.ask("/api/products/").json["products"]) >= 10
        health = site.ask("/health")
        assert health.json["status"] == "ok"
        assert health.headers["X-Shop-Server"] == machine.name
        assert health.headers["X-Shop-Release"] == machine.current()


def test_a_name_that_the_certificate_does_not_cover_gets_no_page(
    shop: Operator, sites: tuple[Site, ...]
) -> None:
    stranger = Site(sites[0].address, sites[0].authority, host="www.example.org")
    with pytest.raises((ssl.SSLError, ConnectionError)):
        stranger.ask("/")


def test_http_is_sent_on_to_https_with_its_path(shop: Operator, sites: tuple[Site, ...]) -> None:
    for site in sites:
        answer = site.plain("/api/products/?page=2")
        assert answer.status == 308
        assert answer.headers["Location"] == f"https://{site.host}/api/products/?page=2"


def test_the_application_knows_that_its_visitor_used_https(
    shop: Operator, sites: tuple[Site, ...]
) -> None:
    """Django redirects to https unless X-Forwarded-Proto tells it that it is there already."""
    script = "from django.conf import settings; print(settings.SECURE_SSL_REDIRECT)"
    words = ("exec", "backend", "--", "python", "manage.py", "shell", "--command", script)
    assert shop.fab(*words).out.split()[-1] == "True"
    for site in sites:
        assert site.ask(CHEAP).status == 200
        told_a_lie = site.ask(CHEAP, **{"X-Forwarded-Proto": "http"})
        assert told_a_lie.status == 200, "what a client says about itself is not believed"


def test_the_access_log_names_the_backend_of_each_request(
    shop: Operator, sites: tuple[Site, ...]
) -> None:
    mark = f"/api/products/{uuid.uuid4()}/"
    answer = sites[1].ask(f"{mark}?token=private")
    text = until(
        lambda: shop.machines[1].run(f"grep {mark} {ACCESS_LOG} || :"), "the log has the request"
    )
    line = json.loads(text)
    assert line["backend"].endswith(f"/{answer.headers[WHO]}/slot.sock")
    assert (line["status"], line["method"], line["host"]) == ("404", "GET", sites[1].host)
    assert line["seconds"] >= float(line["backend_seconds"]) - 0.002 >= -0.002
    assert "private" not in text


@pytest.mark.parametrize("clients", [1, 6], ids=["one-connection", "six-connections"])
def test_every_slot_of_a_server_gets_exactly_its_third(
    shop: Operator, sites: tuple[Site, ...], clients: int
) -> None:
    for site in sites:
        assert shares(site, CHEAP, WHO, 300, clients) == dict.fromkeys(BACKENDS, 100)


def test_both_servers_answer_by_their_own_slots(shop: Operator, sites: tuple[Site, ...]) -> None:
    for machine, site in zip(shop.machines, sites, strict=True):
        assert shares(site, CHEAP, "X-Shop-Server", 12) == {machine.name: 12}


def test_weights_decide_the_shares_exactly(shop: Operator, sites: tuple[Site, ...]) -> None:
    before = [machine.containers() for machine in shop.machines]
    shop.declare({"services": {"backend": {"weights": [3, 2, 1]}}})
    shop.fab("deploy")
    assert [machine.containers() for machine in shop.machines] == before
    wanted = dict(zip(BACKENDS, (150, 100, 50), strict=True))
    for site in sites:
        assert shares(site, CHEAP, WHO, 300, 3) == wanted


def test_only_ssh_and_the_site_are_open_to_others(shop: Operator) -> None:
    web_1, web_2 = shop.machines
    everything = range(1, 65536)
    assert open_ports(web_1.address, everything) == {22, 80, 443}
    assert open_ports(web_1.private_address, everything) == {22, 80, 443, 5432}
    assert open_ports(web_2.private_address, everything) == {22, 80, 443}
    for machine, others in ((web_1, {web_1.private_address: {5432}}), (web_2, {})):
        declared = {"0.0.0.0": {22, 80, 443}, "[::]": {22, 80, 443}, **others}  # noqa: S104
        assert {
            address: ports
            for address, ports in listening(machine).items()
            if not address.startswith(("127.", "[::1]"))
        } == declared


def test_backends_answer_nobody_but_their_own_server(shop: Operator) -> None:
    """Not even a neighbour that sends packets for the containers' own addresses."""
    web_1, web_2 = shop.machines
    form = "{{range .NetworkSettings.Networks}}{{.IPAddress}} {{end}}"
    ids = [identity for slot, identity in web_1.containers().items() if slot in BACKENDS]
    addresses = web_1.run(f"docker inspect --format '{form}' {' '.join(ids)}").split()
    assert len(addresses) == 3
    network = addresses[0].rpartition(".")[0] + ".0/24"
    web_2.run(f"ip route replace {network} via {web_1.address}")
    try:
        listened = {port for ports in listening(web_1).values() for port in ports}
        for port in sorted({8000, 8001, 8002, 8003, *listened} - {22, 80, 443, 5432}):
            for address in (web_1.address, web_1.private_address, *addresses):
                script = f"timeout 1 bash -c ': </dev/tcp/{address}/{port}' && echo open || :"
                assert web_2.run(f"{{ {script}; }} 2>/dev/null") == "", f"{address}:{port}"
    finally:
        web_2.run(f"ip route del {network}")
    for machine in shop.machines:
        sockets = machine.run("stat -c '%a %U' /var/lib/rondo/shop/sockets")
        assert sockets == "750 root"
