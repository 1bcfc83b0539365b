"""The charts with a row for each slot or kind: releases, and anomalies."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rondo.proof.report import phases
from rondo.proof.report.charts import length
from rondo.proof.report.frame import WIDE, Axis, Chart, Key, at, framed, text, time_axis
from rondo.proof.report.scales import Linear
from rondo.proof.report.svg import EMPTY, element

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from markupsafe import Markup

    from rondo.proof.report.runfile import Releases, Run
    from rondo.proof.report.scales import Scale

COLOURS = 6
STRIP, STRIP_GAP = 20.0, 8.0


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
