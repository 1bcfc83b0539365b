"""Tell whether the planned rate was answered, to the end and fast enough."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from rondo.proof import latency, phrases, statistics
from rondo.proof.finding import ON_CLIENT, Fault, Finding, skipped
from rondo.proof.phrases import number, share, time

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from rondo.proof.case import Case
    from rondo.proof.statistics import Interval, Mean

KEY, TITLE = "throughput", "Throughput held"
_QUANTILES = (("p50", 0.5), ("p95", 0.95), ("p99", 0.99))
_BATCH = 5.0
_LEAST_BATCHES = 4


@dataclass(frozen=True, slots=True)
class Delivered:
    """What was planned, and what came of it."""

    planned: int
    sent: int
    answered: int
    seconds: float

    @property
    def part(self) -> float:
        """Share of the planned requests that got a whole answer."""
        return self.answered / self.planned if self.planned else 0.0

    @property
    def rate(self) -> float:
        """Answers a second."""
        return self.answered / self.seconds if self.seconds else 0.0


def judge(case: Case) -> Finding:
    """Compare the rate and the percentiles with the plan and the limits."""
    if not case.count:
        return skipped(KEY, TITLE, _expected(case), "No request was sent.")
    done, trend = delivered(case), _trend(case)
    found = quantiles(case.late)
    faults = [*_short(case, done), *_falling(case, trend), *_late(case, found)]
    return Finding(
        KEY,
        TITLE,
        f"{done.rate:,.1f} requests a second were answered of {case.planned.rate:,.1f} planned;"
        f" half within {time(found['p50'].estimate)}, 95 % within {time(found['p95'].estimate)},"
        f" 99 % within {time(found['p99'].estimate)}.",
        _expected(case),
        f"{number(done.answered)} of {number(done.planned)} planned requests answered;"
        + ",".join(f" {name} {time(each.estimate)}" for name, each in found.items()),
        f"at least {share(case.limits.throughput)} of the plan; {_limits(case)};"
        f" no fall of more than {share(1 - case.limits.throughput)} over the run",
        _power(trend, found),
        tuple(faults),
        tuple(_details(case, done, found)),
    )


def delivered(case: Case) -> Delivered:
    """Count requests of the rate: planned, sent, answered."""
    due = sum(each.planned for each in case.evidence.workers)
    planned = due or round(case.planned.rate * case.planned.duration)
    return Delivered(
        max(planned, 1),
        int(case.paced.sum()),
        int((case.paced & case.answered).sum()),
        case.planned.duration,
    )


def quantiles(values: NDArray[np.float64]) -> dict[str, Interval]:
    """Return the percentiles of sorted latencies, with their intervals."""
    return {name: statistics.quantile(values, at) for name, at in _QUANTILES}


def _expected(case: Case) -> str:
    return f"{number(case.planned.rate)} requests a second for {time(case.planned.duration)}"


def _limits(case: Case) -> str:
    given = {name: getattr(case.limits, name) for name, _ in _QUANTILES}
    said = [f"{name} {time(value)}" for name, value in given.items() if value is not None]
    return f"{phrases.listed(said)} from the intended start" if said else "no limit on latency"


def _short(case: Case, done: Delivered) -> Iterator[Fault]:
    if done.part >= case.limits.throughput:
        return
    unsent = done.planned - done.sent
    why = f"; {number(unsent)} could not be sent in time" if unsent > 0 else ""
    yield Fault(
        f"{number(done.answered)} of {number(done.planned)} planned requests were answered"
        f" ({share(done.part)}, the limit is {share(case.limits.throughput)}){why}.",
        ON_CLIENT,
    )


def _trend(case: Case) -> tuple[Mean, float] | None:
    """Fit a line to answers a second, after the warm-up; also return their mean."""
    series, width = _batches(case)
    if len(series) < _LEAST_BATCHES:
        return None
    mean = float(series.mean())
    return (statistics.slope_of(series), mean) if mean and width else None


def _batches(case: Case) -> tuple[NDArray[np.float64], float]:
    """Return answers a second in batches of 5 s, or shorter ones in a run under half a minute."""
    begin = case.evidence.began + case.planned.warm_up
    length = case.evidence.began + case.planned.duration - begin
    ends = case.rows["end"][case.paced & case.answered] - begin
    seconds = np.bincount(ends[(ends >= 0) & (ends < length)].astype(np.int64))
    seconds = seconds[: math.floor(length)]
    cut = statistics.warm_up(seconds.astype(np.float64))
    width = int(min(_BATCH, max(1, (len(seconds) - cut) // 6)))
    usable = seconds[cut:][: (len(seconds) - cut) // width * width]
    return usable.reshape(-1, width).mean(axis=1), float(width)


def _falling(case: Case, trend: tuple[Mean, float] | None) -> Iterator[Fault]:
    allowed = 1 - case.limits.throughput
    if trend and trend[0].upper() / trend[1] < -allowed:
        yield Fault(
            f"Answers a second fell by {share(-trend[0].estimate / trend[1])} over the run"
            f" (at least {share(-trend[0].upper() / trend[1])}).",
            ON_CLIENT,
        )


def _late(case: Case, found: dict[str, Interval]) -> Iterator[Fault]:
    for name, each in found.items():
        limit = getattr(case.limits, name)
        if limit is not None and each.estimate > limit:
            yield Fault(
                f"{name} was {time(each.estimate)} from the intended start"
                f" ({time(each.low)} to {time(each.high)}); the limit is {time(limit)}.",
                ON_CLIENT,
            )


def _power(trend: tuple[Mean, float] | None, found: dict[str, Interval]) -> str:
    widths = phrases.listed(
        f"{name} {time(each.low)} to {time(each.high)}" for name, each in found.items()
    )
    if trend is None:
        fall = "The run was too short to see a fall in throughput."
    else:
        reach = trend[0].reach(statistics.ALPHA) + trend[0].reach(1 - statistics.SEEN)
        fall = f"A fall of {share(reach / trend[1])} beyond the limit would have shown."
    return f"The percentiles lie within: {widths}, were requests independent. {fall}"


def _details(case: Case, done: Delivered, found: dict[str, Interval]) -> Iterator[str]:
    yield f"planned {number(done.planned)}, sent {number(done.sent)}, answered {done.answered:,}"
    for name, each in found.items():
        limit = getattr(case.limits, name)
        against = f", limit {time(limit)}" if limit is not None else ""
        yield f"{name} {time(each.estimate)} ({time(each.low)} to {time(each.high)}){against}"
    good = latency.judged(case)
    for step, name in enumerate(case.planned.steps):
        values = latency.intended(case, good & (case.rows["step"] == step))
        if len(values):
            middle, late = (statistics.quantile(values, at).estimate for at in (0.5, 0.99))
            yield f"{name}: {number(len(values))}, p50 {time(middle)}, p99 {time(late)}"
