"""One window of load, and what its clients say of it: how much was answered, how soon. Pure.

Comparisons and the search for the knee are made of many short windows. A window is measured by its
clients alone: what it lost counts as an answer that never came.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from rondo.proof import phrases
from rondo.proof.checks.sound import MOST_CPU, MOST_LAG
from rondo.proof.records import Outcome

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from rondo.proof.brief import Brief
    from rondo.proof.evidence import WorkerReport
    from rondo.proof.records import Requests

_P99 = 2


@dataclass(frozen=True, slots=True)
class Window:
    """What the clients of one window saw, its warm-up left out."""

    rate: float
    """Right answers a second."""
    planned: int
    """Requests that were due in the whole window; with closed users those that were sent."""
    sent: int
    lost: int
    """Requests of the whole window that were not answered as the scenario expects."""
    p50: float
    """Latency from the intended start; infinite for what was not answered."""
    p95: float
    p99: float
    cpu: float = 0.0
    """Share of one processor that the busiest load generator used in its median second."""
    lag: float = 0.0
    """Lateness of the latest load generator, at the 99th percentile."""
    complaint: str = ""
    """What was wrong with the first request that was lost."""
    broken: str = ""
    """Why nothing can be said by this window; empty if something can."""

    @property
    def client_limit(self) -> str:
        """What was too much for the load generators themselves; empty if nothing was."""
        return " and ".join(self._limits())

    def _limits(self) -> Iterator[str]:
        if self.cpu > MOST_CPU:
            yield f"the load generator used {phrases.share(self.cpu)} of a processor"
        if self.lag > MOST_LAG:
            yield f"it sent 1 in 100 requests {phrases.time(self.lag)} late or later"


def measure(
    requests: Requests, brief: Brief, began: float, workers: Sequence[WorkerReport]
) -> Window:
    """Measure a window from what its clients recorded; the probe is no part of the load."""
    rows = requests.rows[requests.rows["step"] != brief.probe]
    right = rows["outcome"] == Outcome.RIGHT
    begin, end = began + brief.warm_up, began + brief.duration
    answered = right & (rows["end"] >= begin) & (rows["end"] < end)
    judged = rows["intended"] >= begin
    took = np.where(right, rows["end"] - rows["intended"], math.inf)[judged]
    p50, p95, p99 = _quantiles(took)
    wrong = rows[~right]
    return Window(
        rate=float(np.count_nonzero(answered)) / (brief.duration - brief.warm_up),
        planned=sum(each.planned for each in workers),
        sent=len(rows),
        lost=len(wrong),
        p50=p50,
        p95=p95,
        p99=p99,
        cpu=max((float(np.median(each.cpu)) for each in workers if each.cpu), default=0.0),
        lag=max((each.lag[_P99] for each in workers if len(each.lag) > _P99), default=0.0),
        complaint=requests.texts[wrong["error"][0]] if len(wrong) else "",
        broken=_broken(len(rows), workers),
    )


def strangers(requests: Requests, servers: frozenset[str], releases: frozenset[str]) -> str:
    """Say who else answered than those expected; empty if nobody did, or nobody was expected.

    What a server's cache answered has no backend, and may name the release that filled the cache.
    """
    said = [requests.texts[number].split(";") for number in np.unique(requests.rows["seen"])]
    seen_servers = {each[0] for each in said if each[0]}
    seen_releases = {each[-1] for each in said if len(each) > 2 and each[1] and each[-1]}
    if servers and seen_servers - servers:
        return f"{phrases.listed(sorted(seen_servers - servers))} answered as well"
    if releases and seen_releases - releases:
        return f"release {phrases.listed(sorted(seen_releases - releases))} answered as well"
    return ""


def _broken(sent: int, workers: Sequence[WorkerReport]) -> str:
    gone = [each.name for each in workers if each.lost]
    if gone or not workers:
        return f"load generator {phrases.listed(gone)} went away" if gone else "nothing was sent"
    return "" if sent else "nothing was sent"


def _quantiles(took: NDArray[np.float64]) -> tuple[float, float, float]:
    """Return the median, the 95th and the 99th percentile: values that were seen, none between."""
    if not len(took):
        return math.nan, math.nan, math.nan
    ordered = np.sort(took)
    ranks = (math.ceil(share * len(ordered)) - 1 for share in (0.50, 0.95, 0.99))
    p50, p95, p99 = (float(ordered[rank]) for rank in ranks)
    return p50, p95, p99
