"""The numbers of a run, for run.json and for setting two runs side by side. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from rondo.proof import latency, statistics
from rondo.proof.checks import throughput

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from rondo.proof.case import Case

_PARTS = (("p50", 0.5), ("p95", 0.95), ("p99", 0.99))


def figures(case: Case) -> dict[str, float]:
    """Return counts, rates a second and times in seconds, by name."""
    done = throughput.delivered(case)
    found: dict[str, float] = {
        "requests": case.count,
        "rate_planned": case.planned.rate,
        "rate_answered": done.rate,
        "errors": case.count - int(np.count_nonzero(case.right)),
        "retries": sum(int(np.count_nonzero(log.tries > 1)) for log in case.logs),
        "logged": sum(len(log.rows) for log in case.logs),
        "duration": case.planned.duration,
    }
    if case.count:
        which = latency.judged(case)
        found |= _times("", case.late)
        found |= _times("service_", latency.service(case, which))
        found["gap"] = latency.longest_gap(case)[0]
    return found


def _times(prefix: str, values: NDArray[np.float64]) -> dict[str, float]:
    if not len(values):
        return {}
    found = {f"{prefix}{name}": statistics.quantile(values, at).estimate for name, at in _PARTS}
    return found | {f"{prefix}max": float(values[-1])}
