"""Anomalies: what was out of the ordinary, verbatim, capped, and counted to the last one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from rondo.proof.verdict import Anomaly

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    import numpy as np
    from numpy.typing import NDArray

OF_A_KIND = 50
IN_ALL = 200


@dataclass(frozen=True, slots=True)
class Sightings:
    """All anomalies of one kind: how many, and the first of them."""

    kind: str
    total: int
    shown: tuple[Anomaly, ...]


def sight(
    kind: str,
    indices: NDArray[np.int64],
    at: Callable[[int], float],
    describe: Callable[[int], str],
) -> Sightings:
    """Write down the first rows of a kind."""
    first = [int(index) for index in indices[:OF_A_KIND]]
    shown = tuple(Anomaly(at(index), kind, describe(index)) for index in first)
    return Sightings(kind, len(indices), shown)


def gather(kinds: Iterable[Sightings]) -> tuple[tuple[Anomaly, ...], int]:
    """Return the anomalies to show, in the order of time, and how many there were."""
    found = [each for each in kinds if each.total]
    share = max(1, IN_ALL // len(found) - 1) if found else 0
    shown = [anomaly for each in found for anomaly in _capped(each, min(OF_A_KIND, share))]
    return tuple(sorted(shown, key=lambda each: each.at)), sum(each.total for each in found)


def _capped(sightings: Sightings, most: int) -> Iterator[Anomaly]:
    shown = sightings.shown[:most]
    yield from shown
    rest = sightings.total - len(shown)
    if rest and shown:
        yield Anomaly(shown[-1].at, sightings.kind, f"... and {rest:,} more of this kind", rest)
