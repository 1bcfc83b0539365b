"""The charts of values over time, and of latency."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from rondo.proof.report import phases, scales
from rondo.proof.report.frame import (
    WIDE,
    Axis,
    Chart,
    Key,
    apart,
    at,
    count_axis,
    framed,
    path,
    text,
    time_axis,
)
from rondo.proof.report.scales import Linear, Logarithmic
from rondo.proof.report.svg import EMPTY, area, boxes, element, line, steps

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from markupsafe import Markup

    from rondo.proof.report.runfile import Histogram, Run
    from rondo.proof.report.scales import Scale

LEVELS = ("p50", "p95", "p99")
_LINE = 15.0  # pixels between the baselines of two labels


def length(run: Run) -> float:
    """Return the seconds that the charts over time show."""
    whole = run.series.width * len(run.series.sent)
    return run.load.duration if whole - run.load.duration < run.series.width else whole


def edges(run: Run) -> list[float]:
    """Return the bounds of the intervals, in seconds since the run began."""
    count = len(run.series.sent)
    return [min(index * run.series.width, length(run)) for index in range(count + 1)]


def rates(run: Run) -> Markup:
    """Draw the planned rate, what was sent and what was rightly answered."""
    height = 190.0
    cuts = edges(run)
    sent, right = (_per_second(each, cuts) for each in (run.series.sent, run.series.right))
    x = time_axis(length(run))
    y = count_axis("requests per second", max([run.load.rate, *sent, *right]), height)
    places = [x.scale(each) for each in cuts]
    tops = [y.scale(each) for each in right]
    upper = [(places[i + side], top) for i, top in enumerate(tops) for side in (0, 1)]
    planned = steps([0, x.scale(run.load.duration)], [y.scale(run.load.rate)])
    stretched = EMPTY.join(
        (
            phases.bands(phases.phases(run), x.scale, height),
            path(area(upper, [(0, height), (places[-1], height)]), "fill s1"),
            path(line(upper), "line s1"),
            path(steps(places, [y.scale(each) for each in sent]), "line s3 thin"),
            path(planned, "line limit"),
        )
    )
    keys = (
        Key("planned", "line limit"),
        Key("sent", "line s3 thin"),
        Key("answered as expected", "fill s1 line", "box"),
    )
    return framed(Chart("rate", "Rate", height, x, y, keys, stretched, *_labelled(run, x.scale)))


def _labelled(run: Run, x: Scale) -> tuple[Markup, float]:
    found = phases.phases(run)
    return phases.labels(found, x), phases.room(found, x)


def _per_second(counts: Sequence[int], cuts: Sequence[float]) -> list[float]:
    return [
        count / (cuts[index + 1] - cuts[index]) if cuts[index + 1] > cuts[index] else 0.0
        for index, count in enumerate(counts)
    ]


def errors(run: Run) -> Markup:
    """Draw what was lost and what was wrongly answered, interval by interval."""
    height = 90.0
    wrong, lost = run.series.wrong, run.series.lost
    x = time_axis(length(run))
    both = [one + other for one, other in zip(wrong, lost, strict=True)]
    y = count_axis(f"requests per {_interval(run)}", max(both), height, 2)
    cuts = [x.scale(each) for each in edges(run)]
    bars, over = [], []
    for index, (first, second) in enumerate(zip(lost, wrong, strict=True)):
        begin, wide = cuts[index], max((cuts[index + 1] - cuts[index]) * 0.8, 1.5)
        low, high = y.scale(first), y.scale(first + second)
        bars += [(begin, low, wide, height - low)] if first else []
        over += [(begin, high, wide, low - high)] if second else []
    stretched = EMPTY.join(
        (
            phases.bands(phases.phases(run), x.scale, height),
            path(boxes(bars), "bar bad"),
            path(boxes(over), "bar hollow"),
        )
    )
    keys = (Key("lost", "bar bad", "box"), Key("wrong answer", "bar hollow", "box"))
    return framed(Chart("errors", "Errors", height, x, y, keys, stretched))


def _interval(run: Run) -> str:
    width = run.series.width
    return "second" if width == 1 else f"{scales.number(width)} seconds"


def latency(run: Run, shared: tuple[float, float] | None = None, name: str = "latency") -> Markup:
    """Draw the percentiles of latency over time, on a logarithmic scale."""
    height = 250.0
    x = time_axis(length(run))
    y = seconds_axis("latency from the intended start (log scale)", shared or spread(run), height)
    cuts = edges(run)
    middles = [x.scale((cuts[i] + cuts[i + 1]) / 2) for i in range(len(cuts) - 1)]
    drawn = [
        [
            None if value is None else (at_, y.scale(value))
            for at_, value in zip(middles, values, strict=True)
        ]
        for values in (run.series.p50, run.series.p95, run.series.p99)
    ]
    stretched = EMPTY.join(
        (
            phases.bands(phases.phases(run), x.scale, height),
            *_limits(run, y.scale, height),
            *(path(line(each), f"line {level}") for level, each in zip(LEVELS, drawn, strict=True)),
        )
    )
    ends = [next((p[1] for p in reversed(each) if p), height) for each in drawn]
    labels, above = _labelled(run, x.scale)
    over = EMPTY.join((labels, *_ends(ends, height), *_limit_texts(run, y.scale, height)))
    keys = tuple(Key(level, f"line {level}") for level in LEVELS)
    keys += (Key("limit", "line limit"),) if _limited(run) else ()
    return framed(Chart(name, "Latency over time", height, x, y, keys, stretched, over, above))


def _ends(places: Sequence[float], height: float) -> Iterator[Markup]:
    for level, y in zip(LEVELS, apart(places, _LINE, 0, height), strict=True):
        yield text(level, "100%", y + 4, f"end {level}-text", dx=8)


def _limited(run: Run) -> list[tuple[str, float]]:
    found = [(level, run.limits.get(level)) for level in LEVELS]
    return [(level, float(value)) for level, value in found if value]


def _limits(run: Run, y: Scale, height: float) -> Iterator[Markup]:
    for _, value in _limited(run):
        if 0 <= y(value) <= height:
            yield path(line([(0, y(value)), (WIDE, y(value))]), "line limit")


def _limit_texts(run: Run, y: Scale, height: float) -> Iterator[Markup]:
    """Yield the limits' names; those that are too near to each other are named together."""
    groups: list[tuple[float, list[str]]] = []
    for level, value in sorted(_limited(run), key=lambda each: -each[1]):
        if not 0 <= y(value) <= height:
            continue
        said = f"{level} {scales.seconds(value)}"
        if groups and y(value) - groups[-1][0] < _LINE:
            groups[-1][1].append(said)
        else:
            groups.append((y(value), [said]))
    for place, names in groups:
        yield text("limit of " + ", ".join(names), 0, place - 5, "note halo", dx=6)


