"""A row for each request, as cheap as it can be while the load runs."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final

import numpy as np

from rondo.proof.records import REQUEST

if TYPE_CHECKING:
    from numpy.typing import NDArray

ROW: Final = struct.Struct("<QdddHIHBBHHI")
"""One row of records.REQUEST."""

MOST_TEXTS: Final = 60_000
LONGEST_ERROR: Final = 300
LAG_QUANTILES: Final = (0.5, 0.9, 0.99, 1.0)

_ROOM_FOR_BACKENDS = 1_000
_FURTHER = "further errors, of which the text was not kept"
_pack = ROW.pack
WARM_UP: Final = ROW.pack(0, 0.0, 0.0, 0.0, 0, 0, 0, 0, 0, 0, 0, 0)
"""A row to count once before the run: numpy's first time takes long enough to make users late."""


class Recorder:
    """Collects rows, and the texts that they refer to by number, until they are taken."""

    def __init__(self) -> None:
        self._rows: list[bytes] = []
        self._index = {"": 0, _FURTHER: 1}
        self._new = ["", _FURTHER]

    def add(self, *fields: float) -> None:
        """Note one request: the fields of REQUEST in their order."""
        self._rows.append(_pack(*fields))

    def backend(self, text: str) -> int:
        """Return the number of what a server said of the backend."""
        number = self._index.get(text)
        return self._noted(text, MOST_TEXTS) if number is None else number

    def error(self, text: str) -> int:
        """Return the number of what was wrong; of too many different ones the text is not kept."""
        short = text[:LONGEST_ERROR]
        number = self._index.get(short)
        return self._noted(short, MOST_TEXTS - _ROOM_FOR_BACKENDS) if number is None else number

    def _noted(self, text: str, most: int) -> int:
        number = len(self._index)
        if number >= most:
            return 1
        self._index[text] = number
        self._new.append(text)
        return number

    def take(self) -> tuple[bytes, list[str]]:
        """Hand over the rows and the texts that are new since the last time."""
        rows, self._rows = self._rows, []
        new, self._new = self._new, []
        return b"".join(rows), new


class Tally:
    """What a generator reports of itself, from the rows that it handed over."""

    def __init__(self, users: int, probe: int) -> None:
        self._free = np.zeros(users + 1)
        """When each user's last request ended."""
        self._probe = probe
        self._lags: list[NDArray[np.float32]] = []
        self.sent = 0
        self.ended = 0.0

    def count(self, rows: bytes) -> None:
        """Add rows; the probe's count for nothing but the end."""
        table = np.frombuffer(rows, REQUEST)
        if len(table):
            self.ended = max(self.ended, float(table["end"].max()))
        table = table[table["step"] != self._probe]
        if not len(table):
            return
        table = table[np.lexsort((table["start"], table["user"]))]
        self.sent += len(table)
        users, ends = table["user"], table["end"]
        free = np.empty(len(table))
        free[1:] = ends[:-1]
        first = np.ones(len(table), bool)
        first[1:] = users[1:] != users[:-1]
        free[first] = self._free[users[first]]
        self._free[users] = ends  # of several rows of a user numpy keeps the last
        late = table["start"] - np.maximum(table["intended"], free)
        self._lags.append(np.maximum(late, 0).astype(np.float32))

    def lag(self) -> tuple[float, ...]:
        """Return the quantiles of the generator's own lateness, in seconds."""
        if not self._lags:
            return ()
        return tuple(float(each) for each in np.quantile(np.concatenate(self._lags), LAG_QUANTILES))
