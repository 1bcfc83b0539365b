"""How far the clocks of servers and clients are apart, from requests that both wrote down. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from rondo.proof.case import Case, Log


@dataclass(frozen=True, slots=True)
class Away:
    """One server's clock against the others, in seconds; positive if it is ahead."""

    asked: float | None
    """Against the operator's, as asked over SSH."""
    seen: float | None
    """Against the clients', from matched requests."""


def offsets(case: Case) -> dict[str, Away]:
    """Return each server's clock against the operator's and the clients'."""
    return {
        log.server: Away(log.witness.clock, _seen(case, index, log))
        for index, log in enumerate(case.logs)
    }


def _seen(case: Case, index: int, log: Log) -> float | None:
    """Return the nearest offset that puts the median line between start and end of its request.

    Nginx writes the line when the request ends, so that on one clock it lies in between.
    """
    mine = np.flatnonzero((case.match.log == index) & case.answered)
    if not len(mine):
        return None
    time = log.rows["time"][case.match.line[mine]]
    after = float(np.median(time - case.rows["end"][mine]))
    before = float(np.median(time - case.rows["start"][mine]))
    return after if after > 0 else min(0.0, before)


def disagreement(case: Case) -> float:
    """Return how far clients and operator may be apart, at most a second."""
    apart = [
        abs(each.asked - each.seen)
        for each in offsets(case).values()
        if each.asked is not None and each.seen is not None
    ]
    return min(1.0, max(apart, default=0.0))
