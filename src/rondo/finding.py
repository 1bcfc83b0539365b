"""What a tool holds against a file, and how a tool is run so that its failure is not a pass."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

_DEADLINE = 300


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that a tool holds against a rendered file."""

    tool: str
    file: str
    """Path below the output folder; empty when it concerns none in particular."""
    line: int | None
    message: str

    def __str__(self) -> str:
        where = self.file + (f":{self.line}" if self.line else "")
        return f"{self.tool}: {where + ': ' if where else ''}{self.message}"


def run(
    tool: str, command: Sequence[str], stdin: bytes = b"", codes: frozenset[int] = frozenset({0})
) -> str | Finding:
    """Return what a tool wrote, or the finding that it did not run."""
    try:
        done = subprocess.run(
            command, input=stdin, capture_output=True, check=False, timeout=_DEADLINE
        )
    except FileNotFoundError:
        message = f"{command[0]} is not installed: run scripts/setup"
        return Finding(tool, "", None, message)
    except subprocess.TimeoutExpired:
        return Finding(tool, "", None, f"no answer in {_DEADLINE} s")
    if done.returncode not in codes:
        said = (done.stderr or done.stdout).decode(errors="replace").strip()[-300:]
        return Finding(tool, "", None, f"did not run (exit code {done.returncode}): {said}")
    return done.stdout.decode(errors="replace")
