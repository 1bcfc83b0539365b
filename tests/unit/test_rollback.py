"""Going back to a recorded release: which one, by which steps, and what is refused."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from house import Simulation, deployed, inventory, release
from hypothesis import given, settings
from hypothesis import strategies as st

from rondo import cluster, operations, steps
from rondo.difference import differences
from rondo.errors import InputError, PreflightError
from rondo.fleet import Fleet
from rondo.plan import Policy, make_plan
from rondo.recorded_plan import (
    find_release,
    make_rollback_plan,
    release_before,
)

if TYPE_CHECKING:
    from pathlib import Path

    from rondo.release import Release
    from rondo.server import Remote
    from rondo.state import ServerState

NO_POLICY = Policy()


def took_over(
    states: dict[str, ServerState], *releases: Release, policy: Policy = NO_POLICY
) -> dict[str, ServerState]:
    """Return servers on which releases were deployed one after the other."""
    for wanted in releases:
        states = Simulation(wanted, states).apply(make_plan(wanted, states, policy))
    return states


def rolled_back(states: dict[str, ServerState], identity: str) -> dict[str, ServerState]:
    made = make_rollback_plan("shop", states, identity, Policy())
    return Simulation(release(), states).apply(made)


def specs(states: dict[str, ServerState]) -> dict[str, dict[str, str]]:
    """Return what serves: the spec in each slot, on each server."""
    return {
        name: {slot: getattr(state.in_slot(slot), "spec", "") for slot in state.slots}
        for name, state in states.items()
    }


def test_a_rollback_restores_containers_and_configuration_and_runs_no_release_command() -> None:
    first, second = release(), release("2", site_configs={"web-1": "site-2", "web-2": "site-2"})
    before = deployed(first)
    states = took_over(before, second)
    made = make_rollback_plan("shop", states, first.id, Policy())
    kinds = [type(step).__name__ for step in made.steps if step.server == "web-1"]
    assert kinds == [*["FillSlot"] * 4, "InstallConfig", "Settle", "EnforceRelease"]
    after = rolled_back(states, first.id)
    assert specs(after) == specs(before)
    for name, state in after.items():
        assert state.files == before[name].files
        assert state.current == first.id
    assert not make_rollback_plan("shop", after, first.id, Policy())
    assert not make_plan(first, after, Policy()), "and a deploy of it has nothing to do"


def test_a_rollback_leaves_accessories_and_says_so() -> None:
    first = release()
    other = inventory(accessories={"database": {"image": "postgres:16"}})
    states = took_over(deployed(first), release("2", other))
    made = make_rollback_plan("shop", states, first.id, Policy())
    assert not any(isinstance(step, steps.StartAccessory) for step in made.steps)
    assert [note for note in made.notes if "web-1: database" in note]


def test_certificates_are_not_rolled_back() -> None:
    first = release()
    states = took_over(deployed(first), release("2", certificates={"shop": "pair-2"}))
    made = make_rollback_plan("shop", states, first.id, Policy())
    assert not any(isinstance(step, steps.SendFiles) for step in made.steps)


def test_slots_that_a_release_did_not_have_are_emptied_after_nginx_forgot_them() -> None:
    first = release(declared=inventory(services={"backend": {"replicas": 2}}))
    states = took_over(deployed(first), release("2"))
    made = make_rollback_plan("shop", states, first.id, Policy())
    emptied = [step.slot for step in made.steps if isinstance(step, steps.EmptySlot)]
    assert emptied == ["backend-3", "backend-3"]
    assert specs(rolled_back(states, first.id)) == specs(deployed(first))


def test_rollbacks_follow_what_was_in_force_not_the_calendar() -> None:
    a, b, c, d = (release(version) for version in "1234")
    states = took_over(deployed(a), b, c)
    assert release_before(states) == b.id
    states = rolled_back(states, b.id)
    assert release_before(states) == a.id, "not the bad one again"
    states = took_over(states, d)
    assert release_before(states) == b.id, "which was in force before, though c is younger"


def test_the_release_that_was_in_force_is_kept_though_younger_ones_are_there() -> None:
    a, b, c, d = (release(version) for version in "1234")
    states = rolled_back(took_over(deployed(a), b, c), b.id)
    made = make_plan(d, states, Policy(keep_releases=2))
    kept = {step.releases for step in made.steps if isinstance(step, steps.Prune)}
    assert kept == {(d.id, b.id)}


def test_without_an_earlier_release_there_is_nothing_to_go_back_to() -> None:
    with pytest.raises(InputError, match="web-1, web-2: no release is kept from before"):
        release_before(deployed(release()))


def test_servers_that_differ_are_told_with_their_releases() -> None:
    a, b = release("1"), release("2")
    states = took_over(deployed(a), b)
    states["web-2"] = deployed(a)["web-2"]
    with pytest.raises(InputError, match=rf"web-1: {a.id}; web-2: none.*-H"):
        release_before(states)


def test_servers_that_lack_the_release_are_named() -> None:
    a, b = release("1"), release("2")
    states = took_over(deployed(a), b)
    states["web-2"] = deployed(b)["web-2"]
    with pytest.raises(PreflightError, match=f"web-2: it has no record of release {a.id}") as told:
        make_rollback_plan("shop", states, a.id, Policy())
    assert "web-1" not in str(told.value)
    assert "nothing was touched" in str(told.value)


def test_an_image_that_is_gone_is_named_with_its_server() -> None:
    a, b = release("1"), release("2")
    states = took_over(deployed(a), b)
    state = states["web-2"]
    images = {key: each for key, each in state.images.items() if "backend:1" not in key}
    states["web-2"] = replace(state, images=images)
    with pytest.raises(PreflightError, match="web-2: the image rondo/shop/backend:1 is gone"):
        make_rollback_plan("shop", states, a.id, Policy())


def test_a_release_is_found_by_a_part_of_its_name_that_only_it_has() -> None:
    a, b = release("1"), release("2")
    states = took_over(deployed(a), b)
    assert find_release(states, a.id) == a.id
    assert find_release(states, b.content[:8]) == b.id
    with pytest.raises(InputError, match=r"several releases are called '0123456789'"):
        find_release(states, "0123456789")
    with pytest.raises(InputError, match=rf"no release is called 'nope'.*{a.id}"):
        find_release(states, "nope")


def test_a_rollback_with_nothing_to_do_runs_no_hook_and_takes_no_lock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing can be asked of these servers after they were looked at: no lock, no audit line."""
    first = release()
    states = deployed(first)
    monkeypatch.setattr(cluster, "observe", lambda *_: states)
    declared = inventory(hooks={"before_deploy": ["touch", "ran"]})
    names = ("web-1", "web-2")

    class Looked(Fleet):
        def __getitem__(self, name: str) -> Remote:
            raise AssertionError(f"{name} was asked for something")

    fleet = Looked(declared, tmp_path, names)
    outcome = operations.rollback(declared, fleet, names, lambda _: None, first.id)
    assert not outcome.plan
    assert (outcome.plan.release, outcome.states) == (first.id, states)
    assert not (tmp_path / "ran").exists()


