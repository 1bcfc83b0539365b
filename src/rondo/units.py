"""Durations and sizes: read from the text of a person, and written as one."""

from __future__ import annotations

import re

_DURATION = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,9})?)(ms|s|m|h|d)")
_SIZE = re.compile(r"([0-9]{1,15})([kmgKMG]?)[bB]?")
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_BYTES = {"": 1, "k": 1024, "m": 1024**2, "g": 1024**3}


def seconds_of(value: object) -> object:
    """Turn text like 30s into seconds; leave numbers to the model."""
    if not isinstance(value, str) or _is_number(value):
        return value
    match = _DURATION.fullmatch(value.strip())
    if not match:
        raise ValueError("is not a duration; give one like 500ms, 30s or 5m")
    return round(float(match[1]) * _SECONDS[match[2]], 6)


def bytes_of(value: object) -> object:
    """Turn text like 50m into bytes; leave numbers to the model."""
    if not isinstance(value, str):
        return value
    match = _SIZE.fullmatch(value.strip())
    if not match:
        raise ValueError("is not a size; give one like 512k, 50m or 2g")
    return int(match[1]) * _BYTES[match[2].lower()]


def _is_number(value: str) -> bool:
    return re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,9})?", value) is not None


def duration_text(seconds: float) -> str:
    """Write seconds in the largest unit that needs no fraction: 600 as 10m."""
    for unit in ("d", "h", "m", "s"):
        if seconds >= _SECONDS[unit] and seconds % _SECONDS[unit] == 0:
            return f"{seconds / _SECONDS[unit]:.0f}{unit}"
    return f"{seconds * 1000:.15g}ms" if 0 < seconds < 1 else f"{seconds:.15g}s"


def size_text(size: float) -> str:
    """Write bytes in the largest unit that needs no fraction: 52428800 as 50m."""
    for unit in ("g", "m", "k"):
        if size >= _BYTES[unit] and size % _BYTES[unit] == 0:
            return f"{size // _BYTES[unit]:.0f}{unit}"
    return f"{size:.0f}"
