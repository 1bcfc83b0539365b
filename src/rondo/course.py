"""A plan carried out: phase by phase over the servers, until it is done or something fails."""

from __future__ import annotations

import threading
import time
import traceback
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

from rondo.errors import AccessError, FaultError, Interrupted, RondoError
from rondo.events import Emit, Event
from rondo.plan import Order, Phase, Plan
from rondo.steps import (
    CarryImage,
    EmptySlot,
    EnforceRelease,
    FillSlot,
    InstallConfig,
    Prune,
    RunReleaseCommand,
    StartAccessory,
    StartWorker,
    Step,
    WriteRecord,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from rondo.apply import Applier
    from rondo.fleet import Fleet
    from rondo.interruption import Interruption
    from rondo.state import ServerState

T = TypeVar("T")

# A connection carries eight commands at a time; the lock and the audit log's line are two of them.
AT_ONCE = 6
CARRY_DEADLINE = 1800.0
CHANGING = (FillSlot, StartWorker, EmptySlot, InstallConfig, WriteRecord, EnforceRelease)
"""Steps after which a server is not what it was for its visitors."""


@dataclass(frozen=True, slots=True)
class Failure:
    """A step that did not end well."""

    step: Step
    error: RondoError


@dataclass(slots=True)
class Course:
    """One way through a plan, with what was done on it."""

    plan: Plan
    fleet: Fleet
    applier: Applier
    emit: Emit
    interruption: Interruption
    to_the_end: bool = False
    """Whether to do all that can be done, whatever fails and whoever asks for an end."""
    keep: Callable[[str], None] = lambda _: None
    """Called before each step: raises RondoError if its server is no longer ours to change."""
    started: list[Step] = field(default_factory=list)
    """Steps of any kind; those that are not done have failed or were broken off."""
    begun: list[Step] = field(default_factory=list)
    """Those of them that change what visitors get."""
    _finished: list[Step] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def run(self) -> None:
        """Go through the phases.

        Raises the RondoError of the steps that failed, and Interrupted when an end was asked for.
        """
        for phase in self.plan.phases:
            self.emit(Event("phase", phase.name))
            self._take(phase)
            if self.failures and not self.to_the_end:
                raise together(failure.error for failure in self.failures)
            if self._ended and self.left:
                raise Interrupted("interrupted; what was in hand is finished")
        if self.failures:
            raise together(failure.error for failure in self.failures)

    @property
    def done(self) -> tuple[Step, ...]:
        """Steps that were done, in the plan's order: servers side by side finish in any."""
        return tuple(step for step in self.plan.steps if step in self._finished)

    @property
    def left(self) -> tuple[Step, ...]:
        """Steps that were not done."""
        return tuple(step for step in self.plan.steps if step not in self._finished)

    @property
    def all_but_pruned(self) -> bool:
        """Whether everything that matters to visitors was done."""
        return all(isinstance(step, Prune) for step in self.left)

    @property
    def _ended(self) -> bool:
        if self.to_the_end:
            return False
        return bool(self.failures) or self.interruption.asked

    def _take(self, phase: Phase) -> None:
        if phase.order is Order.BATCHES:
            self._batches(phase)
            return
        steps = {name: phase.on(name) for name in phase.servers}
        if phase.order is Order.TOGETHER:
            self._on(steps, self._in_turn)
            return
        for name in phase.servers:
            self._on({name: steps[name]}, self._in_turn)

    def _batches(self, phase: Phase) -> None:
        for place, batch in enumerate(phase.batches):
            if place and not self._ended:
                self.interruption.wait(phase.pause)
            steps: dict[str, tuple[Step, ...]] = {}
            for step in batch:
                steps[step.server] = (*steps.get(step.server, ()), step)
            self._on(steps, self._at_once)

    def _on(
        self,
        steps: Mapping[str, tuple[Step, ...]],
        way: Callable[[tuple[Step, ...]], None],
    ) -> None:
        if not self._ended:
            results = self.fleet.each(lambda remote: way(steps[remote.name]), steps)
            for result in results.values():
                result.get()

    def _in_turn(self, steps: tuple[Step, ...]) -> None:
        for step in steps:
            if not self._ended:
                self._step(step)

    def _at_once(self, steps: tuple[Step, ...]) -> None:
        if len(steps) == 1:
            self._step(steps[0])
            return
        with ThreadPoolExecutor(max_workers=AT_ONCE) as pool:
            list(pool.map(self._step_unless_ended, steps))

    def _step_unless_ended(self, step: Step) -> None:
        if not self._ended:
            self._step(step)

    def _step(self, step: Step) -> None:
        self.emit(Event("start", f"{step.title} ({step.reason})", step.server))
        began = time.monotonic()
        try:
            self._do(step)
        except Exception as error:  # noqa: BLE001 - whatever it is, what moved has to go back
            told = error if isinstance(error, RondoError) else _fault(step, error)
            seconds = time.monotonic() - began
            self.emit(Event("failed", f"{step.title} failed\n{told}", step.server, seconds))
            self._note(self.failures, Failure(step, told))
        else:
            self._note(self._finished, step)
            self.emit(Event("done", step.title, step.server, time.monotonic() - began))

    def _note(self, kept: list[T], what: T) -> None:
        with self._lock:
            kept.append(what)

    def _do(self, step: Step) -> None:
        self.keep(step.server)
        self._note(self.started, step)
        if isinstance(step, CHANGING):
            self.interruption.guard()
            self._note(self.begun, step)
        if isinstance(step, CarryImage):
            _carry(step, self.fleet)
            return
        try:
            self.applier(step, self.fleet[step.server])
        except AccessError:
            # The server was not reached, so that nothing can have changed there.
            self._forget(step)
            raise

    def _forget(self, step: Step) -> None:
        with self._lock:
            for kept in (self.started, self.begun):
                if step in kept:
                    kept.remove(step)


def _fault(step: Step, error: Exception) -> RondoError:
    """Tell of an error that nobody foresaw; it ends the step like any other."""
    trace = "".join(traceback.format_exception(error)).rstrip()
    return FaultError(f"{step.server}: {step.title} failed by a fault of Rondo:\n{trace}")


def together(errors: Iterable[RondoError]) -> RondoError:
    """Return one error that tells what failed on each server; its kind is the first one's."""
    found = list(errors)
    return type(found[0])("\n".join(dict.fromkeys(str(error) for error in found)))


def standing(course: Course) -> str:
    """Say which slots a plan that was cut short has moved, and which serve what they did."""
    every = [step for step in course.plan.steps if isinstance(step, CHANGING)]
    done = course.done
    moved = [step for step in every if step in done]
    doubtful = [step for step in every if step in course.begun and step not in done]
    slots = [step for step in every if isinstance(step, (FillSlot, StartWorker))]
    left = [step for step in slots if step not in course.begun]
    if not moved and not doubtful:
        return "Nothing was switched: every slot serves what it did before."
    parts = (
        (f"On release {course.plan.release} are", moved),
        ("Undone, or finished by the server itself", doubtful),
        ("Not moved", left),
    )
    return " ".join(f"{what}: {places(steps)}." for what, steps in parts if steps)


def lasting(course: Course, before: Mapping[str, ServerState]) -> str:
    """Say what was done that no way back undoes; empty when nothing was.

    What was only begun is told too: a release command may have done a part, an accessory may be
    gone.
    """
    done = course.done
    begun = [step for step in course.started if step not in done]
    told = [
        *(text for step in done for text in _lasting(step, before, "has run", "was")),
        *(text for step in begun for text in _lasting(step, before, "was begun", "was to be")),
    ]
    return f"Not undone: {'; '.join(told)}." if told else ""


def _lasting(step: Step, before: Mapping[str, ServerState], ran: str, became: str) -> Iterator[str]:
    if isinstance(step, RunReleaseCommand):
        yield f"the release command of {step.container.service} {ran} ({step.server})"
    if isinstance(step, StartAccessory):
        name = step.container.name
        there = next(before[step.server].named(name), None) if step.server in before else None
        how = "replaced" if there else "started"
        yield f"accessory {name} {became} {how} ({step.server})"


def places(steps: Iterable[Step]) -> str:
    """Name what steps have changed: server and slot, worker or file. Tidying up is no change."""
    found: dict[str, list[str]] = {}
    for step in steps:
        if isinstance(step, CHANGING):
            found.setdefault(step.server, []).append(step.place)
    return "; ".join(f"{server} {', '.join(names)}" for server, names in found.items())


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
