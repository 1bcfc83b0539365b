"""An edge before two servers: it balances, is believed, and servers leave it unnoticed."""

from __future__ import annotations

import json
import threading
from collections import Counter
from typing import TYPE_CHECKING

import pytest
from clients import Answer, Site, Watch
from shop import ACCESS_LOG, DATA, SITE_FILE, Machine, merged, until

from rondo import lab

if TYPE_CHECKING:
    from collections.abc import Iterator

    from shop import Operator

EDGE = "edge-1"


@pytest.fixture(scope="module")
def spread(deployed: Operator) -> Iterator[Operator]:
    """Give the shop behind an edge, on a third server of the lab; take the edge away again."""
    third = lab.up(3, report=print).servers[2]
    usual = deployed.usual
    there = {
        "address": third.address,
        "private_address": third.private_address,
        "key": ".rondo/lab/id_ed25519",
        "edge": True,
    }
    authority = {"sites": {"shop": {"tls": {"authority": ".rondo/lab/ca.pem"}}}}
    deployed.usual = merged(merged(usual, {"servers": {EDGE: there}}), authority)
    deployed.declare()
    deployed.fab("-H", EDGE, "bootstrap", "--apply")
    deployed.fab("deploy")
    yield deployed
    deployed.usual = usual
    deployed.restore()
    deployed.fab("deploy")
    deployed.changed = False


@pytest.fixture
def edge(spread: Operator) -> Machine:
    found = spread.lab.name
    third = lab.up(3, report=lambda _: None).servers[2]
    return Machine(EDGE, third.address, third.private_address, f"{found}-{third.name}")


@pytest.fixture
def site(spread: Operator, edge: Machine) -> Site:
    """Give the shop as the edge serves it."""
    return Site(edge.address, spread.lab.authority)


def answering(site: Site, requests: int = 12) -> Counter[str]:
    """Count the servers that answer."""
    return Counter(site.ask("/api/whoami").json["server"] for _ in range(requests))


def logged(machine: Machine, identity: str) -> list[dict[str, str]]:
    text = machine.run(f"grep -F {identity} {ACCESS_LOG} || :")
    return [json.loads(line) for line in text.splitlines()]


def test_an_edge_spreads_requests_over_the_servers(spread: Operator, site: Site) -> None:
    assert spread
    assert answering(site) == {"web-1": 6, "web-2": 6}
    assert b"<html" in site.ask("/").body
    assert site.plain("/").status == 308


def test_a_server_believes_the_edge_about_the_client_and_nobody_else(
    spread: Operator, site: Site, edge: Machine
) -> None:
    """The client's address and the number of the request are the same in both logs."""
    ours = site.address.rpartition(".")[0]
    site.ask(
        "/api/whoami?seen", "GET", None, **{"User-Agent": "seen", "X-Forwarded-For": "9.9.9.9"}
    )
    line = until(lambda: edge.run(f"tail -n 1 {ACCESS_LOG}"), "the edge's log")
    told = json.loads(line)
    found = until(
        lambda: [each for m in spread.machines for each in logged(m, told["id"])],
        "the same request in the log of a server",
    )
    assert found[0]["client"] == told["client"]
    assert told["client"].startswith(ours)
    direct = Site(spread.machines[0].address, spread.lab.authority)
    direct.ask("/api/direct", "GET", None, **{"X-Forwarded-For": "9.9.9.9", "X-Request-ID": "mine"})
    lines = until(lambda: logged(spread.machines[0], "/api/direct"), "the request in the log")
    assert lines[-1]["client"].startswith(ours)
    assert lines[-1]["id"] != "mine"


def test_a_release_does_not_touch_an_edge(spread: Operator, site: Site, edge: Machine) -> None:
    """Not its file, not its Nginx; and nobody who comes through it notices."""
    before = edge.workers(), edge.run(f"sha256sum {SITE_FILE}")
    spread.declare({"services": {"backend": {"environment": {"DRILL": "edge"}}}})
    with Watch((site,)) as watch:
        spread.fab("deploy")
    assert not watch.wrong
    assert watch.asked > 50
    assert (edge.workers(), edge.run(f"sha256sum {SITE_FILE}")) == before


def test_a_rollback_takes_the_edge_along(spread: Operator, site: Site, edge: Machine) -> None:
    old, file = edge.current(), edge.run(f"cat {SITE_FILE}")
    spread.declare({"sites": {"shop": {"body_size": "9m"}}})
    spread.fab("deploy")
    assert edge.current() != old
    assert "client_max_body_size 9m" in edge.run(f"cat {SITE_FILE}")
    spread.fab("rollback", old)
    assert {each.current() for each in (edge, *spread.machines)} == {old}
    assert edge.run(f"cat {SITE_FILE}") == file
    assert answering(site) == {"web-1": 6, "web-2": 6}
    assert spread.fab("status").code == 0


def test_a_server_leaves_the_rotation_and_comes_back_without_a_lost_request(
    spread: Operator, site: Site, edge: Machine
) -> None:
    with Watch((site,)) as watch:
        said = spread.fab("drain", "web-2").said
        assert "web-2 is out of the rotation" in said
        assert answering(site) == {"web-1": 12}
        web2 = spread.machine("web-2")
        look = f"ss -tnH state established dst {edge.private_address} | wc -l"
        assert web2.run(look) == "0", "something still goes to the server"
        asked = watch.asked
        until(lambda: watch.asked > asked + 20, "more requests")
    assert not watch.wrong
    assert "edge-1: web-2 is out of the rotation since 20" in spread.fab("status").said
    assert "already" in spread.fab("drain", "web-2").said
    with Watch((site,)) as watch:
        spread.fab("fill", "web-2")
        until(lambda: answering(site, 4)["web-2"], "web-2 answers again")
    assert not watch.wrong


def test_requests_in_flight_are_answered_before_a_server_is_out(
    spread: Operator, site: Site
) -> None:
    """Ten slow POSTs, half of them on the server that leaves."""
    answers: list[Answer] = []

    def visit() -> None:
        answers.append(site.ask("/api/slow/?seconds=4", "POST"))

    threads = [threading.Thread(target=visit) for _ in range(6)]
    for thread in threads:
        thread.start()
    web2 = spread.machine("web-2")
    flight = f"ss -xH state connected | grep -c '{DATA}/sockets/backend' || :"
    until(lambda: int(web2.run(flight)) > 1, "requests in flight on web-2")
    try:
        spread.fab("drain", "web-2")
        assert int(web2.run(flight)) == 0, "drained, and yet requests are in flight"
        for thread in threads:
            thread.join()
        assert [answer.status for answer in answers] == [200] * 6
    finally:
        spread.fab("fill", "web-2")


def test_a_deploy_does_not_bring_a_drained_server_back(spread: Operator, site: Site) -> None:
    spread.fab("drain", "web-1")
    try:
        spread.declare({"sites": {"shop": {"body_size": "7m"}}})
        spread.fab("deploy")
        assert answering(site) == {"web-2": 12}
        assert "is the last one in the rotation" in spread.fab("drain", "web-2", code=5).err
        status = spread.fab("status")
        assert "was edited" not in status.said
    finally:
        spread.fab("fill", "web-1")
    assert set(answering(site)) == {"web-1", "web-2"}


def test_a_closed_site_is_closed_at_the_edge(spread: Operator, site: Site) -> None:
    spread.fab("maintenance", "on")
    try:
        assert site.ask("/").status == 503
        assert site.ask("/health").status == 200
    finally:
        spread.fab("maintenance", "off")
    assert site.ask("/").status == 200
