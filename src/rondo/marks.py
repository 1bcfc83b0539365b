"""Marks in an edge's file: servers that are out of its rotation are `down` there. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping

_MEMBER = re.compile(r"^( *server [^;\n]+?)( down)?;(  # (\S+))$", re.MULTILINE)
_UPSTREAM = re.compile(r"^upstream (\S+) \{\n(.*?)^\}", re.MULTILINE | re.DOTALL)

Drained = Mapping[str, str]
"""Servers out of rotation, with since when and by whom."""


def marked(text: str, drained: Drained) -> str:
    """Return Nginx's file with these servers marked `down`, and no others of those it names.

    While none is, the file stays as it is: with `listen: tcp` a slot marks itself for a moment.
    """
    if not drained:
        return text
    return _MEMBER.sub(lambda m: _member(m, m[4] in drained), text)


def unmarked(text: str, drained: Drained) -> str:
    """Return Nginx's file as it is when none of these servers is out of rotation."""
    return _MEMBER.sub(lambda m: _member(m, bool(m[2]) and m[4] not in drained), text)


def _member(match: re.Match[str], down: object) -> str:
    return f"{match[1]}{' down' if down else ''};{match[3]}"


def alone(text: str, server: str, drained: Drained) -> tuple[str, ...]:
    """Return the upstreams that would be left without any server."""
    lone = []
    for name, body in _UPSTREAM.findall(text):
        members = {match[4] for match in _MEMBER.finditer(body)}
        if server in members and members <= {server, *drained}:
            lone.append(name)
    return tuple(lone)


def balanced(text: str, server: str) -> bool:
    """Tell whether a file of Nginx balances over a server."""
    return any(match[4] == server for match in _MEMBER.finditer(text))
