"""What Locust's events lead to: a run folder, witnesses, users at their pace, the verdict.

`locust -f loadtests/` by hand makes a run of its own for every start; with RONDO_RUN in the
environment (a run folder with a brief) another process has prepared the run, and judges it.
"""

from __future__ import annotations

import logging
import os
import signal
import time
from typing import TYPE_CHECKING, Any, Final

import gevent
from locust import LoadTestShape, User
from locust.runners import MasterRunner, WorkerRunner

from rondo import source
from rondo.errors import InputError
from rondo.proof.load import tab
from rondo.proof.load.crew import GRACE
from rondo.proof.load.follower import Follower
from rondo.proof.load.share import Generators, Here, There, soon
from rondo.proof.load.starting import (
    RUN_VARIABLE,
    Run,
    authority_of,
    given_run,
    known_host,
    own_run,
)
from rondo.proof.load.users import SiteUser

if TYPE_CHECKING:
    from locust.env import Environment

    from rondo.proof.load.live import Share

USAGE: Final = 2
INVALID: Final = 3

_PATIENCE: Final = 5.0
_log = logging.getLogger("rondo")


class Leader:
    """Leads runs: in the process that Locust was started as, or in its master."""

    def __init__(self, environment: Environment) -> None:
        self._environment = environment
        runner = environment.runner
        self._generators: Generators = Here(environment)
        if isinstance(runner, MasterRunner):
            self._generators = There(runner)
        self._run: Run | None = None
        self._shares: list[Share] = []
        self._leaving = False
        self.exit_code: int | None = None

    @property
    def shares(self) -> list[Share]:
        """What each backend served in the run that is on, or in the last one."""
        if self._run:
            self._shares = self._run.ledger.shares.table()
        return self._shares

    def tick(self) -> tuple[int, float] | None:
        """Say once a second how many users there must be; None when the run is over."""
        if self._run is None:
            if self._leaving:
                return None
            try:
                self._run = self._prepared()
            except InputError as error:
                _log.error("%s", error)
                self.exit_code = USAGE
                return None
        elif self._generators.over.wait(1):
            self.conclude()
            return None
        self._generators.look()
        users = self._generators.users(self._run.brief.users)
        return users, float(users)

    def _prepared(self) -> Run:
        runner: Any = self._environment.runner
        if isinstance(runner, MasterRunner) and not runner.worker_count:
            raise InputError("No worker has connected yet; start some with --worker, then again")
        run = given_run() if os.environ.get(RUN_VARIABLE) else own_run(self._environment)
        self._environment.stop_timeout = run.brief.timeout + GRACE
        try:
            self._generators.prepare(run.brief, run.ledger, authority_of(run.brief))
        except InputError:
            if run.attendant:
                run.attendant.dismiss()
            raise
        return run

    def begin(self) -> None:
        """Let the users go, once all are there."""
        if self._run and not self._run.begun:
            self._run.begun = True
            began = soon(self._run.brief, self._generators.lead)
            self._run.ledger.begin(began)
            self._generators.begin(began)

    def stop(self) -> None:
        """Begin nothing more; what is under way may end."""
        if self._run:
            self._generators.stop()

    def leave(self) -> None:
        """End for good, as soon as what is under way has ended."""
        self._leaving = True
        self.stop()

    def wait(self) -> None:
        """Wait until what is under way has ended, and conclude."""
        if not self._run:
            return
        deadline = time.monotonic() + self._run.brief.timeout + GRACE + _PATIENCE
        while not self._generators.over.wait(0.5) and time.monotonic() < deadline:
            self._generators.look()
        self.conclude()

    def conclude(self) -> None:
        """Close the files, and let the witnesses judge."""
        run, self._run = self._run, None
        if run is None:
            return
        self._shares = run.ledger.shares.table()
        run.ledger.finish()
        if run.attendant:
            self.exit_code = run.attendant.judge()
        else:
            self.exit_code = INVALID if run.ledger.lost or not run.ledger.sent else 0


class OwnClock(LoadTestShape):
    """Ends a run by its own clock; Locust's own --run-time runs short."""

    leader: Leader | None = None

    def tick(self) -> tuple[int, float, list[type[User]] | None] | None:
        """Say what Locust must spawn, or that the run is over.

        Users of locustfiles beside ours come on top: as many as --users says, or one of each kind.
        """
        wanted = self.leader.tick() if self.leader else None
        if not wanted or not self.runner:
            return None
        users, rate = wanted
        others = [each for each in self.runner.user_classes if each is not SiteUser]
        SiteUser.fixed_count = users if others else 0
        options: Any = self.runner.environment.parsed_options
        more = (options.num_users or len(others)) if others else 0
        return users + more, rate + more, [SiteUser, *others]


def install(events: Any) -> None:
    """Listen to Locust."""
    events.init_command_line_parser.add_listener(_options)
    events.init.add_listener(_start)


def _options(parser: Any, **_: object) -> None:
    group = parser.add_argument_group(
        "Rondo", "What the inventory's proof section says, said otherwise for this run"
    )
    group.add_argument("--rate", env_var="RONDO_RATE", help="Requests a second", default="")
    group.add_argument(
        "--duration", env_var="RONDO_DURATION", help="How long, like 60s or 5m", default=""
    )
    group.add_argument(
        "--inventory",
        env_var=source.VARIABLE,
        help="Inventory whose proof section says what to ask for (inventory.yaml if there is one)",
        default="",
    )


def _start(environment: Environment, **_: object) -> None:
    """Lead, or follow the master. Listeners added here hear of the end before Locust's own."""
    logging.getLogger("locust.runners").addFilter(_is_news)
    # By itself it would end whichever user is at work, and lose the row of what that one has sent.
    gevent.signal_handler(signal.SIGINT, gevent.kill, gevent.getcurrent(), KeyboardInterrupt)
    events: Any = environment.events
    if isinstance(environment.runner, WorkerRunner):
        follower = Follower(environment)
        events.test_stopping.add_listener(lambda **_: follower.stop())
        events.test_stop.add_listener(lambda **_: follower.finish())
        events.quitting.add_listener(lambda **_: _leave(follower))
        return
    leader = Leader(environment)
    OwnClock.leader = leader
    # Without a web page Locust listens for SIGTERM only when it is over.
    gevent.signal_handler(signal.SIGTERM, leader.leave)
    options: Any = environment.parsed_options
    options.run_time, options.duration = None, options.duration or options.run_time
    events.spawning_complete.add_listener(lambda **_: leader.begin())
    events.test_stopping.add_listener(lambda **_: leader.stop())
    events.test_stop.add_listener(lambda **_: leader.wait())
    events.quitting.add_listener(_end)
    if environment.web_ui:
        environment.host = environment.host or known_host(options.inventory)
        tab.add(environment.web_ui, options.web_base_path or "", lambda: leader.shares)


def _is_news(record: logging.LogRecord) -> bool:
    """Drop a warning that does not hold: users who wait for their moment are spawned at once."""
    return "spawn rate is very high" not in record.getMessage()


def _leave(follower: Follower) -> None:
    follower.stop()
    if follower.crew:
        follower.crew.finished.wait(follower.crew.brief.timeout + GRACE + _PATIENCE)


def _end(environment: Environment, **_: object) -> None:
    """Say by the exit code how it was, after the last row."""
    leader = OwnClock.leader
    if leader is None:
        return
    leader.stop()
    leader.wait()
    if leader.exit_code is not None:
        environment.process_exit_code = leader.exit_code
