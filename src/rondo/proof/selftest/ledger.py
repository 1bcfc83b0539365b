"""The ledger: one line of JSON for every run, written as soon as it is over."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class Entry:
    """What came of one run of a row."""

    row: str
    number: int
    """Which of the row's runs; a repetition has the number of the run that it repeats."""
    verdict: str
    failing: tuple[str, ...]
    """Keys of the checks that did not pass."""
    noisy: bool
    """Whether it is INVALID only because this machine was too busy."""
    seconds: float
    """From before the fault was made until the site was whole again."""
    load: float
    """Seconds of these in which the proof ran."""
    at: str
    """Date and time of its end, UTC."""
    sentence: str = ""
    folder: str = ""
    """Where the proof's own files are; empty when they were not kept."""
    versions: Mapping[str, str] = field(default_factory=dict)


class Ledger:
    """A file that only grows; what a kill left half-written at its end counts for nothing."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def read(self) -> tuple[Entry, ...]:
        """Give all runs, in the order in which they ended."""
        if not self.path.exists():
            return ()
        lines = self.path.read_text(encoding="utf-8").splitlines()
        return tuple(entry for line in lines if (entry := _entry(line)) is not None)

    def append(self, entry: Entry) -> None:
        """Write down a run so that no kill can take it away."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("ab+") as file:
            # Behind the half of a line that a kill left, a whole one would be lost as well.
            if file.tell() and not self._ends_whole():
                file.write(b"\n")
            file.write(json.dumps(asdict(entry), ensure_ascii=False).encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())

    def _ends_whole(self) -> bool:
        with self.path.open("rb") as file:
            file.seek(-1, os.SEEK_END)
            return file.read(1) == b"\n"


def _entry(line: str) -> Entry | None:
    try:
        read = json.loads(line)
        return Entry(**(read | {"failing": tuple(read["failing"])}))
    except (ValueError, TypeError, KeyError):
        return None
