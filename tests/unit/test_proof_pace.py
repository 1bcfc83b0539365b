"""The schedule of a load run, and how users share it."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rondo.objectives import Proof
from rondo.proof.brief import Brief, make_brief
from rondo.proof.load.pace import Schedule, planned, rate_at, turns

RUNS = st.text("0123456789abcdef", min_size=12, max_size=12)


def _brief(run: str = "0123456789ab", **wanted: Any) -> Brief:  # noqa: ANN401 - as in Proof
    ramp = wanted.pop("ramp", None)
    return make_brief(Proof(**wanted), None, run=run, host="http://x", ramp=ramp)


@given(RUNS, st.integers(1, 300), st.floats(0.1, 500), st.floats(0.1, 5))
def test_the_users_make_every_request_of_the_schedule_once(
    run: str, users: int, rate: float, duration: float
) -> None:
    brief = _brief(run, users=users, rate=rate, duration=duration)
    made = [number for user in range(users) for number in turns(brief, user)]
    assert sorted(made) == list(range(Schedule.of(brief).total))


@given(RUNS, st.integers(1, 300), st.integers(1, 2000))
def test_what_a_user_has_planned_is_what_it_makes(run: str, users: int, total: int) -> None:
    brief = _brief(run, users=users, rate=100, duration=total / 100)
    for user in range(0, users, 7):
        assert planned(brief, user) == len(list(turns(brief, user)))


@given(RUNS, st.integers(32, 400))
def test_a_user_always_has_time_between_two_requests(run: str, users: int) -> None:
    brief = _brief(run, users=users, rate=users, duration=20)
    for user in range(0, users, 11):
        gaps = [after - before for before, after in pairwise(turns(brief, user))]
        assert min(gaps) > users * 0.7
        assert max(gaps) < users * 1.3


@pytest.mark.parametrize("users", [12, 24, 100, 99, 13])
@pytest.mark.parametrize("backends", [2, 3, 4, 5, 6])
def test_users_do_not_fall_into_step_with_a_round_robin(users: int, backends: int) -> None:
    brief = _brief(users=users, rate=users, duration=60)
    for user in range(users):
        met = Counter(number % backends for number in turns(brief, user))
        assert len(met) == backends
        assert max(met.values()) < 60 / backends * 3


def test_requests_are_evenly_paced_from_the_beginning() -> None:
    schedule = Schedule.of(_brief(rate=200, duration=60))
    assert schedule.total == 12_000
    assert schedule.due(0) == 0
    assert schedule.due(11_999) == pytest.approx(59.995)


def test_a_ramp_has_its_stages_one_after_the_other() -> None:
    brief = _brief(ramp=((10, 2.0), (20, 1.0), (100, 0.1)))
    schedule = Schedule.of(brief)
    assert brief.duration == pytest.approx(3.1)
    assert schedule.total == 20 + 20 + 10
    assert schedule.due(19) == pytest.approx(1.9)
    assert schedule.due(20) == pytest.approx(2.0)
    assert schedule.due(21) == pytest.approx(2.05)
    assert schedule.due(40) == pytest.approx(3.0)
    assert [rate_at(brief, at) for at in (0, 1.99, 2, 2.99, 3, 9)] == [10, 10, 20, 20, 100, 100]


@given(st.lists(st.tuples(st.floats(1, 300), st.floats(0.1, 3)), min_size=1, max_size=5))
def test_no_request_of_a_stage_is_due_before_it_or_after_it(
    stages: list[tuple[float, float]],
) -> None:
    schedule = Schedule.of(_brief(ramp=tuple(stages)))
    due = [schedule.due(number) for number in range(schedule.total)]
    assert due == sorted(due)
    assert due[-1] < sum(seconds for _, seconds in stages)
