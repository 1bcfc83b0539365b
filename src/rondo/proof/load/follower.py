"""A worker of Locust's: does as its master says."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import gevent

from rondo.proof.brief import Brief
from rondo.proof.load.crew import Orders
from rondo.proof.load.share import BEGIN, DONE, ORDERS, READY, ROWS, STOP, start_crew

if TYPE_CHECKING:
    from locust.env import Environment

    from rondo.proof.load.crew import Crew


class Follower:
    """Has the crew of this process."""

    def __init__(self, environment: Environment) -> None:
        self._environment = environment
        runner: Any = environment.runner
        self._runner = runner
        self.crew: Crew | None = None
        for kind, listener in (
            (ORDERS, self._orders),
            (BEGIN, self._begin),
            (STOP, self._stop),
        ):
            self._runner.register_message(kind, listener)

    def _orders(self, msg: Any, **_: object) -> None:
        data = msg.data
        brief = Brief.from_plain(data["brief"])
        if self.crew is None or self.crew.brief.run != brief.run:
            orders = Orders(brief, data["index"], data["workers"], data["authority"])
            self.crew = start_crew(orders, self._environment, self._send)
            gevent.spawn(self._report, self.crew)
        self._runner.send_message(READY, {"sent": data["sent"], "here": time.time()})

    def _begin(self, msg: Any, **_: object) -> None:
        if self.crew and not self.crew.begun.is_set():
            self.crew.clock.correct(msg.data["ahead"])
            self.crew.begin(msg.data["began"])

    def _stop(self, **_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """End before the time."""
        if self.crew:
            self.crew.stop()

    def finish(self) -> None:
        """Hand over the rest, now that all users are gone."""
        if self.crew:
            self.crew.finish()

    def _send(self, rows: bytes, texts: list[str]) -> None:
        self._runner.send_message(ROWS, {"rows": rows, "texts": texts})

    def _report(self, crew: Crew) -> None:
        crew.finished.wait()
        self._runner.send_message(DONE, dict(crew.report(self._runner.client_id)))
