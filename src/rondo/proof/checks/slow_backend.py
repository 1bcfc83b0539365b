"""Tell whether one backend was slower than the others beside it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import special

from rondo.proof import statistics
from rondo.proof.finding import ON_CLIENT, Fault, Finding, skipped
from rondo.proof.latency import medians
from rondo.proof.phrases import many

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from rondo.proof.case import Case
    from rondo.proof.statistics import Mean
    from rondo.proof.turns import Place

KEY, TITLE = "slow_backend", "No slow backend"
_LEAST_BINS = 5
_USUAL_BINS = 24
_LEAST_REQUESTS = 4
"""Of a slot in a bin; fewer make no median worth the name."""
_USUAL_REQUESTS = 12
"""Of a slot in a bin, on average: at low rates a bin is longer than a second."""


@dataclass(frozen=True, slots=True)
class Pace:
    """How one slot compares with those beside it, bin by bin."""

    place: Place
    mean: Mean
    bins: int

    def factor(self) -> float:
        """Return how many times slower it was than the others."""
        return math.exp(self.mean.estimate)


def judge(case: Case) -> Finding:
    """Compare each slot with the other slots of its server, second by second."""
    limit = case.limits.slow_backend
    expected = f"no slot more than {limit:g} times slower than those beside it"
    width = _width(case)
    paces = [each for group in _groups(case) for each in _compare(case, group, width)]
    if not paces:
        return skipped(KEY, TITLE, expected, _why_not(case))
    alpha = statistics.ALPHA / len(paces)
    faults = [fault for each in paces for fault in _fault(each, limit, alpha)]
    worst = max(paces, key=lambda each: each.mean.estimate)
    return Finding(
        KEY,
        TITLE,
        _good(worst, limit),
        expected,
        f"{worst.place.name} took {worst.factor():.3f} times as long as the others",
        f"the factor's lower limit (one false alarm in 10,000 runs) may not be over {limit:g}",
        _power(paces, limit, alpha, width),
        tuple(faults),
        tuple(_line(each, alpha) for each in paces),
    )


def _good(worst: Pace, limit: float) -> str:
    """Tell a slot that kept pace from one that was late too unevenly to be sure of it."""
    name, factor = worst.place.name, f"{worst.factor():.3f} times as long"
    if worst.factor() > limit:
        return (
            f"No slot was surely {limit:g} times slower than the others: {name} took {factor}, but"
            " so unevenly that it may be chance. Load for longer to be sure."
        )
    return (
        f"No slot was {limit:g} times slower than the others; the slowest, {name}, took {factor}."
    )


def _why_not(case: Case) -> str:
    slots = max((len(each.slots) for each in case.expected.upstreams), default=0)
    if slots < 2:
        return "No server has two slots of one service to compare."
    return "The run was too short, or its rate too low, to compare the slots of a server."


def _groups(case: Case) -> Iterator[list[int]]:
    """Yield the places of each upstream with two slots or more; they share a server."""
    for index, upstream in enumerate(case.expected.upstreams):
        if len(upstream.slots) > 1:
            yield [n for n, place in enumerate(case.places) if place.upstream == index]


def _usable(case: Case) -> NDArray[np.bool_]:
    """Right answers at the first try, after the warm-up and outside of a change."""
    rows = case.rows
    good = case.right & case.paced & (case.place >= 0)
    good &= rows["intended"] >= case.evidence.began + case.planned.warm_up
    if case.told:
        good &= case.seen.tries[rows["seen"]] <= 1
    if case.change:
        good &= (rows["start"] < case.change[0]) | (rows["start"] > case.change[1])
    return good


def _width(case: Case) -> float:
    """Return the seconds of a bin.

    One; less in a short run, so that there are enough of them, and more at a low rate, so that each
    has enough requests of every slot.
    """
    inside = [n for group in _groups(case) for n in group]
    busy = np.bincount(case.place[case.place >= 0], minlength=len(case.places))[inside]
    seconds = max(case.planned.duration - case.planned.warm_up, 1e-3)
    fewest = int(busy[busy > 0].min(initial=1 << 60))
    return max(min(1.0, seconds / _USUAL_BINS), _USUAL_REQUESTS * seconds / fewest)


def _compare(case: Case, group: list[int], width: float) -> Iterator[Pace]:
    slot = np.full(len(case.places) + 2, -1)
    slot[group] = np.arange(len(group))
    mine = slot[case.place]
    here = np.flatnonzero((mine >= 0) & _usable(case))
    if not len(here):
        return
    rows = case.rows[here]
    pace = _normal(np.log(np.maximum(rows["end"] - rows["start"], 1e-6)), rows["step"])
    bins = ((rows["start"] - case.evidence.began) // width).astype(np.int64)
    bins -= bins.min()
    size = int(bins.max()) + 1
    middle, counts = medians(pace, mine[here] * size + bins, len(group) * size)
    middle, counts = middle.reshape(-1, size), counts.reshape(-1, size)
    for number, place in enumerate(group):
        found = _pace(case.places[place], number, middle, counts)
        if found:
            yield found


def _normal(pace: NDArray[np.float64], step: NDArray[np.uint16]) -> NDArray[np.float64]:
    """Take from each request what is usual for its step, so that like is compared with like."""
    usual, _ = medians(pace, step.astype(np.int64), int(step.max()) + 1)
    return pace - usual[step]


def _pace(
    place: Place, number: int, middle: NDArray[np.float64], counts: NDArray[np.int64]
) -> Pace | None:
    """Subtract from one slot's medians those of the slots beside it, where all have some."""
    enough = counts >= _LEAST_REQUESTS
    beside = np.delete(np.arange(len(middle)), number)
    beside = beside[enough[beside].sum(axis=1) >= _LEAST_BINS]
    if not len(beside):
        return None
    both = enough[number] & enough[beside].all(axis=0)
    if both.sum() < _LEAST_BINS:
        return None
    apart = middle[number, both] - middle[np.ix_(beside, np.flatnonzero(both))].mean(axis=0)
    return Pace(place, statistics.mean_of(apart), int(both.sum()))


def _fault(found: Pace, limit: float, alpha: float) -> Iterator[Fault]:
    lower = math.exp(found.mean.lower(alpha))
    if lower > limit:
        yield Fault(
            f"{found.place.name} took {found.factor():.2f} times as long as the slots beside it"
            f" (at least {lower:.2f} times, over {many(found.bins, 'interval')}); the limit is"
            f" {limit:g}.",
            ON_CLIENT,
        )


def _power(paces: list[Pace], limit: float, alpha: float, width: float) -> str:
    """Say which factor would have been seen, from the spread that was."""
    reach = max(
        each.mean.reach(alpha)
        + float(special.stdtrit(each.mean.freedom, statistics.SEEN)) * each.mean.error
        for each in paces
    )
    factor = limit * math.exp(min(reach, 50))
    seconds = "second" if width == 1 else f"{width:.2g} s"
    return (
        f"A slot {factor:.2f} times slower than the others would have been seen in 95 of 100 runs"
        f" like this one ({many(min(each.bins for each in paces), 'comparison')}, one each"
        f" {seconds}); load for longer to see less."
    )


def _line(found: Pace, alpha: float) -> str:
    low, high = math.exp(found.mean.lower(alpha)), math.exp(min(50, found.mean.upper(alpha)))
    return f"{found.place.name}: {found.factor():.3f} times the others ({low:.3f} to {high:.3f})"
