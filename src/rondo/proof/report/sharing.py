"""The chart of shares: a row for each slot of an upstream, with what was expected and the bound.

The shares of a healthy upstream are all the same, so that lines in one plot would hide each other.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from rondo.proof.report import scales
from rondo.proof.report.charts import edges, length
from rondo.proof.report.frame import WIDE, Axis, Chart, Key, at, framed, path, time_axis
from rondo.proof.report.scales import Linear
from rondo.proof.report.svg import EMPTY, area, element, line

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from markupsafe import Markup

    from rondo.proof.report.runfile import Backend, Run, Shares
    from rondo.proof.report.svg import Point

ROW, GAP = 46.0, 26.0
LEAST = 30
"""Requests of an interval from which a share says something."""
FINEST = 150
"""Intervals of a row: it is too low for more to be seen."""
FEWEST = 8
"""Intervals that are left in any case, if there were as many."""
LEAST_REACH = 0.004
"""Half of the share that a row shows, at least."""
MOST_DOTS = 40
"""A slot that is far off all the time needs no dots to be seen."""


@dataclass(frozen=True, slots=True)
class Panel:
    """One upstream: its slots, what each took in each interval, and how far a row reaches."""

    slots: tuple[Backend, ...]
    counts: dict[str, list[int]]
    totals: list[int]
    places: list[float]
    """Bounds of the intervals, in units of the plot."""
    reach: float

    def about(self, slot: Backend) -> float:
        """Return the share that is expected of a slot."""
        return slot.weight / sum(each.weight for each in self.slots)

    def scale(self, row: int) -> Linear:
        """Return where shares are drawn in a row."""
        about, top = self.about(self.slots[row]), row * (ROW + GAP)
        return Linear(about - self.reach, about + self.reach, top + ROW, top)


def shares(run: Run) -> list[Markup]:
    """Draw, for each upstream, the share of each of its slots over time, with the bound."""
    return [_upstream(run, each, number) for number, each in enumerate(run.shares)]


def _upstream(run: Run, found: Shares, number: int) -> Markup:
    x = time_axis(length(run))
    panel = _panel(run, found, x.scale(1) - x.scale(0))
    rows = range(len(panel.slots))
    points = [tuple(_points(panel, row)) for row in rows]
    drawn = (_lines(panel, row, points[row]) for row in rows)
    over = (_dots(points[row]) + _name(panel, row) for row in rows)
    chart = Chart(
        f"share-{number}",
        f"{found.server}: share of each slot",
        len(rows) * (ROW + GAP) - GAP,
        x,
        Axis("share of the requests to this upstream (%)", Linear(0, 1, 0, 1), _ticks(panel)),
        tuple(_keys(panel)),
        EMPTY.join((*_bounds(panel, f"bound-{number}"), *drawn)),
        EMPTY.join(over),
        above=18,
    )
    return framed(chart)


def _panel(run: Run, found: Shares, unit: float) -> Panel:
    slots = tuple(
        each
        for each in run.backends
        if (each.server, each.upstream) == (found.server, found.upstream)
    )
    cuts, counts = merged(edges(run), found.counts)
    totals = [sum(column) for column in zip(*counts.values(), strict=True)]
    loose = Panel(slots, counts, totals, [each * unit for each in cuts], 1.0)
    return Panel(slots, counts, totals, loose.places, _reach(loose))


def merged(
    cuts: Sequence[float], counts: dict[str, tuple[int, ...]]
) -> tuple[list[float], dict[str, list[int]]]:
    """Join intervals until one holds enough requests, and no more are left than can be seen."""
    total, parts = sum(map(sum, counts.values())), max(len(cuts) - 1, 1)
    fits = (
        each
        for each in (1, 2, 5, 10, 20, 50, 100)
        if total * each >= LEAST * parts and parts <= FINEST * each
    )
    factor = min(next(fits, parts), max(parts // FEWEST, 1))
    joined = {
        slot: [sum(each[i : i + factor]) for i in range(0, len(each), factor)]
        for slot, each in counts.items()
    }
    return [*cuts[:-1:factor], cuts[-1]], joined


def _reach(panel: Panel) -> float:
    """Return how far from what is expected the rows must show."""
    off = [
        abs(count / total - panel.about(slot))
        for slot in panel.slots
        for count, total in zip(panel.counts[slot.slot], panel.totals, strict=True)
        if total
    ]
    usual = sorted(total for total in panel.totals if total) or [1]
    bound = max((each.bound or 0.0 for each in panel.slots), default=0.0)
    return min(max([*off, bound / usual[len(usual) // 2] * 1.6, LEAST_REACH]) * 1.08, 1.0)


def _points(panel: Panel, row: int) -> Iterator[tuple[Point | None, bool]]:
    """Yield the place of each interval, and whether it is out of the bound."""
    slot, y = panel.slots[row], panel.scale(row)
    for index, count in enumerate(panel.counts[slot.slot]):
        total = panel.totals[index]
        middle = (panel.places[index] + panel.places[index + 1]) / 2
        away = abs(count - total * panel.about(slot))
        point = (middle, y(count / total)) if total else None
        yield point, slot.bound is not None and away > slot.bound


def _lines(panel: Panel, row: int, points: Sequence[tuple[Point | None, bool]]) -> Markup:
    middle = panel.scale(row)(panel.about(panel.slots[row]))
    expected = path(line([(0, middle), (WIDE, middle)]), "line expected")
    return expected + path(line(point for point, _ in points), "line s1")


def _dots(points: Sequence[tuple[Point | None, bool]]) -> Markup:
    outside = [point for point, out in points if point and out]
    shown = outside[:: len(outside) // MOST_DOTS + 1]
    return EMPTY.join(element("circle", class_="outside", cx=at(x), cy=y, r=3) for x, y in shown)


def _bounds(panel: Panel, name: str) -> Iterator[Markup]:
    """Yield the bound of each row: drawn once, as it is as wide around every share."""
    if any(each.bound is None for each in panel.slots):
        return
    yield element("path", id=name, class_="bound", d=_bound(panel))
    for row in range(1, len(panel.slots)):
        yield element("use", href=f"#{name}", y=row * (ROW + GAP))


def _bound(panel: Panel) -> str:
    slot, y = panel.slots[0], panel.scale(0)
    upper, lower = [], []
    for index, total in enumerate(panel.totals):
        part = (slot.bound or 0.0) / total if total else 0.0
        for x in panel.places[index : index + 2]:
            upper.append((x, max(y(panel.about(slot) + part), y.end)))
            lower.append((x, min(y(panel.about(slot) - part), y.begin)))
    return area(upper, lower)


def _ticks(panel: Panel) -> tuple[tuple[float, str], ...]:
    found = []
    for row, slot in enumerate(panel.slots):
        y, about = panel.scale(row), panel.about(slot)
        low, high = max(0.0, about - panel.reach), min(1.0, about + panel.reach)
        found += [(y(each), scales.percent(each)) for each in scales.ticks(low, high, 3)]
    return tuple(found)


def _keys(panel: Panel) -> Iterator[Key]:
    yield Key("share", "line s1")
    yield Key("expected", "line expected")
    if all(each.bound is not None for each in panel.slots):
        yield Key("hard bound", "bound", "box")
        yield Key("outside of it", "outside", "dot")


def _name(panel: Panel, row: int) -> Markup:
    slot, total = panel.slots[row], sum(each.requests for each in panel.slots)
    away = scales.number(round(abs(slot.requests - slot.expected), 1))
    share = scales.percent(round(slot.requests / total, 4)) if total else ""
    said = f"{share} of {scales.number(total)}, {away} off" if total else "no requests"
    return element(
        "text",
        element("tspan", slot.slot, class_="row-name"),
        element("tspan", said, class_="soft wide", dx=8),
        x=0,
        y=row * (ROW + GAP) - 7,
        class_="row",
    )
