"""A small writer of SVG: elements, and paths in as few characters as are needed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from markupsafe import Markup, escape

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

Point = tuple[float, float]
EMPTY = Markup()


def element(name: str, *inner: str | Markup, **attributes: str | float | None) -> Markup:
    """Return an element; text is escaped, `class_` means class, `view_box` viewBox."""
    written = EMPTY.join(
        Markup(' {}="{}"').format(_attribute(key), _value(value))
        for key, value in attributes.items()
        if value is not None
    )
    body = EMPTY.join(map(escape, inner))
    if not body:
        return Markup("<{}{}/>").format(Markup(name), written)  # noqa: S704 - our own names
    return Markup("<{0}{1}>{2}</{0}>").format(Markup(name), written, body)  # noqa: S704 - the same


_CAMEL = {"view_box": "viewBox", "preserve_aspect_ratio": "preserveAspectRatio"}


def _attribute(key: str) -> str:
    return _CAMEL.get(key) or key.rstrip("_").replace("_", "-")


def _value(value: str | float) -> str:
    return value if isinstance(value, str) else short(value)


def short(value: float, digits: int = 2) -> str:
    """Write a coordinate without what says nothing."""
    text = f"{value:.{digits}f}"
    text = text.rstrip("0").rstrip(".") if "." in text else text
    if text in {"-0", ""}:
        return "0"
    return text.replace("0.", ".", 1) if text.startswith(("0.", "-0.")) else text


def line(points: Iterable[Point | None]) -> str:
    """Return a path through points; None lifts the pen."""
    return "".join(_drawn(points))


def _drawn(points: Iterable[Point | None]) -> Iterator[str]:
    """Say each point relative to the rounded place of the one before: errors do not add up."""
    at: tuple[int, int] | None = None
    for point in points:
        if point is None:
            at = None
            continue
        x, y = round(point[0] * 10), round(point[1] * 10)
        if at is None:
            yield f"M{short(x / 10)} {short(y / 10)}"
        elif (x, y) != at:
            yield _move(x - at[0], y - at[1])
        at = (x, y)


def _move(right: int, down: int) -> str:
    if not down:
        return f"h{short(right / 10)}"
    if not right:
        return f"v{short(down / 10)}"
    gap = "" if down < 0 else " "
    return f"l{short(right / 10)}{gap}{short(down / 10)}"


def steps(edges: Sequence[float], heights: Sequence[float | None]) -> str:
    """Return a path that keeps each height from one edge to the next."""

    def points() -> Iterator[Point | None]:
        for index, height in enumerate(heights):
            if height is None:
                yield None
                continue
            yield (edges[index], height)
            yield (edges[index + 1], height)

    return line(points())


def area(upper: Sequence[Point], lower: Sequence[Point]) -> str:
    """Return a closed path between two lines."""
    return line([*upper, *reversed(lower)]) + "z"


def boxes(each: Iterable[tuple[float, float, float, float]]) -> str:
    """Return one path of many rectangles: x, y, width, height."""
    return "".join(
        f"M{short(x)} {short(y)}h{short(width)}v{short(height)}h{short(-width)}z"
        for x, y, width, height in each
    )
