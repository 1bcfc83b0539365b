"""Which release each slot had to answer with, and when. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from rondo.proof import clocks

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from rondo.proof.case import Case, Log

_GRACE = 0.1
"""Seconds for the news of a mark to travel, and for rounding."""
_NO_ANSWER = (502, 503, 504)
"""Nginx's own answers: no application was there to say its release."""


@dataclass(frozen=True, slots=True)
class Answers:
    """Answers of one witness: who, when and with which release."""

    place: NDArray[np.int16]
    start: NDArray[np.float64]
    end: NDArray[np.float64]
    release: NDArray[np.int32]
    names: tuple[str, ...]
    status: NDArray[np.uint16]
    by: str


@dataclass(frozen=True, slots=True)
class Stray:
    """Answers of one slot with a release that it must not have had."""

    place: int
    release: str
    count: int
    first: float
    stale: bool
    """Whether it is the release of before the change, answered after it was gone."""
    rows: NDArray[np.int64]


def answers(case: Case) -> Iterator[Answers]:
    """Yield what clients saw, if servers told them, and else what each server logged."""
    if case.told:
        rows, table = case.rows, case.seen
        seen = rows["seen"]
        yield Answers(
            table.last[seen],
            rows["start"],
            rows["end"],
            table.release[seen],
            table.releases,
            rows["status"],
            "clients",
        )
        return
    for log in case.logs:
        yield _logged(log)


def _logged(log: Log) -> Answers:
    away = log.witness.clock or 0.0
    end = log.rows["time"] - away
    rows = log.rows
    return Answers(
        log.last,
        end - rows["seconds"],
        end,
        rows["release"].astype(np.int32),
        log.texts,
        rows["status"],
        log.server,
    )


def strays(case: Case, found: Answers) -> Iterator[Stray]:
    """Yield what each slot answered with that it must not."""
    before = {(each.server, each.slot): each.release for each in case.expected.before}
    after = {(each.server, each.slot): each.release for each in case.expected.after}
    spoke = ~np.isin(found.status, _NO_ANSWER) & (found.status != 0)
    for index, place in enumerate(case.places):
        key = (place.server, place.slot)
        old, new = before.get(key, ""), after.get(key, before.get(key, ""))
        mine = np.flatnonzero((found.place == index) & spoke)
        if len(mine) and old and new:
            yield from _of_slot(case, found, mine, index, old, new)


def _of_slot(  # noqa: PLR0913, PLR0917 - one slot, with all that is known of it
    case: Case, found: Answers, mine: NDArray[np.int64], index: int, old: str, new: str
) -> Iterator[Stray]:
    release = found.release[mine]
    for number in np.unique(release):
        name = found.names[number]
        rows = mine[release == number]
        if name not in {old, new}:
            yield _stray(found, rows, index, name, stale=False)
        elif old != new:
            begin, gone = _turning(case, index)
            if name == old:
                late = rows[found.start[rows] > gone]
                yield from _some(found, late, index, name, stale=True)
            else:
                early = rows[found.end[rows] < begin]
                yield from _some(found, early, index, name, stale=False)


def _turning(case: Case, index: int) -> tuple[float, float]:
    """Return from when a slot may have the new release, and until when the old one."""
    slack = _GRACE + clocks.disagreement(case)
    if case.change is None:
        return float("-inf"), float("inf")
    begin, end = case.change
    place = case.places[index]
    gone = [
        each.at
        for each in case.evidence.marks
        if each.kind == "drained" and (each.server, each.slot) == (place.server, place.slot)
    ]
    return begin - slack, max(gone, default=end) + slack


def _some(
    found: Answers, rows: NDArray[np.int64], index: int, name: str, *, stale: bool
) -> Iterator[Stray]:
    if len(rows):
        yield _stray(found, rows, index, name, stale=stale)


def _stray(found: Answers, rows: NDArray[np.int64], index: int, name: str, *, stale: bool) -> Stray:
    return Stray(index, name, len(rows), float(found.start[rows].min()), stale, rows)
