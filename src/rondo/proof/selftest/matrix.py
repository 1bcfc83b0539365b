"""What is still to be run, and what the runs so far show. Pure."""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from rondo.errors import InputError
from rondo.proof.selftest.rows import BY_NAME, ROWS
from rondo.proof.verdict import Status

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from rondo.proof.selftest.ledger import Entry
    from rondo.proof.selftest.rows import Row

ATTEMPTS: Final = 3
"""Times that one run may be made, if this machine was too busy for a verdict."""
OVERHEAD: Final = 5.0
"""Seconds beside its load that a run is guessed to take, before any was timed."""


@dataclass(frozen=True, slots=True)
class Job:
    """One run that is due."""

    row: Row
    number: int


@dataclass(frozen=True, slots=True)
class Tally:
    """What the runs of one row show."""

    row: Row
    wanted: int
    runs: int = 0
    caught: int = 0
    repeated: int = 0
    """Runs made again because this machine was too busy."""
    spoke: tuple[tuple[str, int], ...] = ()
    """Each check that did not pass, and in how many runs."""
    verdicts: tuple[tuple[str, int], ...] = ()
    seconds: float = 0.0
    """Mean of a run."""
    last: str = ""
    """When the last one ended."""

    @property
    def enough(self) -> bool:
        """Whether every run that is wanted was made, and gave the row's own verdict."""
        return self.runs >= self.wanted and self.caught == self.runs


def caught(row: Row, entry: Entry) -> bool:
    """Whether a run said what it had to: the verdict, by the right check, and nothing wrong."""
    if entry.verdict != row.verdict.value:
        return False
    spoke = set(entry.failing)
    return (row.healthy or bool(spoke & set(row.keys))) and not spoke & set(row.never)


def repeatable(row: Row, entry: Entry) -> bool:
    """Whether a run says more of this machine than of the site; never where that is the fault."""
    return entry.noisy and row.verdict is not Status.INVALID


def choose(names: Sequence[str], *, short: bool) -> tuple[Row, ...]:
    """Give the rows that are asked for."""
    unknown = [name for name in names if name not in BY_NAME]
    if unknown:
        raise InputError(f"no row {', '.join(unknown)}; there are: {', '.join(BY_NAME)}")
    return tuple(
        row for row in ROWS if row.name in names or (not names and (row.brief or not short))
    )


def wanted(rows: Sequence[Row], runs: int, healthy: int) -> dict[str, int]:
    """Give the number of runs of each row: the healthy ones share theirs evenly."""
    share = math.ceil(healthy / max(1, sum(row.healthy for row in rows)))
    return {row.name: share if row.healthy else runs for row in rows}


def conclusive(row: Row, entries: Iterable[Entry]) -> dict[int, Entry]:
    """Give the run that counts for each number: the first sound one, or the last attempt."""
    found: dict[int, list[Entry]] = defaultdict(list)
    for entry in entries:
        if entry.row == row.name:
            found[entry.number].append(entry)
    result = {}
    for number, attempts in sorted(found.items()):
        sound = [each for each in attempts if not repeatable(row, each)]
        if sound or len(attempts) >= ATTEMPTS:
            result[number] = (sound or attempts)[0]
    return result


def due(
    rows: Sequence[Row], wanted_runs: dict[str, int], entries: Sequence[Entry]
) -> tuple[Job, ...]:
    """Give what is left: every row once, then every row twice, so that a part tells of all."""
    jobs = [
        Job(row, number)
        for row in rows
        for number in range(1, wanted_runs[row.name] + 1)
        if number not in conclusive(row, entries)
    ]
    return tuple(sorted(jobs, key=lambda job: (job.row.wide, job.number)))


def tally(row: Row, wanted_runs: int, entries: Sequence[Entry]) -> Tally:
    """Sum up the runs of a row."""
    own = [entry for entry in entries if entry.row == row.name]
    counted = list(conclusive(row, own).values())
    return Tally(
        row=row,
        wanted=wanted_runs,
        runs=len(counted),
        caught=sum(caught(row, entry) for entry in counted),
        repeated=len(own) - len({entry.number for entry in own}),
        spoke=_counts(key for entry in counted for key in entry.failing),
        verdicts=_counts(entry.verdict for entry in counted),
        seconds=sum(entry.seconds for entry in counted) / max(1, len(counted)),
        last=max((entry.at for entry in counted), default=""),
    )


def _counts(words: Iterable[str]) -> tuple[tuple[str, int], ...]:
    found: dict[str, int] = {}
    for word in words:
        found[word] = found.get(word, 0) + 1
    return tuple(sorted(found.items(), key=lambda pair: -pair[1]))


def seconds_left(jobs: Iterable[Job], entries: Sequence[Entry], lanes: int) -> float:
    """Estimate how long the rest takes, from what the runs so far took beside their load."""
    beside = [
        entry.seconds - BY_NAME[entry.row].seconds for entry in entries if entry.row in BY_NAME
    ]
    overhead = sum(beside) / len(beside) if beside else OVERHEAD
    left = list(jobs)
    return sum(
        (job.row.seconds + overhead) / (1 if job.row.wide else max(1, lanes)) for job in left
    )
