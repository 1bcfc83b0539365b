"""What one check found, before it is known whether the run was sound enough. Pure data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from rondo.proof.verdict import Check, Status

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rondo.proof.sightings import Sightings

Weakness = Literal["client", "workers", "clock", "log"]
"""What can be wrong with a run itself: a slow client, a lost worker, a clock, a cut-off log."""

ON_CLIENT: frozenset[Weakness] = frozenset({"client", "workers"})
ON_LOG: frozenset[Weakness] = frozenset({"log"})
ON_BOTH: frozenset[Weakness] = frozenset({"log", "workers"})
ON_CLOCK: frozenset[Weakness] = frozenset({"clock"})


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is not as it must be."""

    text: str
    rests_on: frozenset[Weakness] = frozenset()
    """A run that is weak in one of these may show this fault though the site has none."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One check's answer in the making."""

    key: str
    title: str
    good: str
    """The sentence if there is no fault."""
    expected: str
    observed: str
    bound: str
    power: str
    faults: tuple[Fault, ...] = ()
    details: tuple[str, ...] = ()
    skipped: str = ""
    """Why there was nothing to judge; empty if there was."""
    sightings: tuple[Sightings, ...] = ()


def skipped(key: str, title: str, expected: str, why: str) -> Finding:
    """Make the finding of a check that had nothing to judge."""
    return Finding(
        key, title, "", expected, "nothing", "none", "None: it was not judged.", (), (), why
    )


def settle(finding: Finding, weak: frozenset[Weakness]) -> Check:
    """Turn a finding into an answer; what an unsound run can feign is no fault of the site."""
    certain = [fault for fault in finding.faults if not fault.rests_on & weak]
    doubtful = [fault for fault in finding.faults if fault.rests_on & weak]
    status, sentence = _answer(finding, certain, doubtful)
    shown = (*(fault.text for fault in (*certain, *doubtful)[1:]), *finding.details)
    return Check(
        finding.key,
        finding.title,
        status,
        sentence,
        finding.expected,
        finding.observed,
        finding.bound,
        finding.power,
        shown,
    )


def _answer(finding: Finding, certain: list[Fault], doubtful: list[Fault]) -> tuple[Status, str]:
    if certain:
        return Status.FAIL, _first(certain)
    if doubtful:
        return Status.INVALID, (f"The run was not sound enough to judge this: {_first(doubtful)}")
    if finding.skipped:
        return Status.SKIPPED, finding.skipped
    return Status.PASS, finding.good


def _first(faults: Iterable[Fault]) -> str:
    first, *rest = faults
    more = f" ({len(rest)} more below)" if rest else ""
    return first.text + more
