"""How slots move: in which batches, and what serves while they do."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from house import Simulation, deployed, inventory, release
from hypothesis import given, settings
from hypothesis import strategies as st

from rondo import steps
from rondo.change import refuse_outages
from rondo.errors import PreflightError
from rondo.plan import Policy, make_plan
from rondo.recorded_plan import make_restart_plan
from rondo.roll import Pace, amount, pace_of

if TYPE_CHECKING:
    from rondo.inventory import Inventory
    from rondo.plan import Plan


def rolled(made: Plan) -> list[str]:
    """Return each batch as a line of server, slot, server, slot."""
    return [
        " ".join(f"{step.server}/{step.place}" for step in batch)
        for phase in made.phases
        for batch in phase.batches
    ]


def restart(pace: Pace, declared: Inventory | None = None, selection: str = "backend") -> Plan:
    states = deployed(release(declared=declared or inventory()))
    return make_restart_plan("shop", states, selection, Policy(pace=pace))


@pytest.mark.parametrize(
    ("share", "total", "count"),
    [
        ("1", 3, 1),
        ("2", 3, 2),
        ("9", 3, 3),
        ("50%", 4, 2),
        ("50%", 3, 1),
        ("1%", 3, 1),
        ("100%", 3, 3),
        ("1", 0, 1),
    ],
)
def test_a_share_is_at_least_one_and_at_most_all(share: str, total: int, count: int) -> None:
    assert amount(share, max(total, 1)) == count


@pytest.mark.parametrize(
    ("pace", "batches"),
    [
        (
            Pace(),
            [f"web-{server}/backend-{slot}" for server in (1, 2) for slot in (1, 2, 3)],
        ),
        (
            Pace(parallel="2"),
            [
                "web-1/backend-1 web-1/backend-2",
                "web-1/backend-3",
                "web-2/backend-1 web-2/backend-2",
                "web-2/backend-3",
            ],
        ),
        (
            Pace(servers_at_once="100%"),
            [f"web-1/backend-{slot} web-2/backend-{slot}" for slot in (1, 2, 3)],
        ),
        (
            Pace(parallel="1", parallel_of={"backend": "100%"}),
            [" ".join(f"web-{server}/backend-{slot}" for slot in (1, 2, 3)) for server in (1, 2)],
        ),
    ],
    ids=["one by one", "two on a server", "two servers", "a service's own"],
)
def test_slots_move_in_batches(pace: Pace, batches: list[str]) -> None:
    assert rolled(restart(pace)) == batches


def test_a_plan_tells_what_serves_while_a_slot_moves() -> None:
    surge = next(iter(restart(Pace()).steps))
    assert surge.reason.endswith("; 3 of 3 serve meanwhile")
    place = next(iter(restart(Pace(in_place=frozenset({"backend"}))).steps))
    assert place.reason.endswith("; 2 of 3 serve meanwhile")


def test_a_batch_that_leaves_nothing_serving_is_refused_with_the_way_out() -> None:
    made = restart(Pace(parallel="100%", in_place=frozenset({"backend"})))
    with pytest.raises(PreflightError) as raised:
        refuse_outages(made)
    told = str(raised.value)
    assert "web-1: backend-1, backend-2, backend-3 would leave none of the 3 of backend" in told
    assert "`parallel`" in told
    assert "`replace: surge`" in told, "in place there would be nobody to lend the slot to"
    refuse_outages(restart(Pace(parallel="100%")))


@pytest.mark.parametrize("listen", ["socket", "tcp"])
def test_a_slot_that_has_crashed_can_be_filled_though_only_one_other_serves(listen: str) -> None:
    declared = inventory(services={"backend": {"listen": listen, "replicas": 2}})
    states = deployed(release(declared=declared))
    for name, state in states.items():
        there = tuple(
            replace(each, state="exited") if each.slot == "backend-1" else each
            for each in state.containers
        )
        states[name] = replace(state, containers=there)
    policy = Policy(pace=Pace(in_place=frozenset({"backend"})))
    made = make_restart_plan("shop", states, "backend", policy)
    refuse_outages(made)
    fills = [step for step in made.steps if isinstance(step, steps.FillSlot)]
    first, second = (step.reason for step in fills if step.server == "web-1")
    assert first.endswith("; 1 of 1 serve meanwhile")
    assert second.endswith("; 1 of 2 serve meanwhile")


def test_the_only_slot_on_a_tcp_port_cannot_move_without_an_outage() -> None:
    declared = inventory(services={"backend": {"listen": "tcp", "replicas": 1}})
    with pytest.raises(PreflightError, match="on a TCP port; give it more `replicas`"):
        refuse_outages(restart(Pace(), declared))


def test_the_inventory_says_how_slots_move() -> None:
    declared = inventory(
        services={"backend": {"parallel": "50%", "replace": "in_place"}},
        settings={"roll": {"parallel": 2, "servers_at_once": "100%", "min_healthy": "10s"}},
    )
    pace = pace_of(declared)
    assert (pace.slots("backend", 4), pace.slots("frontend", 4)) == (2, 2)
    assert pace.in_place == {"backend"}
    assert (pace.servers_at_once, pace.min_healthy) == ("100%", 10)


def test_what_was_replaced_is_seen_off_before_the_record_is_written() -> None:
    made = make_plan(release("2"), deployed(release()), Policy())
    names = [phase.name for phase in made.phases]
    assert names.index("roll") < names.index("settle") < names.index("record")


SHARES = st.sampled_from(["1", "2", "3", "50%", "100%"])


@settings(max_examples=25)
@given(
    replicas=st.integers(1, 5),
    listen=st.sampled_from(["socket", "tcp"]),
    in_place=st.booleans(),
    parallel=SHARES,
    at_once=SHARES,
)
def test_enough_slots_serve_at_every_batch_of_a_roll(
    replicas: int,
    listen: str,
    in_place: bool,  # noqa: FBT001 - hypothesis gives it
    parallel: str,
    at_once: str,
) -> None:
    declared = inventory(services={"backend": {"replicas": replicas, "listen": listen}})
    pace = Pace(
        parallel=parallel,
        servers_at_once=at_once,
        in_place=frozenset({"backend"} if in_place else ()),
    )
    states = deployed(release("1", declared))
    wanted = release("2", declared)
    made = make_plan(wanted, states, Policy(pace=pace))
    roll = next(phase for phase in made.phases if phase.name == "roll")
    moved = [step for batch in roll.batches for step in batch]
    assert len(moved) == len(set(moved)) == 2 * (replicas + 1)
    out = in_place or listen == "tcp"
    emptiest = min(
        replicas
        - sum(
            out and step.slot.container.service == "backend" and step.server == server
            for step in batch
            if isinstance(step, steps.FillSlot)
        )
        for batch in roll.batches
        for server in states
    )
    assert bool(roll.outages) == (emptiest <= 0)
    after = Simulation(wanted, states).apply(made)
    assert not make_plan(wanted, after, Policy(pace=pace))


def test_a_slot_that_was_down_counts_for_nothing_that_serves() -> None:
    states = deployed(release())
    containers = tuple(
        replace(each, state="exited") if each.slot != "backend-1" else each
        for each in states["web-1"].containers
    )
    states["web-1"] = replace(states["web-1"], containers=containers)
    pace = Pace(in_place=frozenset({"backend"}))
    made = make_restart_plan("shop", {"web-1": states["web-1"]}, "backend", Policy(pace=pace))
    assert next(iter(made.steps)).reason.endswith("0 of 1 serve meanwhile")
    with pytest.raises(PreflightError):
        refuse_outages(made)
