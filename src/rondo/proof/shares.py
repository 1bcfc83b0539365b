"""How evenly the slots of one upstream took their turns, against the bound that Nginx keeps. Pure.

Smooth weighted round robin is exact: among the first N choices of one Nginx worker no slot is more
than one away from N times its share, so that any stretch of them is within two. W workers that
count on their own make 2 W of it. Everything else that takes a turn is counted, not guessed:
retries, requests of others, and at a reload the counters begin anew.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from rondo.proof import statistics

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Slack:
    """What widens the bound, one by one."""

    workers: int
    reloads: int = 0
    retries: int = 0
    foreign: int = 0
    """Requests whose turn is not known; those that the log has by slot are counted in instead."""

    @property
    def bound(self) -> int:
        """How far a slot may be from its share."""
        return 2 * self.workers * (1 + self.reloads) + self.retries + self.foreign

    def words(self) -> str:
        """Say what the bound is made of."""
        parts = [f"2 x {self.workers} for Nginx's counters"]
        parts += [f"{2 * self.workers * self.reloads} for reloads"] * bool(self.reloads)
        parts += [f"{self.retries} for retries"] * bool(self.retries)
        parts += [f"{self.foreign} for requests of others"] * bool(self.foreign)
        return " + ".join(parts)


@dataclass(frozen=True, slots=True)
class Shares:
    """What the slots of an upstream took, and what was due to them."""

    counts: NDArray[np.int64]
    due: NDArray[np.float64]

    @property
    def away(self) -> NDArray[np.float64]:
        """How far each is from its due."""
        return self.counts - self.due

    @property
    def worst(self) -> int:
        """The slot that is furthest away."""
        return int(np.argmax(np.abs(self.away)))


def shares(counts: NDArray[np.int64], weights: Sequence[float]) -> Shares:
    """Compare counts with weights."""
    parts = np.asarray(weights, np.float64)
    return Shares(counts, counts.sum() * parts / parts.sum())


@dataclass(frozen=True, slots=True)
class Excursion:
    """Where, along the run, a slot was furthest beyond what was possible."""

    slot: int
    at: float
    taken: int
    due: float
    bound: float

    @property
    def beyond(self) -> float:
        """How far; positive only if the policy cannot have been a round robin."""
        return abs(self.taken - self.due) - self.bound


def excursion(
    slots: NDArray[np.int64],
    starts: NDArray[np.float64],
    ends: NDArray[np.float64],
    weights: Sequence[float],
    slack: Slack,
) -> Excursion | None:
    """Follow the log from line to line, and return the moment furthest beyond the bound.

    When a line is written, those chosen so far are the lines so far and the requests in flight,
    each of which can move a slot by one: so the bound widens, at that moment, by their number.
    """
    if not len(slots):
        return None
    order = np.argsort(ends, kind="stable")
    slots, now = slots[order], ends[order]
    flying = _in_flight(np.sort(starts), now)
    parts = np.asarray(weights, np.float64)
    parts = parts / parts.sum()
    worst: Excursion | None = None
    lines = np.arange(1, len(slots) + 1)
    for slot, share in enumerate(parts):
        taken = np.cumsum(slots == slot)
        beyond = np.abs(taken - lines * share)
        beyond -= flying
        at = int(np.argmax(beyond))
        bound = float(slack.bound + flying[at])
        found = Excursion(slot, float(now[at]), int(taken[at]), float(lines[at] * share), bound)
        worst = found if worst is None or found.beyond > worst.beyond else worst
    return worst


# The log has milliseconds, and Nginx looks at the clock once per round of its event loop.
_GRAIN = 0.004


def _in_flight(starts: NDArray[np.float64], now: NDArray[np.float64]) -> NDArray[np.int64]:
    """Count the requests begun but not logged at the time of each line."""
    begun = np.searchsorted(starts, now + _GRAIN, side="right")
    flying: NDArray[np.int64] = begun - np.arange(1, len(now) + 1)
    return np.maximum(flying, 0)


def beyond_chance(found: Shares, tests: int, alpha: float = statistics.ALPHA) -> list[int]:
    """Return the slots whose counts independent choices give in fewer than alpha of all runs."""
    total = int(found.counts.sum())
    strange = []
    for slot, count in enumerate(found.counts):
        low, high = statistics.binomial_bounds(total, float(found.due[slot]) / total, alpha / tests)
        if not low <= count <= high:
            strange.append(slot)
    return strange


def seen_shift(found: Shares, bound: float) -> float:
    """Return the smallest change of a slot's share, as a part of it, that is seen for certain.

    A wrong round robin keeps within its own bound of its own shares, so that it takes twice.
    """
    rarest = float(found.due.min())
    return 2 * bound / rarest if rarest else float("inf")
