"""Files of known host keys: read with tolerance, judge strictly, pin atomically."""

from __future__ import annotations

import base64
import binascii
import fcntl
import hashlib
import hmac
import os
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING

from rondo.target import SSH_PORT

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

HEADER = "# Host keys of this project's servers, pinned by `inv hosts.trust`. Commit this file.\n"


@dataclass(frozen=True, slots=True)
class HostKey:
    """A server's public key."""

    kind: str
    blob: bytes = field(repr=False)

    @property
    def fingerprint(self) -> str:
        """The SHA-256 fingerprint, written as ssh-keygen -l writes it."""
        digest = base64.b64encode(hashlib.sha256(self.blob).digest()).decode()
        return f"SHA256:{digest.rstrip('=')}"

    def __str__(self) -> str:
        return f"{self.kind} {self.fingerprint}"

    def line(self, host: str) -> str:
        """One line of a known_hosts file."""
        return f"{host} {self.kind} {base64.b64encode(self.blob).decode()}\n"


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of a known_hosts file."""

    number: int
    marker: str
    patterns: tuple[str, ...]
    key: HostKey

    def names(self, host: str) -> bool:
        """Tell whether the line is about a host, as OpenSSH would."""
        if any(p.startswith("!") and _matches(p[1:], host) for p in self.patterns):
            return False
        return any(_matches(pattern, host) for pattern in self.patterns)


@dataclass(frozen=True, slots=True)
class KnownHosts:
    """What one file says; lines that cannot be used are told in `faults`, never fatal."""

    path: Path
    entries: tuple[Entry, ...] = ()
    faults: tuple[str, ...] = ()

    def keys(self, host: str) -> tuple[HostKey, ...]:
        """Keys that the file pins for a host."""
        return tuple(e.key for e in self.entries if not e.marker and e.names(host))

    def revokes(self, host: str, key: HostKey) -> bool:
        """Tell whether the file revokes this key."""
        return any(e.marker == "@revoked" and e.key == key and e.names(host) for e in self.entries)

    def authorities(self, host: str) -> tuple[int, ...]:
        """Lines that trust a certificate authority for this host, which Rondo does not."""
        return tuple(
            e.number for e in self.entries if e.marker == "@cert-authority" and e.names(host)
        )


def host_name(host: str, port: int) -> str:
    """Name of a host in a known_hosts file."""
    return host if port == SSH_PORT else f"[{host}]:{port}"


def read(path: Path) -> KnownHosts:
    """Read a known_hosts file; a missing one is empty."""
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return KnownHosts(path)
    except OSError as error:
        return KnownHosts(path, faults=(f"{path} cannot be read ({error.strerror})",))
    entries: list[Entry] = []
    faults: list[str] = []
    for number, line in enumerate(text.splitlines(), 1):
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        entry = _entry(number, words)
        if entry:
            entries.append(entry)
        else:
            faults.append(f"{path} line {number} is not a host key; it was skipped")
    return KnownHosts(path, tuple(entries), tuple(faults))


def pin(path: Path, host: str, key: HostKey) -> None:
    """Make `key` the one key of `host` in the file, atomically; other lines stay as they are."""
    path = path.resolve()  # a symlink keeps pointing where it did
    path.parent.mkdir(parents=True, exist_ok=True)
    with _locked(path.parent):
        kept = [_without(line, number, host) for number, line in enumerate(_lines(path), 1)]
        _replace(path, "".join([*kept, key.line(host)]))


def _matches(pattern: str, host: str) -> bool:
    if pattern.startswith("|1|"):
        return _hashed_matches(pattern, host)
    # OpenSSH knows * and ? but no [sets]: the brackets are those of [host]:port.
    return fnmatchcase(host.lower(), pattern.lower().replace("[", "[[]"))


def _hashed_matches(pattern: str, host: str) -> bool:
    try:
        _, _, salt, digest = pattern.split("|")
        wanted = base64.b64decode(digest)
        made = hmac.new(base64.b64decode(salt), host.encode(), hashlib.sha1).digest()
    except (ValueError, binascii.Error):
        return False
    return hmac.compare_digest(made, wanted)


def _entry(number: int, words: Sequence[str]) -> Entry | None:
    marker = words[0] if words[0].startswith("@") else ""
    rest = words[1:] if marker else words
    if len(rest) < 3 or marker not in {"", "@revoked", "@cert-authority"}:
        return None
    try:
        blob = base64.b64decode(rest[2], validate=True)
    except binascii.Error:
        return None
    kind = rest[1].encode()
    # The blob opens with its own kind: a line cut short or pasted together fails here.
    if blob[:4] != len(kind).to_bytes(4, "big") or blob[4 : 4 + len(kind)] != kind:
        return None
    return Entry(number, marker, tuple(rest[0].split(",")), HostKey(rest[1], blob))


def _without(line: str, number: int, host: str) -> str:
    """Take a host out of a line; wildcards and lines about other hosts stay."""
    words = line.split()
    entry = _entry(number, words) if words and not words[0].startswith("#") else None
    if entry is None or entry.marker:
        return line
    kept = [p for p in entry.patterns if "*" in p or "?" in p or not _matches(p, host)]
    if len(kept) == len(entry.patterns):
        return line
    return " ".join([",".join(kept), *words[1:]]) + "\n" if kept else ""


def _lines(path: Path) -> list[str]:
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return [HEADER]
    return [f"{line}\n" for line in text.splitlines()]


def _replace(path: Path, text: str) -> None:
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
            os.fchmod(file.fileno(), 0o644)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink()
        raise


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    # The folder itself is locked, so that no lock file is left beside the inventory.
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)
