"""Scales, ticks and paths: what every chart of a report rests on."""

from __future__ import annotations

import itertools
import math
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rondo.proof.report import scales, sharing, svg
from rondo.proof.report.frame import apart, lanes

POSITIVE = st.floats(1e-6, 1e9, allow_nan=False)


@given(low=st.floats(-1e6, 1e6), span=POSITIVE, most=st.integers(2, 12))
def test_ticks_are_round_in_range_and_no_more_than_wanted(
    low: float, span: float, most: int
) -> None:
    high = low + span
    found = scales.ticks(low, high, most)
    assert len(found) <= most + 1
    slack = span * 1e-6 + 1e-9
    assert all(low - slack <= each <= high + slack for each in found)
    step = scales.step_of(high - low, most)
    first = step / 10 ** math.floor(math.log10(step) + 1e-9)
    assert min(abs(first - each) for each in (1, 2, 5, 10)) < 1e-6


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0 s"),
        (0.0000123, "12.3 µs"),
        (0.0081, "8.1 ms"),
        (0.3, "300 ms"),
        (0.9999, "1 s"),
        (59.96, "60 s"),
        (600, "10 min"),
        (605, "10 min 5 s"),
    ],
)
def test_durations_are_written_in_the_unit_that_reads_best(value: float, text: str) -> None:
    assert scales.seconds(value).replace(scales.THIN, " ") == text


@pytest.mark.parametrize(
    ("value", "text"), [(0, "0"), (12600, "12,600"), (0.266, "0.266"), (199.1, "199.1")]
)
def test_numbers_have_no_more_digits_than_they_need(value: float, text: str) -> None:
    assert scales.number(value) == text


def drawn(path: str) -> list[tuple[float, float]]:
    """Follow a path of M, l, h and v, as a browser would."""
    at, found = (0.0, 0.0), []
    for command, rest in re.findall(r"([Mlhv])([^Mlhvz]*)", path):
        values = [float(each) for each in re.findall(r"-?(?:\d+\.?\d*|\.\d+)", rest)]
        match command:
            case "M":
                at = (values[0], values[1])
            case "l":
                at = (at[0] + values[0], at[1] + values[1])
            case "h":
                at = (at[0] + values[0], at[1])
            case "v":
                at = (at[0], at[1] + values[0])
        found.append(at)
    return found


@given(st.lists(st.tuples(st.floats(0, 1000), st.floats(-200, 200)), min_size=1, max_size=40))
def test_a_path_ends_where_its_last_point_is_however_many_were_before(
    points: list[tuple[float, float]],
) -> None:
    x, y = drawn(svg.line(points))[-1]
    assert abs(x - points[-1][0]) < 0.06
    assert abs(y - points[-1][1]) < 0.06


def test_a_missing_point_lifts_the_pen() -> None:
    assert svg.line([(0, 0), (1, 1), None, (5, 5)]).count("M") == 2


def test_texts_of_servers_cannot_become_markup() -> None:
    made = svg.element("text", "<script>&", title='"><script>')
    assert "<script>" not in made


@given(st.lists(st.floats(0, 200), min_size=1, max_size=6))
def test_labels_are_moved_apart_and_stay_inside(wanted: list[float]) -> None:
    placed = sorted(apart(wanted, 15, 0, 200))
    assert all(b - a >= 15 - 1e-9 for a, b in itertools.pairwise(placed))
    assert placed[0] >= 0 - 1e-9
    assert placed[-1] <= 200 + 1e-9


@given(st.lists(st.tuples(st.floats(0, 100), st.floats(1, 30)), max_size=12))
def test_labels_of_one_lane_do_not_touch(places: list[tuple[float, float]]) -> None:
    places = sorted(places)
    used = lanes(places)
    for lane in set(used):
        mine = [each for each, where in zip(places, used, strict=True) if where == lane]
        assert all(a[0] + a[1] <= b[0] for a, b in itertools.pairwise(mine))


@given(
    counts=st.lists(st.integers(0, 50), min_size=1, max_size=700),
    other=st.integers(0, 50),
)
def test_joined_intervals_lose_no_request(counts: list[int], other: int) -> None:
    given_ = {"a": tuple(counts), "b": (other,) * len(counts)}
    cuts = [float(each) for each in range(len(counts) + 1)]
    joined_cuts, joined = sharing.merged(cuts, given_)
    assert {slot: sum(each) for slot, each in joined.items()} == {
        slot: sum(each) for slot, each in given_.items()
    }
    assert all(len(each) == len(joined_cuts) - 1 for each in joined.values())
    assert joined_cuts[-1] == len(counts)
