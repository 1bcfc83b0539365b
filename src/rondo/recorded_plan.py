"""Plans made from the servers' records alone: restart and rollback. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from rondo.errors import InputError
from rondo.plan import (
    Order,
    Phase,
    Plan,
    Policy,
    changing_phases,
    roll_phase,
    settle_phase,
)
from rondo.restore import (
    missing,
    missing_certificates,
    moved_tags,
    recorded_release,
    refuse_lacking,
    refuse_missing,
    releases_in_force,
)
from rondo.steps import EnforceRelease, FillSlot, StartWorker, Step, TagImage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from rondo.docker import Container
    from rondo.release import Release, ServerRelease
    from rondo.state import ServerState

USUAL = Policy()
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


def _recovered_tags(
    release: Release, identities: Mapping[str, str], states: Mapping[str, ServerState]
) -> tuple[TagImage, ...]:
    """Return the tags to be put right; refuse before anything is touched if something is gone."""
    rows = [
        (name, tuple(server.containers), states[name].records[identities[name]], states[name])
        for name, server in release.servers.items()
    ]
    refuse_missing(each for row in rows for each in missing(*row))
    return tuple(step for row in rows for step in moved_tags(*row))


def _only(release: Release, keep: Callable[[Container], bool]) -> Release:
    """Return a release without the containers that nobody asked for."""

    def part(server: ServerRelease) -> ServerRelease:
        slots = tuple(each for each in server.slots if keep(each.container))
        workers = tuple(each for each in server.workers if keep(each.container))
        return replace(server, slots=slots, workers=workers)

    return replace(release, servers={name: part(each) for name, each in release.servers.items()})


def make_restart_plan(
    project: str,
    states: Mapping[str, ServerState],
    selection: str = "",
    policy: Policy = USUAL,
) -> Plan:
    """Return the steps that replace every chosen container by a fresh one of the release in force.

    Raises PreflightError if a server has no release or lacks something of it, and InputError if
    nothing is called so.
    """
    in_force = releases_in_force(states)
    release = recorded_release(project, in_force, states)
    _refuse_unknown(release, selection)
    release = _only(release, lambda container: chosen(container, selection))
    phases = (
        _phase("images", Order.TOGETHER, _recovered_tags(release, in_force, states)),
        roll_phase(_fills(release, in_force), states, policy.pace),
        _phase("workers", Order.ONE_BY_ONE, _starts(release, in_force)),
        settle_phase(_fills(release, in_force)),
    )
    return Plan(release.id, tuple(phase for phase in phases if phase.steps))


def _phase(name: str, order: Order, steps: Iterable[Step]) -> Phase:
    return Phase(name, order, tuple(steps))


def _fills(release: Release, in_force: Mapping[str, str]) -> Iterator[FillSlot]:
    for name, server in release.servers.items():
        for slot in server.slots:
            yield FillSlot(name, RESTART, slot, in_force[name])


def _starts(release: Release, in_force: Mapping[str, str]) -> Iterator[Step]:
    for name, server in release.servers.items():
        for worker in server.workers:
            yield StartWorker(name, RESTART, worker, in_force[name])


def release_in_force(states: Mapping[str, ServerState]) -> str:
    """Return the release in force.

    Raises PreflightError if a server has none, and InputError if it is not the same everywhere.
    """
    refuse_lacking(releases_in_force(states), states)
    return _same(releases_in_force(states), "in force")


def _same(found: Mapping[str, str], which: str) -> str:
    if len(set(found.values())) > 1:
        told = "; ".join(f"{name}: {identity or 'none'}" for name, identity in found.items())
        raise InputError(
            f"the release {which} is not the same everywhere ({told}); name the one that you "
            "mean, or choose servers by -H"
        )
    return next(iter(found.values()))


def release_before(states: Mapping[str, ServerState]) -> str:
    """Return the release before the one in force.

    Raises PreflightError if a server has none, and InputError if it is not the same everywhere.
    """
    refuse_lacking(releases_in_force(states), states)
    found = {name: _before(state) for name, state in states.items()}
    if not any(found.values()):
        raise InputError(
            f"{', '.join(states)}: no release is kept from before the one in force; see "
            "`fab history`"
        )
    return _same(found, "before")


def _before(state: ServerState) -> str:
    named = str(state.record.get("before", ""))
    if named in state.records:
        return named
    created = str(state.record.get("created", ""))
    older = {
        name: str(record.get("created", ""))
        for name, record in state.records.items()
        if name != state.current and str(record.get("created", "")) < created
    }
    return max(older, key=older.__getitem__, default="")


def find_release(states: Mapping[str, ServerState], wanted: str) -> str:
    """Return the id of the release that a word means: the id, or a part that only one has.

    Raises InputError when none or several do.
    """
    known = dict.fromkeys(name for state in states.values() for name in state.records)
    if wanted in known:
        return wanted
    found = [name for name in known if wanted in name]
    if len(found) == 1:
        return found[0]
    which = "several releases are" if found else "no release is"
    there = ", ".join(found or known) or "none"
    raise InputError(f"{which} called {wanted!r} on {', '.join(states)}; there are: {there}")


@dataclass(frozen=True, slots=True)
class _Target:
    """A release to go back to."""

    id: str
    release: Release
    """As recorded, without accessories, never rolled, and certificates, which only age."""


def _target(project: str, states: Mapping[str, ServerState], identity: str) -> _Target:
    release = recorded_release(project, dict.fromkeys(states, identity), states)
    servers = {
        name: replace(server, accessories=(), certificates=())
        for name, server in release.servers.items()
    }
    return _Target(identity, replace(release, servers=servers))


def make_rollback_plan(
    project: str, states: Mapping[str, ServerState], identity: str, policy: Policy
) -> Plan:
    """Return the steps back to a recorded release; empty if all of it runs.

    Raises PreflightError when a server has no record of it, or lacks an image, an environment
    or a certificate.
    """
    target = _target(project, states, identity)
    refuse_missing(
        each
        for name, state in states.items()
        for each in missing_certificates(name, state.records[identity], state)
    )
    tags = _recovered_tags(target.release, dict.fromkeys(states, identity), states)
    phases = (
        _phase("images", Order.TOGETHER, tags),
        *changing_phases(target.release, _tagged(states, tags), policy),
        _phase("record", Order.TOGETHER, _enforcements(states, identity)),
    )
    notes = tuple(_accessory_notes(project, states, identity))
    return Plan(identity, tuple(phase for phase in phases if phase.steps), notes)


def _tagged(states: Mapping[str, ServerState], tags: Iterable[TagImage]) -> dict[str, ServerState]:
    """Return the states as they are once the tags are right."""
    result = dict(states)
    for step in tags:
        state = result[step.server]
        images = {**state.images, step.reference: step.identity}
        result[step.server] = replace(state, images=images)
    return result


def _enforcements(states: Mapping[str, ServerState], identity: str) -> Iterator[Step]:
    for name, state in states.items():
        if state.current != identity:
            yield EnforceRelease(name, f"instead of {state.current}", identity)


def _accessory_notes(
    project: str, states: Mapping[str, ServerState], identity: str
) -> Iterator[str]:
    """Yield what a rollback leaves as it is."""
    recorded = recorded_release(project, dict.fromkeys(states, identity), states)
    for name, server in recorded.servers.items():
        for accessory in server.accessories:
            running = next(states[name].named(accessory.container.name), None)
            if running and running.spec != accessory.container.digest:
                yield (
                    f"{name}: {accessory.container.name} ran otherwise in {identity} and stays as "
                    "it is: accessories have data and are never rolled back"
                )
