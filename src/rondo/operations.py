"""What changes a live site from the servers' records alone, without a source tree."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from rondo import cluster
from rondo.blotting import blotted
from rondo.change import (
    USUAL,
    Change,
    Manner,
    Outcome,
    carry_out,
    command_line,
    put_back,
    recorded_material,
)
from rondo.deploy import policy_of
from rondo.difference import differences
from rondo.errors import InputError
from rondo.events import Event, redacted
from rondo.recorded_plan import (
    find_release,
    make_restart_plan,
    make_rollback_plan,
    release_before,
    release_in_force,
)
from rondo.restore import recorded_release
from rondo.revert import make_revert_plan

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rondo.events import Emit
    from rondo.fleet import Fleet
    from rondo.inventory import Inventory
    from rondo.plan import Plan
    from rondo.release import ServerRelease
    from rondo.state import ServerState


def serving(inventory: Inventory, names: Sequence[str]) -> tuple[str, ...]:
    """Return the chosen servers that run services: edges run none.

    Raises InputError if none is left.
    """
    servers = inventory.servers
    found = tuple(name for name in names if name in servers and not servers[name].edge)
    if not found:
        raise InputError(f"{', '.join(names)}: no service runs there; choose other servers by -H")
    return found


def _with_edges(inventory: Inventory, names: Sequence[str]) -> tuple[str, ...]:
    """Return the chosen servers and edges; raises InputError if none of them runs services."""
    servers = inventory.servers
    edges = (name for name in names if name in servers and servers[name].edge)
    return (*serving(inventory, names), *edges)


def restart_plan(
    inventory: Inventory, states: Mapping[str, ServerState], selection: str = ""
) -> Plan:
    """Return the steps that replace every container of a service or slot, or all of them."""
    return make_restart_plan(inventory.project, states, selection, policy_of(inventory))


def intend_restart(
    inventory: Inventory, fleet: Fleet, names: Sequence[str], selection: str = ""
) -> Plan:
    """Find out what runs and plan its restart; changes nothing."""
    states = cluster.observe(fleet, serving(inventory, names), inventory.project)
    return restart_plan(inventory, states, selection)


def restart(  # noqa: PLR0913, PLR0917 - where, what and how
    inventory: Inventory,
    fleet: Fleet,
    names: Sequence[str],
    emit: Emit,
    selection: str = "",
    manner: Manner = USUAL,
) -> Outcome:
    """Replace every container by a fresh one of the release in force, slot by slot.

    Raises RondoError: PreflightError and InputError before anything is touched, RemoteError when
    a step failed.
    """
    change = Change(
        inventory,
        command_line(inventory, serving(inventory, names), "restart", selection),
        f"restart of {selection or 'everything'}",
        plan=lambda states: restart_plan(inventory, states, selection),
        material=lambda plan: recorded_material(inventory.project, plan),
        manner=manner,
    )
    with blotted(fleet.redact):
        return carry_out(change, fleet, serving(inventory, names), redacted(emit, fleet.redact))


def rollback_plan(inventory: Inventory, states: Mapping[str, ServerState], wanted: str) -> Plan:
    """Return the steps back to a release, or to the one before the one in force.

    Which one that is, the servers say that run services; an edge goes along if it has recorded it.
    """
    serve = {name: state for name, state in states.items() if not inventory.servers[name].edge}
    identity = find_release(serve, wanted) if wanted else release_before(serve)
    able = {
        name: state for name, state in states.items() if name in serve or identity in state.records
    }
    plan = make_rollback_plan(inventory.project, able, identity, policy_of(inventory))
    left = (
        f"{name}: it has no record of release {identity}, its Nginx stays as it is; `fab deploy` "
        "of that release's source would set it right"
        for name in states
        if name not in able
    )
    return replace(plan, notes=(*plan.notes, *left))


def intend_rollback(
    inventory: Inventory, fleet: Fleet, names: Sequence[str], wanted: str = ""
) -> Plan:
    """Find out what a rollback would do; changes nothing."""
    states = cluster.observe(fleet, _with_edges(inventory, names), inventory.project)
    return rollback_plan(inventory, states, wanted)


def rollback(  # noqa: PLR0913, PLR0917 - where, what and how
    inventory: Inventory,
    fleet: Fleet,
    names: Sequence[str],
    emit: Emit,
    wanted: str = "",
    manner: Manner = USUAL,
) -> Outcome:
    """Make the servers run a recorded release again, by default the one before.

    An empty plan means that they do, and nothing was done: no hook, no lock, no line in the audit
    log. Raises RondoError: PreflightError and InputError before anything is touched, RemoteError
    when a step failed.
    """
    chosen = _with_edges(inventory, names)
    states = cluster.observe(fleet, chosen, inventory.project)
    intended = rollback_plan(inventory, states, wanted)
    if not intended:
        for note in intended.notes:
            emit(Event("note", note))
        return Outcome(intended, states)
    identity = intended.release
    change = Change(
        inventory,
        command_line(inventory, chosen, "rollback", identity),
        f"rollback to {identity}",
        # Not once more "the one before": somebody may have gone there meanwhile.
        plan=lambda states: rollback_plan(inventory, states, identity),
        material=lambda plan: recorded_material(inventory.project, plan),
        manner=manner,
    )
    with blotted(fleet.redact):
        return carry_out(change, fleet, chosen, redacted(emit, fleet.redact))


def revert(  # noqa: PLR0913, PLR0917 - what, why and how
    inventory: Inventory,
    fleet: Fleet,
    made: Outcome,
    emit: Emit,
    reason: str,
    manner: Manner = USUAL,
) -> Outcome:
    """Put the servers back to what they served before a change that was completed.

    Raises RondoError, saying what stands where, when not everything could be put back, or when
    somebody has changed the cluster since.
    """
    change = Change(
        inventory,
        "fab rollback",
        f"revert, as {reason}",
        plan=lambda states: make_revert_plan(inventory.project, made.states, states),
        material=lambda plan: recorded_material(inventory.project, plan),
        manner=manner,
    )
    with blotted(fleet.redact):
        return put_back(change, fleet, made, redacted(emit, fleet.redact))


@dataclass(frozen=True, slots=True)
class Difference:
    """What tells two releases apart."""

    old: str
    new: str
    lines: Mapping[str, tuple[str, ...]]
    """By server."""


def difference(
    inventory: Inventory, fleet: Fleet, names: Sequence[str], old: str = "", new: str = ""
) -> Difference:
    """Tell what differs between two releases; by default the one before and the one in force."""
    project = inventory.project
    states = cluster.observe(fleet, serving(inventory, names), project)
    first = find_release(states, old) if old else release_before(states)
    second = find_release(states, new) if new else release_in_force(states)
    pairs = {
        name: (
            _recorded(project, name, states[name], first),
            _recorded(project, name, states[name], second),
        )
        for name in states
    }
    lines = {name: differences(project, *pair) for name, pair in pairs.items()}
    return Difference(first, second, lines)


def _recorded(
    project: str, name: str, state: ServerState, identity: str
) -> tuple[ServerRelease, Mapping[str, Any]]:
    release = recorded_release(project, {name: identity}, {name: state})
    return release.servers[name], state.records[identity]
