"""What visitors lose while a site is changed: by Rondo, and by the ways of others.

    .venv/bin/python benchmarks/zero_loss.py [--times 20] [--others 3] [--rate 200] [--keep]

On a lab of its own with two servers of three backends each, the example shop is loaded by the
proof's own load generator: a fixed rate, a third of it orders (POST), each with a key of its own,
nothing sent twice. Meanwhile it is changed again and again, in turn:

* by Rondo: a deploy (another value in the environment), a rolling restart of every slot, a
  rollback, `--times` of each; restarts with a pause between the slots (`--paced`); and restarts
  under a closed loop of 64 connections that ask without a pause (`--saturated`);
* as a control, six containers of the backend are started one after the other, asked for their
  health and removed, while nobody is led to them: what starting costs those who visit this machine,
  whoever does it;
* `--others` times each by the ways of others, on the same servers and with the same image: stop,
  start, reload as in many an article, with and without waiting for the backend; what docker-rollout
  does behind nginx-proxy; what `docker compose up -d` does. The last two are not installed, their
  steps are made with docker commands: benchmarks/_ways.py.

Counted are requests that were not answered as they should, orders that were executed twice (by the
application's own database), the longest time without a success, and the 99th percentile of latency
during a change against that of the time between changes.

Each load is written to a ledger as soon as it is over: a run that was stopped goes on where it was,
`--afresh` begins anew. `--minutes` stops in time by itself. Exits 0 only if all was done and Rondo
lost nothing and executed nothing twice.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import itertools
import os
import platform
import statistics
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import _ways
import yaml
from _common import (
    ROOT,
    Project,
    common_options,
    machine,
    note,
    project,
    verdict,
    wait_until_quiet,
)
from _losses import (
    GAP,
    TIMES_STEADY,
    Ledger,
    Load,
    Mark,
    Row,
    Seen,
    failures,
    losses,
    markdown,
    put,
    version_line,
)
from roll import Alone

from rondo import source
from rondo.deploy import templates_of
from rondo.gather import gather
from rondo.proof import collect
from rondo.proof.aim import aim_at
from rondo.proof.brief import make_brief
from rondo.proof.generator import Generator, loadtests_of
from rondo.proof.runs import new_run, span

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from rondo.proof.brief import Brief

LEDGER = ROOT / ".rondo" / "benchmarks" / "zero-loss.jsonl"
LONGEST = 3600.0
BEFORE, PAUSE = 8.0, 3.0
"""Seconds of load before the first change, and after each."""
CONNECTIONS = 64
RONDO, PACED, SATURATED = "rondo", "paced", "saturated"
ROLL_PAUSE = "3s"
"""In which a replaced container has ended before the next one starts."""
DEPLOY, RESTART, ROLLBACK = "deploy", "restart", "rollback"
CONTROL = "control"
TITLES = {
    (RONDO, DEPLOY): "`fab deploy`",
    (RONDO, RESTART): "`fab restart`",
    (RONDO, ROLLBACK): "`fab rollback`",
    (RONDO, CONTROL): "six such containers started and removed beside the site",
    (PACED, RESTART): f"`fab restart` with `pause: {ROLL_PAUSE}`",
    (SATURATED, RESTART): f"`fab restart`, {CONNECTIONS} connections without a pause",
    **{(way.name, way.name): way.title for way in _ways.WAYS},
}
OURS = frozenset({RONDO, PACED, SATURATED})
# Every order has a key that tells which load it is of; the application counts by it.
PROOF = {
    "scenario": {
        "order": {
            "steps": [
                {
                    "post": "/api/orders/",
                    "status": 201,
                    "headers": {"Idempotency-Key": "{run}-{uuid}"},
                    "body": {
                        "contact": {
                            "name": "Load test",
                            "email": "load@example.com",
                            "street": "1 Test Road",
                            "postcode": "10115",
                            "city": "Berlin",
                        },
                        "lines": [{"product": "meridian-wheel", "quantity": 1}],
                    },
                }
            ]
        }
    }
}
COUNT = """
database=$(docker ps --quiet --filter label=rondo.project=shop --filter name=shop-database)
ask() { docker exec "$database" psql --username shop --dbname shop -At -c "$1"; }
ask "SELECT count(*) FROM orders_order WHERE key LIKE '{run}-%'"
ask "SELECT extract(epoch FROM max(at)) FROM orders_execution WHERE key LIKE '{run}-%'
     GROUP BY key HAVING count(*) > 1"
