"""What the judge says: one sentence for each check, and one for the whole. Pure data."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


class Status(Enum):
    """How a check, or the whole run, came out."""

    PASS = "PASS"  # noqa: S105 - no password
    FAIL = "FAIL"
    INVALID = "INVALID"
    """The run was not sound enough to say either."""
    SKIPPED = "SKIPPED"
    """The witness that it rests on was not there, or nothing of the kind happened."""


EXIT_CODES = {Status.PASS: 0, Status.FAIL: 1, Status.INVALID: 3}


@dataclass(frozen=True, slots=True)
class Check:
    """One question to the evidence, and its answer."""

    key: str
    """One of KEYS in rondo.proof.judge, like "round_robin"."""
    title: str
    status: Status
    sentence: str
    """The answer in plain words."""
    expected: str
    observed: str
    bound: str
    """What would still have passed, and why just that."""
    power: str
    """The smallest fault that it would have seen, and how surely."""
    details: tuple[str, ...] = ()
    """Server by server, slot by slot, step by step."""


@dataclass(frozen=True, slots=True)
class Anomaly:
    """Something out of the ordinary, verbatim."""

    at: float
    kind: str
    """lost, wrong, retried, foreign release, missing in log, twice in log, ..."""
    text: str
    count: int = 1


@dataclass(frozen=True, slots=True)
class Verdict:
    """The whole: FAIL if a check failed, else INVALID if the run was not sound, else PASS."""

    status: Status
    sentence: str
    checks: tuple[Check, ...]
    anomalies: tuple[Anomaly, ...] = ()
    """The first of each kind; `anomaly_count` has how many there were."""
    anomaly_count: int = 0
    figures: Mapping[str, float] = field(default_factory=dict)
    """requests, rate, errors, p50, p95, p99, gap, ... in SI units."""

    @property
    def exit_code(self) -> int:
        """0 PASS, 1 FAIL, 3 INVALID."""
        return EXIT_CODES[self.status]
