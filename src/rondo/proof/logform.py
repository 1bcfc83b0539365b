"""The usual form of the lines of a JSON log, by which thousands are read at once. Pure.

Lines of one log_format have the same keys in the same order, so that the quotes in them stand in
columns: numbers are read column by column, and texts, which are much the same in all lines, are
looked up as they stand in the bytes. A line that differs in anything is left to a JSON parser.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import orjson

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

QUOTE, NEWLINE, BACKSLASH, POINT, ZERO = b'"\n\\.0'
_VOLATILE = frozenset({"id", "backend_seconds"})
"""Texts that differ from line to line, so that they are no part of a piece."""
_WIDEST = 14
"""Digits and point of the widest number: seconds since 1970 with milliseconds."""
_HEX = np.full(256, 255, np.uint8)
_HEX[list(b"0123456789abcdef")] = range(16)


@dataclass(frozen=True, slots=True)
class Field:
    """A key with its value: the columns of their quotes."""

    key: str
    quote: int
    """Of the key's first quote."""
    text: bool
    """Whether the value is a text, with two quotes of its own."""


@dataclass(frozen=True)
class Form:
    """The keys of a line, in order."""

    fields: tuple[Field, ...]

    @cached_property
    def by_key(self) -> dict[str, Field]:
        """Return the fields by their keys."""
        return {each.key: each for each in self.fields}

    @cached_property
    def quotes(self) -> int:
        """Return how many quotes a line has."""
        return sum(4 if each.text else 2 for each in self.fields)

    @cached_property
    def pieces(self) -> tuple[tuple[Field, Field], ...]:
        """Return the stretches of neighbouring texts that are much the same in all lines."""
        found: list[list[Field]] = [[]]
        for each in self.fields:
            if each.text and each.key not in _VOLATILE:
                found[-1].append(each)
            elif found[-1]:
                found.append([])
        return tuple((each[0], each[-1]) for each in found if each)


def learn(line: bytes, keys: frozenset[str]) -> Form | None:
    """Learn the form from a line; None if it does not have all keys, or is not to be read so."""
    try:
        said: dict[str, Any] = orjson.loads(line)
    except orjson.JSONDecodeError:
        return None
    fields, quote = [], 0
    for key, value in said.items():
        fields.append(Field(key, quote, isinstance(value, str)))
        quote += 4 if fields[-1].text else 2
    plain = keys <= said.keys() and fields[-1].text and line.count(b'"') == quote
    numbers = {each.key for each in fields if not each.text} == {"time", "seconds", "bytes"}
    return Form(tuple(fields)) if plain and numbers and b"\\" not in line else None


class Block:
    """Whole lines of a log, and where the quotes are in those of the usual form."""

    def __init__(self, block: bytes, form: Form) -> None:
        self._block, self._form = block, form
        self._buffer = np.frombuffer(block, np.uint8)
        self._ends = np.flatnonzero(self._buffer == NEWLINE)
        self._begins = np.concatenate([[0], self._ends[:-1] + 1])
        self.count = len(self._ends)
        quotes = np.flatnonzero(self._buffer == QUOTE)
        upto = np.searchsorted(quotes, self._ends)
        first = np.concatenate([[0], upto[:-1]])
        self.usual = np.flatnonzero(upto - first == form.quotes)
        """Numbers of the lines of the usual form."""
        if len(self.usual) < self.count:
            quotes = quotes[first[self.usual][:, None] + np.arange(form.quotes)]
        self._at = quotes.reshape(-1, form.quotes)
        self._keep(self._are_alike())
        self.numbers: dict[str, NDArray[np.int64]] = {}
        """Time and seconds in thousandths, bytes."""
        self.ids = self._read()

    def _keep(self, good: NDArray[np.bool_]) -> None:
        """Leave lines that turned out to differ to the parser."""
        if not good.all():
            self.usual, self._at = self.usual[good], self._at[good]

    def _are_alike(self) -> NDArray[np.bool_]:
        """Tell which lines have the form's keys, by their lengths and first letters, no escapes."""
        at = self._at
        good: NDArray[np.bool_] = at[:, 0] == self._begins[self.usual] + 1
        for each in self._form.fields:
            good &= at[:, each.quote + 1] - at[:, each.quote] == len(each.key) + 1
            good &= self._buffer[at[:, each.quote] + 1] == ord(each.key[0])
        if b"\\" in self._block:
            escapes = np.flatnonzero(self._buffer == BACKSLASH)
            good &= ~np.isin(self.usual, np.searchsorted(self._ends, escapes))
        return good

    def _read(self) -> NDArray[np.uint64]:
        """Read what is different in each line; a line where it is no such thing is not usual."""
        time, good = self._thousandths("time")
        seconds, right = self._thousandths("seconds")
        size, whole = self._digits(*self._span("bytes"))
        ids, own = self._ids()
        good &= right & whole & own
        found = {"time": time, "seconds": seconds, "bytes": size}
        self.numbers = {key: values[good] for key, values in found.items()}
        self._keep(good)
        return ids[good]

    def unusual(self) -> Iterator[tuple[int, bytes]]:
        """Yield the other lines with their numbers."""
        others = np.ones(self.count, np.bool_)
        others[self.usual] = False
        for line in np.flatnonzero(others):
            yield int(line), self._block[self._begins[line] : self._ends[line]]

    def pieces(self, first: Field, last: Field) -> list[bytes]:
        """Return, line by line, the bytes from one field to another, without what is around."""
        begin, end = self._at[:, first.quote].tolist(), (self._at[:, last.quote + 3] + 1).tolist()
        block = self._block
        return [block[low:high] for low, high in zip(begin, end, strict=True)]

    def _span(self, key: str) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return where a number begins and ends: from its colon to the comma after it."""
        quote = self._form.by_key[key].quote
        return self._at[:, quote + 1] + 2, self._at[:, quote + 2] - 1

    def _thousandths(self, key: str) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """Read a number with three decimals, in thousandths, and tell where it is one."""
        begin, end = self._span(key)
        whole, good = self._digits(begin, end - 4)
        part, right = self._digits(end - 3, end)
        return whole * 1000 + part, good & right & (self._buffer[end - 4] == POINT)

    def _digits(
        self, begin: NDArray[np.int64], end: NDArray[np.int64]
    ) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """Read a whole number, and tell where it is digits all along."""
        widths = end - begin
        number, good = np.zeros(len(end), np.int64), (widths > 0) & (widths <= _WIDEST)
        for place in range(min(_WIDEST, int(widths.max(initial=0)))):
            inside = widths > place
            digit = self._buffer[np.where(inside, end - 1 - place, 0)].astype(np.int64) - ZERO
            good &= ~inside | ((digit >= 0) & (digit <= 9))
            number += np.where(inside, digit, 0) * 10**place
        return number, good

    def _ids(self) -> tuple[NDArray[np.uint64], NDArray[np.bool_]]:
        """Read ids of 16 hexadecimal digits, and tell where there is one."""
        quote = self._form.by_key["id"].quote
        begin, end = self._at[:, quote + 2] + 1, self._at[:, quote + 3]
        last = len(self._buffer) - 1
        digits = _HEX[self._buffer[np.minimum(begin[:, None] + np.arange(16), last)]]
        packed = np.ascontiguousarray(digits[:, ::2] << 4 | digits[:, 1::2] & 15)
        good = (end - begin == 16) & (digits < 16).all(axis=1)
        return packed.view(">u8").reshape(-1).astype(np.uint64), good
