"""The knee: the highest rate that holds the objectives, found stage by stage. Pure.

Rates go up by a factor until one does not hold, then halfway (as ratios) between the highest that
held and the lowest that did not. A rate that did not hold counts only if it does not hold a second
time: one bad moment of a shared machine must not end the search far below the knee.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

from rondo.proof import phrases
from rondo.proof.checks.lost import budget
from rondo.proof.verdict import Status

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rondo.objectives import ProofLimits
    from rondo.proof.windows import Window


class Held(Enum):
    """How a stage came out."""

    YES = "held"
    NO = "did not hold"
    CLIENT = "the client was the limit"
    BROKEN = "says nothing"


@dataclass(frozen=True, slots=True)
class Stage:
    """One rate that was tried."""

    rate: float
    held: Held
    why: str
    """What did not hold, or what the client's limit was; empty if all held."""
    window: Window


@dataclass(frozen=True, slots=True)
class Search:
    """How the knee is looked for."""

    start: float
    most: float = 100_000
    least: float = 1
    factor: float = 2.0
    precision: float = 1.1
    """The search ends when the lowest rate that did not hold is at most so many times the highest
    that did."""
    again: int = 2
    """How often a rate must fail to hold to count."""


@dataclass(frozen=True, slots=True)
class Bracket:
    """What the stages so far say: the knee lies between."""

    low: float
    """Highest rate that held; 0 without one."""
    high: float
    """Lowest rate that surely did not; infinite without one."""
    ceiling: Held
    """What ended it there."""
    pending: float | None
    """A rate that did not hold, and is to be tried again."""


@dataclass(frozen=True, slots=True)
class Knee:
    """What the search found."""

    status: Status
    sentence: str
    low: float
    high: float
    client: bool
    """Whether the client was the limit, not the site."""
    stages: tuple[Stage, ...]


def judge(rate: float, window: Window, limits: ProofLimits, duration: float) -> Stage:
    """Judge one stage by itself: lost, delivered, percentiles, and whether the client kept up."""
    if window.broken:
        return Stage(rate, Held.BROKEN, window.broken, window)
    missed = "; ".join(_missed(rate, window, limits, duration))
    if window.client_limit and missed:
        return Stage(rate, Held.CLIENT, f"{window.client_limit}; {missed}", window)
    if window.client_limit:
        return Stage(rate, Held.CLIENT, window.client_limit, window)
    return Stage(rate, Held.NO if missed else Held.YES, missed, window)


def _missed(rate: float, window: Window, limits: ProofLimits, duration: float) -> Iterator[str]:
    if window.lost > budget(limits.errors, window.sent):
        yield f"{window.lost:,} of {window.sent:,} requests lost ({window.complaint})"
    due = window.planned or round(rate * duration)
    answered = window.sent - window.lost
    if due and answered < limits.throughput * due:
        yield f"{answered:,} of {due:,} planned requests answered ({phrases.share(answered / due)})"
    for name in ("p50", "p95", "p99"):
        limit, seen = getattr(limits, name), getattr(window, name)
        if limit is not None and not seen <= limit:
            yield f"{name} {phrases.time(seen)}, the limit is {phrases.time(limit)}"


def objectives(limits: ProofLimits) -> str:
    """Say what a rate must hold."""
    given = ((name, getattr(limits, name)) for name in ("p50", "p95", "p99"))
    said = [f"{name} {phrases.time(value)}" for name, value in given if value is not None]
    answered = f"{phrases.share(limits.throughput)} answered"
    return phrases.listed((f"errors {limits.errors}", answered, *said))


def bracket(search: Search, stages: Sequence[Stage]) -> Bracket:
    """Sum up what the stages say."""
    low = max((each.rate for each in stages if each.held is Held.YES), default=0.0)
    over = Counter(each.rate for each in stages if each.held is not Held.YES and each.rate > low)
    sure = [rate for rate, count in over.items() if count >= search.again]
    high = min(sure, default=math.inf)
    kinds = [each.held for each in stages if each.rate == high]
    # The site's own failure says more than the client's.
    ceiling = Held.NO if Held.NO in kinds else Held.CLIENT if kinds else Held.YES
    pending = [rate for rate in over if rate < high]
    return Bracket(low, high, ceiling, min(pending, default=None))


def next_rate(search: Search, stages: Sequence[Stage]) -> float | None:
    """Return the rate to try next; None when the search is over."""
    if any(each.held is Held.BROKEN for each in stages):
        return None
    if not stages:
        return min(search.start, search.most)
    found = bracket(search, stages)
    if found.pending is not None:
        return found.pending
    if found.high == math.inf:
        return min(found.low * search.factor, search.most) if found.low < search.most else None
    return _between(search, found)


def _between(search: Search, found: Bracket) -> float | None:
    if not found.low:
        lower = found.high / search.factor
        return lower if lower >= search.least else None
    if found.high / found.low <= search.precision:
        return None
    return rounded(math.sqrt(found.low * found.high), found)


def rounded(rate: float, found: Bracket) -> float:
    """Return a rate of three digits where that still lies between the two ends."""
    short = float(f"{rate:.3g}")
    return short if found.low < short < found.high else rate


def conclude(search: Search, stages: Sequence[Stage], limits: ProofLimits) -> Knee:
    """Say what the stages found."""
    found = bracket(search, stages)
    broken = next((each.why for each in stages if each.held is Held.BROKEN), "")
    client = found.high < math.inf and found.ceiling is Held.CLIENT
    status = Status.PASS if found.low else Status.INVALID if client else Status.FAIL
    if broken or not stages:
        status = Status.INVALID
    return Knee(
        status,
        f"Nothing can be said: {broken}." if broken else _sentence(search, stages, limits),
        found.low,
        found.high,
        client,
        tuple(stages),
    )


def _sentence(search: Search, stages: Sequence[Stage], limits: ProofLimits) -> str:
    found = bracket(search, stages)
    wanted = objectives(limits)
    last = next((each for each in stages if each.rate == found.high and each.why), None)
    why = f" ({last.why})" if last else ""
    if found.high == math.inf:
        return (
            f"{_per_second(found.low)} held ({wanted}), which is as much as was to be tried: "
            f"the site takes more."
        )
    if found.ceiling is Held.CLIENT:
        held = f"At least {_per_second(found.low)} held ({wanted})" if found.low else "None held"
        return (
            f"{held}; at {_per_second(found.high)} the client was the limit, not the site{why}. "
            f"The site may take more: let other machines make the load with --workers."
        )
    if not found.low:
        return f"Not even {_per_second(found.high)} held ({wanted}){why}."
    return (
        f"The site takes {_per_second(found.low)} ({wanted}); "
        f"{_per_second(found.high)} did not hold{why}."
    )


def _per_second(rate: float) -> str:
    return f"{phrases.number(float(f'{rate:.3g}'))} requests a second"
