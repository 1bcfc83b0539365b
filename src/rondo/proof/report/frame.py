"""What all charts share: the frame with axes, units, ticks and a legend, at any width.

The plot's box is as wide as the page lets it be. Lines are drawn in a box of 1000 units that is
stretched to it; texts, ticks and dots stand beside that box at shares of its width, unstretched.
So one drawing serves a desktop, a phone and paper.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from markupsafe import Markup

from rondo.proof.report.scales import Linear, number, ticks, time_step
from rondo.proof.report.svg import EMPTY, element, short

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from rondo.proof.report.scales import Scale

WIDE = 1000.0
DENSE = 8
"""Ticks of a time axis, at most; a phone shows every other one."""
Tick = tuple[float, str]


@dataclass(frozen=True, slots=True)
class Axis:
    """One axis: what it measures with its unit, where values are, and its labelled ticks."""

    title: str
    scale: Scale
    ticks: tuple[Tick, ...]


@dataclass(frozen=True, slots=True)
class Key:
    """An entry of a legend: the class that colours it, and how it looks."""

    text: str
    style: str
    shape: str = "line"
    """line, box or dot."""


@dataclass(frozen=True, slots=True)
class Chart:
    """A chart, ready to be framed."""

    name: str
    title: str
    height: float
    x: Axis
    y: Axis
    legend: tuple[Key, ...]
    stretched: Markup = EMPTY
    """In 1000 units of width."""
    over: Markup = EMPTY
    """Unstretched, above it."""
    above: float = 0.0
    """Room above the plot, for labels."""
    style: str = ""
    described: str = ""
    """What it shows, for those who do not see it."""


def time_axis(seconds: float) -> Axis:
    """Return the axis of the run's time: seconds, or minutes where these are shorter to read."""
    step = time_step(seconds, DENSE)
    unit, name = (60.0, "minutes") if seconds >= 180 else (1.0, "seconds")
    marks = [index * step for index in range(int(seconds / step + 1e-9) + 1)]
    return Axis(
        f"{name} since the start",
        Linear(0, seconds, 0, WIDE),
        tuple((each, number(each / unit)) for each in marks),
    )


def count_axis(title: str, high: float, height: float, most: int = 4) -> Axis:
    """Return an axis from zero to a round number that is not below the highest value."""
    marks = ticks(0, high * 1.05 or 1.0, most)
    step = marks[1] - marks[0] if len(marks) > 1 else 1.0
    top = max(high * 1.05, marks[-1])
    top = top if top - marks[-1] < step / 2 else marks[-1] + step
    shown = marks if top == marks[-1] or top < marks[-1] + step else (*marks, top)
    return Axis(title, Linear(0, top, height, 0), tuple((each, number(each)) for each in shown))


def at(x: float) -> str:
    """Return a place in the stretched box as a share of the width."""
    return f"{short(x / 10)}%"


def text(content: str, x: str | float, y: float, style: str, **more: str | float) -> Markup:
    """Return a text that is not stretched."""
    return element("text", content, x=x, y=y, class_=style, **more)


def path(drawn: str, style: str) -> Markup:
    """Return a path of the stretched box."""
    return element("path", class_=style, d=drawn) if drawn else EMPTY


def framed(chart: Chart) -> Markup:
    """Return a chart with its frame."""
    body = EMPTY.join((_grid(chart), chart.stretched))
    inner = element(
        "svg",
        body,
        width="100%",
        height=chart.height,
        view_box=f"0 0 1000 {short(chart.height)}",
        preserve_aspect_ratio="none",
    )
    whole = element(
        "svg",
        inner,
        *_axes(chart),
        chart.over,
        class_="canvas",
        width="100%",
        height=chart.height,
        role="img",
        aria_label=f"{chart.title}. {chart.described}".strip(),
    )
    room = f"margin-top:{short(chart.above + 26)}px"
    return Markup(
        '<figure class="chart {style}" id="{name}"><figcaption><b>{title}</b>{legend}</figcaption>'
        '<div class="plot" style="{room}">{whole}</div></figure>'
    ).format(
        style=chart.style,
        name=chart.name,
        title=chart.title,
        legend=legend(chart.legend),
        room=room,
        whole=whole,
    )


def _grid(chart: Chart) -> Markup:
    lines = "".join(f"M0 {short(chart.y.scale(value))}h1000" for value, _ in chart.y.ticks)
    return path(lines, "grid")


def _axes(chart: Chart) -> Iterable[Markup]:
    yield text(chart.y.title, 0, -12 - chart.above, "axis-title y-title")
    for value, label in chart.y.ticks:
        yield text(label, -8, chart.y.scale(value) + 4, "tick y")
    base = chart.height
    yield element("line", x1=0, x2="100%", y1=base, y2=base, class_="base")
    for index, (value, label) in enumerate(chart.x.ticks):
        place = at(chart.x.scale(value))
        odd = " odd" if index % 2 else ""
        yield element("line", x1=place, x2=place, y1=base, y2=base + 4, class_="base")
        yield text(label, place, base + 18, f"tick x{odd}")
    yield text(chart.x.title, "100%", base + 35, "axis-title x-title")


def legend(keys: Sequence[Key]) -> Markup:
    """Return a legend: each entry is drawn as it is in the chart."""
    items = EMPTY.join(Markup("<li>{}{}</li>").format(_sample(key), key.text) for key in keys)
    return Markup('<ul class="legend">{}</ul>').format(items)


def _sample(key: Key) -> Markup:
    if key.shape == "box":
        drawn = element("rect", x=0, y=1, width=22, height=10, class_=key.style)
    elif key.shape == "dot":
        drawn = element("circle", cx=11, cy=6, r=3.5, class_=key.style)
    else:
        drawn = element("path", d="M0 6h22", class_=key.style)
    return element("svg", drawn, width=22, height=12, aria_hidden="true")


def lanes(places: Sequence[tuple[float, float]]) -> list[int]:
    """Give each label (begin, width) the lowest lane in which it touches no other one."""
    ends: list[float] = []
    found = []
    for begin, width in places:
        lane = next((i for i, end in enumerate(ends) if begin >= end), len(ends))
        ends[lane : lane + 1] = [begin + width]
        found.append(lane)
    return found


def apart(wanted: Sequence[float], distance: float, low: float, high: float) -> list[float]:
    """Move labels so that no two are nearer than a distance, each as little as possible."""
    order = sorted(range(len(wanted)), key=lambda index: wanted[index])
    placed = [0.0] * len(wanted)
    last = low - distance
    for index in order:
        last = placed[index] = max(wanted[index], last + distance)
    over = high
    for index in reversed(order):
        over = placed[index] = min(placed[index], over)
        over -= distance
    return placed
