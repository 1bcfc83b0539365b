"""The search for the knee finds it, in few stages, and says when the client was in the way."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as some

from rondo.objectives import ProofLimits
from rondo.proof import knee, windows
from rondo.proof.brief import Brief, StepPlan
from rondo.proof.evidence import WorkerReport
from rondo.proof.knee import Held, Search, Stage
from rondo.proof.records import REQUEST, Requests
from rondo.proof.verdict import Status
from rondo.proof.windows import Window

if TYPE_CHECKING:
    from collections.abc import Callable

LIMITS = ProofLimits(p95=0.3)


def window(**more: object) -> Window:
    made = {"rate": 100.0, "planned": 1000, "sent": 1000, "lost": 0, "p50": 0.01, "p95": 0.02}
    return Window(**{**made, "p99": 0.03, "cpu": 0.3, "lag": 0.001, **more})


SLOW = window(p95=0.9)
BUSY = window(cpu=0.9)


def searched(search: Search, answer: Callable[[float], Window]) -> list[Stage]:
    stages: list[Stage] = []
    while (rate := knee.next_rate(search, stages)) is not None:
        stages.append(knee.judge(rate, answer(rate), LIMITS, 10))
        assert len(stages) < 100, "the search does not end"
    return stages


@given(some.floats(1.5, 50_000), some.floats(2, 5_000))
def test_the_highest_rate_that_holds_is_found_within_a_tenth(capacity: float, start: float) -> None:
    search = Search(start)
    stages = searched(search, lambda rate: window() if rate <= capacity else SLOW)
    found = knee.conclude(search, stages, LIMITS)
    if found.low:
        assert found.low <= capacity < found.high
        assert found.high / found.low <= search.precision
        assert found.status is Status.PASS
    else:
        # It went down in halves as far as it may.
        assert found.high <= 2 * search.least * 2
        assert found.status is Status.FAIL
    assert not found.client
    assert "client" not in found.sentence


@given(some.floats(2, 50_000), some.floats(2, 5_000))
def test_it_takes_few_stages(capacity: float, start: float) -> None:
    stages = searched(Search(start), lambda rate: window() if rate <= capacity else SLOW)
    far = abs(math.log2(capacity / start))
    # Each step down or up, and three halvings of a factor of 2; those that fail count twice.
    assert len(stages) <= 2 * far + 2 * 3 + 5


@given(some.floats(5, 40_000), some.floats(5, 40_000))
def test_the_client_is_said_to_be_the_limit_if_and_only_if_it_gives_up_first(
    site: float, client: float
) -> None:
    def answer(rate: float) -> Window:
        if rate > client:
            return BUSY
        return window() if rate <= site else SLOW

    search = Search(5)
    found = knee.conclude(search, searched(search, answer), LIMITS)
    assert found.client == (client < site) or abs(math.log(client / site)) <= math.log(1.1)
    if found.client:
        assert "the client was the limit, not the site" in found.sentence
        assert "--workers" in found.sentence
        assert found.low <= client


@given(some.floats(100, 10_000), some.integers(0, 12))
def test_one_bad_moment_does_not_end_the_search_below_the_knee(capacity: float, bad: int) -> None:
    asked = iter(range(1000))
    search = Search(50)
    stages = searched(
        search, lambda rate: SLOW if next(asked) == bad or rate > capacity else window()
    )
    found = knee.conclude(search, stages, LIMITS)
    assert found.low <= capacity < found.high
    assert found.high / found.low <= search.precision


def test_the_search_ends_at_the_highest_rate_that_may_be_tried() -> None:
    search = Search(100, most=500)
    stages = searched(search, lambda _: window())
    assert [each.rate for each in stages] == [100, 200, 400, 500]
    found = knee.conclude(search, stages, LIMITS)
    assert "500 requests a second held" in found.sentence
    assert found.status is Status.PASS
    assert found.high == math.inf


def test_a_site_that_holds_nothing_fails() -> None:
    search = Search(100, least=10)
    stages = searched(search, lambda _: SLOW)
    found = knee.conclude(search, stages, LIMITS)
    assert found.status is Status.FAIL
    assert found.sentence.startswith("Not even 12.5 requests a second held")
    assert "p95 900 ms, the limit is 300 ms" in found.sentence


def test_a_client_that_makes_no_stage_at_all_makes_the_search_invalid() -> None:
    search = Search(100, least=10)
    found = knee.conclude(search, searched(search, lambda _: BUSY), LIMITS)
    assert found.status is Status.INVALID
    assert found.client


def test_a_broken_stage_ends_the_search_as_invalid() -> None:
    search = Search(100)
    stages = searched(search, lambda _: window(broken="load generator far-1 went away"))
    assert len(stages) == 1
    found = knee.conclude(search, stages, LIMITS)
    assert found.status is Status.INVALID
    assert "far-1 went away" in found.sentence


@pytest.mark.parametrize(
    ("seen", "held", "why"),
    [
        ({}, Held.YES, ""),
        ({"p95": 0.301}, Held.NO, "p95 301 ms, the limit is 300 ms"),
        ({"p95": math.nan}, Held.NO, "p95 unknown, the limit is 300 ms"),
        ({"p99": 9.0}, Held.YES, ""),
        ({"lost": 1, "complaint": "GET /: 502"}, Held.NO, "1 of 1,000 requests lost (GET /: 502)"),
        ({"sent": 900}, Held.NO, "900 of 1,000 planned requests answered (90 %)"),
        ({"cpu": 0.9}, Held.CLIENT, "the load generator used 90 % of a processor"),
        ({"lag": 0.0061}, Held.CLIENT, "it sent 1 in 100 requests 6.1 ms late or later"),
        ({"broken": "nothing was sent", "sent": 0}, Held.BROKEN, "nothing was sent"),
    ],
    ids=["good", "slow", "no latency", "no such limit", "lost", "unsent", "cpu", "lag", "broken"],
)
def test_each_stage_is_judged_by_itself(seen: dict[str, object], held: Held, why: str) -> None:
    stage = knee.judge(100, window(**seen), LIMITS, 10)
    assert (stage.held, stage.why) == (held, why)


def queue(random: np.random.Generator, rate: float, service: float, seconds: float) -> Requests:
    """Simulate one server that takes requests in turn, each for a time of chance."""
    count = round(rate * seconds)
    made = np.zeros(count, REQUEST)
    made["intended"] = made["start"] = np.sort(random.uniform(0, seconds, count))
    took = random.exponential(service, count)
    arrived = made["intended"]
    # Ends: each begins when it is there and the one before is done.
    done = np.cumsum(took)
    ends = done + np.maximum.accumulate(arrived - np.concatenate(([0.0], done[:-1])))
    made["end"] = ends
    return Requests(made)


def test_the_knee_of_a_queue_that_mathematics_knows_is_found() -> None:
    # One server, arrivals and services by chance: 5 % take longer than ln(20) / (mu - rate).
    mu, limit = 1000.0, 0.030
    truth = mu - math.log(20) / limit
    random = np.random.default_rng(11)
    brief = Brief(
        run="0" * 12,
        host="http://127.0.0.1",
        rate=1,
        duration=100,
        warm_up=2,
        users=1,
        steps=(StepPlan("GET /", "GET", "/", share=1.0), StepPlan("probe", "GET", "/")),
        scenarios=(),
    )
    limits = ProofLimits(p95=limit)
    search, stages = Search(50, precision=1.05), []
    while (rate := knee.next_rate(search, stages)) is not None:
        seen = queue(random, rate, 1 / mu, brief.duration)
        report = WorkerReport("here", len(seen.rows), len(seen.rows), (0.1,), (0, 0, 0, 0))
        measured = windows.measure(seen, brief, 0, [report])
        stages.append(knee.judge(rate, measured, limits, brief.duration))
    found = knee.conclude(search, stages, limits)
    assert truth / 1.05 <= found.low <= truth * 1.03
    assert "The site takes" in found.sentence
