"""What a proof expects to see, from the inventory and the servers' records."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

import pytest
from inventories import ONE_NAME, TWO_NAMES

from rondo.docker import Container
from rondo.errors import InputError
from rondo.facts import parse_facts
from rondo.inventory import Inventory
from rondo.proof import expect
from rondo.proof.evidence import Installed, Member
from rondo.state import RunningContainer, ServerState

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rondo.proof.evidence import Policy

INVENTORY = Inventory.model_validate(ONE_NAME)
DECLARED = expect.upstreams(INVENTORY, "shop", ["web-1"])


def container(slot: str, **options: Any) -> Container:  # noqa: ANN401
    return Container(
        name=slot, service=slot[:-2], kind="uwsgi", image="i", environment="e", **options
    )


def state(*slots: str, state: str = "running") -> ServerState:
    """Return a server where each of these slots runs what the record names."""
    recorded = [{"container": asdict(container(slot)), "gate": {"path": "/"}} for slot in slots]
    running = [
        RunningContainer(
            id=slot,
            name=slot,
            service=slot[:-2],
            slot=slot,
            kind="uwsgi",
            spec=container(slot).digest,
            instance=f"i-{slot}",
            release="r1",
            image="i",
            state=state,
            status="",
        )
        for slot in slots
    ]
    return ServerState(
        facts=parse_facts([]),
        containers=tuple(running),
        slots={slot: f"i-{slot}" for slot in slots},
        records={"r1": {"server": {"slots": recorded}}},
        current="r1",
    )


def test_every_slot_is_expected_whether_it_was_seen_or_not() -> None:
    found = expect.expected(INVENTORY, "shop", ["web-1"], {"web-1": state()}, {})
    slots = {each.service: dict(each.slots) for each in found.upstreams}
    assert slots == {
        "frontend": {"frontend-1": 1},
        "backend": {"backend-1": 1, "backend-2": 1, "backend-3": 1},
    }
    assert found.servers == ("web-1",)
    assert (found.tls, found.names) == (True, ("shop.example.com",))


def test_addresses_are_as_nginx_logs_them() -> None:
    (backend,) = (
        each for each in expect.upstreams(INVENTORY, "shop", ["web-1"]) if each.service == "backend"
    )
    socket = "unix:/var/lib/rondo/shop/sockets/backend-2/slot.sock"
    assert backend.addresses[socket] == "backend-2"


def test_only_the_services_of_the_site_are_expected() -> None:
    inventory = Inventory.model_validate(TWO_NAMES)
    assert [each.service for each in expect.upstreams(inventory, "api", ["web-1"])] == ["backend"]


def test_a_slot_that_runs_what_the_record_names_is_recorded() -> None:
    (found, *_) = expect.running(INVENTORY, "shop", {"web-1": state("backend-1")})
    assert (found.slot, found.release, found.recorded) == ("backend-1", "r1", True)


def test_a_container_of_another_spec_is_not_the_recorded_one() -> None:
    there = state("backend-1")
    strange = replace(there.containers[0], spec="other")
    changed = replace(there, containers=(strange,))
    assert not expect.running(INVENTORY, "shop", {"web-1": changed})[0].recorded


@pytest.mark.parametrize("how", ["exited", "paused", "restarting"])
def test_a_slot_whose_container_does_not_run_is_left_out(how: str) -> None:
    assert expect.running(INVENTORY, "shop", {"web-1": state("backend-1", state=how)}) == ()


@pytest.mark.parametrize(
    ("service", "told"),
    [
        ({"kind": "uwsgi", "context": "code"}, True),
        ({"kind": "static", "context": "code"}, True),
        ({"kind": "uwsgi", "context": "code", "dockerfile": "Dockerfile"}, False),
        ({"kind": "uwsgi", "context": "code", "command": ["uwsgi"]}, False),
        ({"kind": "http", "context": "code"}, False),
    ],
)
def test_a_release_is_expected_in_answers_where_our_templates_put_it(
    service: Mapping[str, Any], told: object
) -> None:
    raw = ONE_NAME | {"services": ONE_NAME["services"] | {"backend": service}}
    inventory = Inventory.model_validate(raw)
    (found, *_) = expect.running(inventory, "shop", {"web-1": state("backend-1")})
    assert bool(found.release) is told


BACKENDS = "unix:/var/lib/rondo/shop/sockets/backend-{}/slot.sock"


def as_installed(*weights: int, policy: Policy = "round_robin") -> tuple[Installed, ...]:
    """Return the backend's upstream with a slot for each weight, and its frontend's as declared."""
    (name,) = (each.name for each in DECLARED if each.service == "backend")
    (front,) = (each for each in DECLARED if each.service == "frontend")
    members = tuple(Member(BACKENDS.format(n), weight) for n, weight in enumerate(weights, 1))
    return (
        Installed(name, policy, members, zone=True),
        Installed(front.name, "round_robin", tuple(map(Member, front.addresses)), zone=True),
    )


def test_only_what_had_another_shape_before_a_change_is_former() -> None:
    assert expect.former(DECLARED, {"web-1": as_installed(1, 1, 1)}) == ()
    assert expect.former(DECLARED, {}) == ()
    (found,) = expect.former(DECLARED, {"web-1": as_installed(1, 2, 1, 1, policy="random")})
    assert found.service == "backend"
    assert found.slots == {"backend-1": 1, "backend-2": 2, "backend-3": 1, "backend-4": 1}
    assert found.addresses[BACKENDS.format(4)] == "backend-4"
    assert found.policy == "random"


def test_after_a_change_that_failed_the_shape_before_it_is_expected() -> None:
    expected = expect.expected(INVENTORY, "shop", ["web-1"], {}, {})
    had = expect.former(DECLARED, {"web-1": as_installed(1, 1)})
    found = expect.put_back(expected, had)
    slots = {each.service: list(each.slots) for each in found.upstreams}
    assert slots == {"frontend": ["frontend-1"], "backend": ["backend-1", "backend-2"]}
    assert [list(each.slots) for each in found.former] == [["backend-1", "backend-2", "backend-3"]]


def test_a_site_is_in_force_where_all_its_services_are_in_whatever_shape() -> None:
    assert expect.in_force(DECLARED, as_installed(5))
    assert not expect.in_force(DECLARED, as_installed(5)[:1])


def test_a_name_below_a_wildcard_is_the_sites_unless_another_has_just_that() -> None:
    sites = {
        "all": TWO_NAMES["sites"]["www"] | {"server_names": ["*.example.com"]},
        "api": TWO_NAMES["sites"]["api"],
    }
    inventory = Inventory.model_validate(TWO_NAMES | {"sites": sites})
    assert expect.site_of(inventory, "www.example.com") == "all"
    assert expect.site_of(inventory, "api.example.com") == "api"
    assert expect.site_of(inventory, "example.com") == ""
    assert expect.site_of(inventory, "badexample.com") == ""


def test_of_two_wildcards_the_longer_one_leads_to_the_site_as_in_nginx() -> None:
    site = TWO_NAMES["sites"]["www"]
    sites = {
        "all": site | {"server_names": ["*.example.com"]},
        "shops": site | {"server_names": ["*.shops.example.com"]},
    }
    inventory = Inventory.model_validate(TWO_NAMES | {"sites": sites})
    assert expect.site_of(inventory, "one.shops.example.com") == "shops"
    assert expect.site_of(inventory, "shops.example.com") == "all"


def test_the_site_is_the_declared_one_or_the_first_or_the_one_that_has_the_name() -> None:
    inventory = Inventory.model_validate(TWO_NAMES)
    assert expect.site_of(inventory) == "www"
    assert expect.site_of(inventory, "api.example.com") == "api"
    assert expect.site_of(inventory, "elsewhere.example.com") == ""
    declared = Inventory.model_validate(TWO_NAMES | {"proof": {"site": "api"}})
    assert expect.site_of(declared) == "api"


@pytest.mark.parametrize(
    ("change", "said"),
    [({"proof": {"site": "none"}}, "proof.site is none"), ({"sites": {}}, "no sites")],
)
def test_nothing_to_load_is_told(change: dict[str, Any], said: str) -> None:
    inventory = Inventory.model_validate(ONE_NAME | change)
    with pytest.raises(InputError, match=said):
        expect.site_of(inventory)


def test_a_server_that_does_not_answer_for_the_site_is_refused() -> None:
    assert expect.servers_of(INVENTORY, "shop", ["web-1"]) == ("web-1",)
    with pytest.raises(InputError, match=r"no server web-9 .* there are: web-1"):
        expect.servers_of(INVENTORY, "shop", ["web-9"])
