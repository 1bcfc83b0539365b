"""The charts of a comparison and of a search: ratios by pair, latency by rate."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from rondo.proof import phrases, versus
from rondo.proof.knee import Held
from rondo.proof.report.frame import Axis, Chart, Key, at, framed, path
from rondo.proof.report.scales import Linear, Logarithmic, number, ticks
from rondo.proof.report.svg import EMPTY, element, short

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from markupsafe import Markup

    from rondo.objectives import ProofLimits
    from rondo.proof.knee import Knee, Stage
    from rondo.proof.versus import Comparison, Pair

_HEIGHT = 170.0
_WIDE = 1000.0
_COLOURS = {Held.YES: "good", Held.NO: "lost", Held.CLIENT: "unsure", Held.BROKEN: "unsure"}


def ratios(comparison: Comparison, pairs: Sequence[Pair], names: tuple[str, str]) -> Markup:
    """Draw the ratio of each pair, with the interval of their mean."""
    of, ratio = comparison.measure.of, comparison.ratio
    found = [of(pair.b) / of(pair.a) for pair in pairs]
    low, high = min(*found, ratio.low, 1.0), max(*found, ratio.high, 1.0)
    room = max((high / low) ** 0.08, 1.01)
    y = Logarithmic(low / room, high * room, _HEIGHT, 0)
    x = Linear(0.5, len(pairs) + 0.5, 0, _WIDE)
    band = f"M0 {short(y(ratio.high))}h1000V{short(y(ratio.low))}h-1000z"
    marks = tuple((float(index), str(index)) for index in range(1, len(pairs) + 1))
    return framed(
        Chart(
            name=f"ratio-{comparison.measure.value}",
            title=f"{comparison.measure.title}: {names[1]} / {names[0]}",
            height=_HEIGHT,
            x=Axis("pair", x, marks),
            y=Axis("ratio", y, _ratio_ticks(y.low, y.high)),
            legend=(
                Key("one pair", "seen", "dot"),
                Key("interval of the mean", "bound", "box"),
                Key("no difference", "limit"),
            ),
            stretched=EMPTY.join((path(band, "bound"), path(f"M0 {short(y(1))}h1000", "limit"))),
            over=_dots((x(index), y(each), "seen") for index, each in enumerate(found, 1)),
            described=f"The mean is {versus.times(ratio.estimate)}.",
        )
    )


def _ratio_ticks(low: float, high: float) -> tuple[tuple[float, str], ...]:
    return tuple((each, f"{each:.3g}") for each in ticks(low, high, 5))


def _dots(places: Iterable[tuple[float, float, str]]) -> Markup:
    return EMPTY.join(
        element("circle", cx=at(x), cy=y, r=4, class_=style) for x, y, style in places
    )


def _drawable(stage: Stage) -> bool:
    return math.isfinite(stage.window.p95) and stage.window.p95 > 0


def stages(knee: Knee, limits: ProofLimits) -> tuple[Markup, ...]:
    """Draw the 95th percentile of each stage by its rate; no chart if nothing was answered."""
    found = [each for each in knee.stages if _drawable(each)]
    return (_stages(found, limits),) if found else ()


def _stages(stages: Sequence[Stage], limits: ProofLimits) -> Markup:
    rates = [each.rate for each in stages]
    late = [each.window.p95 for each in stages]
    limit = limits.p95
    heights = [*late, limit] if limit else late
    x = Linear(0, max(rates) * 1.05, 0, _WIDE)
    y = Logarithmic(min(heights) / 1.5, max(heights) * 1.5, _HEIGHT, 0)
    legend = [Key(held.value, _COLOURS[held], "dot") for held in (Held.YES, Held.NO, Held.CLIENT)]
    line = path(f"M0 {short(y(limit))}h1000", "limit") if limit else EMPTY
    return framed(
        Chart(
            name="stages",
            title="95th percentile of latency by rate",
            height=_HEIGHT,
            x=Axis("requests a second", x, tuple((t, number(t)) for t in ticks(0, x.high, 8))),
            y=Axis("latency", y, _latency_ticks(y.low, y.high)),
            legend=(*legend, *([Key("limit of p95", "limit")] if limit else [])),
            stretched=line,
            over=_dots((x(each.rate), y(each.window.p95), _COLOURS[each.held]) for each in stages),
        )
    )


def _latency_ticks(low: float, high: float) -> tuple[tuple[float, str], ...]:
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    marks = [each * 10.0**power for power in powers for each in (1, 3)]
    return tuple((each, phrases.time(each)) for each in marks if low <= each <= high)
