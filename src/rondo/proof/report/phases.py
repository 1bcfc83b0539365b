"""The phases of a deploy under load: bands behind a chart, with numbers that a list explains."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from rondo.proof.report.frame import at, lanes, path, text
from rondo.proof.report.svg import EMPTY, boxes, element

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from markupsafe import Markup

    from rondo.proof.report.runfile import Run
    from rondo.proof.report.scales import Scale

LANE = 16.0
_NARROW, _USUAL = 230.0, 780.0  # pixels of a plot on a phone, and on a desktop
_LETTER = 6.8  # pixels, generously
_BADGE = 17.0
_ENDS = {"phase", "done", "failed", "end"}


@dataclass(frozen=True, slots=True)
class Phase:
    """A part of the change, in seconds since the run began."""

    begin: float
    end: float
    text: str


def phases(run: Run) -> tuple[Phase, ...]:
    """Return the phases that the deploy told of; the whole change where it told of none."""
    return tuple(_between(run, "phase")) or tuple(_between(run, "begin"))


def _between(run: Run, kind: str) -> Iterator[Phase]:
    marks = sorted(run.marks, key=lambda mark: mark.at)
    stop = run.load.duration
    for index, mark in enumerate(marks):
        if mark.kind == kind:
            ends = _ENDS | {kind}
            later = (each.at for each in marks[index + 1 :] if each.kind in ends)
            end = next(later, max(stop, mark.at))
            yield Phase(max(mark.at, 0.0), max(end, 0.0), mark.text)


def room(found: Sequence[Phase], x: Scale) -> float:
    """Return the height that the labels need above the plot."""
    return (max(_lanes(found, x), default=-1) + 1) * LANE


def _lanes(found: Sequence[Phase], x: Scale) -> list[int]:
    return lanes([(x(each.begin) / 1000 * _NARROW, _BADGE) for each in found])


def bands(found: Sequence[Phase], x: Scale, height: float) -> Markup:
    """Return the bands, every other one darker."""
    wide = [(x(each.begin), 0.0, x(each.end) - x(each.begin), height) for each in found]
    edges = "".join(f"M{begin:.1f} 0v{height:.0f}" for begin, *_ in wide)
    drawn = (path(boxes(wide[0::2]), "band even"), path(boxes(wide[1::2]), "band"))
    return EMPTY.join((*drawn, path(edges, "edge")))


def labels(found: Sequence[Phase], x: Scale) -> Markup:
    """Return the numbers above the bands, with the text beside them where there is room."""
    used = _lanes(found, x)
    return EMPTY.join(EMPTY.join(_label(found, x, used, index)) for index in range(len(found)))


def _label(found: Sequence[Phase], x: Scale, used: list[int], index: int) -> Iterator[Markup]:
    place, y = x(found[index].begin), -5 - used[index] * LANE
    yield text(str(index + 1), at(place), y, "badge", dx=2)
    same = (i for i in range(index + 1, len(found)) if used[i] == used[index])
    following = next((x(found[i].begin) for i in same), 1000.0)
    if (following - place) / 1000 * _USUAL > _BADGE + len(found[index].text) * _LETTER:
        yield text(found[index].text, at(place), y, "phase wide", dx=_BADGE)


def switches(run: Run, server: str, slot: str, x: Scale, box: tuple[float, float]) -> Markup:
    """Return marks where a slot was switched and where its old container was drained."""
    top, height = box
    found = [
        each
        for each in run.marks
        if each.slot == slot and each.server == server and each.kind in {"switched", "drained"}
    ]
    return EMPTY.join(
        element(
            "line",
            element("title", f"{each.text}, {each.at:.2f} s"),
            x1=at(x(each.at)),
            x2=at(x(each.at)),
            y1=top - 2,
            y2=top + height + 2,
            class_=each.kind,
        )
        for each in found
    )
