"""What changes a live site from the servers' records alone, without a source tree."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rondo import cluster
from rondo.change import Change, Outcome, carry_out
from rondo.errors import InputError
from rondo.gather import Material
from rondo.recorded_plan import make_restart_plan
from rondo.release import Recorded, Release

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rondo.events import Emit
    from rondo.fleet import Fleet
    from rondo.inventory import Inventory
    from rondo.plan import Plan
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


def recorded_material(project: str, plan: Plan) -> Material:
    """Return what a plan made from records is carried out with: nothing is sent for it."""
    release = Release(project, servers={}, images={}, recorded=Recorded(plan.release, ""))
    return Material(release, contexts={}, environments={}, certificates={})


def restart_plan(
    inventory: Inventory, states: Mapping[str, ServerState], selection: str = ""
) -> Plan:
    """Return the steps that replace every container of a service or slot, or all of them."""
    return make_restart_plan(inventory.project, states, selection)


def intend_restart(
    inventory: Inventory, fleet: Fleet, names: Sequence[str], selection: str = ""
) -> Plan:
    """Find out what runs and plan its restart; changes nothing."""
    states = cluster.observe(fleet, serving(inventory, names), inventory.project)
    return restart_plan(inventory, states, selection)


def restart(
    inventory: Inventory, fleet: Fleet, names: Sequence[str], emit: Emit, selection: str = ""
) -> Outcome:
    """Replace every container by a fresh one of the release in force, slot by slot.

    Raises RondoError: PreflightError and InputError before anything is touched, RemoteError when
    a step failed.
    """
    change = Change(
        inventory,
        f"restart of {selection or 'everything'}",
        plan=lambda states: restart_plan(inventory, states, selection),
        material=lambda plan: recorded_material(inventory.project, plan),
    )
    return carry_out(change, fleet, serving(inventory, names), emit)