"""

Change = tuple[str, "Callable[[], tuple[int, str]]"]
"""A kind, and what does it: it gives an exit code and what was said."""


@dataclass(frozen=True, slots=True)
class Job:
    """One load to make."""

    way: str
    count: int
    """Cycles of changes in it."""


@dataclass(frozen=True, slots=True)
class Bench:
    """The shop on its servers, and how it is loaded."""

    site: Project
    rate: float

    def rondo(self) -> list[Change]:
        """Give one cycle of Rondo's changes."""
        return [
            (DEPLOY, self._deploy),
            (RESTART, lambda: self._fab("restart")),
            (ROLLBACK, lambda: self._fab("rollback")),
            (CONTROL, self._start_beside),
        ]

    def restart(self) -> list[Change]:
        """Give a restart alone."""
        return [(RESTART, lambda: self._fab("restart"))]

    def paced(self) -> list[Change]:
        """Give a restart that leaves time between its slots."""
        return [(RESTART, self._restart_with_pauses)]

    def _restart_with_pauses(self) -> tuple[int, str]:
        path = self.site.folder / "inventory.yaml"
        usual = path.read_text()
        declared: dict[str, Any] = yaml.safe_load(usual)
        declared.setdefault("settings", {}).setdefault("roll", {})["pause"] = ROLL_PAUSE
        path.write_text(yaml.safe_dump(declared))
        try:
            return self._fab("restart")
        finally:
            path.write_text(usual)

    def _deploy(self) -> tuple[int, str]:
        """Deploy a new release, which costs no image: another value in the environment."""
        declare(self.site.folder, str(time.time_ns()))
        return self._fab("deploy")

    def _start_beside(self) -> tuple[int, str]:
        """Start what a restart starts of the backend, and switch nothing."""
        Alone(self.site).start_each(0)
        return 0, ""

    def _fab(self, *words: str) -> tuple[int, str]:
        ran = self.site.fab(*words, codes=range(256))
        return ran.code, ran.said[-2000:]

    @contextmanager
    def other(self, way: _ways.Way) -> Iterator[list[Change]]:
        """Give a way of others, with its containers beside Rondo's."""
        loaded = source.load(start=self.site.folder)
        release = gather(loaded, templates_of(loaded.root)).release
        words = {}
        for server in self.site.lab.servers:
            slots = release.servers[server.name].slots
            backend = next(s.container for s in slots if s.container.service == "backend")
            words[server] = _ways.options(backend, server.name, checked=way.watched)
        try:
            for server, its in words.items():
                self.site.on(server, _ways.set_up(way, its))

            def change() -> tuple[int, str]:
                for server, its in words.items():
                    self.site.on(server, _ways.change(way, its))
                return 0, ""

            yield [(way.name, change)]
        finally:
            for server in words:
                self.site.on(server, _ways.REMOVE)

    def run(self, job: Job) -> Load:
        """Make one load with its changes."""
        if job.way == RONDO:
            return self._load(job, self.rondo())
        if job.way == PACED:
            return self._load(job, self.paced())
        if job.way == SATURATED:
            return self._load(job, self.restart(), closed=CONNECTIONS)
        way = next(each for each in _ways.WAYS if each.name == job.way)
        with self.other(way) as changes:
            return self._load(job, changes, port=_ways.PORT)

    def _load(
        self, job: Job, changes: Sequence[Change], *, port: int = 0, closed: int | None = None
    ) -> Load:
        busy = os.getloadavg()[0]
        loaded = source.load(start=self.site.folder)
        run, brief = new_run(loaded.root), self._brief(loaded, port, closed)
        brief = replace(brief, run=run.run)
        brief.write(run.brief)
        options = ("--host", brief.host)
        with Generator(run.path, loadtests_of(loaded.root), options) as generator:
            began = _begun(run.path, generator)
            time.sleep(brief.warm_up + BEFORE)
            marks = [_made(kind, change) for _ in range(job.count) for kind, change in changes]
            generator.demand()
            generator.stop()
            if not generator.wait(brief.timeout + 60):
                sys.exit(f"the load did not end; its files are in {run.path}")
        requests, reports = collect.read_requests(run.path)
        orders, twice = self._counted(run.run)
        seen = Seen(requests, brief, began, marks, twice)
        before, *tolls = seen.tolls()
        return Load(
            way=job.way,
            at=time.strftime("%Y-%m-%d %H:%M", time.gmtime()),
            rate=brief.rate,
            closed=closed,
            steady_p99=seen.steady(),
            before=before,
            tolls=tuple(tolls),
            answered=seen.answered,
            orders=orders,
            lag=max((each.lag[2] for each in reports if len(each.lag) > 2), default=0.0),
            busy=busy,
            versions=self._versions(),
        )

    def _brief(self, loaded: source.Loaded, port: int, closed: int | None) -> Brief:
        aim = aim_at(loaded)
        addresses = aim.addresses
        if port:
            addresses = tuple(f"{each.rpartition(':')[0]}:{port}" for each in addresses)
        return make_brief(
            loaded.inventory.proof,
            loaded.inventory,
            run="",
            host=aim.host,
            addresses=addresses,
            authority=str(aim.authority),
            rate=self.rate,
            duration=LONGEST,
            closed=closed,
        )

    def _counted(self, run: str) -> tuple[int, tuple[float, ...]]:
        """Ask the database for the orders of a load, and when orders were executed again."""
        said = self.site.on(self.site.server(), COUNT.replace("{run}", run)).said.split()
        return int(said[0]), tuple(float(each) for each in said[1:])

    def _versions(self) -> dict[str, str]:
        script = "nginx -v 2>&1 | sed 's|.*/||'; docker version --format '{{.Server.Version}}'"
        nginx, docker = self.site.on(self.site.server(), script).said.split()
        words = ("git", "describe", "--always", "--dirty")
        commit = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)
        return {
            "Rondo": commit.stdout.strip() or importlib.metadata.version("rondo"),
            "Nginx": nginx,
            "Docker Engine": docker,
            "Locust": importlib.metadata.version("locust"),
            "Python": platform.python_version(),
        }


