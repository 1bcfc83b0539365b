"""Evidence to series of at most some hundred points: rates, latency percentiles, histograms."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from rondo.proof.records import Outcome
from rondo.proof.report.runfile import Histogram, Series

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from rondo.proof.evidence import Evidence

    Floats = NDArray[np.float64]
    Counts = NDArray[np.int64]
    Flags = NDArray[np.bool_]

WIDTHS = (1.0, 2.0, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0)
MOST = 300
"""Intervals of a run, so that its page stays small; more would be finer than a screen shows."""
PER_DECADE = 10
SHORTEST, LONGEST = -50, 30  # buckets from 10 microseconds to 1000 s
PROBE = "probe"
"""Name of the step that is sent beside the planned rate."""


@dataclass(frozen=True, slots=True)
class Grid:
    """The run's time, cut into intervals of equal width."""

    began: float
    width: float
    count: int

    def index(self, times: Floats) -> Counts:
        """Return the interval of each time; what is a little outside belongs to the nearest."""
        found = np.floor((times - self.began) / self.width).astype(np.int64)
        return np.clip(found, 0, self.count - 1)

    def counted(self, times: Floats) -> tuple[int, ...]:
        """Return how many times are in each interval."""
        return numbers(np.bincount(self.index(times), minlength=self.count))


def numbers(counts: Any) -> tuple[int, ...]:  # noqa: ANN401 - what bincount returns
    """Return Python's own numbers."""
    return tuple(counts.tolist())


def grid(evidence: Evidence) -> Grid:
    """Choose the intervals of a run: whole seconds, and answers after its end if they are late."""
    rows = evidence.requests.rows
    length = max(evidence.planned.duration, 1.0)
    last = float(rows["end"].max()) - evidence.began if len(rows) else 0.0
    width = next((each for each in WIDTHS if length <= each * MOST), length / MOST)
    whole = int(np.ceil(length / width - 1e-9))
    # The last answers always come a little after the end: no interval of their own for these.
    late = int(np.ceil(last / width)) if last > (whole + 1) * width else whole
    return Grid(evidence.began, width, min(max(whole, late), 2 * MOST))


def paced(evidence: Evidence) -> Flags:
    """Tell which requests belong to the planned rate."""
    steps = [index for index, name in enumerate(evidence.planned.steps) if name == PROBE]
    return ~np.isin(evidence.requests.rows["step"], steps)


def series(evidence: Evidence, cut: Grid) -> Series:
    """Count what clients saw in each interval, and take the percentiles of each."""
    rows = evidence.requests.rows[paced(evidence)]
    outcome, end = rows["outcome"], rows["end"]
    lost = outcome >= Outcome.TRANSPORT
    p50, p95, p99 = percentiles(cut.index(rows["intended"]), waited(rows), cut.count)
    return Series(
        width=cut.width,
        sent=cut.counted(rows["start"]),
        right=cut.counted(end[outcome == Outcome.RIGHT]),
        wrong=cut.counted(end[outcome == Outcome.WRONG]),
        lost=cut.counted(end[lost]),
        p50=p50,
        p95=p95,
        p99=p99,
    )


def waited(rows: NDArray[np.void]) -> Floats:
    """Return what a user would have waited for each request, from its intended start."""
    found: Floats = np.maximum(rows["end"] - rows["intended"], 0.0)
    return found


def percentiles(
    interval: Counts, values: Floats, count: int, levels: tuple[float, ...] = (0.5, 0.95, 0.99)
) -> tuple[tuple[float | None, ...], ...]:
    """Return percentiles (nearest rank) of the values of each interval; None without any."""
    ordered = values[np.lexsort((values, interval))]
    sizes = np.bincount(interval, minlength=count)
    firsts = np.cumsum(sizes) - sizes
    found = []
    for level in levels:
        rank = firsts + np.maximum(np.ceil(level * sizes - 1e-9).astype(np.int64) - 1, 0)
        found.append(tuple(_at(ordered, rank[i]) if sizes[i] else None for i in range(count)))
    return tuple(found)


def _at(ordered: Floats, rank: int) -> float:
    return significant(float(ordered[rank]))


def significant(value: float) -> float:
    """Keep four digits: more is noise, and makes files long."""
    return float(f"{value:.4g}")


def histogram(evidence: Evidence) -> Histogram:
    """Count latencies in logarithmic buckets, without those that are empty at both ends."""
    rows = evidence.requests.rows[paced(evidence)]
    intended = _buckets(waited(rows))
    service = _buckets(rows["end"] - rows["start"])
    used = np.flatnonzero(intended + service)
    low, high = (int(used[0]), int(used[-1]) + 1) if len(used) else (0, 0)
    return Histogram(
        per_decade=PER_DECADE,
        first=SHORTEST + low,
        intended=numbers(intended[low:high]),
        service=numbers(service[low:high]),
    )


def _buckets(seconds: Floats) -> Counts:
    shortest = 10.0 ** (SHORTEST / PER_DECADE)
    exact = np.log10(np.maximum(seconds, shortest)) * PER_DECADE - SHORTEST
    found = np.clip(np.floor(exact + 1e-9).astype(np.int64), 0, LONGEST - SHORTEST - 1)
    return np.bincount(found, minlength=LONGEST - SHORTEST)
