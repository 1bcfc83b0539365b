"""A server as a witness: opened to one run by a secret, then asked for what its Nginx logged.

The secret is held over SSH: it ends when the run does, and when the one who runs it is gone.
"""

from __future__ import annotations

import base64
import time
import zlib
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from rondo.layout import Layout
from rondo.proof import nginxconf
from rondo.scripts import changing

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from rondo.proof.evidence import Installed
    from rondo.server import Hold, Remote

OPEN_DEADLINE: Final = 30.0
READ_DEADLINE: Final = 600.0
_GZIP: Final = 31
_UNKNOWN: Final = "000"


@dataclass(frozen=True, slots=True)
class Place:
    """The site that is loaded, as its servers know it."""

    project: str
    name: str
    """One of the site's names."""
    tls: bool
    """Whether port 80 leads elsewhere, so that no backend is asked there."""

    @property
    def layout(self) -> Layout:
        """Folders of the project."""
        return Layout(self.project)

    def marks(self, run: str) -> str:
        """Return the path that a run's own lines in the log begin with; Nginx alone answers it."""
        below = "" if self.tls else "/.well-known/acme-challenge"
        return f"{below}/rondo-proof-{run}-"


@dataclass(frozen=True, slots=True)
class Opened:
    """A server that accepts a run's secret, until the hold is closed."""

    hold: Hold
    inode: int
    size: int
    """Of the access log when it began."""
    status: str
    """What Nginx answered when it was asked for a line in its log."""
    clock: float | None
    """Server's clock minus ours."""


@dataclass(slots=True)
class Heard:
    """What a server told after a run."""

    others: dict[str, int] = field(default_factory=dict)
    installed: tuple[Installed, ...] = ()
    workers: int = 1
    reloads: int = 0
    nginx: str = ""
    marks: tuple[bool, bool] = (False, False)
    """Whether our own lines from before and after the load are in the log."""
    lost: bool = False
    """Whether the secret was gone before its time."""
    whole: bool = False
    status: str = ""

    @property
    def reason(self) -> str:
        """Why not all of the log was read; empty if it was."""
        if not self.whole:
            return "what the server sent was cut short"
        if self.lost:
            return "the secret was gone before the end: the connection that held it was lost"
        if _UNKNOWN in self.status or not self.status:
            return "its Nginx did not answer the server itself on port 80"
        if not self.marks[0]:
            return "the log was emptied, or rotated more than once, during the run"
        if not self.marks[1]:
            return "Nginx did not write the last lines in time"
        return ""

    def take(self, line: str) -> None:
        """Take one line of the server's own words."""
        word, _, rest = line.removeprefix("#").partition(" ")
        if word == "other":
            count, _, address = rest.partition(" ")
            self.others[address] = int(count)
        elif word == "marks":
            begun, _, ended = rest.partition(" ")
            self.marks = (begun == "1", ended == "1")
        elif word == "reloads":
            self.lost, self.reloads = rest == "lost", int(rest) if rest.isdigit() else 0
        elif word == "workers":
            self.workers = max(1, int(rest))
        elif word == "file":
            text = base64.b64decode(rest).decode(errors="replace")
            self.installed = nginxconf.upstreams(text)
        else:
            self._word(word, rest)

    def _word(self, word: str, rest: str) -> None:
        if word == "code":
            self.status = rest
        elif word == "nginx":
            self.nginx = rest
        elif word == "whole":
            self.whole = True


def open_to(remote: Remote, place: Place, run: str, secret: str) -> Opened:
    """Let a server accept the secret of a run, and note where its access log stands."""
    hold = remote.hold(
        changing("proof_words", "proof_open"),
        place.layout.proof,
        place.layout.access_log,
        place.name,
        f"{place.marks(run)}begin",
        run,
        place.layout.site_file,
        step="open the server to the load",
        deadline=OPEN_DEADLINE,
        stdin=f"{secret}\n".encode(),
    )
    inode, size, status = (*hold.line.split(), _UNKNOWN)[:3]
    return Opened(hold, int(inode), int(size), status, _clock(remote))


def _clock(remote: Remote) -> float | None:
    """Return how far a server's clock is ahead, by the answer that came the fastest of a few."""
    found: list[float] = []

    def take(line: str) -> None:
        with suppress(ValueError):
            found.append(float(line) - time.time())

    script = "for _ in 1 2 3 4 5; do date +%s.%N; sleep 0.02; done"
    remote.run(script, step="ask for the time", on_line=take)
    return max(found, default=None)


def read_log(remote: Remote, place: Place, run: str, opened: Opened, path: Path) -> Heard:
    """Fetch what a server's Nginx logged of a run into a file, and the rest of what it knows."""
    pieces = remote.read(
        changing("proof_words", "proof_read"),
        place.layout.proof,
        place.layout.access_log,
        place.name,
        place.marks(run),
        run,
        str(opened.inode),
        str(opened.size),
        place.layout.site_file,
        step="read the access log",
        deadline=READ_DEADLINE,
    )
    heard = Heard()
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with path.open("wb") as file:
        for line in _lines(pieces):
            if line.startswith(b"#"):
                heard.take(line.decode(errors="replace"))
            else:
                file.write(line + b"\n")
    return heard


def _lines(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Unpack lines as they come, so that a log of any length needs little memory."""
    unpack, rest = zlib.decompressobj(_GZIP), b""
    for piece in pieces:
        *lines, rest = (rest + unpack.decompress(piece)).split(b"\n")
        yield from lines
    if rest:
        yield rest
