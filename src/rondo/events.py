"""What happened, as it happens: the one stream that the terminal and events.jsonl are made from."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from pathlib import Path

Kind = Literal["phase", "start", "line", "done", "failed", "note"]


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened, on one server or on all."""

    kind: Kind
    text: str
    server: str = ""
    seconds: float | None = None
    """How long the step took."""
    at: float = field(default_factory=time.time)
    """Seconds since 1970, by the operator's clock."""


Emit = Callable[[Event], None]


def journal(path: Path) -> Emit:
    """Return a sink that appends each event to a file, one JSON object a line; none, no file."""

    def write(event: Event) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(asdict(event)) + "\n")

    return write


def redacted(sink: Emit, redact: Callable[[str], str]) -> Emit:
    """Return a sink that passes events on without the secrets in their texts."""
    return lambda event: sink(replace(event, text=redact(event.text)))


def fan_out(*sinks: Emit) -> Emit:
    """Return a sink that passes each event on to all of these.

    One that cannot take it is passed over: nobody may be there to read, or no room to write, but
    what only shows must not stop what acts.
    """

    def emit(event: Event) -> None:
        for sink in sinks:
            with suppress(OSError, ValueError):
                sink(event)

    return emit
