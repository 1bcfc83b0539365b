"""What Locust's events lead to: a run folder, witnesses, users at their pace, the verdict.

`locust -f loadtests/` by hand makes a run of its own for every start; with RONDO_RUN in the
environment (a run folder with a brief) another process has prepared the run, and judges it.
"""

from __future__ import annotations

import logging
import os
import secrets
import signal
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import gevent
from locust import LoadTestShape, User
from locust.runners import MasterRunner, WorkerRunner

from rondo import source
from rondo.errors import InputError
from rondo.objectives import Proof
from rondo.proof.brief import Brief, make_brief, site_of
from rondo.proof.load import tab
from rondo.proof.load.attendant import Attendant
from rondo.proof.load.crew import GRACE
from rondo.proof.load.ledger import Ledger
from rondo.proof.load.share import Follower, Here, There, soon
from rondo.proof.load.users import SiteUser
from rondo.units import seconds_of

if TYPE_CHECKING:
    from locust.env import Environment

    from rondo.proof.load.live import Share

RUN_VARIABLE: Final = "RONDO_RUN"
USAGE: Final = 2
INVALID: Final = 3

_PATIENCE: Final = 5.0
_log = logging.getLogger("rondo")


@dataclass(slots=True)
class Run:
    """One run of the load, from its brief to its verdict."""

    folder: Path
    brief: Brief
    ledger: Ledger
    attendant: Attendant | None
    begun: bool = False


class Leader:
    """Leads runs: in the process that Locust was started as, or in its master."""

    def __init__(self, environment: Environment) -> None:
        self._environment = environment
        runner = environment.runner
        self._generators: Here | There = Here(environment)
        if isinstance(runner, MasterRunner):
            self._generators = There(runner)
            self._generators.listen()
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
        self._generators.prepare(run.brief, run.ledger, authority_of(run.brief))
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


def authority_of(brief: Brief) -> str | None:
    """Read the authority that is trusted: workers on other machines do not have its file."""
    if brief.authority is None:
        return None
    try:
        return Path(brief.authority).read_text(encoding="ascii")
    except (OSError, ValueError) as error:
        raise InputError(f"The authority {brief.authority} cannot be read: {error}") from None


def given_run() -> Run:
    """Take the run that another process has prepared."""
    folder = Path(os.environ[RUN_VARIABLE])
    return Run(folder, given_brief(), Ledger(folder), None)


def given_brief() -> Brief:
    """Read the brief of the run that another process has prepared."""
    path = Path(os.environ[RUN_VARIABLE]) / "brief.json"
    try:
        return Brief.read(path)
    except OSError as error:
        raise InputError(f"There is no brief at {path}: {error.strerror}") from None


def own_run(environment: Environment) -> Run:
    """Make a run folder, call the witnesses and write the brief."""
    options: Any = environment.parsed_options
    rate = _number(options.rate, "--rate")
    duration = _seconds(options.duration)
    loaded = _inventory(options.inventory)
    host = environment.host or _declared_host(loaded)
    run = secrets.token_hex(6)
    folder = _folder(loaded.root if loaded else Path.cwd(), run)
    attendant = Attendant(folder, host, loaded.path if loaded else None)
    found = attendant.ready()
    brief = make_brief(
        loaded.inventory.proof if loaded else Proof(),
        loaded.inventory if loaded else None,
        run=run,
        secret=found.get("secret") or "",
        host=host,
        addresses=found.get("addresses") or (),
        authority=found.get("authority"),
        rate=rate,
        duration=duration,
    )
    brief.write(folder / "brief.json")
    _log.info(
        "Run %s: %g requests a second for %g s by %d users",
        *(run, brief.rate, brief.duration, brief.users),
    )
    return Run(folder, brief, Ledger(folder), attendant)


def _known_host(inventory: str | None) -> str | None:
    """Find out what will be loaded, for the form of the web page."""
    try:
        if os.environ.get(RUN_VARIABLE):
            return given_brief().host
        return _declared_host(_inventory(inventory))
    except InputError:
        return None


def _declared_host(loaded: source.Loaded | None) -> str:
    """Take the host from the inventory's site."""
    site = site_of(loaded.inventory.proof, loaded.inventory) if loaded else None
    if not loaded or not site:
        raise InputError("There is no host to load; give one with --host https://...")
    declared = loaded.inventory.sites[site]
    return f"{'https' if declared.tls else 'http'}://{declared.server_names[0]}"


def _folder(root: Path, run: str) -> Path:
    began = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    folder = root / ".rondo" / "runs" / f"{began}-{run}"
    folder.mkdir(mode=0o700, parents=True)
    return folder


def _inventory(selection: str | None) -> source.Loaded | None:
    """Load the inventory; none is needed to load a host, but one that is named must be there."""
    chosen = selection or os.environ.get(source.VARIABLE)
    if not chosen and not Path(source.DEFAULT).exists():
        return None
    return source.load(chosen)


def _number(value: object, option: str) -> float | None:
    if value in {None, ""}:
        return None
    try:
        number = float(str(value))
    except ValueError:
        number = 0.0
    if number <= 0:
        raise InputError(f"{option} {value} is no number above 0")
    return number


def _seconds(value: object) -> float | None:
    if value in {None, ""}:
        return None
    try:
        return _number(seconds_of(value), "--duration")
    except ValueError as error:
        raise InputError(f"--duration {value} {error}") from None


class OwnClock(LoadTestShape):
    """Ends a run by its own clock; Locust's own --run-time runs short."""

    leader: Leader | None = None

    def tick(self) -> tuple[int, float, list[type[User]] | None] | None:
        """Say what Locust must spawn, or that the run is over."""
        wanted = self.leader.tick() if self.leader else None
        return (*wanted, [SiteUser]) if wanted else None


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
        environment.host = environment.host or _known_host(options.inventory)
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
