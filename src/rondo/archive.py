"""A tar stream made piece by piece, the same bytes for the same context on every machine."""

from __future__ import annotations

import hashlib
import os
import tarfile
from typing import TYPE_CHECKING

from rondo.entries import Entry, escaped
from rondo.errors import InputError
from rondo.walk import Unsteady, pieces_of_file

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

    from rondo.entries import ContextFile

PIECE = 256 * 1024

_BLOCK = tarfile.BLOCKSIZE
_EPOCH = 1262304000  # 2010: past on every clock, and a time that zip files can hold
_TYPES = {"file": tarfile.REGTYPE, "dir": tarfile.DIRTYPE, "symlink": tarfile.SYMTYPE}


def members(  # noqa: PLR0913 - the stream has these parts, told by name
    folder: Path,
    wanted: Iterable[Entry],
    overlay: Mapping[str, ContextFile],
    *,
    prefix: str = "",
    first: Mapping[str, bytes] | None = None,
    last: Mapping[str, bytes] | None = None,
) -> Iterator[bytes]:
    """Give entries as a tar stream in pieces of 256 KiB, between files that are not of the tree."""
    buffer = bytearray()
    for piece in _pieces(folder, wanted, overlay, prefix, (first or {}, last or {})):
        buffer += piece
        while len(buffer) >= PIECE:
            yield bytes(buffer[:PIECE])
            del buffer[:PIECE]
    yield bytes(buffer) + bytes(2 * _BLOCK)


def _pieces(
    folder: Path,
    wanted: Iterable[Entry],
    overlay: Mapping[str, ContextFile],
    prefix: str,
    around: tuple[Mapping[str, bytes], Mapping[str, bytes]],
) -> Iterator[bytes]:
    for name, content in around[0].items():
        yield from _extra(name, content)
    if prefix:
        yield _header(prefix, "dir", 0o755)
    for entry in wanted:
        yield from _member(folder, entry, overlay, f"{prefix}/" if prefix else "")
    for name, content in around[1].items():
        yield from _extra(name, content)


def _extra(name: str, content: bytes) -> Iterator[bytes]:
    yield _header(name, "file", 0o600, len(content))
    yield content + _padding(len(content))


def _member(
    folder: Path, entry: Entry, overlay: Mapping[str, ContextFile], prefix: str
) -> Iterator[bytes]:
    name = prefix + entry.path
    if entry.kind == "dir":
        yield _header(name, "dir", entry.mode)
    elif entry.kind == "symlink":
        yield _header(name, "symlink", entry.mode, target=_target(folder, entry))
    else:
        yield _header(name, "file", entry.mode, entry.size, time=_time(entry.digest))
        added = overlay.get(entry.path)
        yield from [added.content] if added else _checked(folder, entry)
        yield _padding(entry.size)


def _time(digest: str) -> int:
    """Give a file a time that is the same for the same bytes and another for others.

    With one time for all, a web server that tells versions of a file apart by time and size (as
    Nginx does) would take a changed file of equal size for the one that the browser has.
    """
    return _EPOCH + int(digest[:7], 16)


def _checked(folder: Path, entry: Entry) -> Iterator[bytes]:
    digest = hashlib.sha256()
    try:
        for piece in pieces_of_file(f"{folder}/{entry.path}", entry.size):
            digest.update(piece)
            yield piece
    except (OSError, Unsteady):
        raise _changed(folder, entry) from None
    if digest.hexdigest() != entry.digest:
        raise _changed(folder, entry)


def _target(folder: Path, entry: Entry) -> str:
    try:
        target = os.readlink(f"{folder}/{entry.path}")  # noqa: PTH115 - Path would tidy it up
    except OSError:
        raise _changed(folder, entry) from None
    if hashlib.sha256(os.fsencode(target)).hexdigest() != entry.digest:
        raise _changed(folder, entry)
    return target


def _changed(folder: Path, entry: Entry) -> InputError:
    path = escaped(f"{folder}/{entry.path}")
    return InputError(f"{path} changed while it was being sent; stop what writes to it, try again")


def _header(  # noqa: PLR0913 - the fields of a tar header
    name: str, kind: str, mode: int, size: int = 0, *, target: str = "", time: int = _EPOCH
) -> bytes:
    header = tarfile.TarInfo(name)
    header.type, header.mode, header.size = _TYPES[kind], mode, size
    header.linkname, header.mtime = target, time
    # GNU's form of ustar: it holds names of any length and bytes that are no text.
    return header.tobuf(tarfile.GNU_FORMAT, "utf-8", "surrogateescape")


def _padding(size: int) -> bytes:
    return bytes(-size % _BLOCK)
