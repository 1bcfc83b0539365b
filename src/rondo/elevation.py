"""The command line that runs a script as root, whatever the login shell and the way to root."""

from __future__ import annotations

import re
import shlex
from functools import cache
from importlib import resources
from typing import Final

from rondo.errors import InputError

MARK: Final = "rondo-elevation: "
FIND: Final = "find"
REFUSED: Final = 78
"""Exit code of the prelude when there is no way to become root."""
LONGEST: Final = 120_000
"""Bytes that Linux lets pass as one argument, less some room."""
# fish reads backslashes inside single quotes, csh exclamation marks and line breaks.
_AWKWARD = re.compile(r"['\\!\n]")


def command(script: str, arguments: tuple[str, ...], *, way: str, survive: bool = False) -> str:
    """Make one line for any login shell that runs `script` as root under the guard.

    Text passes through the login shell once, and what shells disagree about is encoded.
    """
    mode = "survive" if survive else "watch"
    words = ["sh", "-c", _shell("session"), "rondo", _shell("guard"), mode, script, *arguments]
    return _line(words, way)


def plain_command(script: str, arguments: tuple[str, ...], *, way: str) -> str:
    """Make the same without the guard, for a terminal: its end is a hangup to all in it."""
    return _line(["sh", "-c", script, "rondo", *arguments], way)


def _line(words: list[str], way: str) -> str:
    line = _encode(f"way={way}\nset -- {shlex.join(words)}\n{_shell('elevate')}")
    if len(line) > LONGEST:
        raise InputError(f"a script of {len(line)} bytes is too long for one command")
    return line


def _encode(text: str) -> str:
    """Quote POSIX shell text so that sh, bash, zsh, fish and csh all hand it to sh unchanged."""
    if "\0" in text:
        raise InputError("a command holds a NUL byte; give it as data instead")
    encoded = _AWKWARD.sub(lambda match: rf"\0{ord(match[0]):03o}", text)
    return f"""exec sh -c 'eval "$(printf %b "$0")"' '{encoded}'"""


@cache
def _shell(name: str) -> str:
    """Read one of our scripts, without its comments: they would travel with every command."""
    text = (resources.files("rondo") / "remote" / f"{name}.sh").read_text(encoding="utf-8")
    lines = (line.strip() for line in text.splitlines())
    return "".join(f"{line}\n" for line in lines if line and not line.startswith("#"))
