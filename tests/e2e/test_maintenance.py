"""A site that is closed for maintenance: its page, who is let through, and that nobody is cut."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from clients import ask
from shop import DATA

if TYPE_CHECKING:
    from collections.abc import Iterator

    from clients import Site
    from shop import Operator

PAGE = "<!doctype html><title>Closed</title><h1>Stocktaking until noon</h1>"
FLAG = f"{DATA}/maintenance/shop.on"


@pytest.fixture
def closed(shop: Operator) -> Iterator[Operator]:
    """Give the shop closed with a page of its own, and open it again."""
    shop.edit("pages/closed.html", PAGE)
    shop.declare({"sites": {"shop": {"maintenance": "pages/closed.html"}}})
    workers = [each.workers() for each in shop.machines]
    shop.fab("maintenance", "on")
    assert [each.workers() for each in shop.machines] == workers, "Nginx was reloaded"
    yield shop
    shop.fab("maintenance", "off")


@pytest.mark.parametrize(("method", "path"), [("GET", "/"), ("POST", "/api/slow/"), ("GET", "/x")])
def test_a_closed_site_shows_the_users_page_for_every_request(
    closed: Operator, sites: tuple[Site, ...], method: str, path: str
) -> None:
    assert closed
    for site in sites:
        answer = site.ask(path, method, b"some=thing" if method == "POST" else None)
        assert answer.status == 503
        assert answer.body.decode() == PAGE
        assert int(answer.headers["Retry-After"]) > 0
        assert answer.headers["Cache-Control"] == "no-store"
        assert answer.headers["Content-Type"].startswith("text/html")


def test_a_closed_site_still_answers_its_health_check(
    closed: Operator, sites: tuple[Site, ...]
) -> None:
    assert closed
    assert [site.ask("/health").status for site in sites] == [200, 200]
    assert [site.ask("/.rondo-maintenance").status for site in sites] == [404, 404]


def test_one_connection_lives_through_closing_and_opening(
    shop: Operator, sites: tuple[Site, ...]
) -> None:
    """A flag is looked for with each request: no reload, so nobody is cut."""
    with sites[0].connection() as connection:
        seen = [ask(connection, "/").status]
        socket = connection.sock
        shop.fab("maintenance", "on")
        seen += [ask(connection, "/").status, ask(connection, "/api/slow/", "POST", b"x").status]
        shop.fab("maintenance", "off")
        seen.append(ask(connection, "/").status)
        assert connection.sock is socket, "the connection was cut"
    assert seen == [200, 503, 503, 200]


def test_a_deploy_and_a_restart_of_nginx_leave_a_closed_site_closed(
    closed: Operator, sites: tuple[Site, ...]
) -> None:
    closed.declare({"services": {"backend": {"environment": {"DRILL": "closed"}}}})
    closed.fab("deploy")
    closed.machines[0].run("systemctl restart nginx")
    assert [site.ask("/").status for site in sites] == [503, 503]
    said = closed.fab("status").said
    assert said.count("shop is closed for maintenance since") == 2


def test_operators_are_let_through(shop: Operator, sites: tuple[Site, ...]) -> None:
    """By the networks of the inventory; everybody else sees the page."""
    near = sites[0].address.rpartition(".")[0] + ".0/24"
    shop.declare({"sites": {"shop": {"maintenance_allow": [near]}}})
    shop.fab("deploy")
    shop.fab("maintenance", "on", "--site", "shop")
    try:
        assert [site.ask("/").status for site in sites] == [200, 200]
        outside = "curl -sk -o /dev/null -w '%{http_code}' --resolve shop.example.com:443:127.0.0.1"
        for machine in shop.machines:
            assert machine.run(f"{outside} https://shop.example.com/") == "503"
    finally:
        shop.fab("maintenance", "off")


def test_a_second_time_changes_nothing_and_says_so(closed: Operator) -> None:
    before = [each.run(f"cat {FLAG}") for each in closed.machines]
    assert closed.fab("maintenance", "on").said.count("closed already") == 2
    assert [each.run(f"cat {FLAG}") for each in closed.machines] == before
    assert "since 20" in before[0]
    assert "@" in before[0]


def test_a_site_that_nobody_declared_and_a_state_that_is_none_are_refused(shop: Operator) -> None:
    assert "no such site" in shop.fab("maintenance", "on", "--site", "shoop", code=3).err
    assert "on or off" in shop.fab("maintenance", "half", code=3).err
    assert shop.fab("maintenance").said.count("open") == 2
