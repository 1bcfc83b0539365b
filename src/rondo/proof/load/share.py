"""The brief from the leading process to every load generator, and their rows back.

A generator is this process itself, or a worker of Locust's, which may be on another machine:

    leader                          worker
    ORDERS  brief, its number  -->  makes its crew
            clock's offset     <--  READY
    BEGIN   moment             -->  lets its users go
            rows, texts        <--  ROWS       twice a second
            report             <--  DONE
    STOP                       -->  ends before its time
"""

from __future__ import annotations

import logging
import math
import re
import socket
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Protocol

import gevent
from gevent.event import Event

from rondo.proof.load.crew import GRACE, Clock, Crew, Orders
from rondo.proof.load.users import SiteUser, start_probe

if TYPE_CHECKING:
    from collections.abc import Callable

    from locust.env import Environment
    from locust.runners import MasterRunner

    from rondo.proof.brief import Brief
    from rondo.proof.load.ledger import Ledger

ORDERS: Final = "rondo_orders"
READY: Final = "rondo_ready"
BEGIN: Final = "rondo_begin"
ROWS: Final = "rondo_rows"
DONE: Final = "rondo_done"
STOP: Final = "rondo_stop"

_MISSING: Final = "missing"
_ASK_AGAIN: Final = 1.0
_LONGEST_READY: Final = 30.0
_PATIENCE: Final = 10.0
_log = logging.getLogger("rondo")


class Generators(Protocol):
    """The load generators of a run, wherever they are."""

    lead: float
    """Seconds from all users being there to the beginning."""
    over: Event
    """Set once all have handed over everything, or were lost."""

    def prepare(self, brief: Brief, ledger: Ledger, authority: str | None) -> None:
        """Tell them what to do."""

    def begin(self, began: float) -> None:
        """Let the users go."""

    def stop(self) -> None:
        """End before the time."""

    def look(self) -> None:
        """See whether one was lost."""

    def users(self, wanted: int) -> int:
        """Say how many users Locust must spawn for that many seats."""


class Here:
    """The one load generator of a run that is not distributed: this process."""

    lead = 0.2

    def __init__(self, environment: Environment) -> None:
        self.over = Event()
        self._environment = environment
        self._crew: Crew | None = None

    def prepare(self, brief: Brief, ledger: Ledger, authority: str | None) -> None:
        """Make the crew."""
        self.over.clear()
        name = machine_name(socket.gethostname(), 0)
        ledger.open(name)
        orders = Orders(brief, authority=authority)
        crew = start_crew(orders, self._environment, lambda *rows: ledger.add(name, *rows))
        self._crew = crew
        gevent.spawn(self._close, crew, ledger, name)

    def _close(self, crew: Crew, ledger: Ledger, name: str) -> None:
        crew.finished.wait()
        ledger.close(name, crew.report(name))
        self.over.set()

    def begin(self, began: float) -> None:
        """Let the users go."""
        if self._crew:
            self._crew.begin(began)

    def stop(self) -> None:
        """End before the time."""
        if self._crew:
            self._crew.stop()

    def look(self) -> None:
        """Do nothing: this process cannot be lost to itself."""

    def users(self, wanted: int) -> int:
        """Spawn as many as there are seats."""
        return wanted


@dataclass(slots=True)
class Worker:
    """One worker, as its master knows it."""

    id: str
    name: str
    index: int
    ahead: float | None = None
    """Seconds that its clock is ahead of the master's; None until it is ready."""
    done: bool = False


