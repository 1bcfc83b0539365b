"""The charts with a row for each slot: its share, its release; and anomalies by kind."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rondo.proof.report import phases, scales
from rondo.proof.report.charts import edges, length
from rondo.proof.report.frame import WIDE, Axis, Chart, Key, at, framed, path, text, time_axis
from rondo.proof.report.scales import Linear
from rondo.proof.report.svg import EMPTY, area, element, line

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from markupsafe import Markup

    from rondo.proof.report.runfile import Backend, Releases, Run, Shares
    from rondo.proof.report.scales import Scale

ROW, GAP = 46.0, 26.0
LEAST = 30
"""Requests of an interval from which a share says something."""
FINEST = 150
"""Intervals of a row: it is too low for more to be seen."""
LEAST_REACH = 0.004
"""Half of the share that a row shows, at least."""
MOST_DOTS = 40
COLOURS = 6
STRIP, STRIP_GAP = 20.0, 8.0


def shares(run: Run) -> list[Markup]:
    """Draw, for each upstream, the share of each of its slots over time, with the bound."""
    return [_upstream(run, each, number) for number, each in enumerate(run.shares)]


def _upstream(run: Run, found: Shares, number: int) -> Markup:
    cuts, counts = _merged(edges(run), found.counts)
    totals = [sum(column) for column in zip(*counts.values(), strict=True)]
    slots = {
        each.slot: each
        for each in run.backends
        if (each.server, each.upstream) == (found.server, found.upstream)
    }
    even = sum(each.weight for each in slots.values())
    about = {slot: each.weight / even for slot, each in slots.items()}
    reach = _reach(counts, totals, about, [each.bound for each in slots.values()])
    x = time_axis(length(run))
    height = len(slots) * (ROW + GAP) - GAP
    scales_ = {
        slot: Linear(
            about[slot] - reach, about[slot] + reach, row * (ROW + GAP) + ROW, row * (ROW + GAP)
        )
        for row, slot in enumerate(slots)
    }
    places = [x.scale(each) for each in cuts]
    drawn = [
        _row(
            scales_[slot],
            about[slot],
            slots[slot].bound,
            (counts[slot], totals),
            places,
            f"b{number}-{slots[slot].weight}",
        )
        for slot in slots
    ]
    seen: set[str] = set()
    bands = [_band(each, seen, slots, about, totals, places, number, scales_) for each in slots]
    y_ticks = tuple(
        (scales_[slot](value), scales.percent(value))
        for slot in slots
        for value in scales.ticks(max(0, about[slot] - reach), min(1, about[slot] + reach), 3)
    )
    y = Axis("share of the requests to this upstream (%)", Linear(0, 1, 0, 1), y_ticks)
    names = [_name(slots[slot], row, sum(totals)) for row, slot in enumerate(slots)]
    keys = [
        Key("share", "line s1"),
        Key("expected", "line expected"),
    ]
    if any(each.bound is not None for each in slots.values()):
        keys += [Key("hard bound", "bound", "box"), Key("outside of it", "outside", "dot")]
    chart = Chart(
        f"share-{number}",
        f"{found.server}: share of each slot",
        height,
        x,
        y,
        tuple(keys),
        EMPTY.join((*bands, *(each[0] for each in drawn))),
        EMPTY.join((*(each[1] for each in drawn), *names)),
        above=18,
    )
    return framed(chart)


def _merged(
    cuts: list[float], counts: dict[str, tuple[int, ...]]
) -> tuple[list[float], dict[str, list[int]]]:
    """Join intervals until one holds enough requests for a share to say something."""
    total, parts = sum(map(sum, counts.values())), max(len(cuts) - 1, 1)
    fits = (
        each
        for each in (1, 2, 5, 10, 20, 50, 100)
        if total * each >= LEAST * parts and parts <= FINEST * each
    )
    factor = min(next(fits, parts), parts)
    merged = {
        slot: [sum(each[i : i + factor]) for i in range(0, len(each), factor)]
        for slot, each in counts.items()
    }
    return [*cuts[:-1:factor], cuts[-1]], merged


def _reach(
    counts: dict[str, list[int]],
    totals: Sequence[int],
    about: dict[str, float],
    bounds: Sequence[float | None],
) -> float:
    """Return how far from what is expected the rows must show."""
    off = [
        abs(count / total - about[slot])
        for slot, each in counts.items()
        for count, total in zip(each, totals, strict=True)
        if total
    ]
    usual = sorted(total for total in totals if total)
    middle = usual[len(usual) // 2] if usual else 1
    band = max((each or 0.0 for each in bounds), default=0.0) / middle
    return min(max([*off, band * 1.6, LEAST_REACH]) * 1.08, 1.0)


def _row(
    y: Scale,
    about: float,
    bound: float | None,
    counted: tuple[Sequence[int], Sequence[int]],
    places: Sequence[float],
    _: str,
) -> tuple[Markup, Markup]:
    middles = [(places[i] + places[i + 1]) / 2 for i in range(len(places) - 1)]
    points, outside = [], []
    for x, count, total in zip(middles, *counted, strict=True):
        point = (x, y(count / total)) if total else None
        points.append(point)
        if point and bound is not None and abs(count - total * about) > bound:
            outside.append(point)
    stretched = EMPTY.join(
        (
            path(line([(0, y(about)), (WIDE, y(about))]), "line expected"),
            path(line(points), "line s1"),
        )
    )
    # A slot that is far off all the time needs no dots to be seen.
    shown = outside if len(outside) <= MOST_DOTS else outside[:: len(outside) // MOST_DOTS + 1]
    dots = (element("circle", class_="outside", cx=at(x), cy=up, r=3) for x, up in shown)
    return stretched, EMPTY.join(dots)


def _band(
    slot: str,
    seen: set[str],
    slots: dict[str, Backend],
    about: dict[str, float],
    totals: Sequence[int],
    places: Sequence[float],
    number: int,
    scales_: dict[str, Linear],
) -> Markup:
    """Return the bound around a slot's share; slots of one weight share the drawing."""
    bound, y = slots[slot].bound, scales_[slot]
    if bound is None:
        return EMPTY
    name = f"bound-{number}"
    if name in seen:
        first = next(iter(scales_.values()))
        return element("use", href=f"#{name}", y=y.begin - first.begin)
    seen.add(name)
    upper, lower = [], []
    for index, total in enumerate(totals):
        part = bound / total if total else 0.0
        for x in (places[index], places[index + 1]):
            upper.append((x, max(y(about[slot] + part), y.end)))
            lower.append((x, min(y(about[slot] - part), y.begin)))
    return element("path", id=name, class_="bound", d=area(upper, lower))


