"""A build context: what is in it, its digest, and the tar stream that carries it.

The tree is walked once, `.dockerignore` honoured as Docker does, and described by a manifest: one
line per file, folder and link with mode and digest. The digest of the manifest is the digest of
the context; the server keeps the manifest beside the files, so that equal digests mean that there
is nothing to send, and the lines that differ are what to send.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import stat
import tarfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from rondo import dockerignore
from rondo.errors import InputError, RemoteError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

OVERLAY = ".rondo"
"""Folder of the files that Rondo adds to a context."""

Kind = Literal["file", "dir", "symlink"]

_IGNORE = ".dockerignore"
_PIECE = 256 * 1024
_WHOLE_READ = 1024 * 1024
_EPOCH = 1262304000  # 2010: a time in the past for everybody, and one that zip files can hold


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


def escaped(path: str) -> str:
    r"""Write a path on one line: control characters, \ and bytes that are no text as \xNN."""
    return _UNWRITABLE.sub(lambda match: f"\\x{os.fsencode(match[0])[0]:02x}", path)


_UNWRITABLE = re.compile(r"[\x00-\x1f\x7f\\\udc80-\udcff]")
