"""Many servers: observe them, hold the lock, take a plan's phases over them."""

from __future__ import annotations

import datetime
import getpass
import socket
import time
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

from rondo.errors import Interrupted, LockedError, RondoError
from rondo.events import Emit, Event
from rondo.layout import Layout
from rondo.plan import Order, Phase, Plan
from rondo.scripts import observing, script
from rondo.state import ServerState, parse
from rondo.steps import CarryImage, FillSlot, Step

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from rondo.apply import Applier
    from rondo.fleet import Fleet
    from rondo.server import Remote

T = TypeVar("T")

OBSERVE_DEADLINE = 30.0
# As long as the lock script waits for a transaction that a lost client left behind.
LOCK_DEADLINE = 630.0
CARRY_DEADLINE = 1800.0


def author() -> str:
    """Return who is at it, as the lock and the record tell: user@machine."""
    return f"{getpass.getuser()}@{socket.gethostname()}"


def now() -> str:
    """Return the time in UTC, to the second, as ISO 8601."""
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")


def _raise_all(failures: Mapping[str, RondoError]) -> None:
    """Raise one error that tells what failed on each server; its kind is the first one's."""
    if failures:
        first = next(iter(failures.values()))
        raise type(first)("\n".join(str(error) for error in failures.values()))


def everywhere(fleet: Fleet, names: Sequence[str], action: Callable[[Remote], T]) -> dict[str, T]:
    """Do something on several servers at the same time; raise what failed, for all of them."""
    results = fleet.each(action, names)
    _raise_all({name: result.error for name, result in results.items() if result.error})
    return {name: result.get() for name, result in results.items()}


def observe(fleet: Fleet, names: Sequence[str], project: str) -> dict[str, ServerState]:
    """Ask each server, in one round trip, what it is and what runs there."""
    layout = Layout(project)

    def ask(remote: Remote) -> ServerState:
        answer = remote.run(
            observing(),
            project,
            layout.root,
            layout.gate_file,
            layout.site_file,
            step="observe",
            deadline=OBSERVE_DEADLINE,
        )
        return parse(remote.name, answer.stdout)

    return everywhere(fleet, names, ask)


@contextmanager
def locked(fleet: Fleet, names: Sequence[str], project: str, purpose: str) -> Iterator[None]:
    """Hold the lock of the cluster; the kernel frees it when this process dies.

    Locks are taken in name order, so that two operators can never hold one half each.
    Raises LockedError saying who holds it, since when and for what.
    """
    layout = Layout(project)
    owner = f"{author()} since {now()}: {purpose}"
    with ExitStack() as held:
        for name in sorted(names):
            hold = fleet[name].hold(
                script("lock"), layout.lock, owner, step="lock", deadline=LOCK_DEADLINE
            )
            held.callback(hold.close)
            if hold.line != "held":
                raise LockedError(
                    f"{name}: the cluster is being changed by {hold.line}; nothing was touched, "
                    "try again when that is done"
                )
        yield


def apply(plan: Plan, fleet: Fleet, applier: Applier, emit: Emit) -> None:
    """Carry out a plan, phase by phase; a phase that fails is the last one.

    Raises the RondoError of the steps that failed, with what serves where from now on.
    """
    course = _Course(fleet, applier, emit)
    try:
        for phase in plan.phases:
            emit(Event("phase", phase.name))
            course.take(phase)
    except RondoError as error:
        told = standing(plan, course.begun, course.filled)
        if not isinstance(error, Interrupted):
            told += " Mend the cause and run `fab deploy` again: it does what is left."
        raise type(error)(f"{error}\n{told}") from None


def standing(plan: Plan, begun: Sequence[FillSlot], filled: Sequence[FillSlot]) -> str:
    """Say which slots a plan that was cut short has moved, and which serve what they did."""
    every = [step for step in plan.steps if isinstance(step, FillSlot)]
    moved = [step for step in every if step in filled]
    doubtful = [step for step in every if step in begun and step not in filled]
    left = [step for step in every if step not in begun]
    if not moved and not doubtful:
        return "Nothing was switched: every slot serves what it did before."
    parts = (
        (f"On release {plan.release} are", moved),
        ("Undone, or finished by the server itself", doubtful),
        ("Not moved", left),
    )
    return " ".join(f"{what}: {_slots(steps)}." for what, steps in parts if steps)


def _slots(steps: Sequence[FillSlot]) -> str:
    return ", ".join(f"{step.server} {step.slot.name}" for step in steps)


@dataclass(frozen=True, slots=True)
class _Course:
    """One way through a plan, with what was done on it."""

    fleet: Fleet
    applier: Applier
    emit: Emit
    begun: list[FillSlot] = field(default_factory=list)
    filled: list[FillSlot] = field(default_factory=list)

    def take(self, phase: Phase) -> None:
        def all_steps(remote: Remote) -> None:
            for step in phase.on(remote.name):
                self._step(step)

        if phase.order is Order.TOGETHER:
            everywhere(self.fleet, phase.servers, all_steps)
            return
        for name in phase.servers:
            everywhere(self.fleet, [name], all_steps)

    def _step(self, step: Step) -> None:
        self.emit(Event("start", f"{step.title} ({step.reason})", step.server))
        began = time.monotonic()
        try:
            self._do(step)
        except BaseException as error:
            seconds = time.monotonic() - began
            self.emit(Event("failed", f"{step.title} failed\n{error}", step.server, seconds))
            raise
        self.emit(Event("done", step.title, step.server, time.monotonic() - began))

    def _do(self, step: Step) -> None:
        if isinstance(step, FillSlot):
            self.begun.append(step)
        if isinstance(step, CarryImage):
            _carry(step, self.fleet)
        else:
            self.applier(step, self.fleet[step.server])
        if isinstance(step, FillSlot):
            self.filled.append(step)


def _carry(step: CarryImage, fleet: Fleet) -> None:
    """Stream an image from the server that has it to one that lacks it, through this machine."""
    fleet[step.server].run(
        "docker load --quiet",
        step=step.title,
        stdin=fleet[step.origin].read(
            'docker save "$1" | gzip -1',
            step.reference,
            step=f"save {step.reference}",
            deadline=CARRY_DEADLINE,
        ),
        deadline=CARRY_DEADLINE,
    )
