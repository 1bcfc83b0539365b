"""When each request is due, and which user makes it. Pure.

The schedule is one for the whole run and fixed before it begins (open loop): request k of a plain
run is due k/rate seconds after the beginning, whatever became of the requests before it. A round
is one request of every user. Were the order in a round always the same, users and backends could
fall into step (12 users, 3 backends: each user would always meet the same one), so blocks of
neighbours change places from round to round, by a number drawn from the run's id.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rondo.proof.brief import Brief

PROBES = 10
"""Requests of the probe a second."""

_SMALLEST_BLOCK = 8
_MASK = (1 << 64) - 1


@dataclass(frozen=True, slots=True)
class Schedule:
    """When the requests of a run are due, stage by stage."""

    starts: tuple[float, ...]
    """Seconds from the beginning of the run to that of each stage."""
    firsts: tuple[int, ...]
    """Number of the first request of each stage."""
    rates: tuple[float, ...]
    total: int
    """How many requests are due in the whole run."""

    @classmethod
    def of(cls, brief: Brief) -> Self:
        """Lay out the stages of a brief: those of its ramp, or the one of its rate."""
        starts, firsts, clock, number = [], [], 0.0, 0
        stages = brief.ramp or ((brief.rate, brief.duration),)
        for rate, seconds in stages:
            starts.append(clock)
            firsts.append(number)
            clock += seconds
            # Rounded, or 0.1 + 0.2 requests would be one more than 0.3 are.
            number += math.ceil(round(rate * seconds, 6))
        return cls(tuple(starts), tuple(firsts), tuple(rate for rate, _ in stages), number)

    def due(self, number: int) -> float:
        """Return the seconds from the beginning to the intended start of a request."""
        stage = bisect_right(self.firsts, number) - 1
        return self.starts[stage] + (number - self.firsts[stage]) / self.rates[stage]


def rate_at(brief: Brief, seconds: float) -> float:
    """Return the rate that is driven so long after the beginning."""
    schedule = Schedule.of(brief)
    return schedule.rates[max(0, bisect_right(schedule.starts, seconds) - 1)]


def turns(brief: Brief, user: int) -> Iterator[int]:
    """Yield the numbers of the requests that a user makes, in order."""
    total = Schedule.of(brief).total
    block, first, size = _block(brief.users, user)
    seed = int(brief.run, 16) ^ block << 48
    for lap in count():
        start = lap * brief.users
        if start >= total:
            return
        number = start + first + (user - first + _mixed(seed + lap)) % size
        if number < total:
            yield number


def planned(brief: Brief, user: int) -> int:
    """Count the requests that a user has to make, without walking through them all."""
    total = Schedule.of(brief).total
    laps, rest = divmod(total, brief.users)
    block, first, size = _block(brief.users, user)
    seed = int(brief.run, 16) ^ block << 48
    return laps + (first + (user - first + _mixed(seed + laps)) % size < rest)


def _block(users: int, user: int) -> tuple[int, int, int]:
    """Find the neighbours that a user changes places with: their number, first and how many.

    A quarter of the users at most: so the time between two requests of a user is never shorter
    than three quarters of a round. With few users it is shorter, yet spreads them as well.
    """
    blocks = max(1, users // max(_SMALLEST_BLOCK, users // 4))
    block = (user * blocks + blocks - 1) // users
    while block * users // blocks > user:
        block -= 1
    first = block * users // blocks
    return block, first, (block + 1) * users // blocks - first


def _mixed(value: int) -> int:
    """Spread a counter over 64 bits (splitmix64)."""
    value = (value + 1) * 0x9E3779B97F4A7C15 & _MASK
    value = (value ^ value >> 30) * 0xBF58476D1CE4E5B9 & _MASK
    value = (value ^ value >> 27) * 0x94D049BB133111EB & _MASK
    return value ^ value >> 31
