"""The files, folders and links that a build context is made of."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import Literal

Kind = Literal["file", "dir", "symlink"]

DIRECTORY_MODE = 0o755
SYMLINK_MODE = 0o777
NO_DIGEST = "-"

_UNWRITABLE = re.compile(r"[\x00-\x1f\x7f\\\udc80-\udcff]")
_ESCAPED = re.compile(r"\\x([0-9a-f]{2})")


@dataclass(frozen=True, slots=True)
class ContextFile:
    """A file that Rondo adds to a build context."""

    content: bytes
    mode: int = 0o644


@dataclass(frozen=True, slots=True)
class Entry:
    """A file, folder or link of a context; the digest is of its bytes or its target."""

    path: str
    kind: Kind
    mode: int
    size: int
    digest: str

    @property
    def line(self) -> str:
        """The entry's line in a manifest."""
        return f"{self.digest}  {self.mode:04o}  {self.kind} {escaped(self.path)}\n"


def directory(path: str) -> Entry:
    """Describe a folder."""
    return Entry(path, "dir", DIRECTORY_MODE, 0, NO_DIGEST)


def symlink(path: str, target: bytes) -> Entry:
    """Describe a symbolic link."""
    return Entry(path, "symlink", SYMLINK_MODE, len(target), hashlib.sha256(target).hexdigest())


def file(path: str, mode: int, size: int, digest: str) -> Entry:
    """Describe a file; of its mode only the right to execute counts."""
    return Entry(path, "file", 0o755 if mode & 0o111 else 0o644, size, digest)


def escaped(path: str) -> str:
    r"""Write a path on one line: control characters, \ and bytes that are no text as \xNN."""
    return _UNWRITABLE.sub(lambda match: f"\\x{encoded(match[0])[0]:02x}", path)


def encoded(path: str) -> bytes:
    """Return a path as the file system holds it."""
    return path.encode("utf-8", "surrogateescape")


def unescaped(text: str) -> str:
    """Read a path as `escaped` wrote it."""
    return _ESCAPED.sub(
        lambda match: bytes([int(match[1], 16)]).decode("utf-8", "surrogateescape"), text
    )
