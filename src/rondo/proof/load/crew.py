"""The users of one load generator: who they are, when they begin, and how the generator did."""

from __future__ import annotations

import contextlib
import gc
import os
import sys
import time
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import gevent
from gevent.event import Event

from rondo.proof.brief import kinds
from rondo.proof.load import pace
from rondo.proof.load.line import doors
from rondo.proof.load.recorder import WARM_UP, Recorder, Tally
from rondo.proof.load.wording import Wording

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from rondo.proof.brief import Brief

GRACE: Final = 1.0
"""Seconds after the end in which a user that is late may still begin what was due before it."""

_HAND_OVER = 0.5
_PATIENCE = 2.0


@dataclass(frozen=True, slots=True)
class Orders:
    """What one load generator is told before the run."""

    brief: Brief
    index: int = 0
    """Its number; it has the users whose number leaves this when divided by `workers`."""
    workers: int = 1
    authority: str | None = None
    """PEM text: the file may not be where the generator runs."""


@dataclass(slots=True)
class Clock:
    """Seconds since 1970 that never jump, as the clock of the machine that leads the run has them.

    `time.time` may be set while a load runs.
    """

    _ahead: float = field(default_factory=lambda: time.time() - time.monotonic())

    def now(self) -> float:
        """Return the time."""
        return time.monotonic() + self._ahead

    def correct(self, seconds: float) -> None:
        """Take away what this machine's clock is ahead."""
        self._ahead -= seconds


class Crew:
    """Holds what the users of this process share."""

    def __init__(self, orders: Orders, hand_over: Callable[[bytes, list[str]], None]) -> None:
        brief = orders.brief
        self.orders = orders
        self.brief = brief
        self.clock = Clock()
        self.schedule = pace.Schedule.of(brief)
        self.wording = Wording(brief)
        self.recorder = Recorder()
        self.doors = doors(brief, orders.authority)
        self.kinds = kinds(brief)
        self.begun = Event()
        self.finished = Event()
        self.began = 0.0
        self.end = 0.0
        self._hand_over = hand_over
        self._seats = deque(range(orders.index, brief.users, orders.workers))
        self._planned = 0 if brief.closed else sum(pace.planned(brief, u) for u in self._seats)
        self._at_work = len(self._seats) + self.has_probe
        self._empty = Event()
        self._number = orders.index << 40
        self._tally = Tally(brief.users, brief.probe)
        self._cpu: list[float] = []
        Tally(brief.users, brief.probe).count(WARM_UP)
        _be_punctual(paced=not brief.closed)

    @property
    def has_probe(self) -> bool:
        """Whether the one probe of the run is here."""
        return self.orders.index == 0

    def seat(self) -> int | None:
        """Give a new user its number; None if all are taken."""
        return self._seats.popleft() if self._seats else None

    def leave(self) -> None:
        """Note that a user with a seat, or the probe, has ended."""
        self._at_work -= 1
        if self._at_work <= 0:
            self._empty.set()

    def next_id(self) -> int:
        """Return the id of a request, unique in the run."""
        self._number += 1
        return self._number

    def begin(self, began: float) -> None:
        """Let the users go: their schedule begins at this moment."""
        self.began = began
        self.end = began + self.brief.duration
        self.begun.set()
        gevent.spawn(self._watch)

    def stop(self) -> None:
        """End the run before its time; what is under way may finish."""
        self.end = min(self.end, self.clock.now() - GRACE)
        self.begun.set()

    def _watch(self) -> None:
        """Hand rows over and measure the processor until all users have ended."""
        gevent.sleep(max(0.0, self.began - self.clock.now()))
        mark, used = time.monotonic(), time.process_time()
        while not self._empty.wait(_HAND_OVER) and self.clock.now() < self._last_moment():
            self.hand_over()
            wall = time.monotonic() - mark
            if wall >= 1:
                self._cpu.append((time.process_time() - used) / wall)
                mark, used = time.monotonic(), time.process_time()
        self.finish()

    def _last_moment(self) -> float:
        return self.end + GRACE + self.brief.timeout + _PATIENCE

    def hand_over(self) -> None:
        """Pass on what was recorded since the last time."""
        rows, texts = self.recorder.take()
        self._tally.count(rows)
        if rows or texts:
            self._hand_over(rows, texts)

    def finish(self) -> None:
        """Pass on the rest, once."""
        if not self.finished.is_set():
            self.hand_over()
            _be_normal()
            self.finished.set()

    def report(self, name: str) -> Mapping[str, Any]:
        """Say how this generator did: a WorkerReport as plain data."""
        sent = self._tally.sent
        return {
            "name": name,
            "planned": sent if self.brief.closed else self._planned,
            "sent": sent,
            "cpu": [round(each, 4) for each in self._cpu],
            "lag": list(self._tally.lag()),
            "lost": False,
        }


def _be_punctual(*, paced: bool) -> None:
    """Take away what would make users late by this process's own fault."""
    # What is there now stays to the end: looking through it for garbage takes tens of milliseconds.
    gc.collect()
    gc.freeze()
    # A generator that waits for a processor takes its own waiting for the server's. Only root may
    # go first, and only one at a fixed pace should: without a pace it would leave nothing over.
    if paced and sys.platform == "linux":
        _schedule(os.SCHED_RR | os.SCHED_RESET_ON_FORK, 1)


def _be_normal() -> None:
    gc.unfreeze()
    if sys.platform == "linux":
        _schedule(os.SCHED_OTHER, 0)


def _schedule(policy: int, priority: int) -> None:
    with contextlib.suppress(OSError):
        os.sched_setscheduler(0, policy, os.sched_param(priority))
