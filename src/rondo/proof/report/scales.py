"""Values to places, round numbers for the ticks, and how figures are written."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

THIN = "\u202f"
"""Narrow space that no line breaks at, before a unit."""


class Scale(Protocol):
    """Where a value is drawn."""

    def __call__(self, value: float) -> float:
        """Return the place of a value."""
        ...


@dataclass(frozen=True, slots=True)
class Linear:
    """Equal steps for equal differences."""

    low: float
    high: float
    begin: float
    end: float

    def __call__(self, value: float) -> float:
        """Return the place of a value."""
        span = self.high - self.low or 1.0
        return self.begin + (value - self.low) / span * (self.end - self.begin)


@dataclass(frozen=True, slots=True)
class Logarithmic:
    """Equal steps for equal ratios; what is below the lowest is drawn there."""

    low: float
    high: float
    begin: float
    end: float

    def __call__(self, value: float) -> float:
        """Return the place of a value."""
        span = math.log(self.high / self.low) or 1.0
        return self.begin + math.log(max(value, self.low) / self.low) / span * (
            self.end - self.begin
        )


def step_of(span: float, most: int) -> float:
    """Return the smallest of 1, 2, 5 x 10^n that cuts a span into at most so many parts."""
    if span <= 0:
        return 1.0
    exact = span / most
    power = 10.0 ** math.floor(math.log10(exact) + 1e-9)
    return next(each * power for each in (1, 2, 5, 10) if each * power >= exact * (1 - 1e-9))


def ticks(low: float, high: float, most: int) -> tuple[float, ...]:
    """Return round numbers within a range."""
    step = step_of(high - low, most)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return tuple(round(index * step, 12) for index in range(first, last + 1))


def time_step(seconds: float, most: int) -> float:
    """Return a step that clocks know: 1, 2, 5, 10, 15, 30 s, then minutes, then hours."""
    known = (0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200)
    return next((each for each in known if seconds / each <= most), seconds / most)


def decades(low: float, high: float) -> tuple[float, ...]:
    """Return the powers of ten from one that is not above low to one that is not below high."""
    first = math.floor(math.log10(low) + 1e-9)
    last = max(math.ceil(math.log10(high) - 1e-9), first + 1)
    return tuple(10.0**power for power in range(first, last + 1))


def number(value: float) -> str:
    """Write a number with at most four digits, or its thousands apart."""
    if abs(value) >= 1000 or value == int(value):
        return f"{value:,.0f}"
    return f"{value:.3g}" if abs(value) < 100 else f"{value:.1f}"


def seconds(value: float) -> str:
    """Write a duration with three digits, in the unit in which it is read best."""
    if value <= 0:
        return f"0{THIN}s"
    if value >= 120:
        minutes, rest = divmod(round(value), 60)
        return f"{minutes}{THIN}min" + (f" {rest}{THIN}s" if rest else "")
    units = ((1.0, "s"), (1e3, "ms"), (1e6, "\u00b5s"))
    factor, unit = next((each for each in units if value * each[0] >= 0.9995), units[-1])
    return f"{_three(value * factor)}{THIN}{unit}"


def _three(value: float) -> str:
    digits = max(0, 2 - math.floor(math.log10(value) + 1e-4))
    text = f"{value:.{digits}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def percent(value: float) -> str:
    """Write a share."""
    return f"{value * 100:.4g}{THIN}%"


def signed(value: float) -> str:
    """Write a difference with its sign."""
    return f"{'+' if value > 0 else chr(0x2212) if value < 0 else chr(0xB1)}{number(abs(value))}"
