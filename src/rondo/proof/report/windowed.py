"""The reports of what is made of windows: a comparison, and the search for the knee."""

from __future__ import annotations

import json
import math
import os
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from rondo.proof import phrases, versus
from rondo.proof.knee import objectives
from rondo.proof.report import page, windowed_charts
from rondo.proof.verdict import EXIT_CODES, Status

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from markupsafe import Markup

    from rondo.objectives import ProofLimits
    from rondo.proof.knee import Knee, Stage
    from rondo.proof.versus import Comparison, Contest, Measure, Pair
    from rondo.proof.windows import Window

PAGE = "report.html"


@dataclass(frozen=True, slots=True)
class Table:
    """A table of the page; the first column names the row."""

    caption: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True, slots=True)
class Sheet:
    """What a page shows."""

    title: str
    status: Status
    sentence: str
    remarks: tuple[str, ...]
    charts: tuple[Markup, ...]
    tables: tuple[Table, ...]
    command: str


def write_contest(
    folder: Path,
    contest: Contest,
    rounds: Sequence[tuple[Sequence[Measure], Sequence[Pair]]],
    command: str,
) -> Path:
    """Write versus.json and report.html; return the page's path."""
    _write(folder / "versus.json", _json(contest_data(contest, rounds, command)))
    return _page(folder, contest_sheet(contest, rounds, command))


def write_knee(folder: Path, knee: Knee, limits: ProofLimits, command: str) -> Path:
    """Write knee.json and report.html; return the page's path."""
    _write(folder / "knee.json", _json(knee_data(knee, limits, command)))
    return _page(folder, knee_sheet(knee, limits, command))


def contest_data(
    contest: Contest, rounds: Sequence[tuple[Sequence[Measure], Sequence[Pair]]], command: str
) -> dict[str, Any]:
    """Return what versus.json holds."""
    return {
        "schema": 1,
        **_outcome(contest.status, contest.sentence, command),
        "a": contest.names[0],
        "b": contest.names[1],
        "confidence": versus.CONFIDENCE,
        "comparisons": [
            {**asdict(each), "measure": each.measure.value, "differ": each.differ}
            for each in contest.comparisons
        ],
        "pairs": [
            {
                "measures": [each.value for each in measures],
                "first": pair.first,
                "a": asdict(pair.a),
                "b": asdict(pair.b),
            }
            for measures, pairs in rounds
            for pair in pairs
        ],
    }


def knee_data(knee: Knee, limits: ProofLimits, command: str) -> dict[str, Any]:
    """Return what knee.json holds."""
    return {
        "schema": 1,
        **_outcome(knee.status, knee.sentence, command),
        "low": knee.low,
        "high": knee.high,
        "client_was_the_limit": knee.client,
        "limits": limits.model_dump(mode="json"),
        "stages": [
            {"rate": each.rate, "held": each.held.value, "why": each.why, **asdict(each.window)}
            for each in knee.stages
        ],
    }


def _outcome(status: Status, sentence: str, command: str) -> dict[str, Any]:
    return {
        "status": status.value,
        "exit_code": EXIT_CODES[status],
        "sentence": sentence,
        "command": command,
    }


def _json(data: object) -> str:
    return json.dumps(_sayable(data), indent=1) + "\n"


def _sayable(value: Any) -> Any:  # noqa: ANN401 - any JSON
    """Write what is not finite as null, which is all that JSON can say of it."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _sayable(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_sayable(each) for each in value]
    return value


def contest_sheet(
    contest: Contest, rounds: Sequence[tuple[Sequence[Measure], Sequence[Pair]]], command: str
) -> Sheet:
    """Return the page of a comparison."""
    pairs = {measure: found for measures, found in rounds for measure in measures}
    a, b = contest.names
    return Sheet(
        title=f"{a} against {b}",
        status=contest.status,
        sentence=contest.sentence,
        remarks=(
            "The two windows of a pair are neighbours in time, in an order that chance decided.",
            f"Intervals hold in {versus.CONFIDENCE * 100:.0f} of 100 comparisons.",
        ),
        charts=tuple(
            windowed_charts.ratios(each, pairs[each.measure], contest.names)
            for each in contest.comparisons
        ),
        tables=(comparison_table(contest), *(_pair_table(contest, *each) for each in rounds)),
        command=command,
    )


def comparison_table(contest: Contest) -> Table:
    """Return what was compared, a row for each measure."""
    a, b = contest.names
    return Table(
        "What was compared",
        ("", a, b, f"{b} / {a}", "interval", f"spread of {a}", f"of {b}", "would have been seen"),
        tuple(_comparison_row(each) for each in contest.comparisons),
    )


def _comparison_row(each: Comparison) -> tuple[str, ...]:
    times, ratio = versus.times, each.ratio
    return (
        each.measure.title,
        each.measure.written(each.typical[0]),
        each.measure.written(each.typical[1]),
        times(ratio.estimate),
        f"{times(ratio.low)} to {times(ratio.high)}",
        times(each.spread[0]),
        times(each.spread[1]),
        times(each.smallest),
    )


def _pair_table(contest: Contest, measures: Sequence[Measure], pairs: Sequence[Pair]) -> Table:
    a, b = contest.names
    titles = tuple(f"{name}: {each.value}" for each in measures for name in (a, b))
    return Table(
        f"Windows: {', '.join(each.title for each in measures)}",
        ("pair", "first", *titles, "lost", "load generator"),
        tuple(
            (
                str(index),
                contest.names["AB".index(pair.first)],
                *(each.written(each.of(side)) for each in measures for side in (pair.a, pair.b)),
                f"{pair.a.lost + pair.b.lost:,}",
                phrases.share(max(pair.a.cpu, pair.b.cpu)),
            )
            for index, pair in enumerate(pairs, 1)
        ),
    )


def knee_sheet(knee: Knee, limits: ProofLimits, command: str) -> Sheet:
    """Return the page of a search."""
    return Sheet(
        title="How much the site can take",
        status=knee.status,
        sentence=knee.sentence,
        remarks=(
            f"Each rate was driven by itself, and judged by itself: {objectives(limits)}.",
            "A rate that did not hold was tried a second time.",
        ),
        charts=windowed_charts.stages(knee, limits),
        tables=(stage_table(knee),),
        command=command,
    )


def stage_table(knee: Knee) -> Table:
    """Return the rates that were tried, in order."""
    return Table(
        "The rates that were tried, in order",
        ("rate", "came out", "right a second", "lost", "p50", "p95", "p99", "processor", "why"),
        tuple(_stage_row(each) for each in knee.stages),
    )


def _stage_row(stage: Stage) -> tuple[str, ...]:
    window: Window = stage.window
    return (
        f"{stage.rate:,.4g}/s",
        stage.held.value,
        f"{window.rate:,.1f}",
        f"{window.lost:,}",
        *(phrases.time(each) for each in (window.p50, window.p95, window.p99)),
        phrases.share(window.cpu),
        stage.why,
    )


def _page(folder: Path, sheet: Sheet) -> Path:
    text = page.environment().get_template("windowed.html.j2").render(sheet=sheet)
    _write(folder / PAGE, text)
    return folder / PAGE


def _write(target: Path, text: str) -> None:
    fresh = target.with_name(f".{target.name}.new")
    fresh.write_text(text, encoding="utf-8")
    os.replace(fresh, target)  # noqa: PTH105 - the two are in one folder