def spread(run: Run) -> tuple[float, float]:
    """Return the lowest and the highest latency that a chart must show."""
    series = run.series
    values = [each for each in (*series.p50, *series.p95, *series.p99) if each]
    values += [value for _, value in _limited(run) if values and value < 100 * max(values)]
    return (max(min(values), 1e-5), max(values)) if values else (1e-3, 1.0)


def seconds_axis(title: str, around: tuple[float, float], height: float) -> Axis:
    """Return a logarithmic axis of durations."""
    low, high = _round_down(around[0] * 0.95), _round_up(around[1] * 1.05)
    high = max(high, low * 5)
    marks = log_ticks(low, high)
    return Axis(
        title, Logarithmic(low, high, height, 0), tuple((v, scales.seconds(v)) for v in marks)
    )


def log_ticks(low: float, high: float) -> tuple[float, ...]:
    """Return 1, 2, 5, 10, ... or, over a wide range, the powers of ten."""
    powers = scales.decades(low, high)
    fine = (1, 2, 5) if high / low < 300 else (1,)
    all_ = (power * each for power in powers for each in fine)
    return tuple(each for each in all_ if low * 0.999 <= each <= high * 1.001)


def _round_down(value: float) -> float:
    power = scales.decades(value, value)[0]
    return max(each * power for each in (1, 2, 5) if each * power <= value * 1.001)


