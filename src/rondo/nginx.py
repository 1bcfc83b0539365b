"""The words of an Nginx file: names, quoted text, patterns, durations and sizes. Pure."""

from __future__ import annotations

import hashlib
import ipaddress
import math
import re
from typing import TYPE_CHECKING

from rondo.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rondo.inventory import Inventory

# One token of an Nginx file holds at most this many bytes, its quotes included.
_LONGEST_TOKEN = 4000
# Longer names do not fit Nginx's hash of names, and its size is the whole server's to set.
_LONGEST_HASHED_NAME = 40
# Names of variables share a hash as well: longer ones leave it no room, and Nginx warns.
_LONGEST_PREFIXED_NAME = 12


def prefix(inventory: Inventory) -> str:
    """Return what every name that is global in Nginx begins with: never long."""
    name = inventory.project.replace("-", "_")
    if len(name) > _LONGEST_PREFIXED_NAME:
        name = f"{name[:5]}_{hashlib.sha256(name.encode()).hexdigest()[:6]}"
    return f"rondo_{name}"


def server_name(name: str) -> str:
    """Return a name as `server_name` takes it, however long."""
    if len(name) <= _LONGEST_HASHED_NAME or _is_address(name):
        return name
    labels = "^.+[.]" if name.startswith("*.") else "^"
    return f"~{labels}{pattern(name.removeprefix('*.'))}$"


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def pattern(text: str) -> str:
    """Return a name or a path as a regular expression that matches just it."""
    return re.sub(r"[.+]", lambda match: f"[{match[0]}]", text)


def quote(text: str) -> str:
    """Return text as one Nginx word that stands for itself.

    Raises InputError for what Nginx cannot quote: it has no escape for a dollar sign.
    """
    if re.search(r"[\x00-\x1f\x7f$]", text):
        raise InputError(f"{text!r} cannot stand in an Nginx file: $ and control characters cannot")
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    if len(escaped.encode()) > _LONGEST_TOKEN:
        raise InputError(
            f"a value of {len(text)} characters is too long for Nginx ({text[:40]}...):"
            f" shorten it below {_LONGEST_TOKEN} bytes"
        )
    return f'"{escaped}"'


def time(seconds: float) -> str:
    """Return a duration as Nginx writes it; never zero, which would mean something else."""
    milliseconds = max(1, math.ceil(seconds * 1000))
    return f"{milliseconds}ms" if milliseconds % 1000 else f"{milliseconds // 1000}s"


def size(number: int) -> str:
    """Return a size as Nginx writes it."""
    for unit, factor in (("m", 1024**2), ("k", 1024)):
        if number and number % factor == 0:
            return f"{number // factor}{unit}"
    return str(number)


def networks(declared: Iterable[str]) -> tuple[str, ...]:
    """Return networks as `geo` takes them: each one once, without bits of hosts."""
    return tuple(dict.fromkeys(str(ipaddress.ip_network(each, strict=False)) for each in declared))
