"""The judge: ten checks to the evidence of a run, and one sentence for the whole. Pure.

What each fault must show as is a table of tests/unit/test_proof_faults.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rondo.proof import figures, phrases, sightings
from rondo.proof.case import Case
from rondo.proof.checks import (
    everyone,
    lost,
    one_release,
    reconcile,
    round_robin,
    slow_backend,
    sound,
    sticky,
    throughput,
    tls,
)
from rondo.proof.finding import settle
from rondo.proof.verdict import Check, Status, Verdict

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rondo.proof.evidence import Evidence
    from rondo.proof.finding import Finding, Weakness

_CHECKS = (
    lost,
    everyone,
    round_robin,
    sticky,
    slow_backend,
    throughput,
    one_release,
    reconcile,
    tls,
)
KEYS = (*(check.KEY for check in _CHECKS), sound.KEY)


def judge(evidence: Evidence) -> Verdict:
    """Judge one run."""
    case = Case(evidence)
    doubts = sound.doubts(case)
    weak: frozenset[Weakness] = frozenset(each.weakness for each in doubts if each.weakness)
    findings = _findings(case)
    checks = (*(settle(each, weak) for each in findings), sound.check(case, doubts))
    status = _status(case, checks)
    shown, count = sightings.gather(each for found in findings for each in found.sightings)
    numbers = figures.figures(case)
    return Verdict(status, _sentence(status, checks, numbers), checks, shown, count, numbers)


def _findings(case: Case) -> tuple[Finding, ...]:
    return tuple(check.judge(case) for check in _CHECKS)


def _status(case: Case, checks: tuple[Check, ...]) -> Status:
    """FAIL if a check failed, else INVALID if one could not be judged, else PASS."""
    if not case.count:
        return Status.INVALID
    found = {each.status for each in checks}
    if Status.FAIL in found:
        return Status.FAIL
    return Status.INVALID if Status.INVALID in found else Status.PASS


def _sentence(status: Status, checks: tuple[Check, ...], numbers: Mapping[str, float]) -> str:
    if status is Status.PASS:
        return _passed(checks, numbers)
    wanted = (
        [each for each in checks if each.status is Status.FAIL]
        if status is Status.FAIL
        else [each for each in reversed(checks) if each.status is Status.INVALID]
    )
    more = [each.title for each in wanted[1:]]
    also = f" Also: {phrases.listed(more)}." if more else ""
    return f"{wanted[0].title}: {wanted[0].sentence}{also}"


def _passed(checks: tuple[Check, ...], numbers: Mapping[str, float]) -> str:
    silent = [each.title for each in checks if each.status is Status.SKIPPED]
    without = f" Not judged: {phrases.listed(silent)}." if silent else ""
    errors = int(numbers["errors"])
    lost = "none lost" if not errors else f"{errors:,} failed, within the budget"
    return (
        f"The site held {numbers['rate_answered']:,.0f} requests a second for"
        f" {phrases.time(numbers['duration'])}: {phrases.number(numbers['requests'])} requests,"
        f" {lost}, p99 {phrases.time(numbers.get('p99', float('nan')))}.{without}"
    )
