"""Who serves how much, while the load runs: for the extra tab of Locust's web page. Pure."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from rondo.proof.records import REQUEST, Outcome

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

BUCKETS_PER_DECADE: Final = 50
"""5 % from one bucket to the next, from 10 microseconds on."""

_SHORTEST: Final = 1e-5
_BUCKETS: Final = 8 * BUCKETS_PER_DECADE
_NOBODY: Final = "not said"


@dataclass(frozen=True, slots=True)
class Share:
    """What one backend has served so far."""

    backend: str
    requests: int
    share: float
    """Of the requests that its service had on its server."""
    errors: int
    median: float | None
    """Of the service time, in seconds."""


class Shares:
    """Counts by backend, as rows come in."""

    def __init__(self) -> None:
        self._requests: dict[str, int] = {}
        self._errors: dict[str, int] = {}
        self._times: dict[str, NDArray[np.int64]] = {}

    def add(self, rows: bytes, texts: Sequence[str]) -> float:
        """Count rows, and return when the last of them ended."""
        table = np.frombuffer(rows, REQUEST)
        if not len(table):
            return 0.0
        for number in np.unique(table["seen"]):
            own = table[table["seen"] == number]
            name = _backend(texts[number])
            self._requests[name] = self._requests.get(name, 0) + len(own)
            wrong = int(np.count_nonzero(own["outcome"] != Outcome.RIGHT))
            self._errors[name] = self._errors.get(name, 0) + wrong
            times = self._times.setdefault(name, np.zeros(_BUCKETS, np.int64))
            times += np.bincount(_bucket(own["end"] - own["start"]), minlength=_BUCKETS)
        return float(table["end"].max())

    def table(self) -> list[Share]:
        """Return what each backend has served, by name; what no one is named for comes last."""
        services: Counter[str] = Counter()
        for name, count in self._requests.items():
            services[_service(name)] += count
        names = sorted(self._requests, key=lambda name: (name == _NOBODY, name))
        return [
            Share(
                backend=name,
                requests=self._requests[name],
                share=self._requests[name] / services[_service(name)],
                errors=self._errors[name],
                median=_median(self._times[name]),
            )
            for name in names
        ]


def _backend(seen: str) -> str:
    """Shorten SERVER;UPSTREAM;RELEASE to what tells backends apart: server and slot."""
    if not seen:
        return _NOBODY
    server, _, rest = seen.partition(";")
    last = rest.partition(";")[0].rpartition(", ")[2]
    parts = last.removeprefix("unix:").rstrip(":").split("/")
    slot = parts[-2] if parts[-1] == "slot.sock" and len(parts) > 1 else parts[-1]
    return f"{server} {slot.removesuffix('.sock')}"


def _service(backend: str) -> str:
    return backend.rstrip("0123456789")


def _bucket(seconds: NDArray[np.float64]) -> NDArray[np.intp]:
    decades = np.log10(np.maximum(seconds, _SHORTEST) / _SHORTEST)
    return np.minimum((decades * BUCKETS_PER_DECADE).astype(np.intp), _BUCKETS - 1)


def _median(times: NDArray[np.int64]) -> float | None:
    total = int(times.sum())
    if not total:
        return None
    bucket = int(np.searchsorted(times.cumsum(), (total + 1) // 2))
    return float(_SHORTEST * 10 ** ((bucket + 0.5) / BUCKETS_PER_DECADE))
