"""A restart: every container fresh, none of the visitors' requests lost, and never a mixed end."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import pytest
from clients import Watch
from shop import SLOTS, ended, until

if TYPE_CHECKING:
    from clients import Site
    from shop import Operator

pytestmark = pytest.mark.e2e

BACKENDS = {"backend-1", "backend-2", "backend-3"}


def fresh(shop: Operator, before: list[dict[str, str]]) -> list[set[str]]:
    """Give the slots of each server that have another container than before."""
    pairs = zip(shop.machines, before, strict=True)
    return [
        {slot for slot, identity in machine.containers().items() if identity != old.get(slot)}
        for machine, old in pairs
    ]


def running(shop: Operator) -> list[dict[str, str]]:
    return [machine.containers() for machine in shop.machines]


def test_a_restart_replaces_every_container_but_accessories_and_loses_nothing(
    shop: Operator, sites: tuple[Site, ...]
) -> None:
    before, releases = running(shop), [machine.current() for machine in shop.machines]
    workers = [machine.workers() for machine in shop.machines]
    plan = shop.fab("restart", "--plan", code=2)
    assert "web-2 |   fill backend-3: to be started afresh; 3 of 3 serve meanwhile" in plan.out
    assert running(shop) == before, "a plan changes nothing"
    with Watch(sites) as watch:
        shop.fab("restart")
    assert watch.wrong == []
    assert watch.asked >= 50
    assert fresh(shop, before) == [set(SLOTS), set(SLOTS)]
    assert [machine.current() for machine in shop.machines] == releases
    assert [machine.workers() for machine in shop.machines] == workers, "it needs no reload"
    for machine in shop.machines:
        there = machine.run("docker ps --all --quiet --filter label=rondo.project=shop | wc -l")
        assert int(there) == len(machine.containers()), "nothing is left of the old ones"
    assert shop.fab("status").code == 0
    assert "nothing to do" in shop.fab("deploy").out


def test_a_restart_of_one_slot_of_one_server_touches_nothing_else(shop: Operator) -> None:
    before = running(shop)
    shop.fab("-H", "web-2", "restart", "backend-2")
    assert fresh(shop, before) == [set(), {"backend-2"}]
    assert "'backnd'" in shop.fab("restart", "backnd", code=3).err


def test_slots_can_be_replaced_in_place_where_there_is_no_room_for_two(
    shop: Operator, sites: tuple[Site, ...]
) -> None:
    before = running(shop)
    shop.declare({"services": {"backend": {"replace": "in_place"}}})
    plan = shop.fab("restart", "backend", "--plan", code=2)
    assert "2 of 3 serve meanwhile" in plan.out
    with Watch(sites) as watch:
        shop.fab("restart", "backend")
    assert watch.wrong == []
    assert fresh(shop, before) == [BACKENDS, BACKENDS]
    assert shop.fab("status").code == 0
    shop.declare({"services": {"backend": {"replace": "in_place", "parallel": "100%"}}})
    after = running(shop)
    refused = shop.fab("restart", "backend", code=5)
    assert "would leave none of the 3 of backend serving" in refused.err
    assert running(shop) == after, "nothing was touched"


def test_all_slots_of_all_servers_can_move_at_once(shop: Operator, sites: tuple[Site, ...]) -> None:
    before = running(shop)
    shop.declare({"settings": {"roll": {"parallel": "100%", "servers_at_once": "100%"}}})
    with Watch(sites) as watch:
        shop.fab("restart", "backend")
    assert watch.wrong == []
    assert fresh(shop, before) == [BACKENDS, BACKENDS]


def test_ctrl_c_finishes_the_slot_in_hand_frees_the_lock_and_says_where_things_stand(
    shop: Operator, sites: tuple[Site, ...]
) -> None:
    before = running(shop)
    child = shop.start("fab", "restart", "backend")
    with Watch(sites) as watch, ended(child):
        until(lambda: shop.fab("lock", code=None).code == 2, "the lock is held")
        until(lambda: "backend-1" in fresh(shop, before)[0], "the first slot has moved", 120)
        child.send_signal(signal.SIGINT)
        out, err = child.communicate(timeout=120)
    assert child.returncode == 130, out + err
    assert "what is in hand is finished first" in err
    assert "Fresh containers of the same release serve in web-" in err
    assert watch.wrong == []
    moved, untouched = fresh(shop, before)
    assert "backend-1" in moved
    assert untouched == set()
    events = [(each["kind"], each["text"].split(" (")[0]) for each in shop.events()]
    begun = [text for kind, text in events if kind == "start"]
    assert begun == [text for kind, text in events if kind == "done"], "none was cut short"
    assert begun == [f"fill {slot}" for slot in sorted(moved)]
    assert shop.fab("lock").code == 0
    assert shop.fab("status").code == 0


def test_a_restart_before_the_first_deploy_says_what_is_missing(shop: Operator) -> None:
    shop.declare({"project": "nothing-yet"})
    err = shop.fab("restart", code=5).err
    for name in ("web-1", "web-2"):
        assert f"{name}: nothing is deployed there; run `fab deploy` first" in err
