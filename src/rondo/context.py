"""A build context: what is in it, its digest, and the stream that carries it to a server.

The tree is walked once, `.dockerignore` honoured as Docker does, and described by a manifest: one
line per file, folder and link with mode and digest. The digest of the manifest is the digest of
the context. The server keeps the manifest beside the files, so equal digests mean that there is
nothing to send, and the lines that differ are what to send.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from rondo import entries
from rondo.archive import members
from rondo.entries import ContextFile, Entry
from rondo.errors import RemoteError
from rondo.scripts import changing
from rondo.walk import walk

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from rondo.server import Remote

__all__ = [
    "Context",
    "ContextFile",
    "Difference",
    "Entry",
    "difference",
    "fetch_manifest",
    "image_digest",
    "made_of",
    "manifest",
    "read",
    "send",
    "tar",
]

_LINE = re.compile(r"(-|[0-9a-f]{64})  ([0-7]{4})  (file|dir|symlink) (.+)")
_RULES = "# Made by Rondo: what your own rules leave out was not sent.\n.dockerignore\n"
_MANIFEST_DEADLINE = 60.0


@dataclass(frozen=True)
class Context:
    """All that an image is built from, sorted by path."""

    folder: Path
    files: tuple[Entry, ...]
    overlay: Mapping[str, ContextFile] = field(repr=False)

    @cached_property
    def digest(self) -> str:
        """Digest of every path, mode, kind and byte."""
        return _digest(manifest(self))

    @property
    def size(self) -> int:
        """Bytes in all files."""
        return sum(entry.size for entry in self.files)


@dataclass(frozen=True, slots=True)
class Difference:
    """What makes the context that a server has into the one that is wanted."""

    changed: tuple[str, ...]
    removed: tuple[str, ...]
    replaced: tuple[str, ...]
    """Changed paths that were of another kind and have to go first."""
    size: int
    """Bytes of the changed files."""


def read(
    folder: Path, overlay: Mapping[str, ContextFile], *, dockerfile: str = "Dockerfile"
) -> Context:
    """Read the context in a folder, with the files that Rondo adds to it.

    Raises InputError naming every file that cannot be part of an image.
    """
    found, hidden = walk(folder, dockerfile)
    added = dict(overlay)
    if hidden:
        # The engine reads the Dockerfile but COPY must not see it: a rule for the server.
        added[".dockerignore"] = ContextFile(f"{_RULES}{dockerfile}\n".encode())
    for path, file in added.items():
        found |= _added(path, file)
    return Context(folder, tuple(sorted(found.values(), key=lambda entry: entry.path)), added)


def made_of(files: Mapping[str, ContextFile]) -> Context:
    """Return a context of nothing but files that Rondo makes."""
    found: dict[str, Entry] = {}
    for path, file in files.items():
        found |= _added(path, file)
    return Context(Path(), tuple(sorted(found.values(), key=lambda entry: entry.path)), files)


def _added(path: str, file: ContextFile) -> dict[str, Entry]:
    parents = [parent.as_posix() for parent in PurePosixPath(path).parents][:-1]
    digest = hashlib.sha256(file.content).hexdigest()
    return {parent: entries.directory(parent) for parent in parents} | {
        path: entries.file(path, file.mode, len(file.content), digest)
    }


def manifest(context: Context) -> str:
    """Describe a context: a line `digest  mode  kind path` for each entry, sorted by path."""
    return "".join(entry.line for entry in context.files)


def image_digest(
    context: Context, dockerfile: str, arguments: Mapping[str, str], target: str | None
) -> str:
    """Return the digest of all that decides what image is built."""
    decisive = [context.digest, dockerfile, sorted(arguments.items()), target]
    return _digest(json.dumps(decisive))[:32]


def difference(context: Context, manifest_text: str) -> Difference:
    """Compare a context with the manifest of the one that a server has."""
    before = _parsed(manifest_text)
    now = {entry.path: entry for entry in context.files}
    changed = [entry for entry in context.files if before.get(entry.path) != _known(entry)]
    was = {entry.path: before[entry.path] for entry in changed if entry.path in before}
    return Difference(
        changed=tuple(entry.path for entry in changed),
        removed=tuple(path for path in before if path not in now),
        replaced=tuple(path for path, old in was.items() if old[1] != now[path].kind),
        size=sum(entry.size for entry in changed),
    )


def _known(entry: Entry) -> tuple[str, str, str]:
    return f"{entry.mode:04o}", entry.kind, entry.digest


def _parsed(manifest_text: str) -> dict[str, tuple[str, str, str]]:
    """Read a manifest: mode, kind and digest by path."""
    matches = [_LINE.fullmatch(line) for line in manifest_text.split("\n") if line]
    if None in matches:
        raise RemoteError("the manifest of the earlier context is damaged; delete it on the server")
    return {
        entries.unescaped(match[4]): (match[2], match[3], match[1]) for match in matches if match
    }


def tar(context: Context, paths: Iterable[str] | None = None) -> Iterator[bytes]:
    """Give a context, or only these paths of it, as a tar stream that is the same every time.

    Raises InputError when a file is no longer what was read.
    """
    yield from members(context.folder, _selected(context, paths), context.overlay)


def _selected(context: Context, paths: Iterable[str] | None) -> tuple[Entry, ...]:
    if paths is None:
        return context.files
    wanted = set(paths)
    return tuple(entry for entry in context.files if entry.path in wanted)


def _parcel(context: Context, wanted: Difference | None) -> Iterator[bytes]:
    """Give what `remote/context.sh` takes: what to remove, files, and the manifest to end with."""
    gone = (*wanted.removed, *wanted.replaced) if wanted else ()
    removed = b"".join(entries.encoded(path) + b"\0" for path in gone)
    files = _selected(context, wanted.changed if wanted else None)
    yield from members(
        context.folder,
        files,
        context.overlay,
        prefix="tree",
        first={"removed": removed},
        last={"manifest": manifest(context).encode()},
    )


def fetch_manifest(remote: Remote, folder: str) -> str:
    """Ask a server for the manifest of the context that it has; empty when it has none."""
    script = changing("context")
    step = "read the manifest of the earlier context"
    return remote.run(script, "manifest", folder, step=step, deadline=_MANIFEST_DEADLINE).stdout


def send(
    remote: Remote, folder: str, context: Context, known: str = "", *, deadline: float = 1800
) -> int:
    """Make a folder on a server hold a context; return how many bytes of files were sent.

    Only what differs is sent when `known` is the manifest of what the folder holds; when that
    comes to nothing, because the folder has changed since, all of it is.
    """
    step = f"send the context {context.folder}"
    if known:
        wanted = difference(context, known)
        base = _digest(known.rstrip("\n") + "\n")
        answer = remote.run(
            changing("context"),
            *("changes", folder, context.digest, base),
            step=step,
            deadline=deadline,
            stdin=_parcel(context, wanted),
            check=False,
        )
        if answer.code == 0:
            return wanted.size
    remote.run(
        changing("context"),
        *("whole", folder, context.digest),
        step=step,
        deadline=deadline,
        stdin=_parcel(context, None),
    )
    return context.size


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
