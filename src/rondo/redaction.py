"""Take secret values out of text, in whatever form programs print them."""

from __future__ import annotations

import base64
import json
import re
from typing import TYPE_CHECKING, Protocol
from urllib.parse import quote, quote_plus

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

HIDDEN = "***"

_SHORTEST = 4
_SHORTEST_LINE = 6
_SHORTEST_ENCODED = 8
_LONGEST_SHOWN = 200


class Revealing(Protocol):
    """A secret value."""

    def reveal(self) -> bytes:
        """Return the bytes."""


class Redactor:
    """Replaces values in text by ***: whole, line by line, in base64, quoted for URLs or JSON.

    Values of less than 4 characters are left: without them text would be unreadable, and they
    protect nothing.
    """

    __slots__ = ("_pattern",)

    def __init__(self, values: Iterable[Revealing]) -> None:
        forms = {form for value in values for form in _forms(value.reveal())}
        # The longest first, so that no tail of a value stays behind a shorter one.
        ordered = sorted(forms, key=lambda form: (-len(form), form))
        self._pattern = re.compile("|".join(map(re.escape, ordered))) if ordered else None

    def __call__(self, text: str) -> str:
        """Return the text without the values."""
        return self._pattern.sub(HIDDEN, text) if self._pattern else text


def redact(text: str, values: Iterable[Revealing]) -> str:
    """Return the text with every value replaced by ***; keep a Redactor for many texts."""
    return Redactor(values)(text)


def printable(text: str) -> str:
    """Make a line of a program's output fit to be part of a message."""
    shown = "".join(character for character in text if character.isprintable()).strip()
    return shown if len(shown) <= _LONGEST_SHOWN else shown[:_LONGEST_SHOWN] + "..."


def _forms(value: bytes) -> Iterator[str]:
    text = value.decode("utf-8", "replace")
    if len(text) >= _SHORTEST:
        yield from _written(text)
    if len(value) >= _SHORTEST_LINE:
        yield from _encoded(value)
        yield value.hex()
    lines = text.splitlines()
    for line in (each.strip() for each in lines if len(lines) > 1):
        if len(line) >= _SHORTEST_LINE:
            yield from _written(line)


def _written(text: str) -> Iterator[str]:
    yield text
    yield quote(text)
    yield quote(text, safe="")
    yield quote_plus(text)
    yield json.dumps(text)[1:-1]
    yield json.dumps(text, ensure_ascii=False)[1:-1]


def _encoded(value: bytes) -> Iterator[str]:
    """Give the value's base64, and what of it is the same wherever it stands in something longer.

    In `user:password` sent by HTTP the password may begin at any of three places of a group.
    """
    for encode in (base64.standard_b64encode, base64.urlsafe_b64encode):
        yield encode(value).decode().rstrip("=")
        for before in (0, 1, 2):
            text = encode(bytes(before) + value).decode().rstrip("=")
            whole = text[-(-before * 8 // 6) : (before + len(value)) * 8 // 6]
            if len(whole) >= _SHORTEST_ENCODED:
                yield whole
