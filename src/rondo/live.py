"""Commands that change a live site, as the operator sees them: restart, rollback and the like."""

from __future__ import annotations

import dataclasses
import json
import time
from contextlib import nullcontext
from typing import TYPE_CHECKING

from rondo import cluster, operations
from rondo.change import Manner, manner_of
from rondo.console import Screen, run_journal, show_steps
from rondo.errors import EXIT_CHANGES, EXIT_DONE, of_a_proof
from rondo.events import Emit, fan_out, journal
from rondo.proved import make_proved
from rondo.steps import FillSlot, StartWorker

if TYPE_CHECKING:
    from rondo.change import Outcome
    from rondo.inventory import Inventory
    from rondo.plan import Plan
    from rondo.session import Session


def _sink(session: Session, *, verbose: bool = False) -> Emit:
    path = run_journal(session.loaded.root)
    return fan_out(Screen(session.ui, verbose=verbose), journal(path))


def replaced(plan: Plan) -> int:
    """Count the containers that a plan replaces."""
    return sum(isinstance(step, (FillSlot, StartWorker)) for step in plan.steps)


def run_restart(  # noqa: PLR0913 - the command's options
    session: Session,
    *,
    service: str = "",
    plan: bool = False,
    prove: bool = False,
    no_revert: bool = False,
    wait: str = "",
    outage: bool = False,
) -> int:
    """Replace every container of a service or slot, or all, by fresh ones; show it as it goes."""
    if plan:
        inventory = session.loaded.inventory
        made = operations.intend_restart(inventory, session.fleet, session.names, service)
        _show(session, made)
        return EXIT_CHANGES if made else EXIT_DONE
    with of_a_proof() if prove else nullcontext():
        manner = manner_of(no_revert=no_revert, wait=wait, outage=outage)

    def make(inventory: Inventory, emit: Emit) -> Outcome:
        return _restart(session, inventory, service, emit, manner)

    if prove:
        # There is nothing to put back: the release is the same.
        return make_proved(session, "restart", make, Screen(session.ui))
    make(session.loaded.inventory, _sink(session))
    return EXIT_DONE


def _restart(
    session: Session, inventory: Inventory, service: str, emit: Emit, manner: Manner
) -> Outcome:
    began = time.monotonic()
    outcome = operations.restart(inventory, session.fleet, session.names, emit, service, manner)
    took = time.monotonic() - began
    servers = ", ".join(outcome.states)
    session.ui.note(
        f"{replaced(outcome.plan)} containers of release {outcome.plan.release} are fresh on "
        f"{servers} ({took:.1f} s)"
    )
    return outcome


def run_rollback(  # noqa: PLR0913 - the command's options
    session: Session,
    *,
    release: str = "",
    plan: bool = False,
    prove: bool = False,
    no_revert: bool = False,
    wait: str = "",
    outage: bool = False,
) -> int:
    """Make the servers run a recorded release again; by default the one before."""
    inventory = session.loaded.inventory
    if plan:
        intended = operations.intend_rollback(inventory, session.fleet, session.names, release)
        _show(session, intended)
        return EXIT_CHANGES if intended else EXIT_DONE
    with of_a_proof() if prove else nullcontext():
        manner = manner_of(no_revert=no_revert, wait=wait, outage=outage)
        if prove:
            # What is not possible is told before anything is loaded.
            operations.intend_rollback(inventory, session.fleet, session.names, release)

    def make(inventory: Inventory, emit: Emit) -> Outcome:
        return _rollback(session, inventory, release, emit, manner)

    if prove:
        # It stays, whatever is judged: what it was made to get rid of is worse.
        return make_proved(session, "rollback", make, Screen(session.ui))
    make(inventory, _sink(session))
    return EXIT_DONE


def _rollback(
    session: Session, inventory: Inventory, release: str, emit: Emit, manner: Manner
) -> Outcome:
    began = time.monotonic()
    outcome = operations.rollback(inventory, session.fleet, session.names, emit, release, manner)
    servers = ", ".join(outcome.states)
    if not outcome.plan:
        session.ui.note(f"nothing to do: {servers} run release {outcome.plan.release} already")
        return outcome
    took = time.monotonic() - began
    session.ui.note(f"release {outcome.plan.release} is back on {servers} ({took:.1f} s)")
    return outcome


def _show(session: Session, plan: Plan) -> None:
    show_steps(session.ui, plan)
    for note in plan.notes:
        session.ui.warn(note)


def run_diff(session: Session, *, old: str = "", new: str = "") -> int:
    """Print what tells two recorded releases apart; return 2 if anything does."""
    inventory = session.loaded.inventory
    found = operations.difference(inventory, session.fleet, session.names, old, new)
    session.ui.note(f"from {found.old} to {found.new}")
    for name, lines in found.lines.items():
        for line in lines or ("nothing differs",):
            session.ui.line(name, line)
    return EXIT_CHANGES if any(found.lines.values()) else EXIT_DONE


def run_lock(session: Session, *, as_json: bool = False) -> int:
    """Print who is changing the cluster, since when and for what; return 2 if somebody is."""
    inventory = session.loaded.inventory
    holders, failure = cluster.holders(session.fleet, session.names, inventory.project)
    if as_json:
        data = {name: dataclasses.asdict(each) for name, each in holders.items()}
        print(json.dumps(data, indent=2))  # noqa: T201 - the answer itself
    else:
        rows = [(name, each.owner or "free", each.told) for name, each in holders.items()]
        session.ui.table([("server", "lock", "in the middle of a change"), *rows])
    if failure:
        raise failure
    return EXIT_CHANGES if any(each.owner or each.busy for each in holders.values()) else EXIT_DONE