def _round_up(value: float) -> float:
    power = scales.decades(value, value)[0]
    return min(each * power for each in (1, 2, 5, 10) if each * power >= value * 0.999)


def histogram(run: Run, name: str = "histogram") -> Markup:
    """Draw how many requests took how long, both axes logarithmic so that the tail is seen."""
    found = run.histogram
    over, above = _percentile_labels(run)
    lines = [
        ("answered, from the intended start", "s1", found.intended, True),
        ("from the moment of sending", "s2", found.service, False),
    ]
    return distribution(
        name, "Distribution of latency", [(found, *each) for each in lines], over, above
    )


def distribution(
    name: str,
    title: str,
    lines: Sequence[tuple[Histogram, str, str, Sequence[int], bool]],
    marked: Sequence[tuple[str, float]] = (),
    above: float = 0,
) -> Markup:
    """Draw histograms over each other; some of them filled."""
    height = 190.0
    low = min((each[0].first for each in lines if each[3]), default=-30)
    high = max((each[0].first + len(each[3]) for each in lines if each[3]), default=0)
    per = lines[0][0].per_decade
    x = Axis(
        "latency (log scale)",
        Linear(low / per, max(high, low + per) / per, 0, WIDE),
        _log_marks(low / per, max(high, low + per) / per),
    )
    most = max((max(each[3], default=1) for each in lines), default=1)
    y = Axis(
        "requests (log scale)",
        Logarithmic(0.7, 10**0.1 * max(most, 10), height, 0),
        tuple(
            (each, scales.number(each))
            for each in scales.decades(1, max(most, 10))
            if each <= most * 1.25
        ),
    )
    drawn = [_outline(each, x.scale, y.scale, height) for each in lines]
    keys = tuple(
        Key(said, f"fill line {style}" if filled else f"line {style}", "box" if filled else "line")
        for _, said, style, _, filled in lines
    )
    over = EMPTY.join(_marks(marked, x.scale, height))
    return framed(Chart(name, title, height, x, y, keys, EMPTY.join(drawn), over, above))


def _log_marks(low: float, high: float) -> tuple[tuple[float, str], ...]:
    marks = log_ticks(10**low, 10**high)
    return tuple((math.log10(each), scales.seconds(each)) for each in marks)


def _outline(
    one: tuple[Histogram, str, str, Sequence[int], bool], x: Scale, y: Scale, height: float
) -> Markup:
    found, _, style, counts, filled = one
    cuts = [x((found.first + index) / found.per_decade) for index in range(len(counts) + 1)]
    tops = [y(each) if each else height for each in counts]
    upper = [(cuts[i + side], top) for i, top in enumerate(tops) for side in (0, 1)]
    if not upper:
        return EMPTY
    closed = [(upper[0][0], height), *upper, (upper[-1][0], height)]
    inner = path(line(closed) + "z", f"fill {style}") if filled else EMPTY
    return inner + path(line(closed), f"line {style}")


def _percentile_labels(run: Run) -> tuple[list[tuple[str, float]], float]:
    found = [(level, run.figures.get(level)) for level in LEVELS]
    known = [(level, value) for level, value in found if value]
    return known, len(known) * _LINE


def _marks(marked: Sequence[tuple[str, float]], x: Scale, height: float) -> Iterator[Markup]:
    for lane, (level, value) in enumerate(marked):
        place = x(math.log10(value))
        y = -6 - lane * _LINE
        yield element("line", x1=at(place), x2=at(place), y1=y + 3, y2=height, class_="rule")
        late = place > WIDE * 0.6
        said = f"{level} {scales.seconds(value)}"
        yield text(said, at(place), y, "note" + (" before" if late else ""), dx=-4 if late else 4)
