"""The way back: whatever a change had done when it failed, everything serves what it did before."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from house import Simulation, bare, deployed, inventory, release
from hypothesis import given, settings
from hypothesis import strategies as st

from rondo import plan, steps
from rondo.plan import Policy, make_plan
from rondo.recorded_plan import make_restart_plan
from rondo.revert import make_revert_plan

if TYPE_CHECKING:
    from rondo.release import Release
    from rondo.state import ServerState

    States = dict[str, ServerState]

QUEUE = {"queue": {"kind": "worker", "context": "queue", "replicas": 2}}


def prefix(wanted: Release, states: States, made: plan.Plan, count: int) -> States:
    """Return the servers after the first steps of a plan."""
    simulation = Simulation(wanted, states)
    for step in list(made.steps)[:count]:
        simulation.states[step.server] = simulation.take(step, simulation.states[step.server])
    return simulation.states


def reverted(wanted: Release, before: States, now: States) -> States:
    return Simulation(wanted, now).apply(make_revert_plan("shop", before, now))


def serving(states: States) -> object:
    """Return all that visitors can tell: what fills each slot, the workers, files, the release."""
    return {
        name: (
            {slot: getattr(state.in_slot(slot), "spec", None) for slot in state.slots},
            {(each.slot, each.spec) for each in state.containers if each.kind == "worker"},
            state.files,
            state.current,
        )
        for name, state in states.items()
    }


def test_when_nothing_moved_there_is_nothing_to_put_back() -> None:
    states = deployed(release())
    assert not make_revert_plan("shop", states, states)


def test_a_slot_that_was_down_before_is_not_started_for_a_change_that_moved_nothing() -> None:
    states = deployed(release())
    containers = tuple(
        replace(each, state="exited") if each.slot == "backend-2" else each
        for each in states["web-1"].containers
    )
    states["web-1"] = replace(states["web-1"], containers=containers)
    assert not make_revert_plan("shop", states, states)


def test_a_restart_that_failed_leaves_fresh_containers_of_the_same() -> None:
    before = deployed(release())
    made = make_restart_plan("shop", before)
    now = prefix(release(), before, made, 5)
    assert not make_revert_plan("shop", before, now)


def test_the_first_deploy_is_left_as_it_is() -> None:
    wanted = release()
    before = bare(wanted)
    now = prefix(wanted, before, make_plan(wanted, before, Policy()), 16)
    made = make_revert_plan("shop", before, now)
    assert not made
    assert "web-1: nothing ran there before; it is left as it is" in made.notes


def test_only_what_moved_goes_back_and_tells_the_release_that_had_started_it() -> None:
    before = deployed(release())
    made = make_plan(release("2"), before, Policy())
    places = [step.place for step in made.steps]
    now = prefix(release("2"), before, made, places.index("backend-2"))
    back = make_revert_plan("shop", before, now)
    assert [step.title for step in back.steps] == [
        "fill frontend-1",
        "fill backend-1",
        "see the replaced containers off",
    ]
    assert back.release == release().id


def test_what_no_record_tells_of_is_said() -> None:
    before = deployed(release())
    containers = tuple(
        replace(each, spec="by hand") if each.slot == "backend-1" else each
        for each in before["web-1"].containers
    )
    before["web-1"] = replace(before["web-1"], containers=containers)
    wanted = release("2")
    now = Simulation(wanted, before).apply(make_plan(wanted, before, Policy()))
    made = make_revert_plan("shop", before, now)
    assert "web-1 backend-1: no record tells what ran there before" in made.notes


def test_what_was_pruned_cannot_go_back_and_is_said() -> None:
    before = deployed(release())
    wanted = release("2")
    now = Simulation(wanted, before).apply(make_plan(wanted, before, Policy()))
    images = {key: each for key, each in now["web-2"].images.items() if "frontend:1" not in key}
    now["web-2"] = replace(now["web-2"], images=images)
    made = make_revert_plan("shop", before, now)
    told = "web-2 frontend-1: cannot be put back, the image rondo/shop/frontend:1 is gone"
    assert told in made.notes
    assert "web-2: fill frontend-1" not in [f"{step.server}: {step.title}" for step in made.steps]


def test_an_accessory_that_was_replaced_stays_and_is_told() -> None:
    before = deployed(release())
    wanted = release("2", inventory(accessories={"database": {"image": "postgres:16"}}))
    now = Simulation(wanted, before).apply(make_plan(wanted, before, Policy()))
    made = make_revert_plan("shop", before, now)
    assert not any(isinstance(step, steps.StartAccessory) for step in made.steps)
    assert [note for note in made.notes if note.startswith("web-1 database: stays as it is now")]


SHAPES = st.fixed_dictionaries(
    {
        "replicas": st.integers(1, 4),
        "listen": st.sampled_from(["socket", "tcp"]),
        "environment": st.dictionaries(st.sampled_from(["A", "B"]), st.just("x")),
    }
)


@settings(max_examples=25)
@given(
    old=SHAPES,
    new=SHAPES,
    workers=st.tuples(st.booleans(), st.booleans()),
    site=st.sampled_from(["site-1", "site-2"]),
    share=st.floats(0, 1),
)
def test_after_any_part_of_a_deploy_the_way_back_leads_to_the_state_before(
    old: dict[str, object],
    new: dict[str, object],
    workers: tuple[bool, bool],
    site: str,
    share: float,
) -> None:
    first = inventory(services={"backend": old, **(QUEUE if workers[0] else {})})
    second = inventory(services={"backend": new, **(QUEUE if workers[1] else {})})
    before = deployed(release("1", first))
    wanted = release("2", second, site_configs=dict.fromkeys(second.servers, site))
    made = make_plan(wanted, before, Policy())
    now = prefix(wanted, before, made, round(share * len(list(made.steps))))
    after = reverted(wanted, before, now)
    assert serving(after) == serving(before)
    assert not make_revert_plan("shop", before, after)
    assert not make_plan(release("1", first), after, Policy())
