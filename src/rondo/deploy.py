"""A deploy from end to end: gather, observe, plan, lock, apply."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rondo import cluster, context
from rondo.change import USUAL, Change, Manner, Outcome, carry_out, command_line
from rondo.errors import PreflightError, RondoError
from rondo.events import Emit, Event, redacted
from rondo.gather import Material, gather
from rondo.layout import Layout
from rondo.plan import Plan, Policy, make_plan
from rondo.preflight import Fault, Needs, preflight
from rondo.redaction import Redactor
from rondo.roll import pace_of
from rondo.steps import BuildImage, FillSlot, SendContext

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from rondo.fleet import Fleet
    from rondo.inventory import Inventory
    from rondo.source import Loaded
    from rondo.state import ServerState
    from rondo.steps import Step


@dataclass(frozen=True, slots=True)
class Intent:
    """A plan with all that it was made from."""

    loaded: Loaded
    material: Material
    states: Mapping[str, ServerState]
    plan: Plan


def templates_of(root: Path) -> Path:
    """Return the folder of the templates: the project's own beside its inventory, or Rondo's."""
    own = root / "templates"
    return own if own.is_dir() else Path(__file__).parents[2] / "templates"


def policy_of(inventory: Inventory) -> Policy:
    """Return what the settings say about how to deploy."""
    settings = inventory.settings
    return Policy(
        build_once=settings.build.mode == "once",
        keep_releases=settings.keep_releases,
        pace=pace_of(inventory),
    )


def intend(loaded: Loaded, fleet: Fleet, names: Sequence[str]) -> Intent:
    """Find out what is wanted and what runs, and plan the way between them; changes nothing."""
    inventory = loaded.inventory
    with ThreadPoolExecutor(max_workers=1) as pool:
        gathering = pool.submit(gather, loaded, templates_of(loaded.root))
        states = cluster.observe(fleet, names, inventory.project)
        material = gathering.result()
    return Intent(
        loaded, material, states, make_plan(material.release, states, policy_of(inventory))
    )


def faults(intent: Intent, clock: float) -> tuple[Fault, ...]:
    """Return what the servers lack for this plan."""
    found: list[Fault] = []
    for name, state in intent.states.items():
        needs = _needs(intent, name, clock)
        found += preflight(intent.loaded.inventory, name, state.facts, needs=needs)
    return tuple(found)


def _needs(intent: Intent, name: str, clock: float) -> Needs:
    steps = [step for step in intent.plan.steps if step.server == name]
    contexts = intent.material.contexts
    return Needs(
        clock=clock,
        context_bytes=sum(
            contexts[step.image.service].size for step in steps if isinstance(step, SendContext)
        ),
        builds=any(isinstance(step, BuildImage) for step in steps),
        services=frozenset(
            step.slot.container.service
            for step in steps
            if isinstance(step, FillSlot) and not step.in_place
        ),
        parallel=max((len(batch) for batch in _batches(intent.plan, name)), default=1),
    )


def _batches(plan: Plan, name: str) -> Iterator[list[Step]]:
    """Yield what is started beside what runs, at the same time on one server."""
    for phase in plan.phases:
        for batch in phase.batches:
            beside = [step for step in batch if step.server == name]
            if beside:
                yield beside


def bytes_to_send(intent: Intent, fleet: Fleet) -> dict[tuple[str, str], int]:
    """Return the bytes of context that each server would be sent, by server and service."""
    layout = Layout(intent.material.release.project)
    sizes = {}
    for step in intent.plan.steps:
        if isinstance(step, SendContext):
            read = intent.material.contexts[step.image.service]
            folder = layout.context(step.image.service)
            known = context.fetch_manifest(fleet[step.server], folder) if step.base else ""
            difference = context.difference(read, known)
            sizes[step.server, step.image.service] = difference.size
    return sizes


def refuse_faults(found: Sequence[Fault]) -> None:
    """Raise PreflightError naming every fault, if there is any."""
    if found:
        lines = "\n".join(f"  {fault}" for fault in found)
        raise PreflightError(f"not ready; nothing was touched:\n{lines}")


def deploy(
    loaded: Loaded, fleet: Fleet, names: Sequence[str], emit: Emit, manner: Manner = USUAL
) -> Outcome:
    """Make the servers run what the inventory declares; an empty plan means that they do.

    Raises RondoError: InputError, AccessError and PreflightError before anything is touched,
    RemoteError when a step failed.
    """
    intent = intend(loaded, fleet, names)
    if not intent.plan:
        return Outcome(intent.plan, intent.states)
    redact = Redactor(intent.material.secret_values)
    refuse_faults(faults(intent, time.time()))
    try:
        return _change(intent, fleet, names, redacted(emit, redact), manner)
    except RondoError as error:
        # What a container said last may hold what it was given.
        raise type(error)(redact(str(error))) from None


def _change(
    intent: Intent, fleet: Fleet, names: Sequence[str], emit: Emit, manner: Manner
) -> Outcome:
    inventory, material = intent.loaded.inventory, intent.material
    for warning in material.warnings:
        emit(Event("note", warning))
    change = Change(
        inventory,
        command_line(inventory, names, "deploy"),
        f"deploy of {intent.plan.release}",
        plan=lambda states: make_plan(material.release, states, policy_of(inventory)),
        material=lambda _: material,
        manner=manner,
    )
    return carry_out(change, fleet, names, emit)
