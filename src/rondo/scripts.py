"""The POSIX sh that runs on servers, read from the package."""

from __future__ import annotations

from functools import cache
from importlib.resources import files


@cache
def _text(name: str) -> str:
    return files("rondo").joinpath("remote", f"{name}.sh").read_text()


@cache
def script(*names: str) -> str:
    """Return these scripts as one, which stops at the first command that fails."""
    return "set -eu\n" + "\n".join(_text(name) for name in names)


def changing(*names: str) -> str:
    """Return scripts that change a server, after what such scripts share."""
    return script("common", *names)


def observing() -> str:
    """Return the script that describes a server; it tells what it can and stops at nothing."""
    return "\n".join((_text("facts"), _text("observe")))
