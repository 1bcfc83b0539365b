"""Two runs side by side: their figures with the ratio, their verdicts, one page.

It shows; it proves nothing. The same site measured twice on one machine has differed by a factor
of two, so what tells releases apart are interleaved windows: `inv prove --versus …`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rondo.proof.report import charts, page
from rondo.proof.report.runfile import Run, read

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from markupsafe import Markup

    from rondo.ui import Ui

PAGE = "compare.html"
CAVEAT = (
    "Runs made at different times are no comparison: the machine, its neighbours and the network"
    " were not the same. To compare releases or configurations, let them take turns:"
    " inv prove --versus …"
)


@dataclass(frozen=True, slots=True)
class Row:
    """One figure of both runs, as it is shown."""

    name: str
    first: str
    second: str
    ratio: str
    """Second to first."""


def write(folder: Path, first: Path, second: Path) -> Path:
    """Write compare.html into a folder; return its path."""
    path = folder / PAGE
    path.write_text(render(read(first), read(second)), encoding="utf-8")
    return path


def show(ui: Ui, first: Run, second: Run) -> None:
    """Print the figures of two runs, and what they do not say."""
    ui.table(
        [("", "A", "B", "B to A")]
        + [("verdict", first.status, second.status, "")]
        + [(row.name, row.first, row.second, row.ratio) for row in rows(first, second)]
    )
    ui.warn(CAVEAT)


def rows(first: Run, second: Run) -> tuple[Row, ...]:
    """Return the figures that one of them has, in the order of the first."""
    keys = dict.fromkeys((*first.figures, *second.figures))
    pairs = ((key, first.figures.get(key), second.figures.get(key)) for key in keys)
    return tuple(
        Row(_name(key), page.figure(one, key), page.figure(other, key), ratio(one, other))
        for key, one, other in pairs
    )


def ratio(first: float | None, second: float | None) -> str:
    """Return how many times as much the second is."""
    if not first or second is None:
        return ""
    value = second / first
    return f"{value:.3g}" if math.isfinite(value) else ""


def _name(key: str) -> str:
    return key.replace("_", " ")


def render(first: Run, second: Run) -> str:
    """Return the page of two runs."""
    lows, highs = zip(charts.spread(first), charts.spread(second), strict=True)
    shared = (min(lows), max(highs))
    return (
        page.environment()
        .get_template("compare.html.j2")
        .render(
            runs=(("A", first), ("B", second)),
            rows=rows(first, second),
            checks=tuple(_checks(first, second)),
            settings=tuple(_settings(first, second)),
            caveat=CAVEAT,
            distribution=_distribution(first, second),
            latencies=(
                charts.latency(first, shared, "latency-a"),
                charts.latency(second, shared, "latency-b"),
            ),
        )
    )


def _distribution(first: Run, second: Run) -> Markup:
    lines = [
        (first.histogram, "A", "s1", first.histogram.intended, True),
        (second.histogram, "B", "s2", second.histogram.intended, False),
    ]
    return charts.distribution(
        "distribution", "Distribution of latency, from the intended start", lines
    )


def _checks(first: Run, second: Run) -> Iterator[tuple[str, str, str]]:
    one, other = ({each.key: each for each in run.checks} for run in (first, second))
    for key in dict.fromkeys((*one, *other)):
        title = (one.get(key) or other[key]).title
        first_, second_ = (each[key].status if key in each else "\u2013" for each in (one, other))
        yield title, first_, second_


def _settings(first: Run, second: Run) -> Iterator[tuple[str, str, str]]:
    """Yield what the two runs were, line by line."""

    def said(run: Run) -> dict[str, str]:
        load = run.load
        return {
            "run": run.run,
            "when": page.moment(run.began),
            "host": load.host,
            "server": load.server or "all",
            "rate": f"{load.rate:g} requests/s",
            "duration": f"{load.duration:g} s",
            "users": str(load.users),
            **run.versions,
        }

    one, other = said(first), said(second)
    for key in dict.fromkeys((*one, *other)):
        yield key, one.get(key, "\u2013"), other.get(key, "\u2013")