def _begun(folder: Path, generator: Generator) -> float:
    """Wait until the load has begun; give when."""
    for _ in range(600):
        if found := span(folder):
            return found[0]
        if generator.wait(0.1):
            break
    generator.demand()
    sys.exit(f"the load did not begin; its files are in {folder}")


def _made(kind: str, change: Callable[[], tuple[int, str]]) -> Mark:
    """Make one change, and leave the load alone for a while."""
    begin = time.time()
    code, said = change()
    mark = Mark(kind, begin, time.time(), code, said if code else "")
    note(f"  {kind}: {mark.end - begin:.1f} s{f', ended with {code}: {said}' if code else ''}")
    time.sleep(PAUSE)
    return mark


def declare(folder: Path, value: str) -> None:
    """Write another value into the backend's environment."""
    path = folder / "inventory.yaml"
    declared: dict[str, Any] = yaml.safe_load(path.read_text())
    service = declared.setdefault("services", {}).setdefault("backend", {})
    service.setdefault("environment", {})["RELEASED"] = value
    path.write_text(yaml.safe_dump(declared))


# -- what is to be done, and what came of it


@dataclass(frozen=True, slots=True)
class Wanted:
    """How many of each way."""

    times: int
    paced: int
    saturated: int
    others: int
    at_once: int

    def of(self, way: str) -> int:
        """Say how many cycles are wanted."""
        ours = {RONDO: self.times, PACED: self.paced, SATURATED: self.saturated}
        return ours.get(way, self.others)

    def next(self, loads: Sequence[Load]) -> Job | None:
        """Choose the way that is behind most; None if all is done."""
        behind = []
        for way in dict.fromkeys(way for way, _ in TITLES):
            kinds = sum(1 for each, _ in TITLES if each == way)
            done = sum(len(load.tolls) for load in loads if load.way == way) // kinds
            if done < self.of(way):
                behind.append((done / self.of(way), way, min(self.at_once, self.of(way) - done)))
        if not behind:
            return None
        _, way, count = min(behind, key=lambda each: each[0])
        return Job(way, count)


def rows(loads: Sequence[Load], wanted: Wanted) -> list[Row]:
    """Put what was seen into the lines of the table."""
    return [
        Row(
            title,
            wanted.of(way),
            tuple(
                (load, toll)
                for load in loads
                if load.way == way
                for toll in load.tolls
                if toll.kind == kind
            ),
        )
        for (way, kind), title in TITLES.items()
    ]


def sound(loads: Sequence[Load], wanted: Wanted) -> bool:
    """Tell whether Rondo did all and lost nothing."""
    ours = [load for load in loads if load.way in OURS]
    kept = all(not load.before.lost and load.orders == load.answered for load in ours)
    own = {TITLES[key] for key in TITLES if key[0] in OURS}
    return kept and all(row.sound for row in rows(loads, wanted) if row.title in own)


def report(loads: Sequence[Load], wanted: Wanted, conditions: str) -> Iterator[str]:
    """Write all that was measured, in Markdown."""
    table = rows(loads, wanted)
    days = sorted({load.at[:10] for load in loads}) or ["never"]
    yield f"{' to '.join(dict.fromkeys((days[0], days[-1])))}; {version_line(loads)}."
    yield f"{conditions}"
    yield ""
    yield from markdown(table)
    yield ""
    yield from _beside(loads)
    told = [*losses(table), *failures(table)]
    if told:
        yield from ("", "What was lost:", "", *(f"- {each}" for each in told))


def _beside(loads: Sequence[Load]) -> Iterator[str]:
    """Say what is of whole loads, not of changes."""
    ours = [load for load in loads if load.way in OURS]
    others = [load for load in loads if load.way not in OURS]
    for name, chosen in (("Rondo", ours), ("The others", others)):
        if chosen:
            yield f"- {name}: {'; '.join(_whole(chosen))}."


