"""How the judge writes numbers, times and lists. Pure."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


def number(count: float) -> str:
    """Write a number: 12,000 or 3.5."""
    return f"{count:,.0f}" if count == round(count) else f"{count:,.3g}"


def many(count: int, noun: str, plural: str = "") -> str:
    """Write a number with its noun."""
    return f"{count:,} {noun if count == 1 else plural or noun + 's'}"


def time(seconds: float) -> str:
    """Write a duration in the unit that suits it."""
    if not math.isfinite(seconds):
        return "unknown" if math.isnan(seconds) else "without bound"
    if abs(seconds) < 0.001:
        return f"{seconds * 1e6:.3g} us"
    return f"{seconds * 1000:.3g} ms" if abs(seconds) < 1 else f"{seconds:.3g} s"


def share(value: float) -> str:
    """Write a share as a percentage."""
    return f"{value * 100:.3g} %"


def clock(at: float) -> str:
    """Write a moment: the time of day in UTC, to the millisecond."""
    return datetime.fromtimestamp(at, UTC).strftime("%H:%M:%S.%f")[:-3]


def listed(words: Iterable[str], most: int = 6) -> str:
    """Write a list: a, b and c, or the first of a long one."""
    every: Sequence[str] = tuple(words)
    if len(every) > most:
        return f"{', '.join(every[:most])} and {len(every) - most} more"
    return " and ".join(filter(None, (", ".join(every[:-1]), *every[-1:])))
