"""report.html: one file that asks for nothing else."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING

from markupsafe import Markup, escape

from rondo.proof.report import charts, phases, scales, sharing, strips

if TYPE_CHECKING:
    import jinja2

    from rondo.proof.report.runfile import Backend, Run

MOST_ROWS, MOST_DETAILS = 60, 24
"""Anomalies and details of a check that are shown; run.json has all that were kept."""
LONGEST = 240
SIGNS = {"PASS": "\u2713", "FAIL": "\u2717", "INVALID": "!", "SKIPPED": "\u2013"}
_UNIT = re.compile(r"(\d) (%|[mu]?s\b)")
_NAME = re.compile(r"\b[a-z]+(?:-[a-z]+)*-\d+\b")
_SECONDS = {"p50", "p95", "p99", "max", "gap", "lag", "duration"}


@cache
def environment() -> jinja2.Environment:
    """Return the templates, which lie beside this module."""
    import jinja2  # noqa: PLC0415 - only where something is rendered

    made = jinja2.Environment(
        loader=jinja2.FunctionLoader(_source),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters.update(
        number=scales.number,
        percent=scales.percent,
        seconds=scales.seconds,
        signed=scales.signed,
        moment=moment,
        due=due,
        tied=tied,
        cut=cut,
        figure=figure,
    )
    made.globals.update(signs=SIGNS, most_details=MOST_DETAILS)
    return made


def _source(name: str) -> str:
    return resources.files("rondo.proof.report").joinpath(name).read_text(encoding="utf-8")


def render(run: Run) -> str:
    """Return the page of a run."""
    return (
        environment()
        .get_template("page.html.j2")
        .render(
            run=run,
            tiles=tiles(run),
            failed=sum(run.series.wrong) + sum(run.series.lost),
            sent=sum(run.series.sent),
            phases=phases.phases(run),
            names=strips.release_names(run),
            rates=charts.rates(run),
            errors=charts.errors(run),
            latency=charts.latency(run),
            histogram=charts.histogram(run),
            shares=sharing.shares(run),
            releases=strips.releases(run),
            anomalies=strips.anomalies(run) if run.anomalies else "",
            shown=run.anomalies[:MOST_ROWS],
            off=off,
            weighted=any(each.weight != 1 for each in run.backends),
        )
    )


def off(backend: Backend) -> bool:
    """Tell whether a slot's number is out of the bound."""
    return backend.bound is not None and abs(backend.requests - backend.expected) > backend.bound


def due(value: float) -> str:
    """Write what was expected: parts of a request are no mistake."""
    return f"{value:,.0f}" if value == int(value) else f"{value:,.1f}"


TILES = (
    ("requests", "requests"),
    ("rate_answered", "answered/s"),
    ("errors", "errors"),
    ("p50", "median latency"),
    ("p95", "95th percentile"),
    ("p99", "99th percentile"),
    ("gap", "longest gap"),
)


def tiles(run: Run) -> list[tuple[str, str]]:
    """Return the figures that are shown large, with their names."""
    known = ((name, run.figures.get(key), key) for key, name in TILES)
    return [(name, figure(value, key)) for name, value, key in known if value is not None]


def figure(value: float | None, key: str) -> str:
    """Write a figure with its unit."""
    if value is None:
        return "\u2013"
    timed = key.rpartition("_")[2] in _SECONDS
    return scales.seconds(value) if timed else scales.number(value)


def moment(at: float) -> str:
    """Write a time of the day, in UTC, as reports are read in other places."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def tied(text: str) -> Markup:
    """Keep a number and its unit on one line, and a name with its number."""
    joined = _UNIT.sub("\\1\u00a0\\2", str(escape(text)))
    return Markup(_NAME.sub(r'<span class="nb">\g<0></span>', joined))  # noqa: S704 - escaped above


def cut(text: str) -> str:
    """Shorten what a server may have said at length."""
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "\u2026"