def _name(slot: Backend, row: int, total: int) -> Markup:
    share = scales.percent(slot.requests / total) if total else "nothing"
    away = scales.number(round(abs(slot.requests - slot.expected), 1))
    of = f"{share} of {scales.number(total)}, {away} off" if total else "no requests"
    up = row * (ROW + GAP) - 7
    return element(
        "text",
        element("tspan", slot.slot, class_="row-name"),
        element("tspan", of, class_="soft wide", dx=8),
        x=0,
        y=up,
        class_="row",
    )


def releases(run: Run) -> list[Markup]:
    """Draw, for each server, which release answered from each of its slots over time."""
    names = release_names(run)
    servers = dict.fromkeys(each.server for each in run.releases)
    return [
        _server(run, server, [each for each in run.releases if each.server == server], names)
        for server in servers
    ]


def release_names(run: Run) -> list[str]:
    """Return the releases in the order in which they were first seen."""
    spans = [span for each in run.releases for span in each.spans]
    spans.sort(key=lambda span: span.begin)
    return list(dict.fromkeys(name for span in spans for name in span.releases))


def _server(run: Run, server: str, rows: Sequence[Releases], names: list[str]) -> Markup:
    x = time_axis(length(run))
    height = len(rows) * (STRIP + STRIP_GAP)
    tops = [index * (STRIP + STRIP_GAP) + STRIP_GAP / 2 for index in range(len(rows))]
    y = Axis(
        "slot",
        Linear(0, 1, 0, 1),
        tuple((top + STRIP / 2, row.slot) for top, row in zip(tops, rows, strict=True)),
    )
    drawn = [
        _strip(row, top, x.scale, names)
        + phases.switches(run, server, row.slot, x.scale, (top, STRIP))
        + _said(row, top, x.scale)
        for top, row in zip(tops, rows, strict=True)
    ]
    shown = list(dict.fromkeys(n for row in rows for span in row.spans for n in span.releases))
    keys = [Key(name, _style([name], names), "box") for name in shown]
    if any(len(span.releases) > 1 for row in rows for span in row.spans):
        keys.append(Key("more than one", "mixed", "box"))
    if any(mark.kind == "switched" and mark.server == server for mark in run.marks):
        keys += [Key("switched", "switched-key"), Key("drained", "drained-key")]
    index = list(dict.fromkeys(each.server for each in run.releases)).index(server)
    found = phases.phases(run)
    over = EMPTY.join((phases.labels(found, x.scale), *drawn))
    return framed(
        Chart(
            f"release-{index}",
            f"{server}: release that answered",
            height,
            x,
            y,
            tuple(keys),
            phases.bands(found, x.scale, height),
            over,
            phases.room(found, x.scale),
            style="strip",
        )
    )


