"""Latencies of a run: percentiles, medians of many groups at once, and gaps. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from rondo.proof.records import Outcome

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from rondo.proof.case import Case


def medians(
    values: NDArray[np.float64], groups: NDArray[np.int64], count: int
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return the median and the number of values of each group; nan for one without any."""
    order = np.lexsort((values, groups))
    ordered = values[order]
    sizes = np.bincount(groups, minlength=count)
    first = np.cumsum(sizes) - sizes
    some = np.flatnonzero(sizes)
    found = np.full(count, np.nan)
    low = ordered[first[some] + (sizes[some] - 1) // 2]
    found[some] = (low + ordered[first[some] + sizes[some] // 2]) / 2
    return found, sizes


def intended(case: Case, which: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return latencies from the intended start, sorted: what a user would have waited."""
    rows = case.rows
    return np.sort(rows["end"][which] - rows["intended"][which])


def service(case: Case, which: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return times from sending to the whole answer, sorted."""
    rows = case.rows
    return np.sort(rows["end"][which] - rows["start"][which])


def judged(case: Case) -> NDArray[np.bool_]:
    """Tell which requests latency is judged on.

    Those of the rate, after the warm-up, that got an answer or waited in vain to the end of their
    time; a refused connection is no fast answer.
    """
    rows = case.rows
    outcome = rows["outcome"]
    late = rows["intended"] >= case.evidence.began + case.planned.warm_up
    waited = (outcome <= Outcome.WRONG) | (outcome == Outcome.TIMEOUT)
    which: NDArray[np.bool_] = case.paced & late & waited
    return which


def longest_gap(case: Case) -> tuple[float, float]:
    """Return the longest time without a right answer, and when it began."""
    began = case.evidence.began
    ends = np.sort(case.rows["end"][case.right])
    last = case.rows["end"].max(initial=began)
    edges = np.concatenate([[began], ends, [last]])
    steps = np.diff(edges)
    at = int(np.argmax(steps))
    return float(steps[at]), float(edges[at])