def _whole(loads: Sequence[Load]) -> Iterator[str]:
    answered, orders = sum(load.answered for load in loads), sum(load.orders for load in loads)
    more = f" ({orders - answered:+,}: executed, but never answered)" if orders != answered else ""
    yield f"{answered:,} POSTs answered, {orders:,} orders in the database{more}"
    lost = sum(load.before.lost for load in loads)
    yield f"{lost} of {sum(load.before.requests for load in loads):,} requests lost before a change"
    yield f"steady p99 {_range(load.steady_p99 * 1000 for load in loads if not load.closed)} ms"
    lag = max(load.lag for load in loads if not load.closed) * 1000
    yield f"load generator late by {lag:.1f} ms at most (its p99)"
    yield f"machine load {_range(load.busy for load in loads)} before each"


def _range(values: Iterable[float]) -> str:
    found = sorted(values)
    return f"{found[0]:.1f} to {found[-1]:.1f}" if found else "-"


def targets(loads: Sequence[Load], wanted: Wanted) -> Iterator[str]:
    """Hold Rondo's paced rows against what is promised beside that nothing is lost."""
    *ours, control = rows(loads, wanted)[:4]
    for row in ours:
        if row.pairs:
            slow = sum(each > TIMES_STEADY for each in row.ratios)
            yield (
                f"{row.title}: longest gap {row.worst('gap') * 1000:.0f} ms "
                f"[{verdict(row.worst('gap') * 1000, GAP * 1000, at_most=True)}]; p99 at most "
                f"{TIMES_STEADY:g} times steady in {len(row.pairs) - slow} of {len(row.pairs)} "
                f"[{'MISSED' if slow else 'ok'}]{_beside_control(row, control)}"
            )


def _beside_control(row: Row, control: Row) -> str:
    """Hold p99 during a change against that while containers only start, load by load."""
    started = {load.at: toll.p99 for load, toll in control.pairs}
    ratios = [toll.p99 / started[load.at] for load, toll in row.pairs if load.at in started]
    return f", {statistics.median(ratios):.2f} times that of the control" if ratios else ""


def main() -> None:
    """Deploy, load, change, print."""
    options = _parsed()
    ledger = Ledger(options.ledger)
    if options.afresh:
        ledger.path.unlink(missing_ok=True)
    wanted = Wanted(
        options.times, options.paced, options.saturated, options.others, options.at_once
    )
    if not options.table and wanted.next(ledger.read()):
        _measure(options, ledger, wanted)
    loads = ledger.read()
    conditions = (
        f"{options.rate:g} requests a second, a third of them POST; two servers of three backends "
        f"each, as containers on one machine of {os.cpu_count()} cores that makes the load as well."
    )
    measured = "\n".join(report(loads, wanted, conditions))
    print(measured)
    print("\n".join(targets(loads, wanted)))
    if options.write:
        text = options.write.read_text() if options.write.exists() else ""
        options.write.write_text(put(text, measured))
    sys.exit(0 if sound(loads, wanted) else 1)


def _measure(options: argparse.Namespace, ledger: Ledger, wanted: Wanted) -> None:
    end = time.monotonic() + options.minutes * 60
    with project({"proof": PROOF}, servers=2, keep=options.keep) as site:
        note("deploying the example")
        for server in site.lab.servers:
            site.on(server, _ways.REMOVE)
        site.fab("deploy")
        bench = Bench(site, options.rate)
        wait_until_quiet(options.quiet_load, 120)
        note(machine())
        for number in itertools.count(1):
            job = wanted.next(ledger.read())
            if job is None or time.monotonic() > end:
                break
            note(f"load {number}: {job.way}, {job.count} times")
            ledger.append(bench.run(job))


def _parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--times", type=int, default=20, help="deploys, restarts and rollbacks (default: 20)")
    add("--paced", type=int, default=3, help="restarts with a pause (default: 3)")
    add("--saturated", type=int, default=3, help="restarts at saturation (default: 3)")
    add("--others", type=int, default=3, help="changes by each way of others (default: 3)")
    add("--at-once", type=int, default=2, help="cycles of changes in one load (default: 2)")
    add("--rate", type=float, default=200, help="requests a second (default: 200)")
    add("--minutes", type=float, default=180, help="begin no load after so long (default: 180)")
    add("--ledger", type=Path, default=LEDGER, help="file of the loads (default: %(default)s)")
    add("--afresh", action="store_true", help="forget the loads of the ledger")
    add("--table", action="store_true", help="only print the table of the ledger")
    add("--write", type=Path, help="put the table into a Markdown file, between its marks")
    common_options(parser)
    return parser.parse_args()


if __name__ == "__main__":
    main()
