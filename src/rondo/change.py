"""A change of the cluster, whatever its plan: lock, observe, plan, apply."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rondo import cluster
from rondo.apply import Applier
from rondo.events import Event

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rondo.events import Emit
    from rondo.fleet import Fleet
    from rondo.gather import Material
    from rondo.inventory import Inventory
    from rondo.plan import Plan
    from rondo.state import ServerState

Planner = Callable[[Mapping[str, "ServerState"]], "Plan"]
"""From what runs to a plan; it is asked again under the lock."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a change did, and what it found before."""

    plan: Plan
    states: Mapping[str, ServerState]


@dataclass(frozen=True, slots=True)
class Change:
    """What is to be done, and with what."""

    inventory: Inventory
    purpose: str
    """What others are told who come second."""
    plan: Planner
    material: Callable[[Plan], Material]


def carry_out(change: Change, fleet: Fleet, names: Sequence[str], emit: Emit) -> Outcome:
    """Make a change under the lock of the cluster.

    Raises RondoError of the steps that failed.
    """
    project = change.inventory.project
    with cluster.locked(fleet, names, project, change.purpose):
        # Somebody else may have finished between the first look and the lock.
        states = cluster.observe(fleet, names, project)
        plan = change.plan(states)
        applier = Applier(
            material=change.material(plan),
            states=states,
            build=change.inventory.settings.build,
            emit=emit,
            author=cluster.author(),
            created=cluster.now(),
        )
        for note in plan.notes:
            emit(Event("note", note))
        cluster.apply(plan, fleet, applier, emit)
    return Outcome(plan, states)
