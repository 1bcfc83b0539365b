"""Walk the tree of a build context: what is in it, and nothing that `.dockerignore` leaves out."""

from __future__ import annotations

import hashlib
import os
import stat
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from rondo import dockerignore, entries
from rondo.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rondo.dockerignore import Inherited, Rules
    from rondo.entries import Entry

OVERLAY = ".rondo"
"""Folder of the files that Rondo adds to a context."""
LAB = ".rondo/lab"
"""Folder of the lab beside an inventory, its private keys included: part of no context."""

_IGNORE = ".dockerignore"
_PIECE = 1024 * 1024
_SPECIAL = {
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFBLK: "a device",
    stat.S_IFCHR: "a device",
}


class Unsteady(Exception):  # noqa: N818 - told to the operator as a problem of a file
    """A file is not as large as it was said to be, or holds other bytes than before."""


@dataclass(slots=True)
class Walk:
    """One walk of a folder: collects what is there, and every problem."""

    folder: Path
    rules: Rules
    set_aside: frozenset[str]
    problems: list[str] = field(default_factory=list)

    def entries(self) -> Iterator[Entry]:
        """Give every entry of the tree, in no particular order."""
        yield from self._inside("", self.rules.nothing_inherited)

    def _inside(
        self, parent: str, inherited: Inherited, *, left_out: bool = False
    ) -> Iterator[Entry]:
        prefix = f"{parent}/" if parent else ""
        try:
            with os.scandir(self.folder / parent) as found:
                names = list(found)
        except OSError as error:
            if not left_out:
                self._complain(parent or ".", f"cannot be read: {error.strerror}")
            return
        for entry in names:
            path = prefix + entry.name
            if path not in self.set_aside:
                left_out, matches = self.rules.judge(path, inherited)
                yield from self._one(entry, path, matches, left_out=left_out)

    def _one(
        self, entry: os.DirEntry[str], path: str, matches: Inherited, *, left_out: bool
    ) -> Iterator[Entry]:
        if entry.is_dir(follow_symlinks=False):
            yield from self._folder(path, matches, left_out=left_out)
        elif not left_out:
            yield from self.leaf(path, entry.stat(follow_symlinks=False))

    def _folder(self, path: str, matches: Inherited, *, left_out: bool) -> Iterator[Entry]:
        if not left_out:
            yield entries.directory(path)
            yield from self._inside(path, matches)
        elif self.rules.may_keep_inside(path, matches):
            kept = list(self._inside(path, matches, left_out=True))
            # A folder left out is there after all when something in it is.
            yield from [entries.directory(path), *kept] if kept else []

    def leaf(self, path: str, status: os.stat_result) -> Iterator[Entry]:
        """Describe a file or a link; complain about anything else."""
        full = f"{self.folder}/{path}"
        try:
            if stat.S_ISREG(status.st_mode):
                digest = digest_of_file(full, status.st_size)
                yield entries.file(path, status.st_mode, status.st_size, digest)
            elif stat.S_ISLNK(status.st_mode):
                target = os.readlink(os.fsencode(full))  # noqa: PTH115 - Path would tidy it up
                yield entries.symlink(path, target)
            else:
                kind = _SPECIAL.get(stat.S_IFMT(status.st_mode), "a special file")
                self._complain(path, f"is {kind}, which no image can hold")
        except Unsteady:
            self._complain(path, "changed while it was read; stop what writes to it")
        except OSError as error:
            self._complain(path, f"cannot be read: {error.strerror}")

    def _complain(self, path: str, problem: str) -> None:
        self.problems.append(f"{entries.escaped(f'{self.folder}/{path}')} {problem}")


def walk(folder: Path, dockerfile: str) -> tuple[dict[str, Entry], bool]:
    """Read a tree: its entries by path, and whether its own rules hide the Dockerfile.

    The Dockerfile is there even when the rules leave it out, as with Docker; the files of rules
    themselves have done their work and are left behind.
    """
    own = f"{dockerfile}{_IGNORE}"
    walk = Walk(folder, _rules(folder, (own, _IGNORE)), frozenset({own, _IGNORE, LAB}))
    found = {entry.path: entry for entry in walk.entries()}
    hidden = dockerfile not in found and (folder / dockerfile).is_file()
    if hidden:
        full = folder / dockerfile
        parents = [parent.as_posix() for parent in Path(dockerfile).parents][:-1]
        found |= {parent: entries.directory(parent) for parent in parents}
        found |= {entry.path: entry for entry in walk.leaf(dockerfile, full.lstat())}
    _refuse(folder, found, walk.problems)
    found.pop(OVERLAY, None)
    return found, hidden


def _rules(folder: Path, names: tuple[str, ...]) -> Rules:
    """Read the first of these files of rules that is there, as BuildKit does."""
    if not folder.is_dir():
        raise InputError(f"{folder} is no folder; `context` names the folder with the source")
    for name in names:
        try:
            return dockerignore.parse((folder / name).read_bytes(), str(folder / name))
        except FileNotFoundError:
            continue
        except OSError as error:
            raise InputError(f"{folder / name} cannot be read: {error.strerror}") from None
    return dockerignore.Rules()


def _refuse(folder: Path, found: dict[str, Entry], problems: list[str]) -> None:
    users = next((path for path in found if path.startswith(f"{OVERLAY}/")), None)
    if users or (OVERLAY in found and found[OVERLAY].kind != "dir"):
        path = folder / (users or OVERLAY)
        advice = "Rondo adds files under this name; rename it or name it in .dockerignore"
        problems = [f"{path} is in the way: {advice}", *problems]
    if problems:
        raise InputError("\n".join(sorted(problems)))


def pieces_of_file(path: str, size: int) -> Iterator[bytes]:
    """Read a file that must be as large as it was said to be, in pieces."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        left = size
        # One byte more than expected tells a file that grew.
        while piece := os.read(descriptor, min(left + 1, _PIECE)):
            left -= len(piece)
            if left < 0:
                raise Unsteady
            yield piece
            if left == 0 and size < _PIECE:
                break
        if left:
            raise Unsteady
    finally:
        os.close(descriptor)


def digest_of_file(path: str, size: int) -> str:
    """Return the digest of a file's bytes."""
    digest = hashlib.sha256()
    for piece in pieces_of_file(path, size):
        digest.update(piece)
    return digest.hexdigest()
