"""Folders of runs: where each witness of a run leaves what it has to say."""

from __future__ import annotations

import datetime
import json
import secrets
import shlex
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True, slots=True)
class RunFolder:
    """One run: its name, its secret and its folder."""

    run: str
    secret: str
    path: Path

    @property
    def events(self) -> Path:
        """File of what happened."""
        return self.path / "events.jsonl"

    @property
    def brief(self) -> Path:
        """File with what the load generators are told."""
        return self.path / "brief.json"

    @property
    def servers(self) -> Path:
        """Folder of the servers' logs."""
        return self.path / "servers"


_PROGRAMS: Final = {"fabric": "fab", "invoke": "inv"}


def typed(words: Sequence[str]) -> str:
    """Return a command as it was typed; empty for a program that is not ours."""
    path = Path(words[0]) if words else Path()
    # `python -m fabric` is the same program.
    name = _PROGRAMS.get(path.parent.name, "") if path.name == "__main__.py" else path.name
    return shlex.join([name, *words[1:]]) if name in {"fab", "inv", "invoke"} else ""


def new_run(root: Path, path: Path | None = None) -> RunFolder:
    """Make the folder of a new run below a project, or take one that is there."""
    run = secrets.token_hex(6)
    stamp = datetime.datetime.now(datetime.UTC).strftime("%Y%m%dT%H%M%SZ")
    folder = path or root / ".rondo" / "runs" / f"{stamp}-{run}"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return RunFolder(run, secrets.token_hex(16), folder)


def span(folder: Path) -> tuple[float, float] | None:
    """Return when the load of a run began and ended, as its generators say; None before it has."""
    times = []
    for path in (folder / "clients").glob("*.json"):
        with suppress(ValueError, KeyError, OSError):
            told = json.loads(path.read_text())
            times.append((float(told["began"]), float(told["ended"])))
    times = [pair for pair in times if pair[0] > 0]
    if not times:
        return None
    return min(began for began, _ in times), max(ended for _, ended in times)
