"""Tell whether the run itself was sound enough to say anything."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from rondo.proof import clocks, phrases
from rondo.proof.phrases import many, number, share, time
from rondo.proof.verdict import Check, Status

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rondo.proof.case import Case
    from rondo.proof.evidence import WorkerReport
    from rondo.proof.finding import Weakness

KEY, TITLE = "sound", "The run was sound"
LEAST_SENT = 0.98
MOST_CPU = 0.70
MOST_LAG = 0.005
MOST_CLOCK = 1.0


@dataclass(frozen=True, slots=True)
class Doubt:
    """One reason not to trust the run."""

    text: str
    weakness: Weakness | None = None
    """What it makes of the run; None if it feigns no fault of the site."""


def doubts(case: Case) -> tuple[Doubt, ...]:
    """Collect every reason not to trust the run."""
    if not case.count:
        return (Doubt("No request was sent at all.", "client"),)
    found = [*_workers(case), *_busy(case), *_clocks(case), *_logs(case)]
    return (*found, *_unsent(case, found))


def check(case: Case, found: tuple[Doubt, ...]) -> Check:
    """Put the doubts into a check."""
    reports = case.evidence.workers
    sent = sum(each.sent for each in reports)
    planned = sum(each.planned for each in reports)
    more = f" ({len(found) - 1} more below)" if len(found) > 1 else ""
    good = "The load was made as planned, the clocks agree and the logs are whole."
    return Check(
        KEY,
        TITLE,
        Status.INVALID if found else Status.PASS,
        found[0].text + more if found else good,
        "the planned load, by clients with time to spare; clocks that agree; whole logs",
        f"{number(sent)} of {many(planned, 'planned request')} sent by"
        f" {many(len(reports), 'worker')}; {_load(reports)}",
        f"{share(LEAST_SENT)} sent, processor {share(MOST_CPU)} in the median second, lateness p99"
        f" {time(MOST_LAG)}, clocks within {time(MOST_CLOCK)}",
        "Each is measured, none is a sample: a client too slow to be believed would have shown.",
        (*(each.text for each in found[1:]), *_details(case)),
    )


def _load(reports: tuple[WorkerReport, ...]) -> str:
    cpu = max((_cpu(each) for each in reports), default=0.0)
    lag = max((_lag(each) for each in reports), default=0.0)
    return f"processor {share(cpu)}, lateness p99 {time(lag)}"


def _cpu(report: WorkerReport) -> float:
    return float(np.median(report.cpu)) if report.cpu else 0.0


def _lag(report: WorkerReport) -> float:
    return report.lag[2] if len(report.lag) > 2 else 0.0


def _workers(case: Case) -> Iterator[Doubt]:
    reports = case.evidence.workers
    if not reports:
        yield Doubt("No load generator said how it did.", "workers")
    lost = [each.name for each in reports if each.lost]
    if lost:
        yield Doubt(f"{phrases.listed(lost)} was lost before the end.", "workers")
    if reports and len(reports) < case.planned.workers:
        yield Doubt(
            f"{len(reports)} of {many(case.planned.workers, 'load generator')} reported.", "workers"
        )


def _busy(case: Case) -> Iterator[Doubt]:
    for each in case.evidence.workers:
        if _cpu(each) > MOST_CPU:
            yield Doubt(
                f"{each.name} used {share(_cpu(each))} of its processor: latencies are its own."
                " Lower the rate or add workers.",
                "client",
            )
        if _lag(each) > MOST_LAG:
            yield Doubt(
                f"{each.name} sent 1 of 100 requests more than {time(_lag(each))} late by itself"
                f" (limit {time(MOST_LAG)}).",
                "client",
            )


def _unsent(case: Case, found: list[Doubt]) -> Iterator[Doubt]:
    """Tell a client too slow to send what was due from one that waited for the site."""
    planned = sum(each.planned for each in case.evidence.workers)
    sent = sum(each.sent for each in case.evidence.workers)
    if not planned or sent >= LEAST_SENT * planned:
        return
    slow = any(each.weakness in {"client", "workers"} for each in found)
    measured = all(each.cpu and each.lag for each in case.evidence.workers)
    said = (
        f"{number(sent)} of {many(planned, 'planned request')} were sent ({share(sent / planned)})"
    )
    if slow or not measured or not _waited(case):
        yield Doubt(f"{said}.", "client")
    else:
        yield Doubt(f"{said}: the other users were still waiting for answers of the site.")


def _waited(case: Case) -> bool:
    """Tell whether answers took longer than users had for one: the site held them up, not we."""
    turn = case.planned.users / max(case.planned.rate, 1e-9)
    took = case.rows["end"] - case.rows["start"]
    return bool(case.count) and float(took[case.paced].mean()) >= 0.5 * turn


def _clocks(case: Case) -> Iterator[Doubt]:
    for server, away in clocks.offsets(case).items():
        if abs(away.asked or 0.0) > MOST_CLOCK:
            yield Doubt(
                f"The clock of {server} is {time(away.asked or 0.0)} off the operator's: set it.",
                "clock",
            )
        elif away.seen is not None and abs(away.seen) > MOST_CLOCK:
            yield Doubt(
                f"The log of {server} is {time(away.seen)} off the clients' clock, request by"
                " request: set the clocks.",
                "clock",
            )


def _logs(case: Case) -> Iterator[Doubt]:
    for log in case.logs:
        if not log.witness.complete:
            why = log.witness.reason or "for no reason given"
            yield Doubt(f"The log of {log.server} is not whole: {why.rstrip('.')}.", "log")
    there = {log.server for log in case.logs}
    unheard = [each for each in case.loaded_servers if each not in there]
    if case.logs and unheard:
        yield Doubt(f"The log of {phrases.listed(unheard)} was not read.", "log")


def _details(case: Case) -> Iterator[str]:
    for each in case.evidence.workers:
        yield (
            f"{each.name}: {number(each.sent)} of {number(each.planned)} sent, processor"
            f" {share(_cpu(each))}, lateness p99 {time(_lag(each))}"
        )
    for server, away in clocks.offsets(case).items():
        asked = "not asked" if away.asked is None else time(away.asked)
        seen = "not known" if away.seen is None else time(away.seen)
        yield f"{server}: clock {asked} off the operator's, log {seen} off the clients'"
    yield from case.evidence.notes