def _style(which: Sequence[str], names: list[str]) -> str:
    return f"r{names.index(which[0]) % COLOURS + 1}" if len(which) == 1 else "mixed"


def _strip(row: Releases, top: float, x: Scale, names: list[str]) -> Markup:
    return EMPTY.join(
        element(
            "rect",
            element("title", f"{' and '.join(which)}, {begin:.1f} s to {end:.1f} s"),
            x=at(x(begin)),
            y=top,
            width=at(x(end) - x(begin)),
            height=STRIP,
            class_=_style(which, names),
        )
        for begin, end, which in _within(row, x)
    )


def _said(row: Releases, top: float, x: Scale) -> Markup:
    """Write the release into its span: everywhere, or only where the page is wide enough."""
    found = []
    for begin, end, which in _within(row, x):
        said, room = " and ".join(which), (x(end) - x(begin)) / WIDE
        style = "span halo" if room * 200 > len(said) * 7 + 16 else "span halo wide"
        if room * 780 > len(said) * 7 + 16:
            found.append(text(said, at(x(begin)), top + 14, style, dx=8))
    return EMPTY.join(found)


def _within(row: Releases, x: Scale) -> Iterator[tuple[float, float, tuple[str, ...]]]:
    for span in row.spans:
        begin, end = max(span.begin, 0.0), span.end
        if x(end) > WIDE:
            end = begin + (end - begin) * (WIDE - x(begin)) / (x(end) - x(begin))
        if end > begin:
            yield begin, end, span.releases


def anomalies(run: Run) -> Markup:
    """Draw when anomalies happened, a row for each kind."""
    kinds = list(dict.fromkeys(each.kind for each in run.anomalies))
    x = time_axis(length(run))
    row = 24.0
    y = Axis(
        "kind",
        Linear(0, 1, 0, 1),
        tuple((index * row + row / 2, _short(kind)) for index, kind in enumerate(kinds)),
    )
    # Many at one place look like one.
    spots = {(min(max(round(x.scale(each.at)), 0), 1000), each.kind) for each in run.anomalies}
    dots = EMPTY.join(
        element("circle", cx=at(place), cy=kinds.index(kind) * row + row / 2, r=4, class_="oddity")
        for place, kind in sorted(spots)
    )
    height = len(kinds) * row
    found = phases.phases(run)
    return framed(
        Chart(
            "anomalies-chart",
            "When they happened",
            height,
            x,
            y,
            (Key("one anomaly, or several alike", "oddity", "dot"),),
            phases.bands(found, x.scale, height),
            EMPTY.join((phases.labels(found, x.scale), dots)),
            phases.room(found, x.scale),
            style="strip",
        )
    )


def _short(kind: str) -> str:
    return kind if len(kind) <= 18 else kind[:17] + "\u2026"