def test_a_difference_names_what_changes_and_groups_what_changes_alike() -> None:
    old = release()
    changed = inventory(
        services={"backend": {"limits": {"memory": "512m"}, "health": {"path": "/health"}}}
    )
    new = release("2", changed, site_configs=dict.fromkeys(changed.servers, "site-2"))
    lines = differences("shop", (old.servers["web-1"], {}), (new.servers["web-1"], {}))
    slots = "backend-1, backend-2, backend-3"
    assert f"{slots}: image: rondo/shop/backend:1 -> rondo/shop/backend:2" in lines
    assert f"{slots}: options: with --memory=536870912" in lines
    assert f"{slots}: health.path: / -> /health" in lines
    assert [line for line in lines if "site-" in line] == ["-site-1", "+site-2"]
    assert not differences("shop", (old.servers["web-1"], {}), (old.servers["web-1"], {}))


SHAPES = st.fixed_dictionaries(
    {
        "replicas": st.integers(1, 4),
        "listen": st.sampled_from(["socket", "tcp"]),
        "environment": st.dictionaries(st.sampled_from(["A", "B"]), st.just("x")),
    }
)


@settings(max_examples=10)
@given(
    history=st.lists(st.tuples(st.sampled_from("123"), SHAPES), min_size=1, max_size=4),
    place=st.integers(0, 3),
)
def test_any_kept_release_comes_back_as_it_was(
    history: list[tuple[str, dict[str, object]]], place: int
) -> None:
    releases = [
        release(version, inventory(services={"backend": shape})) for version, shape in history
    ]
    states = took_over(deployed(releases[0]), *releases[1:])
    target = releases[place % len(releases)]
    after = rolled_back(states, target.id)
    assert specs(after) == specs(deployed(target))
    assert not make_plan(target, after, Policy())
