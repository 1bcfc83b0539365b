"""The planner: from what runs to what is wanted, as tables and properties."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from house import Simulation, bare, deployed, inventory, parts, release
from hypothesis import given, settings
from hypothesis import strategies as st

from rondo import plan, steps
from rondo.layout import Layout
from rondo.plan import Policy, make_plan
from rondo.release import make_release

if TYPE_CHECKING:
    from rondo.state import ServerState

LAYOUT = Layout("shop")


def kinds(made: plan.Plan, server: str) -> list[str]:
    return [type(step).__name__ for step in made.steps if step.server == server]


def titles(made: plan.Plan, kind: type[steps.Step]) -> list[str]:
    return [f"{step.server}: {step.title}" for step in made.steps if isinstance(step, kind)]


def changed_slot(states: dict[str, ServerState], slot: str, **changes: object) -> None:
    state = states["web-1"]
    containers = tuple(
        replace(each, **changes) if each.slot == slot else each  # type: ignore[arg-type]
        for each in state.containers
    )
    states["web-1"] = replace(state, containers=containers)


def test_first_deploy_does_everything_in_order() -> None:
    wanted = release()
    made = make_plan(wanted, bare(wanted), Policy())
    assert [phase.name for phase in made.phases] == [
        "files",
        "images",
        "accessories",
        "gate",
        "release command",
        "first fill",
        "site",
        "record",
        "prune",
    ]
    assert kinds(made, "web-2") == [
        "SendFiles",
        "SendContext",
        "BuildImage",
        "SendContext",
        "BuildImage",
        "InstallConfig",
        *["FillSlot"] * 4,
        "InstallConfig",
        "WriteRecord",
        "Prune",
    ]


def test_second_deploy_of_the_same_is_empty() -> None:
    wanted = release()
    assert not make_plan(wanted, deployed(wanted), Policy())


def test_same_content_from_another_commit_is_nothing_to_do() -> None:
    wanted = release()
    states = deployed(wanted)
    other = replace(wanted, source=replace(wanted.source, commit="fedcba9876543210"))
    assert other.id != wanted.id
    assert not make_plan(other, states, Policy())


def test_changed_backend_touches_no_frontend_and_no_accessory() -> None:
    states = deployed(release())
    declared = inventory()
    old, new = parts(declared), parts(declared, "2")
    wanted = make_release(
        declared, replace(old, images={**old.images, "backend": new.images["backend"]})
    )
    made = make_plan(wanted, states, Policy())
    assert titles(made, steps.FillSlot) == [
        f"{server}: fill backend-{number}" for server in ("web-1", "web-2") for number in (1, 2, 3)
    ]
    assert not titles(made, steps.StartAccessory)
    assert not titles(made, steps.InstallConfig)


def test_live_slots_move_one_server_after_the_other() -> None:
    made = make_plan(release("2"), deployed(release()), Policy())
    roll = next(phase for phase in made.phases if phase.name == "roll")
    assert [[step.place for step in batch] for batch in roll.batches] == [
        [slot] for slot in ("frontend-1", "backend-1", "backend-2", "backend-3")
    ] * 2
    assert [batch[0].server for batch in roll.batches] == ["web-1"] * 4 + ["web-2"] * 4


def test_release_command_runs_once_for_the_whole_cluster() -> None:
    made = make_plan(release("2"), deployed(release()), Policy())
    assert titles(made, steps.RunReleaseCommand) == [
        "web-1: run `python manage.py migrate` of backend"
    ]


def test_release_command_runs_on_a_server_that_was_selected() -> None:
    states = {"web-2": deployed(release())["web-2"]}
    made = make_plan(release("2"), states, Policy())
    assert titles(made, steps.RunReleaseCommand) == [
        "web-2: run `python manage.py migrate` of backend"
    ]


def test_release_command_precedes_the_first_switch() -> None:
    made = make_plan(release("2"), deployed(release()), Policy())
    order = [type(step) for step in made.steps]
    assert order.index(steps.RunReleaseCommand) < order.index(steps.FillSlot)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"state": "exited"}, "its container is exited"),
        ({"spec": "0123"}, "its image, environment or options changed"),
        ({"instance": "stranger"}, "nothing fills it"),
    ],
    ids=["stopped by hand", "other spec", "not the one that the slot names"],
)
def test_drifted_slot_is_filled_again_and_says_why(changes: dict[str, str], reason: str) -> None:
    states = deployed(release())
    changed_slot(states, "backend-2", **changes)
    made = make_plan(release(), states, Policy())
    fills = [step for step in made.steps if isinstance(step, steps.FillSlot)]
    assert [(step.server, step.slot.name, step.reason.partition(";")[0]) for step in fills] == [
        ("web-1", "backend-2", reason)
    ]


def test_what_an_interrupted_change_left_beside_a_slot_goes_with_the_next_one() -> None:
    states = deployed(release())
    state = states["web-1"]
    stray = replace(next(state.named("frontend-1")), id="old", instance="old", state="running")
    states["web-1"] = replace(state, containers=(*state.containers, stray))
    assert not make_plan(release(), states, Policy()), "it is nothing to do by itself"
    changed_slot(states, "backend-2", spec="0123")
    settles = [
        (step.server, step.slots)
        for step in make_plan(release(), states, Policy()).steps
        if isinstance(step, steps.Settle)
    ]
    assert settles == [("web-1", ("backend-2",)), ("web-1", ("frontend-1",))]


def test_stopped_container_needs_no_release_command() -> None:
    states = deployed(release())
    changed_slot(states, "backend-2", state="exited")
    assert not titles(make_plan(release(), states, Policy()), steps.RunReleaseCommand)


def test_edited_file_is_told_from_a_changed_one() -> None:
    states = deployed(release())
    state = states["web-1"]
    files = {**state.files, LAYOUT.site_file: "edited by hand"}
    states["web-1"] = replace(state, files=files)
    reasons = [step.reason for step in make_plan(release(), states, Policy()).steps]
    assert "somebody edited it on the server" in reasons
    wanted = release(site_configs=dict.fromkeys(("web-1", "web-2"), "site-2"))
    made = make_plan(wanted, deployed(release()), Policy())
    assert "the rendered configuration changed" in [step.reason for step in made.steps]


def test_fewer_replicas_empty_their_slots_after_nginx_forgot_them() -> None:
    states = deployed(release())
    fewer = inventory(services={"backend": {"replicas": 2}})
    wanted = release(declared=fewer, site_configs=dict.fromkeys(fewer.servers, "site-2"))
    made = make_plan(wanted, states, Policy())
    assert titles(made, steps.EmptySlot) == ["web-1: empty backend-3", "web-2: empty backend-3"]
    names = [phase.name for phase in made.phases]
    assert names.index("site") < names.index("empty")


def test_built_once_is_carried_to_the_others() -> None:
    wanted = release()
    made = make_plan(wanted, bare(wanted), Policy(build_once=True))
    assert titles(made, steps.BuildImage) == [
        "web-1: build rondo/shop/frontend:1",
        "web-1: build rondo/shop/backend:1",
    ]
    assert titles(made, steps.CarryImage) == [
        "web-2: carry rondo/shop/frontend:1 over from web-1",
        "web-2: carry rondo/shop/backend:1 over from web-1",
    ]


def test_image_by_digest_is_pulled_not_built() -> None:
    image = "registry.example.com/shop@sha256:" + "a" * 64
    service = {"kind": "http", "image": image}
    declared = inventory(services={"backend": None, "frontend": None, "api": service})
    wanted = make_release(declared, parts(declared))
    made = make_plan(wanted, bare(wanted), Policy())
    assert f"web-1: pull {image}" in titles(made, steps.PullImage)
    assert not titles(made, steps.BuildImage)


def test_earlier_context_is_the_base_of_the_next() -> None:
    made = make_plan(release("2"), deployed(release()), Policy())
    bases = [step.base for step in made.steps if isinstance(step, steps.SendContext)]
    assert bases == ["manifest-frontend-1", "manifest-backend-1"] * 2


def test_context_that_is_there_already_is_not_sent_again() -> None:
    wanted = release()
    states = deployed(wanted)
    states["web-1"] = replace(states["web-1"], images={"postgres:15": "id"})
    made = make_plan(wanted, states, Policy())
    assert not titles(made, steps.SendContext)
    assert titles(made, steps.BuildImage) == [
        "web-1: build rondo/shop/frontend:1",
        "web-1: build rondo/shop/backend:1",
    ]


def test_oldest_releases_are_pruned_first() -> None:
    wanted = release("9")
    states = bare(wanted)
    records = {f"r{number}": {"created": f"2026-01-0{number}"} for number in range(1, 7)}
    states["web-1"] = replace(states["web-1"], records=records)
    made = make_plan(wanted, states, Policy(keep_releases=3))
    prune = next(step for step in made.steps if isinstance(step, steps.Prune))
    assert prune.releases == (wanted.id, "r6", "r5")


VERSIONS = st.sampled_from(["1", "2", "3"])
SHAPES = st.fixed_dictionaries(
    {
        "replicas": st.integers(1, 4),
        "listen": st.sampled_from(["socket", "tcp"]),
        "environment": st.dictionaries(st.sampled_from(["A", "B"]), st.just("x")),
    }
)


@settings(max_examples=25)
@given(versions=st.lists(st.tuples(VERSIONS, SHAPES, st.booleans()), min_size=1, max_size=4))
def test_planning_after_applying_is_empty(
    versions: list[tuple[str, dict[str, object], bool]],
) -> None:
    states: dict[str, ServerState] | None = None
    for version, shape, once in versions:
        declared = inventory(services={"backend": shape})
        wanted = release(version, declared)
        policy = Policy(build_once=once)
        states = states or bare(wanted)
        states = Simulation(wanted, states).apply(make_plan(wanted, states, policy))
        assert not make_plan(wanted, states, policy)


@settings(max_examples=25)
@given(new=VERSIONS, shape=SHAPES)
def test_no_slot_is_without_container_at_any_prefix_of_a_roll(
    new: str, shape: dict[str, object]
) -> None:
    declared = inventory(services={"backend": shape})
    states = deployed(release("1", declared))
    wanted = release(new, declared)
    simulation = Simulation(wanted, states)
    for step in make_plan(wanted, states, Policy()).steps:
        simulation.states[step.server] = simulation.take(step, simulation.states[step.server])
        for server, state in simulation.states.items():
            for slot in wanted.servers[server].slots:
                filled = state.in_slot(slot.name)
                assert filled is not None
                assert filled.running
