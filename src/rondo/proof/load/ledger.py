"""The rows of every load generator, as files of the run folder and as they come for the screen."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

from rondo.proof.load.live import Shares
from rondo.proof.load.recorder import WARM_UP

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path
    from typing import BinaryIO


class Ledger:
    """Writes clients/NAME.rows and clients/NAME.json of a run."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder / "clients"
        self._folder.mkdir(mode=0o700, exist_ok=True)
        self._files: dict[str, BinaryIO] = {}
        self._texts: dict[str, list[str]] = {}
        self._reports: dict[str, Mapping[str, Any]] = {}
        self._began = 0.0
        self._ended = 0.0
        self.shares = Shares()
        Shares().add(WARM_UP, [""])

    def open(self, name: str) -> None:
        """Begin with a generator, which counts as lost until it has reported."""
        self._files[name] = (self._folder / f"{name}.rows").open("wb")
        self._texts[name] = []
        self._reports[name] = {
            "name": name,
            "planned": 0,
            "sent": 0,
            "cpu": [],
            "lag": [],
            "lost": True,
        }
        self._describe(name)

    def begin(self, began: float) -> None:
        """Note when the run begins."""
        self._began = self._ended = began
        for name in self._files:
            self._describe(name)

    def add(self, name: str, rows: bytes, texts: Sequence[str]) -> None:
        """Write rows, and the texts that are new with them."""
        file = self._files[name]
        if file.closed:  # given up as lost, and heard of again
            return
        self._texts[name].extend(texts)
        file.write(rows)
        file.flush()
        self._ended = max(self._ended, self.shares.add(rows, self._texts[name]))
        if texts:
            self._describe(name)

    def close(self, name: str, report: Mapping[str, Any] | None = None) -> None:
        """End with a generator; without a report it was lost."""
        if report:
            self._reports[name] = {**report, "name": name}
        self._files[name].close()

    def finish(self) -> None:
        """Say of each generator how it did, once no more rows can come."""
        for name in self._files:
            self._describe(name)

    @property
    def lost(self) -> tuple[str, ...]:
        """Names of the generators that went away before their end."""
        return tuple(name for name, report in self._reports.items() if report["lost"])

    @property
    def sent(self) -> int:
        """Count the requests that were reported as sent."""
        return sum(report["sent"] for report in self._reports.values())

    def _describe(self, name: str) -> None:
        path = self._folder / f"{name}.json"
        data = {
            "texts": self._texts[name],
            "report": self._reports[name],
            "began": self._began,
            "ended": self._ended,
        }
        part = path.with_suffix(".part")
        part.write_text(json.dumps(data), encoding="utf-8")
        os.replace(part, path)  # noqa: PTH105 - one name for one call: rename(2)
