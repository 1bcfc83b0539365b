"""Where a lab keeps its things on the operator's side, and what it is called."""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shutil
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rondo.lab.engine import LabError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rondo.lab.model import Report

_MARKS = ("inventory.yaml", "fabfile", ".git")


@dataclass(frozen=True, slots=True)
class Place:
    """The name of a lab and the folder of its files."""

    root: Path
    name: str

    @property
    def folder(self) -> Path:
        """Everything that the lab keeps on the operator's side; a second lab has its own."""
        usual = self.name == default_name(self.root)
        return self.root / ".rondo" / ("lab" if usual else f"lab-{self.name}")

    def write(self, name: str, content: str | bytes, mode: int = 0o644) -> Path:
        """Write one file whole or not at all."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        data = content.encode() if isinstance(content, str) else content
        fresh = path.with_name(f".{path.name}.new")
        fresh.unlink(missing_ok=True)
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
        fresh.replace(path)
        return path

    def forget(self) -> None:
        """Remove every file of the lab."""
        shutil.rmtree(self.folder, ignore_errors=True)


def find() -> Place:
    """Find the place of this project's lab, from the current folder upwards."""
    here = Path.cwd()
    candidates = (folder for folder in (here, *here.parents) if _is_root(folder))
    root = next(candidates, here)
    name = os.environ.get("RONDO_LAB") or default_name(root)
    if not re.fullmatch(r"[a-z0-9][a-z0-9-]{0,40}", name):
        raise LabError(f"RONDO_LAB={name!r} is no name; use lower-case letters, digits and dashes")
    return Place(root, name)


def default_name(root: Path) -> str:
    """Derive a name that two checkouts on one machine do not share."""
    return f"rondo-lab-{hashlib.sha256(str(root).encode()).hexdigest()[:6]}"


def _is_root(folder: Path) -> bool:
    return any((folder / mark).exists() for mark in _MARKS)


@contextmanager
def locked(place: Place, report: Report) -> Iterator[None]:
    """Keep two lab commands apart; the lock dies with the process that holds it."""
    place.folder.mkdir(parents=True, exist_ok=True)
    path = place.folder / "lock"
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            report("another command is changing the lab; waiting for it")
            fcntl.flock(file, fcntl.LOCK_EX)
        if not _same_file(file.fileno(), path):
            # It was removed (`down` with everything) while we waited for it.
            with locked(place, report):
                yield
        else:
            yield


def _same_file(descriptor: int, path: Path) -> bool:
    try:
        return os.fstat(descriptor).st_ino == path.stat().st_ino
    except FileNotFoundError:
        return False
