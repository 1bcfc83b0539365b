"""The self-test from end to end: what is due is shared out over lanes, told, counted, written."""

from __future__ import annotations

import threading
import time
from collections import deque
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from rondo.errors import Interrupted, RondoError
from rondo.fleet import Fleet
from rondo.proof import conduct
from rondo.proof.selftest import matrix, stage, table
from rondo.proof.selftest.lane import Lane
from rondo.proof.selftest.rows import BY_NAME, ROWS

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from rondo.proof.selftest.ledger import Entry, Ledger
    from rondo.proof.selftest.matrix import Job, Tally
    from rondo.proof.selftest.rows import Row
    from rondo.proof.selftest.stage import Stage
    from rondo.source import Loaded

    Say = Callable[[str], None]

WIDE: Final = "both"
"""The lane that has the whole lab."""
DOCUMENT: Final = "docs/proof.md"
LEDGER: Final = ".rondo/selftest/ledger.jsonl"
SHORT_LEDGER: Final = ".rondo/selftest/short.jsonl"
_PARTING: Final = 90.0


@dataclass(frozen=True, slots=True)
class Wanted:
    """What was asked for."""

    rows: tuple[Row, ...]
    runs: int
    healthy: int
    lanes: int

    @property
    def counts(self) -> dict[str, int]:
        """Runs of each row."""
        return matrix.wanted(self.rows, self.runs, self.healthy)


@dataclass(slots=True)
class Course:
    """The runs that are due, and those that were made."""

    wanted: Wanted
    ledger: Ledger
    say: Say
    entries: list[Entry] = field(default_factory=list)
    jobs: deque[Job] = field(default_factory=deque)
    errors: list[RondoError] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def begin(self) -> None:
        """Find out what is left to do."""
        self.entries = list(self.ledger.read())
        self.jobs = deque(matrix.due(self.wanted.rows, self.wanted.counts, self.entries))

    def take(self, *, wide: bool) -> Job | None:
        """Give the next run for a lane, if there is one of its kind."""
        with self._lock:
            job = next((each for each in self.jobs if each.row.wide is wide), None)
            if job is None or self.errors:
                return None
            self.jobs.remove(job)
            return job

    def give(self, job: Job, entry: Entry) -> None:
        """Write down what came of a run; one that says more of this machine is due again."""
        with self._lock:
            self.ledger.append(entry)
            self.entries.append(entry)
            if job.number not in matrix.conclusive(job.row, self.entries):
                self.jobs.appendleft(job)
            self.say(self._told(job, entry))

    def fail(self, error: RondoError) -> None:
        """Let no lane begin another run."""
        with self._lock:
            self.errors.append(error)

    def tallies(self) -> tuple[Tally, ...]:
        """Sum up every row that was asked for."""
        counts = self.wanted.counts
        return tuple(matrix.tally(row, counts[row.name], self.entries) for row in self.wanted.rows)

    def _told(self, job: Job, entry: Entry) -> str:
        total = sum(self.wanted.counts.values())
        left = matrix.seconds_left(self.jobs, self.entries, self.wanted.lanes)
        spoke = ", ".join(entry.failing)
        return (
            f"[{total - len(self.jobs):>{len(str(total))}}/{total}] {job.row.name}"
            f" {job.number}/{self.wanted.counts[job.row.name]}: {entry.verdict}"
            f"{f' ({spoke})' if spoke else ''} - {_word(job, entry)}, {entry.seconds:.1f} s;"
            f" {_minutes(left)} left"
        )


def _word(job: Job, entry: Entry) -> str:
    if matrix.caught(job.row, entry):
        return "right"
    if matrix.repeatable(job.row, entry):
        return "this machine was too busy, made again"
    return f"WRONG: {entry.sentence}"


def _minutes(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min"


def run(wanted: Wanted, ledger: Ledger, say: Say) -> tuple[tuple[Tally, ...], tuple[Entry, ...]]:
    """Make all runs that are still due; what was made is in the ledger, whatever ends us.

    Raises RondoError if the lab or a fault could not be made or taken away, Interrupted at Ctrl-C.
    """
    course = Course(wanted, ledger, say)
    course.begin()
    if course.jobs:
        servers = tuple(f"web-{number}" for number in range(1, wanted.lanes + 1))
        prepared = stage.prepare((*servers, WIDE), _fleet, say)
        left = _minutes(matrix.seconds_left(course.jobs, course.entries, wanted.lanes))
        say(f"{len(course.jobs)} runs, about {left}")
        _work(course, prepared, servers, wide=False)
        _work(course, prepared, (WIDE,), wide=True)
    if course.errors:
        raise course.errors[0]
    return course.tallies(), tuple(course.entries)


def _fleet(loaded: Loaded) -> Fleet:
    return Fleet(loaded.inventory, loaded.root, tuple(loaded.inventory.servers))


def _work(course: Course, prepared: Stage, names: Sequence[str], *, wide: bool) -> None:
    if not any(job.row.wide is wide for job in course.jobs):
        return
    with ExitStack() as opened:
        lanes = [_lane(prepared, name, opened) for name in names]
        threads = [
            threading.Thread(target=_drive, args=(course, lane, wide), daemon=True)
            for lane in lanes
        ]
        for thread in threads:
            thread.start()
        try:
            for thread in threads:
                while thread.is_alive():
                    thread.join(0.2)
        except KeyboardInterrupt:
            _part(course, lanes, threads)


def _lane(prepared: Stage, name: str, opened: ExitStack) -> Lane:
    loaded = prepared.loaded(name)
    fleet = opened.enter_context(_fleet(loaded))
    server = f"web-{stage.SERVERS}" if name == WIDE else name
    aim = conduct.aim_at(loaded, server="" if name == WIDE else name)
    return Lane(name, aim, fleet, prepared.bench(name, loaded, fleet, server))


def _drive(course: Course, lane: Lane, wide: bool) -> None:  # noqa: FBT001 - a thread's argument
    try:
        while not lane.stopping and (job := course.take(wide=wide)) is not None:
            entry = lane.run(job)
            if not lane.stopping:
                course.give(job, entry)
    except RondoError as error:
        course.fail(error)


def _part(course: Course, lanes: Sequence[Lane], threads: Sequence[threading.Thread]) -> None:
    """End what is under way and leave the site whole; a second Ctrl-C leaves that to the next."""
    course.say("ending; the site is being made whole again (Ctrl-C again leaves that for later)")
    for lane in lanes:
        lane.stop()
    end = time.monotonic() + _PARTING
    for thread in threads:
        thread.join(max(0.0, end - time.monotonic()))
    raise Interrupted("interrupted; the same command goes on where this one was stopped")


def write(root: Path, runs: int, healthy: int, entries: Sequence[Entry]) -> Path:
    """Put the table of all rows into the documentation, whichever of them were just run."""
    path = root / DOCUMENT
    counts = matrix.wanted(ROWS, runs, healthy)
    tallies = [matrix.tally(row, counts[row.name], entries) for row in ROWS]
    path.parent.mkdir(exist_ok=True)
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    shown = [entry for entry in entries if entry.row in BY_NAME]
    path.write_text(table.put(text, table.markdown(tallies, shown)), encoding="utf-8")
    return path
