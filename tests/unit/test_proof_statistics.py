"""The statistics of the judge keep their promises: so few false alarms, so much power."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import special

from rondo.proof import statistics


def series(
    chance: np.random.Generator, runs: int, count: int, alike: float
) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    """Make autoregressive series of variance 1, a row each."""
    found = chance.standard_normal((runs, count))
    for at in range(1, count):
        fresh = math.sqrt(1 - alike**2) * found[:, at]
        found[:, at] = alike * found[:, at - 1] + fresh
    return found


def alarms(rows: np.ndarray[tuple[int, int], np.dtype[np.float64]], over: float) -> int:
    return sum(statistics.mean_of(row).lower() > over for row in rows)


@given(st.integers(1, 10**7))
def test_no_error_in_so_many_requests_proves_the_rate(count: int) -> None:
    rate = statistics.provable_rate(count)
    assert count * math.log1p(-rate) == pytest.approx(math.log(1e-4)) if rate < 1 else count == 1
    assert rate <= 9.22 / count


def test_ten_thousand_requests_without_an_error_prove_about_one_in_a_thousand() -> None:
    assert statistics.provable_rate(10_000) == pytest.approx(9.21e-4, rel=0.01)


@given(st.integers(1, 5000), st.sampled_from([0.5, 0.95, 0.99]))
def test_the_interval_of_a_quantile_is_exact(count: int, share: float) -> None:
    """The ranks are the innermost that miss the quantile with 1e-4 / 2 on each side."""
    low, high = statistics.quantile_ranks(count, share)
    half = statistics.ALPHA / 2
    # The value of rank r is over the quantile if at most r values are under it.
    assert low == -1 or special.bdtr(low, count, share) <= half
    assert low >= 0 or special.bdtr(0, count, share) > half
    assert special.bdtr(low + 1, count, share) > half
    assert high == count or special.bdtr(high, count, share) >= 1 - half
    assert special.bdtr(high - 1, count, share) < 1 - half or high == 0


def test_the_interval_of_a_quantile_holds_the_truth() -> None:
    chance = np.random.default_rng(7)
    values = np.sort(chance.exponential(size=(4000, 500)), axis=1)
    low, high = statistics.quantile_ranks(500, 0.95, 0.05)
    truth = -math.log(0.05)
    held = (values[:, low] <= truth) & (truth <= values[:, high])
    assert 0.945 < held.mean() < 0.985


@given(st.integers(1, 10**6), st.floats(0.01, 0.99))
def test_bounds_of_a_count_leave_no_more_than_alpha_on_each_side(count: int, share: float) -> None:
    low, high = statistics.binomial_bounds(count, share)
    assert 0 <= low <= count * share <= high <= count
    assert low == 0 or special.bdtr(low - 1, count, share) <= statistics.ALPHA / 2
    assert high == count or special.bdtrc(high, count, share) <= statistics.ALPHA / 2 + 1e-15


@given(st.integers(0, 300), st.integers(1, 300))
def test_the_interval_of_a_share_is_that_of_clopper_and_pearson(hits: int, count: int) -> None:
    hits = min(hits, count)
    found = statistics.share_interval(hits, count)
    assert found.low <= found.estimate <= found.high
    if hits:
        assert special.bdtrc(hits - 1, count, found.low) == pytest.approx(5e-5, rel=1e-6)
    if hits < count:
        assert special.bdtr(hits, count, found.high) == pytest.approx(5e-5, rel=1e-6)


def test_a_mean_of_independent_values_gives_few_false_alarms() -> None:
    rows = series(np.random.default_rng(3), 6_000, 24, 0.0)
    assert alarms(rows, 0.0) <= 4  # 0.6 are due; 5 or more come in 1 of 2,500 such tests


@pytest.mark.parametrize("alike", [0.3, 0.6])
def test_a_healthy_backend_raises_no_alarm_though_seconds_are_alike(alike: float) -> None:
    """The true factor is 1 and the limit 1.10; seconds vary by 15 %."""
    rows = 0.15 * series(np.random.default_rng(4), 10_000, 24, alike)
    assert alarms(rows, math.log(1.10)) <= 5


def test_a_backend_slower_by_three_tenths_is_seen_in_a_minute() -> None:
    rows = math.log(1.3) + 0.11 * series(np.random.default_rng(5), 1000, 58, 0.2)
    assert alarms(rows, math.log(1.10)) >= 985


def test_a_backend_twice_as_slow_is_seen_in_ten_seconds() -> None:
    rows = math.log(2) + 0.16 * series(np.random.default_rng(6), 1000, 20, 0.2)
    assert alarms(rows, math.log(1.10)) >= 995


def test_values_that_follow_each_other_widen_the_interval() -> None:
    chance = np.random.default_rng(8)
    alone, alike = (
        np.mean([statistics.inflation(row) for row in series(chance, 300, 200, each)])
        for each in (0.0, 0.6)
    )
    assert alone < 1.15
    assert 3 < alike < 5  # (1 + 0.6) / (1 - 0.6) = 4


def test_a_falling_series_is_seen_and_a_steady_one_is_not() -> None:
    chance = np.random.default_rng(9)
    noise = series(chance, 3000, 11, 0.0)
    steady = sum(statistics.slope_of(100 + row).upper() < 0 for row in noise)
    falling = sum(
        statistics.slope_of(100 + row + np.linspace(6, -6, 11)).upper() < 0 for row in noise
    )
    assert steady <= 3
    assert falling >= 2900


def test_the_warm_up_is_cut_off_and_a_steady_run_is_kept() -> None:
    chance = np.random.default_rng(10)
    steady = 100 + chance.standard_normal(60)
    rising = steady - np.concatenate([np.linspace(60, 0, 15), np.zeros(45)])
    assert 10 <= statistics.warm_up(rising) <= 20
    assert statistics.warm_up(np.full(60, 100.0)) == 0
    assert statistics.warm_up(steady[:10]) == 0
