"""The rows that witnesses write: one per request, of fixed size, so that millions stay cheap."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


class Outcome(IntEnum):
    """How a request ended, as its client saw it."""

    RIGHT = 0
    """The status, and the text, that the scenario expects."""
    WRONG = 1
    """An answer, but not that one."""
    TRANSPORT = 2
    """No whole answer: refused, reset, closed, not verified."""
    TIMEOUT = 3
    """No whole answer within the scenario's longest time."""
    UNFINISHED = 4
    """Still under way when the run was cut off."""


class Wire(IntEnum):
    """The connection that a request went over."""

    FRESH = 0
    REUSED = 1


REQUEST = np.dtype(
    [
        ("id", "<u8"),  # unique in the run: worker << 40 | number; sent as 16 hexadecimal digits
        ("intended", "<f8"),  # when it should have started, seconds since 1970, client's clock
        ("start", "<f8"),  # when it was sent
        ("end", "<f8"),  # when its answer was whole
        ("step", "<u2"),  # index into Brief.steps
        ("user", "<u4"),  # number of the user in the run
        ("status", "<u2"),  # 0 without an answer
        ("outcome", "u1"),  # Outcome
        ("wire", "u1"),  # Wire
        ("seen", "<u2"),  # index into texts: the header X-Rondo-Backend as it came, "" without
        ("error", "<u2"),  # index into texts: what was wrong, "" for RIGHT
        ("bytes", "<u4"),  # of the body
    ]
)
"""What a client saw of one request. `rondo.proof.load` writes them, little-endian, packed."""

LOGGED = np.dtype(
    [
        ("id", "<u8"),  # 0 where the log has no number of ours
        ("time", "<f8"),  # when Nginx wrote the line: the end of the request, server's clock
        ("seconds", "<f4"),  # $request_time
        ("status", "<u2"),
        ("method", "<u2"),  # index into texts
        ("path", "<u2"),  # index into texts (the first 60,000 different ones; "" after these)
        ("backend", "<u2"),  # index into texts: $upstream_addr, a comma list after retries
        ("backend_status", "<u2"),  # index into texts: $upstream_status, position by position
        ("release", "<u2"),  # index into texts: what the application says it is
        ("bytes", "<u4"),
    ]
)
"""What Nginx logged of one request of the run."""


@dataclass(frozen=True, slots=True, eq=False)
class Requests:
    """What the clients of a run saw, all workers together."""

    rows: NDArray[np.void]
    """Of dtype REQUEST, in any order."""
    texts: tuple[str, ...] = ("",)


@dataclass(frozen=True, slots=True, eq=False)
class Lines:
    """What one server logged of a run."""

    rows: NDArray[np.void]
    """Of dtype LOGGED, in the order of the log."""
    texts: tuple[str, ...] = ("",)


def no_requests() -> Requests:
    """Return the requests of a run that sent none."""
    return Requests(np.empty(0, REQUEST))


def no_lines() -> Lines:
    """Return the log of a server that saw nothing of the run."""
    return Lines(np.empty(0, LOGGED))
