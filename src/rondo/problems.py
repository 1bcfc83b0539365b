"""What is wrong with an inventory, told with its path, its line and what would be right."""

from __future__ import annotations

import difflib
import json
import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from rondo.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    Path = tuple[str | int, ...]

_PLAIN_KEY = re.compile(r"[\w/@-]{1,60}")
_CREDENTIALS = re.compile(r"(?<=://)[^/@\s]*@")
_SECRET_KEY = re.compile(
    r"pass|secret|token|key|credential|private|auth|salt|dsn|cookie|signature|jwt", re.IGNORECASE
)
_FREE_VALUES = frozenset({"environment", "args", "options", "headers", "secrets"})
_LONGEST_SHOWN = 60


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """Where something was written; a column of 0 means that the line says enough."""

    file: str
    line: int
    column: int = 0

    def __str__(self) -> str:
        return f"{self.file} line {self.line}"


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong, as the end of a sentence that begins with its path."""

    path: Path
    message: str
    place: Place | None = None

    def located(self, locate: Callable[[Path], Place]) -> Problem:
        """Add the place of the path, unless it is known already."""
        return self if self.place else replace(self, place=locate(self.path))

    def __str__(self) -> str:
        if self.path:
            return f"{dotted(self.path)} ({self.place}): {self.message}"
        column = f", column {self.place.column}" if self.place and self.place.column else ""
        return f"{self.place}{column}: {self.message}"


def dotted(path: Sequence[str | int]) -> str:
    """Write a path as people say it: services.backend.volumes[0].target."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            text += f".{part if _PLAIN_KEY.fullmatch(part) else quoted(part)}"
    return text.removeprefix(".")


def quoted(text: str) -> str:
    """Show a text of the user's: on one line, not too long, and without a password in a URL."""
    safe = _CREDENTIALS.sub("***@", text)
    short = safe if len(safe) <= _LONGEST_SHOWN else f"{safe[: _LONGEST_SHOWN - 3]}..."
    return json.dumps(short, ensure_ascii=not short.isprintable())


def is_hidden(path: Path) -> bool:
    """Whether the value there may be secret, or free text that may hold a secret."""
    names = [part for part in path if isinstance(part, str)]
    return any(_SECRET_KEY.search(name) or name in _FREE_VALUES for name in names)


def shown(path: Path, value: object) -> str:
    """Name the wrong value, unless it may be secret."""
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list):
        return "a list"
    if is_hidden(path):
        return "this value (not shown)"
    return quoted(value) if isinstance(value, str) else str(value)


def close_to(name: str, choices: Iterable[str]) -> str:
    """End a sentence about an unknown name with the ones that exist."""
    known = list(dict.fromkeys(choices))
    if near := difflib.get_close_matches(name, known, n=1):
        return f"did you mean {near[0]}?"
    return f"there are {', '.join(known)}" if known else "there are none yet"


def input_error(problems: Iterable[Problem]) -> InputError:
    """Make the one error that lists every problem in the order of the file."""
    ordered = sorted(problems, key=lambda each: (each.place or Place("", 0), dotted(each.path)))
    lines = list(dict.fromkeys(str(problem) for problem in ordered))
    if len(lines) == 1:
        return InputError(lines[0])
    return InputError("\n  ".join([f"The inventory has {len(lines)} problems:", *lines]))
