"""Two sides compared by windows of load that take turns on the same machines. Pure.

Absolute figures of a shared machine are worthless: three identical runs gave 18, 42 and 27 thousand
requests a second. The two windows of a pair are neighbours in time, so that what the machine does
to one it does to the other. The logarithm of the ratio of each pair is one value, and Student's t
over these is the interval. Beside it stand the ratios of windows of the same side.
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass, replace
from enum import Enum
from statistics import median
from typing import TYPE_CHECKING, Literal

from scipy import special

from rondo.proof import phrases
from rondo.proof.checks.lost import budget
from rondo.proof.statistics import SEEN, Interval
from rondo.proof.verdict import Status

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from rondo.proof.windows import Window

CONFIDENCE = 0.99
FEWEST_PAIRS = 8

Side = Literal["A", "B"]


class Measure(Enum):
    """What windows are compared by."""

    THROUGHPUT = "throughput"
    P50 = "p50"
    P95 = "p95"

    def of(self, window: Window) -> float:
        """Return the figure of a window."""
        if self is Measure.THROUGHPUT:
            return window.rate
        return window.p50 if self is Measure.P50 else window.p95

    @property
    def title(self) -> str:
        """What it is called in a table."""
        return _TITLES[self]

    def written(self, value: float) -> str:
        """Write a figure with its unit."""
        return f"{value:,.1f}/s" if self is Measure.THROUGHPUT else phrases.time(value)


_TITLES = {
    Measure.THROUGHPUT: "answers a second, closed loop",
    Measure.P50: "median latency, paced",
    Measure.P95: "95th percentile of latency, paced",
}
CLOSED = (Measure.THROUGHPUT,)
PACED = (Measure.P50, Measure.P95)


@dataclass(frozen=True, slots=True)
class Pair:
    """Two windows that are neighbours in time."""

    first: Side
    """Which side went first."""
    a: Window
    b: Window


@dataclass(frozen=True, slots=True)
class Comparison:
    """What the pairs say by one measure."""

    measure: Measure
    ratio: Interval
    """B's figure by A's."""
    spread: tuple[float, float]
    """How many times a window of A, and of B, differed from its neighbour of the same side."""
    smallest: float
    """The smallest ratio that would have been told from 1 in 95 of 100 comparisons."""
    typical: tuple[float, float]
    """Geometric means of A and of B."""
    pairs: int

    @property
    def differ(self) -> bool:
        """Whether the two sides were told apart."""
        return not self.ratio.low <= 1 <= self.ratio.high


@dataclass(frozen=True, slots=True)
class Contest:
    """A whole comparison: what was compared, and what came out."""

    names: tuple[str, str]
    """What A and B are."""
    status: Status
    sentence: str
    comparisons: tuple[Comparison, ...]


def order(run: str, pairs: int) -> tuple[Side, ...]:
    """Say which side goes first in each pair: by chance, yet each in half of the pairs.

    What drifts during a pair then favours neither. The run's id is the seed.
    """
    sides: list[Side] = [("A", "B")[number % 2] for number in range(pairs)]
    random.Random(run).shuffle(sides)  # noqa: S311 - no secret: it must come out the same again
    return tuple(sides)


def compare(measure: Measure, pairs: Sequence[Pair], confidence: float = CONFIDENCE) -> Comparison:
    """Compare by one measure; every figure must be above zero and finite."""
    first = [math.log(measure.of(pair.a)) for pair in pairs]
    second = [math.log(measure.of(pair.b)) for pair in pairs]
    ratios = [b - a for a, b in zip(first, second, strict=True)]
    count = len(ratios)
    mean = math.fsum(ratios) / count
    error = math.sqrt(math.fsum((each - mean) ** 2 for each in ratios) / (count - 1) / count)
    limit = float(special.stdtrit(count - 1, (1 + confidence) / 2))
    reach = limit * error
    # How many standard errors the truth must be off 1 for t to be beyond its limit so often.
    away = float(special.nctdtrinc(count - 1, 1 - SEEN, limit))
    return Comparison(
        measure,
        Interval(*(math.exp(each) for each in (mean - reach, mean, mean + reach))),
        (_spread(first), _spread(second)),
        math.exp(away * error),
        (math.exp(math.fsum(first) / count), math.exp(math.fsum(second) / count)),
        count,
    )


def _spread(figures: Sequence[float]) -> float:
    """Return the most that neighbours of one side differ, as a ratio of at least 1."""
    apart = (abs(a - b) for a, b in zip(figures[::2], figures[1::2], strict=False))
    return math.exp(max(apart))


def judge(
    names: tuple[str, str], rounds: Sequence[tuple[Sequence[Measure], Sequence[Pair]]], errors: str
) -> Contest:
    """Judge each kind of load by its pairs; `errors` is how many requests a side may lose."""
    windows = [window for _, pairs in rounds for pair in pairs for window in (pair.a, pair.b)]
    broken = next((window.broken for window in windows if window.broken), "")
    if broken:
        return Contest(names, Status.INVALID, f"Nothing can be said: {broken}.", ())
    if loss := _loss(names, rounds, errors):
        return Contest(names, Status.FAIL, loss, ())
    comparisons = tuple(compare(measure, pairs) for kinds, pairs in rounds for measure in kinds)
    if limit := _limit(rounds):
        return Contest(
            names, Status.INVALID, f"The client was the limit, not the site: {limit}.", comparisons
        )
    return Contest(
        names,
        Status.PASS,
        " ".join(sentence(names, each) for each in comparisons),
        comparisons,
    )


def _limit(rounds: Sequence[tuple[Sequence[Measure], Sequence[Pair]]]) -> str:
    """Say what was too much for the client in most windows of a side; empty if nothing was.

    Single bad moments are noise, which the interval shows; a client that is always too slow makes
    two sides alike that are not. Without a schedule nothing is late.
    """
    for measures, pairs in rounds:
        for windows in ([pair.a for pair in pairs], [pair.b for pair in pairs]):
            cpu = median(each.cpu for each in windows)
            lag = 0.0 if Measure.THROUGHPUT in measures else median(each.lag for each in windows)
            if limit := replace(windows[0], cpu=cpu, lag=lag).client_limit:
                return limit
    return ""


def _loss(
    names: tuple[str, str],
    rounds: Sequence[tuple[Sequence[Measure], Sequence[Pair]]],
    errors: str,
) -> str:
    """Say which side lost more than it may: how fast it is does not matter then."""
    sides: tuple[Callable[[Pair], Window], ...] = (lambda pair: pair.a, lambda pair: pair.b)
    for name, of in zip(names, sides, strict=True):
        windows = [of(pair) for _, pairs in rounds for pair in pairs]
        lost, sent = sum(each.lost for each in windows), sum(each.sent for each in windows)
        if lost > budget(errors, sent):
            first = next(each.complaint for each in windows if each.lost)
            return f"{name} lost {lost:,} of {sent:,} requests, so it is not compared: {first}."
    return ""


def sentence(names: tuple[str, str], comparison: Comparison) -> str:
    """Say in one sentence what came out by one measure."""
    a, b = names
    spread = max(comparison.spread)
    wider = names[comparison.spread.index(spread)]
    noise = f"two windows of {wider} differ by up to {times(spread)}"
    if not comparison.differ:
        return (
            f"{_noun(comparison.measure)}: no difference was seen between {a} and {b}, "
            f"the ratio is {_interval(comparison.ratio)}; {noise}, "
            f"and a difference of {times(comparison.smallest)} would have been seen."
        )
    if comparison.measure is Measure.THROUGHPUT:
        return f"{b} is {_interval(comparison.ratio, ' times')} as fast as {a}; {noise}."
    return (
        f"{_noun(comparison.measure)}: {b} takes {_interval(comparison.ratio, ' times')} "
        f"as long as {a}; {noise}."
    )


def _noun(measure: Measure) -> str:
    return {
        Measure.THROUGHPUT: "Throughput",
        Measure.P50: "Median latency",
        Measure.P95: "95th percentile",
    }[measure]


def _interval(ratio: Interval, after: str = "") -> str:
    return f"{times(ratio.estimate)}{after} ({times(ratio.low)} to {times(ratio.high)})"


def times(ratio: float) -> str:
    """Write a ratio with as many digits as tell it from 1."""
    near = abs(ratio - 1) < 0.0095
    return f"{ratio:.3f}" if near else f"{ratio:.2f}"
