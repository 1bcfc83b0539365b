"""Verdicts for tests of the report, where what the judge would say does not matter."""

from __future__ import annotations

from rondo.proof.verdict import Anomaly, Check, Status, Verdict

STATUSES = (Status.PASS, Status.FAIL, Status.INVALID, Status.SKIPPED)
TITLES = ("Nothing lost", "Round robin", "The run itself was sound", "TLS")


WHOLE = "web-1 answered 3,999 of 4,000 requests rightly; one was lost while backend-2 restarted."


def verdict(
    began: float, status: Status = Status.FAIL, anomalies: int = 40, sentence: str = WHOLE
) -> Verdict:
    """Return a verdict with a check of each status, and anomalies with hostile texts."""
    checks = tuple(
        Check(
            key=each.name.lower(),
            title=title,
            status=each,
            sentence=f"{title}: a sentence with <b>markup</b> & an ampersand.",
            expected="4,000 answers",
            observed="3,999 answers",
            bound="at most 4 off: 2 workers of Nginx, each 2",
            power="sees a backend that is 1 % short with certainty",
            details=tuple(f"web-{number}: 667 of 2,000" for number in range(3)),
        )
        for each, title in zip(STATUSES, TITLES, strict=True)
    )
    found = tuple(
        Anomaly(
            at=began + number * 0.37,
            kind=("lost", "wrong", "retried")[number % 3],
            text=f"request {number}: <script>alert(1)</script> " + "connection reset " * 9,
            count=1 + number % 2,
        )
        for number in range(anomalies)
    )
    figures = {"requests": 4000, "rate": 199.8, "errors": 1, "p50": 0.0081, "p95": 0.021}
    return Verdict(
        status,
        sentence,
        checks,
        found,
        anomalies * 2,
        {**figures, "p99": 0.0304, "gap": 0.041, "change_p99": float("nan")},
    )
