"""Servers that are away, full, or come back from a reboot."""

from __future__ import annotations

import subprocess
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest
from shop import until

from rondo import lab

if TYPE_CHECKING:
    from collections.abc import Iterator

    from clients import Site
    from shop import Declared, Machine, Operator

pytestmark = pytest.mark.e2e

NEW: Declared = {"services": {"backend": {"environment": {"TRY": "new"}}}}


@contextmanager
def paused(machine: Machine) -> Iterator[None]:
    """Let a server be as one that has lost its power: packets go there, none come back."""
    subprocess.run(("docker", "pause", machine.container), check=True, capture_output=True)
    try:
        yield
    finally:
        subprocess.run(("docker", "unpause", machine.container), check=True, capture_output=True)


def test_a_dead_server_is_named_and_nothing_is_touched_on_the_others(shop: Operator) -> None:
    web_1, web_2 = shop.machines
    before = web_1.state()
    shop.declare({**NEW, "settings": {"ssh": {"connect_timeout": 3}}})
    with paused(web_2):
        for words in (("deploy",), ("plan",), ("status",)):
            done = shop.fab(*words, code=4)
            assert "web-2" in done.err
            assert web_2.address in done.err
            assert "Traceback" not in done.said
    assert web_1.state() == before


def test_a_server_at_a_wrong_port_is_named(shop: Operator) -> None:
    before = [machine.state() for machine in shop.machines]
    shop.declare({**NEW, "servers": {"web-2": {"port": 2222}}})
    done = shop.fab("deploy", code=4)
    assert "web-2" in done.err
    assert "2222" in done.err
    assert [machine.state() for machine in shop.machines] == before


def test_without_the_dead_server_the_others_can_be_deployed_to(shop: Operator) -> None:
    web_1, web_2 = shop.machines
    before = web_1.containers()
    shop.declare({"services": {"backend": {"environment": {"TRY": "without web-2"}}}})
    shop.adopt()
    with paused(web_2):
        shop.fab("-H", "web-1", "deploy")
    after = web_1.containers()
    assert {slot for slot in after if after[slot] != before[slot]} == {
        "backend-1",
        "backend-2",
        "backend-3",
    }
    shop.fab("deploy")
    assert web_2.current() == web_1.current()


@contextmanager
def full(machine: Machine) -> Iterator[None]:
    """Let the disk under /var/lib/rondo be a small one; what was there is hidden meanwhile."""
    machine.run("mount -t tmpfs -o size=16m tmpfs /var/lib/rondo")
    try:
        yield
    finally:
        machine.run("umount --lazy /var/lib/rondo")


def test_a_full_disk_is_refused_with_its_fix_before_anything_is_touched(shop: Operator) -> None:
    web_2 = shop.machine("web-2")
    before = [machine.state() for machine in shop.machines]
    shop.declare(NEW)
    with full(web_2):
        done = shop.fab("deploy", code=5)
        assert "web-2: 16 MB are free at /var/lib/rondo" in done.err
        assert "make room" in done.err
        assert "nothing was touched" in done.err
        assert "web-1:" not in done.err
        assert web_2.run("find /var/lib/rondo -mindepth 1") == ""
        assert "16 MB are free" in shop.fab("plan", code=2).said
    assert [machine.state() for machine in shop.machines] == before


def answers(site: Site) -> bool:
    """Tell whether page and API are there."""
    try:
        return site.ask("/").status == site.ask("/health").status == 200
    except OSError:
        return False


def test_after_a_reboot_the_site_is_back_by_itself(shop: Operator, sites: tuple[Site, ...]) -> None:
    """The one with the database: the other server's backends need it, too."""
    containers = shop.machines[0].containers()
    lab.reboot("web-1")
    for site in sites:
        until(lambda site=site: answers(site), f"{site.address} serves again", 60)
    assert shop.machines[0].containers() == containers
    assert "nothing to do" in shop.fab("deploy").out
    assert shop.fab("status").code == 0
