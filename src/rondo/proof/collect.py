"""What witnesses left in a run's folder, read back: clients' rows and servers' JSON logs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import orjson

from rondo.proof.evidence import WorkerReport
from rondo.proof.logform import Block, Form, learn
from rondo.proof.records import LOGGED, REQUEST, Lines, Requests

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

_MOST_TEXTS = 60_000
"""Different texts that rows can tell apart; further ones are all the same "(other)"."""
CHUNK = 1 << 20
_OTHER = "(other)"
_MOST_PIECES = 20_000
_TEXTS = ("method", "path", "backend", "backend_status", "release")
_KEYS = frozenset({"time", "id", "run", "status", "bytes", "seconds", *_TEXTS})


class Texts:
    """Texts by number, each once; the first is the empty one."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {"": 0}

    def number(self, text: str) -> int:
        """Return the number of a text, a new one if it was not there."""
        found = self._numbers.get(text)
        if found is None:
            if len(self._numbers) >= _MOST_TEXTS:
                text = _OTHER
            found = self._numbers.setdefault(text, len(self._numbers))
        return found

    @property
    def all(self) -> tuple[str, ...]:
        """Every text, by its number."""
        return tuple(self._numbers)


# -- clients


def read_requests(folder: Path) -> tuple[Requests, tuple[WorkerReport, ...]]:
    """Read what the load generators wrote, all together.

    One that went away left rows without a last word: it is reported as lost.
    """
    files = sorted((folder / "clients").glob("*.rows"))
    sizes = [path.stat().st_size // REQUEST.itemsize for path in files]
    rows = np.empty(sum(sizes), REQUEST)
    texts, reports, at = Texts(), [], 0
    for path, size in zip(files, sizes, strict=True):
        mine = rows[at : at + size]
        with path.open("rb") as file:
            file.readinto(mine.view(np.uint8).data)
        said = _last_word(path)
        _translate(mine, said.get("texts", [""]), texts)
        reports.append(_report(path.stem, size, said.get("report")))
        at += size
    silent = _without_rows(folder, {path.stem for path in files})
    return Requests(rows, texts.all), (*reports, *silent)


def _without_rows(folder: Path, known: set[str]) -> Iterator[WorkerReport]:
    for path in sorted((folder / "clients").glob("*.json")):
        if path.stem not in known:
            yield _report(path.stem, 0, _last_word(path).get("report"))


def _last_word(path: Path) -> dict[str, Any]:
    """Read what a load generator wrote beside its rows; nothing if it did not live to do so."""
    try:
        found = orjson.loads(path.with_suffix(".json").read_bytes())
    except (FileNotFoundError, orjson.JSONDecodeError):
        return {}
    return found if isinstance(found, dict) else {}


def _translate(rows: NDArray[np.void], said: list[str], texts: Texts) -> None:
    """Give the numbers of one worker's texts the numbers that they have for all."""
    ours = np.array([*(texts.number(text) for text in said), 0], np.uint16)
    for column in ("seen", "error"):
        rows[column] = ours[np.minimum(rows[column], len(ours) - 1)]


def _report(name: str, sent: int, said: dict[str, Any] | None) -> WorkerReport:
    if said is None:
        return WorkerReport(name, sent, sent, lost=True)
    return WorkerReport(
        str(said.get("name", name)),
        int(said["planned"]),
        int(said["sent"]),
        tuple(said.get("cpu", ())),
        tuple(said.get("lag", ())),
        bool(said.get("lost", False)),
    )


# -- servers


def read_log(path: Path, run: str) -> Lines:
    """Read the lines of one run from a server's JSON log."""
    reader = _Reader(run)
    parts = [reader.rows(block) for block in _blocks(path)]
    return Lines(np.concatenate([np.empty(0, LOGGED), *parts]), reader.texts.all)


def _blocks(path: Path) -> Iterator[bytes]:
    """Yield whole lines, some thousand at a time, so that a log of any size fits into memory."""
    rest = b""
    with path.open("rb") as file:
        while read := file.read(CHUNK):
            lines, newline, rest = (rest + read).rpartition(b"\n")
            yield lines + newline
    yield rest + b"\n" * bool(rest)


class _Reader:
    """Lines to rows, with what is known of texts and of the lines' form so far."""

    def __init__(self, run: str) -> None:
        self._run = run
        self.texts = Texts()
        self._form: Form | None = None
        self._pieces: dict[bytes, int] = {}
        self._values = np.zeros((0, len(_TEXTS) + 2), np.uint16)
        """By piece: its texts, then the status, then whether it is of another run."""

    def rows(self, block: bytes) -> NDArray[np.void]:
        """Read one block."""
        if not block:
            return np.empty(0, LOGGED)
        self._form = self._form or learn(block.partition(b"\n")[0], _KEYS)
        if self._form is None:
            return self._parsed(block)
        lines = Block(block, self._form)
        rows, ours = np.zeros(lines.count, LOGGED), np.zeros(lines.count, np.bool_)
        rows[lines.usual], ours[lines.usual] = self._usual(lines, self._form)
        for number, line in lines.unusual():
            for row in self._parsed(line):
                rows[number], ours[number] = row, True
        return rows if ours.all() else rows[ours]

    def _usual(self, lines: Block, form: Form) -> tuple[NDArray[np.void], NDArray[np.bool_]]:
        """Read the lines that have the usual form, and tell which are of our run."""
        rows, foreign = np.zeros(len(lines.usual), LOGGED), np.zeros(len(lines.usual), np.uint16)
        rows["id"], rows["bytes"] = lines.ids, lines.numbers["bytes"]
        rows["time"] = lines.numbers["time"] / 1000
        rows["seconds"] = lines.numbers["seconds"] / 1000
        for first, last in form.pieces:
            values = self._looked_up(lines.pieces(first, last))
            for index, column in enumerate((*_TEXTS, "status")):
                # A text stands in one piece only, and is 0 in the others.
                rows[column] += values[:, index]
            foreign |= values[:, -1]
        return rows, foreign == 0

    def _looked_up(self, pieces: list[bytes]) -> NDArray[np.uint16]:
        """Return what pieces say; each is parsed when it is met first."""
        if len(self._pieces) > _MOST_PIECES:
            self._pieces, self._values = {}, self._values[:0]
        fresh = set(pieces).difference(self._pieces)
        if fresh:
            read = [self._read_piece(piece) for piece in fresh]
            self._pieces |= {piece: len(self._pieces) + n for n, piece in enumerate(fresh)}
            self._values = np.concatenate([self._values, np.array(read, np.uint16)])
        return self._values[list(map(self._pieces.__getitem__, pieces))]

    def _read_piece(self, piece: bytes) -> tuple[int, ...]:
        said = orjson.loads(b"{" + piece + b"}")
        texts = (self.texts.number(said.get(key, "")) for key in _TEXTS)
        foreign = said.get("run", self._run) != self._run
        return (*texts, _status(said.get("status")), foreign)

    def _parsed(self, block: bytes) -> NDArray[np.void]:
        """Read lines of any form, one by one."""
        said = [each for each in _parse(block.split(b"\n")) if each.get("run") == self._run]
        rows = np.zeros(len(said), LOGGED)
        if said:
            rows["id"] = [_id(each.get("id", "")) for each in said]
            rows["time"] = [each.get("time", 0) for each in said]
            rows["seconds"] = [each.get("seconds", 0) for each in said]
            rows["status"] = [_status(each.get("status")) for each in said]
            rows["bytes"] = [each.get("bytes", 0) for each in said]
            for column in _TEXTS:
                rows[column] = [self.texts.number(each.get(column, "")) for each in said]
        return rows


def _parse(lines: list[bytes]) -> Iterator[dict[str, Any]]:
    """Yield what lines say; one that is not whole is left out."""
    for line in lines:
        try:
            found = orjson.loads(line)
        except orjson.JSONDecodeError:
            continue
        if isinstance(found, dict):
            yield found


def _status(said: str | int | None) -> int:
    return int(said or 0)


def _id(text: str) -> int:
    """Return the number of a request of ours; 0 for anything else."""
    try:
        return int(text, 16) if len(text) == 16 else 0
    except ValueError:
        return 0
