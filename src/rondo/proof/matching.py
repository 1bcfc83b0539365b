"""The join of the two witnesses: each client's request with its line in a server's log. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

UNLOGGED = -1


@dataclass(frozen=True, slots=True)
class Match:
    """Where each request is in the logs, and what of the logs belongs to none."""

    log: NDArray[np.int16]
    """Number of the log that has it; UNLOGGED without."""
    line: NDArray[np.int64]
    """Its row there; the first one if there are more."""
    unsent: tuple[NDArray[np.int64], ...]
    """By log: rows that no client sent; lines without a number of ours among them."""
    doubled: tuple[NDArray[np.int64], ...]
    """By log: rows whose request stands in an earlier row, of this log or another."""


def match(ids: NDArray[np.uint64], logs: Sequence[NDArray[np.uint64]]) -> Match:
    """Join by id."""
    counts = [len(each) for each in logs]
    starts = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    every = np.concatenate([*logs, np.empty(0, np.uint64)])
    order = np.argsort(every, kind="stable")
    every = every[order]
    again = np.zeros(len(every), np.bool_)
    again[1:] = (every[1:] == every[:-1]) & (every[1:] != 0)
    known = np.sort(ids)
    foreign = ~_among(every, known)
    at = np.minimum(np.searchsorted(every, ids), max(0, len(every) - 1))
    hit = every[at] == ids if len(every) else np.zeros(len(ids), np.bool_)
    row = np.where(hit, order[at], 0) if len(every) else np.zeros(len(ids), np.int64)
    log = np.searchsorted(starts, row, side="right") - 1
    return Match(
        np.where(hit, log, UNLOGGED).astype(np.int16),
        (row - starts[log]) if len(every) else row,
        _parts(order[foreign], starts),
        _parts(order[again], starts),
    )


def _among(values: NDArray[np.uint64], known: NDArray[np.uint64]) -> NDArray[np.bool_]:
    """Tell which values are in a sorted list."""
    if not len(known):
        return np.zeros(len(values), np.bool_)
    at = np.minimum(np.searchsorted(known, values), len(known) - 1)
    found: NDArray[np.bool_] = known[at] == values
    return found


def _parts(rows: NDArray[np.int64], starts: NDArray[np.int64]) -> tuple[NDArray[np.int64], ...]:
    """Cut rows of all logs, one after the other, into rows of each."""
    rows = np.sort(rows)
    edges = np.searchsorted(rows, starts)
    pairs = zip(edges[:-1], edges[1:], starts[:-1], strict=True)
    return tuple(rows[low:high] - start for low, high, start in pairs)
