"""The stretches of a run: before, each phase of a change, and after. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from rondo.proof import latency, statistics

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rondo.proof.case import Case
    from rondo.proof.statistics import Interval

STEADY, AFTER = "before", "after"
FLOOR = 0.010
"""Seconds by which p99 may rise in any case: less is nothing that a user notices."""
LEAST = 50
"""Requests of a phase; the 99th percentile of fewer is their slowest one, which says nothing."""


@dataclass(frozen=True, slots=True)
class Phase:
    """One stretch of the run, and how late its requests were."""

    name: str
    begin: float
    end: float
    count: int
    p99: Interval


def phases(case: Case) -> tuple[Phase, ...]:
    """Return the stretches of a run with a change: steady first, in the order of time."""
    if case.change is None:
        return ()
    which = latency.judged(case)
    at = case.rows["intended"][which]
    late = case.rows["end"][which] - at
    found = []
    for name, begin, end in _stretches(case):
        values = np.sort(late[(at >= begin) & (at < end)])
        p99 = statistics.quantile(values, 0.99, 2 * statistics.ALPHA)
        found.append(Phase(name, begin, end, len(values), p99))
    return tuple(found)


def _stretches(case: Case) -> Iterator[tuple[str, float, float]]:
    """Yield name, begin and end of each; phases that have the same name are kept apart."""
    if case.change is None:
        return
    begin, end = case.change
    last = case.evidence.began + case.planned.duration
    yield STEADY, case.evidence.began, begin
    cuts = [(begin, "begin")]
    cuts += [(m.at, m.text) for m in case.evidence.marks if m.kind == "phase" and m.at < end]
    edges = [*(at for at, _ in cuts[1:]), end]
    yield from (
        (name, at, until) for (at, name), until in zip(cuts, edges, strict=True) if until > at
    )
    yield AFTER, end, max(end, last)


def limit(steady: Phase, factor: float) -> float:
    """Return the p99 that a phase may have."""
    return max(factor * steady.p99.estimate, steady.p99.estimate + FLOOR)


def too_slow(found: tuple[Phase, ...], factor: float) -> Iterator[Phase]:
    """Yield the phases whose p99 is surely over what the steady state allows."""
    steady, *rest = found
    if steady.count < LEAST:
        return
    for each in rest:
        if each.count >= LEAST and each.p99.low > limit(steady, factor):
            yield each
