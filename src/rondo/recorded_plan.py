"""Plans made from the servers' records alone: restart and rollback. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rondo.errors import InputError
from rondo.plan import Order, Phase, Plan
from rondo.restore import (
    missing,
    moved_tags,
    recorded_release,
    refuse_missing,
    releases_in_force,
)
from rondo.steps import FillSlot, StartWorker, Step

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from rondo.docker import Container
    from rondo.release import Release, ServerRelease
    from rondo.state import ServerState

RESTART = "to be started afresh"


def chosen(container: Container, selection: str) -> bool:
    """Tell whether a container is of the service or slot that was named; all are without a name."""
    return not selection or selection in {container.service, container.name}


def _refuse_unknown(release: Release, selection: str) -> None:
    every = [each for server in release.servers.values() for each in server.containers]
    if every and not any(chosen(each, selection) for each in every):
        known = ", ".join(dict.fromkeys(each.service for each in every))
        raise InputError(
            f"no service or slot is called {selection!r} in the release in force on "
            f"{', '.join(release.servers)}; there are: {known}"
        )


def _needs(release: Release, selection: str = "") -> Iterator[tuple[str, tuple[Container, ...]]]:
    for name, server in release.servers.items():
        yield name, tuple(each for each in server.containers if chosen(each, selection))


def make_restart_plan(project: str, states: Mapping[str, ServerState], selection: str = "") -> Plan:
    """Return the steps that replace every chosen container by a fresh one of the release in force.

    Raises PreflightError if a server has no release or lacks something of it, and InputError if
    nothing is called so.
    """
    in_force = releases_in_force(states)
    release = recorded_release(project, in_force, states)
    _refuse_unknown(release, selection)
    needs = tuple(_needs(release, selection))
    refuse_missing(
        each
        for name, containers in needs
        for each in missing(name, containers, states[name].record, states[name])
    )
    tags = (
        step
        for name, containers in needs
        for step in moved_tags(name, containers, states[name].record, states[name])
    )
    servers = release.servers
    phases = (
        _phase("images", Order.TOGETHER, tags),
        _phase("roll", Order.ONE_BY_ONE, _fills(servers, in_force, selection)),
        _phase("workers", Order.ONE_BY_ONE, _starts(servers, in_force, selection)),
    )
    return Plan(release.id, tuple(phase for phase in phases if phase.steps))


def _phase(name: str, order: Order, steps: Iterable[Step]) -> Phase:
    return Phase(name, order, tuple(steps))


def _fills(
    servers: Mapping[str, ServerRelease], in_force: Mapping[str, str], selection: str
) -> Iterator[Step]:
    for name, server in servers.items():
        for slot in server.slots:
            if chosen(slot.container, selection):
                yield FillSlot(name, RESTART, slot, in_force[name])


def _starts(
    servers: Mapping[str, ServerRelease], in_force: Mapping[str, str], selection: str
) -> Iterator[Step]:
    for name, server in servers.items():
        for worker in server.workers:
            if chosen(worker.container, selection):
                yield StartWorker(name, RESTART, worker, in_force[name])
