"""What witnesses left in a run's folder, read back: clients' rows and servers' JSON logs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import orjson

from rondo.proof.evidence import WorkerReport
from rondo.proof.records import LOGGED, REQUEST, Lines, Requests

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from numpy.typing import NDArray

_MOST_TEXTS = 60_000
"""Different texts that rows can tell apart; further ones are all the same "(other)"."""
CHUNK = 1 << 20
_OTHER = "(other)"


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
    parts = [reader.rows(lines) for lines in _blocks(path)]
    return Lines(np.concatenate([np.empty(0, LOGGED), *parts]), reader.texts.all)


def _blocks(path: Path) -> Iterator[list[bytes]]:
    """Yield whole lines, some thousand at a time, so that a log of any size fits into memory."""
    rest = b""
    with path.open("rb") as file:
        while block := file.read(CHUNK):
            *lines, rest = (rest + block).split(b"\n")
            yield lines
    yield [rest]


class _Reader:
    """Lines to rows, with what is known of texts and ids so far."""

    def __init__(self, run: str) -> None:
        self._run = run
        self.texts = Texts()

    def rows(self, lines: list[bytes]) -> NDArray[np.void]:
        """Read one block."""
        said = [each for each in _parse(lines) if each.get("run") == self._run]
        rows = np.zeros(len(said), LOGGED)
        if said:
            rows["id"] = [_id(each.get("id", "")) for each in said]
            rows["time"] = [each.get("time", 0) for each in said]
            rows["seconds"] = [each.get("seconds", 0) for each in said]
            rows["status"] = [int(each.get("status") or 0) for each in said]
            rows["bytes"] = [each.get("bytes", 0) for each in said]
            for column in ("method", "path", "backend", "backend_status", "release"):
                rows[column] = [self.texts.number(each.get(column, "")) for each in said]
        return rows


def _parse(lines: list[bytes]) -> Iterable[dict[str, Any]]:
    """Parse a block at once; line by line only where one of them is not whole."""
    whole = [line for line in lines if line]
    try:
        found: list[dict[str, Any]] = orjson.loads(b"[" + b",".join(whole) + b"]")
    except orjson.JSONDecodeError:
        return list(_parse_each(whole))
    return found


def _parse_each(lines: list[bytes]) -> Iterator[dict[str, Any]]:
    for line in lines:
        try:
            found = orjson.loads(line)
        except orjson.JSONDecodeError:
            continue
        if isinstance(found, dict):
            yield found


def _id(text: str) -> int:
    """Return the number of a request of ours; 0 for anything else."""
    try:
        return int(text, 16) if len(text) == 16 else 0
    except ValueError:
        return 0
