"""Statistics that hold on a shared machine: exact where it can be, else wide enough. Pure.

Sources: order statistics and Clopper-Pearson for quantiles and shares (David and Nagaraja, Order
Statistics, 2003; Clopper and Pearson, Biometrika 26, 1934), Student's t with the variance of an
autoregressive mean (Priestley, Spectral Analysis and Time Series, 1981) and Kendall's correction of
its lag (Biometrika 41, 1954), MSER-5 for the warm-up (White, Simulation 69, 1997).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import special

if TYPE_CHECKING:
    from numpy.typing import NDArray

ALPHA = 1e-4
"""Chance of a false alarm of a check that is not exact."""
SEEN = 0.95
"""Chance of seeing a fault that `power` calls seen."""


@dataclass(frozen=True, slots=True)
class Interval:
    """An estimate, and what the truth lies between."""

    low: float
    estimate: float
    high: float


def provable_rate(count: int, alpha: float = ALPHA) -> float:
    """Return the highest rate of errors that leaves none in `count` requests with chance alpha."""
    return 1.0 if count <= 0 else -math.expm1(math.log(alpha) / count)


def quantile(values: NDArray[np.float64], share: float, alpha: float = ALPHA) -> Interval:
    """Return a quantile with its exact interval from order statistics; values must be sorted."""
    count = len(values)
    if not count:
        return Interval(math.nan, math.nan, math.nan)
    low, high = quantile_ranks(count, share, alpha)
    at = min(count - 1, max(0, math.ceil(share * count) - 1))
    top = float(values[high]) if high < count else math.inf
    return Interval(float(values[low]) if low >= 0 else 0.0, float(values[at]), top)


def quantile_ranks(count: int, share: float, alpha: float = ALPHA) -> tuple[int, int]:
    """Return the ranks (from 0) that a quantile lies between, each missed with alpha / 2.

    -1 or `count` stands for no bound: too few values for one.
    """
    ranks = np.arange(count + 1) if count < 64 else _near(count, share)
    below = special.bdtr(ranks, count, share)  # P(number of values under the quantile <= rank)
    low = ranks[below <= alpha / 2]
    high = ranks[below >= 1 - alpha / 2]
    return (int(low[-1]) if len(low) else -1), (int(high[0]) if len(high) else count)


def _near(count: int, share: float) -> NDArray[np.int64]:
    """Return the ranks within ten standard deviations of the quantile's own."""
    reach = 10 * math.sqrt(count * share * (1 - share)) + 40
    low, high = max(0, int(count * share - reach)), min(count, int(count * share + reach))
    return np.arange(low, high + 1)


def share_interval(hits: int, count: int, alpha: float = ALPHA) -> Interval:
    """Return a share with its exact (Clopper-Pearson) interval, alpha / 2 on each side."""
    if not count:
        return Interval(0.0, math.nan, 1.0)
    low = special.betaincinv(hits, count - hits + 1, alpha / 2) if hits else 0.0
    high = special.betaincinv(hits + 1, count - hits, 1 - alpha / 2) if hits < count else 1.0
    return Interval(float(low), hits / count, float(high))


def binomial_bounds(count: int, share: float, alpha: float = ALPHA) -> tuple[int, int]:
    """Return the fewest and the most hits that chance gives but for alpha."""
    if not 0 < share < 1:
        sure = round(count * share)
        return sure, sure
    ranks = _near(count, share)
    below = special.bdtr(ranks, count, share)
    low = ranks[below > alpha / 2]
    high = ranks[below >= 1 - alpha / 2]
    return int(low[0]), (int(high[0]) if len(high) else count)


@dataclass(frozen=True, slots=True)
class Mean:
    """The mean of a series whose neighbours may be alike."""

    estimate: float
    error: float
    """Standard error, widened for what neighbours share."""
    freedom: float

    def lower(self, alpha: float = ALPHA) -> float:
        """Return what the truth is above but for alpha."""
        return self.estimate - self.reach(alpha)

    def upper(self, alpha: float = ALPHA) -> float:
        """Return what the truth is below but for alpha."""
        return self.estimate + self.reach(alpha)

    def reach(self, alpha: float) -> float:
        """Return the distance of a one-sided limit."""
        return float(special.stdtrit(self.freedom, 1 - alpha)) * self.error


def mean_of(series: NDArray[np.float64]) -> Mean:
    """Estimate the mean of a series in time; at least 3 values."""
    count = len(series)
    factor = inflation(series)
    error = float(np.std(series, ddof=1)) * math.sqrt(factor / count)
    return Mean(float(np.mean(series)), error, count - 1)


def inflation(series: NDArray[np.float64]) -> float:
    """Return how many times wider the variance of the mean is than of independent values."""
    away = series - np.mean(series)
    total = float(away @ away)
    if total <= 0:
        return 1.0
    lag = float(away[1:] @ away[:-1]) / total
    # The estimate of a short series is too low by (1 + 4 lag) / n.
    lag = min(0.9, max(0.0, lag + (1 + 4 * lag) / len(series)))
    return (1 + lag) / (1 - lag)


def slope_of(series: NDArray[np.float64]) -> Mean:
    """Estimate the change from the beginning to the end of a series by a straight line."""
    count = len(series)
    at = np.linspace(-0.5, 0.5, count)
    weight = float(at @ at)
    rise = float(at @ series) / weight
    left = series - np.mean(series) - rise * at
    factor = inflation(left)
    spread = math.sqrt(float(left @ left) / (count - 2))
    return Mean(rise, spread * math.sqrt(factor / weight), count - 2)


def warm_up(series: NDArray[np.float64], batch: int = 5) -> int:
    """Return how many values at the beginning MSER-5 leaves out; never more than half."""
    count = len(series) // batch
    if count < 4:
        return 0
    means = series[: count * batch].reshape(count, batch).mean(axis=1)
    cuts = range(count // 2 + 1)
    scores = [float(np.var(means[cut:])) / (count - cut) for cut in cuts]
    return int(np.argmin(scores)) * batch
