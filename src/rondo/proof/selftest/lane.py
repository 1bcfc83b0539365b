"""One lane: a server of the lab, and the runs that are made on it, one after the other."""

from __future__ import annotations

import os
import shutil
import statistics
import threading
import time
from collections import deque
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

import numpy as np

from rondo import cluster
from rondo.errors import RondoError
from rondo.proof import conduct
from rondo.proof.case import Case
from rondo.proof.checks import sound
from rondo.proof.conduct import Options, Outcome
from rondo.proof.selftest import matrix
from rondo.proof.selftest.faults import FAULTS
from rondo.proof.selftest.ledger import Entry
from rondo.proof.verdict import Status

if TYPE_CHECKING:
    from rondo.fleet import Fleet
    from rondo.proof.aim import Aim
    from rondo.proof.evidence import Evidence
    from rondo.proof.selftest.bench import Bench
    from rondo.proof.selftest.matrix import Job
    from rondo.proof.selftest.rows import Row
    from rondo.proof.verdict import Verdict

CALIBRATION: Final = Options(duration=5.0, rate=100.0)
PRIORITY: Final = -15
ERROR: Final = "ERROR"
"""Instead of a verdict, where the proof itself broke off."""


@dataclass(slots=True)
class Lane:
    """What runs are made with."""

    name: str
    aim: Aim
    fleet: Fleet
    bench: Bench
    paces: deque[float] = field(default_factory=lambda: deque(maxlen=5))
    """Usual times of an answer, as the last healthy runs had them."""
    stopping: bool = False

    def run(self, job: Job) -> Entry:
        """Make a fault, prove the site, take the fault away, and tell what came of it.

        Raises RondoError if the fault could not be made or the site is not whole afterwards.
        """
        self._calibrate()
        began = time.monotonic()
        bench = self.bench.new(job.number)
        load = 0.0
        try:
            with FAULTS[job.row.name](bench):
                before = time.monotonic()
                outcome, error = self._prove(bench, _options(job.row))
                load = time.monotonic() - before
        finally:
            bench.heal()
        entry = _entry(job, outcome, error)
        if job.row.healthy and outcome and outcome.verdict.status is Status.PASS:
            self._learn(outcome)
        entry = replace(entry, seconds=round(time.monotonic() - began, 2), load=round(load, 2))
        return self._keep(job.row, entry, outcome)

    def stop(self) -> None:
        """Let the run that is under way end."""
        self.stopping = True
        self.bench.end_load()

    def _prove(self, bench: Bench, options: Options) -> tuple[Outcome | None, str]:
        threading.Thread(target=_favour, args=(bench,), daemon=True).start()
        try:
            return conduct.prove(self.aim, self.fleet, options, lambda _: None), ""
        except RondoError as error:
            return None, str(error)
        finally:
            bench.over.set()

    def _calibrate(self) -> None:
        """Measure once what is usual here: slow is slower than that. It also warms the site up."""
        if not self.bench.service_time:
            outcome, error = self._prove(self.bench.new(0), CALIBRATION)
            if outcome is None:
                raise RondoError(f"the usual pace could not be measured: {error}")
            self._learn(outcome)
            shutil.rmtree(outcome.folder)

    def _learn(self, outcome: Outcome) -> None:
        """Take the median of the last healthy runs: one of them may have met a busy machine."""
        found = service_time(outcome.evidence)
        if found:
            self.paces.append(found)
            self.bench = replace(self.bench, service_time=statistics.median(self.paces))

    def _keep(self, row: Row, entry: Entry, outcome: Outcome | None) -> Entry:
        """Keep the files of a run that was wrong; hundreds of right ones would fill the disk."""
        if outcome is None:
            return entry
        if matrix.caught(row, entry):
            shutil.rmtree(outcome.folder)
            return entry
        return replace(entry, folder=str(outcome.folder))


def _favour(bench: Bench) -> None:
    """Let the clients go first, where we may: they share this machine with the servers."""
    with suppress(RondoError, OSError):
        bench.await_load()
        for process in bench.load():
            os.setpriority(os.PRIO_PROCESS, process, PRIORITY)


def _options(row: Row) -> Options:
    return Options(duration=row.seconds, rate=row.rate, processes=row.workers)


def _entry(job: Job, outcome: Outcome | None, error: str) -> Entry:
    verdict = outcome.verdict if outcome else None
    return Entry(
        row=job.row.name,
        number=job.number,
        verdict=verdict.status.value if verdict else ERROR,
        failing=failing(verdict) if verdict else (),
        noisy=noisy(outcome.evidence, outcome.verdict) if outcome else False,
        seconds=0.0,
        load=0.0,
        at=cluster.now(),
        sentence=verdict.sentence if verdict else error,
        versions=outcome.evidence.versions if outcome else {},
    )


def failing(verdict: Verdict) -> tuple[str, ...]:
    """Give the checks that say why the verdict is not PASS: of a FAIL those that failed."""
    if verdict.status is Status.PASS:
        return ()
    return tuple(check.key for check in verdict.checks if check.status is verdict.status)


def noisy(evidence: Evidence, verdict: Verdict) -> bool:
    """Whether a run is INVALID for the lateness or the processor of the load generator alone."""
    if verdict.status is not Status.INVALID:
        return False
    doubts = sound.doubts(Case(evidence))
    return len(evidence.requests.rows) > 0 and {each.weakness for each in doubts} == {"client"}


def service_time(evidence: Evidence) -> float:
    """Give the median time of an answer that a backend had a part in, as clients see it."""
    rows, texts = evidence.requests.rows, evidence.requests.texts
    served = np.array(["backend" in text for text in texts], dtype=bool)
    here = rows[served[rows["seen"]]] if len(rows) else rows
    return float(np.median(here["end"] - here["start"])) if len(here) else 0.0