@dataclass(slots=True)
class There:
    """Locust's workers, seen from the master."""

    runner: MasterRunner
    over: Event = field(default_factory=Event)
    lead: float = 1.0
    _workers: dict[str, Worker] = field(default_factory=dict)
    _ledger: Ledger | None = None
    _last_moment: float = math.inf
    _brief: Brief | None = None

    def __post_init__(self) -> None:
        """Hear what workers say."""
        for kind, listener in ((READY, self._ready), (ROWS, self._rows), (DONE, self._done)):
            self.runner.register_message(kind, listener)

    def prepare(self, brief: Brief, ledger: Ledger, authority: str | None) -> None:
        """Give every worker its orders, again and again until all have them."""
        self.over.clear()
        ids = [client.id for client in self.runner.clients.all if client.state != _MISSING]
        names = [machine_name(each.rpartition("_")[0], index) for index, each in enumerate(ids)]
        self._workers = {
            each: Worker(each, name, index)
            for index, (each, name) in enumerate(zip(ids, names, strict=True))
        }
        self._ledger, self._brief, self._last_moment = ledger, brief, math.inf
        for name in names:
            ledger.open(name)
        orders = {"brief": brief.plain(), "authority": authority, "workers": len(ids)}
        deadline = time.monotonic() + _LONGEST_READY
        while (missing := self._not_ready()) and time.monotonic() < deadline:
            for worker in missing:
                data = {**orders, "index": worker.index, "sent": time.time()}
                self.runner.send_message(ORDERS, data, worker.id)
            gevent.wait([gevent.spawn(self._all_ready)], timeout=_ASK_AGAIN)
        for worker in self._not_ready():
            _log.error("The worker %s did not take its orders; the run goes on without", worker.id)
            self._lose(worker)

    def _not_ready(self) -> list[Worker]:
        return [each for each in self._workers.values() if each.ahead is None and not each.done]

    def _all_ready(self) -> None:
        while self._not_ready():
            gevent.sleep(0.01)

    def _ready(self, msg: Any, **_: object) -> None:
        """Note how far a worker's clock is ahead, unless that is within what the way took."""
        worker = self._workers.get(msg.node_id)
        if worker is None or worker.ahead is not None:
            return
        now = time.time()
        ahead = msg.data["here"] - (msg.data["sent"] + now) / 2
        worker.ahead = ahead if abs(ahead) > (now - msg.data["sent"]) / 2 else 0.0

    def begin(self, began: float) -> None:
        """Let the users of all workers go at the same moment."""
        if self._brief is None:
            return
        self._last_moment = began + self._brief.duration + GRACE + self._brief.timeout + _PATIENCE
        for worker in self._workers.values():
            if not worker.done:
                self.runner.send_message(BEGIN, {"began": began, "ahead": worker.ahead}, worker.id)

    def stop(self) -> None:
        """End before the time."""
        for worker in self._workers.values():
            if not worker.done:
                self.runner.send_message(STOP, None, worker.id)

    def look(self) -> None:
        """Give up workers that Locust no longer hears of, or that never come to an end."""
        for worker in self._workers.values():
            node = self.runner.clients.get(worker.id)
            gone = node is None or node.state == _MISSING or time.time() > self._last_moment
            if gone and not worker.done:
                _log.error("The worker %s was lost; the run cannot pass", worker.id)
                self._lose(worker)

    def users(self, wanted: int) -> int:
        """Spawn the same number on each worker, and at least one for each seat."""
        return math.ceil(wanted / max(1, len(self._workers))) * max(1, self.runner.worker_count)

    def _rows(self, msg: Any, **_: object) -> None:
        worker = self._workers.get(msg.node_id)
        if worker and self._ledger:
            self._ledger.add(worker.name, msg.data["rows"], msg.data["texts"])

    def _done(self, msg: Any, **_: object) -> None:
        worker = self._workers.get(msg.node_id)
        if worker and self._ledger and not worker.done:
            self._ledger.close(worker.name, msg.data)
            self._finished(worker)

    def _lose(self, worker: Worker) -> None:
        if self._ledger:
            self._ledger.close(worker.name)
        self._finished(worker)

    def _finished(self, worker: Worker) -> None:
        worker.done = True
        if all(each.done for each in self._workers.values()):
            self.over.set()


def start_crew(
    orders: Orders, environment: Environment, hand_over: Callable[[bytes, list[str]], None]
) -> Crew:
    """Make the crew that the users who are spawned from now on belong to."""
    crew = Crew(orders, hand_over)
    SiteUser.crew = crew
    start_probe(crew, environment)
    return crew


def machine_name(host: str, index: int) -> str:
    """Name a generator after its machine, fit for a file."""
    return f"{re.sub(r'[^A-Za-z0-9.-]', '-', host)[:60] or 'worker'}-{index}"


def soon(brief: Brief, lead: float) -> float:
    """Choose the moment to begin: the brief's if it is still to come."""
    earliest = Clock().now() + lead
    return max(earliest, brief.began or 0.0)
