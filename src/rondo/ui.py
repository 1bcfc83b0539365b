"""What the operator sees: whole lines, aligned by server, without secrets or control characters."""

from __future__ import annotations

import os
import re
import shutil
import sys
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, TextIO

from rondo.redaction import Redactor, Revealing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

_BOLD: Final = "1"
_DIM: Final = "2"
_RED: Final = "31"
_GREEN: Final = "32"
_YELLOW: Final = "33"
_SERVERS: Final = ("36", "35", "34", "32", "33", "96", "95", "94")
_ERASE: Final = "\r\x1b[K"
_TICK: Final = 0.5
# Servers may say anything: sequences that move the cursor or set titles end here.
_SEQUENCES: Final = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]|(?:\x1b\]|\x9d)[^\x07\x1b\x9c]*(?:\x07|\x1b\\|\x9c)"
    r"|\x1b[ -/]*[0-~]"
)
_CONTROLS: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


@dataclass(slots=True)
class _Status:
    """What goes on now, by server: a last line that is drawn anew, on terminals only."""

    running: dict[str, tuple[str, float]] = field(default_factory=dict)
    shown: bool = False
    ticking: bool = False


class Ui:
    """Prints for the operator. Safe to use from many threads: each line is written whole.

    Progress and results go to standard output, warnings and errors to standard error.
    """

    def __init__(
        self,
        stream: TextIO | None = None,
        *,
        errors: TextIO | None = None,
        colour: bool | None = None,
        live: bool | None = None,
    ) -> None:
        self._stream = stream or sys.stdout
        self._errors = errors or stream or sys.stderr
        self._colour = colour
        self._live = _is_terminal(self._stream) if live is None else live
        self._lock = threading.RLock()
        self._names: list[str] = []
        self._secrets: list[Revealing] = []
        self._redactor: Callable[[str], str] = Redactor(())
        self._status = _Status()

    def align(self, names: Iterable[str]) -> None:
        """Learn the servers' names beforehand, so that all lines are aligned from the first."""
        with self._lock:
            self._names += [name for name in names if name not in self._names]

    def redact(self, values: Iterable[Revealing]) -> None:
        """Never print these values from now on."""
        with self._lock:
            self._secrets += values
            self._redactor = Redactor(self._secrets)

    def clean(self, text: str) -> str:
        """Take secrets and control characters out of text."""
        # Twice: removing a sequence may join what stood on both sides of it to a secret.
        bare = _CONTROLS.sub("", _SEQUENCES.sub("", self._redactor(text)))
        return self._redactor(bare)

    def step(self, server: str, text: str) -> None:
        """Say that something begins on a server."""
        with self._lock:
            self._status.running[server] = (self.clean(text), time.monotonic())
            self._prefixed(server, ("> ", _DIM), text)
            self._tick()

    def line(self, server: str, text: str) -> None:
        """Pass on a line that a server said."""
        # A progress bar draws over itself: its last state is the line.
        self._prefixed(server, ("  ", ""), text.rstrip("\r").rpartition("\r")[2], style=_DIM)

    def done(self, server: str, text: str, seconds: float) -> None:
        """Say that something ended well, and how long it took."""
        with self._lock:
            self._status.running.pop(server, None)
            self._prefixed(server, ("ok ", _GREEN), f"{text} ({_duration(seconds)})")

    def note(self, text: str) -> None:
        """Say something that belongs to no server."""
        self._write(self._stream, self.clean(text))

    def warn(self, text: str) -> None:
        """Say something that the operator should look at."""
        self._write(
            self._errors, self._painted(_YELLOW, "warning: ", self._errors) + self.clean(text)
        )

    def error(self, text: str) -> None:
        """Say what failed."""
        with self._lock:
            self._status.running.pop(text.partition(":")[0], None)
            self._write(self._errors, self._painted(_RED, self.clean(text), self._errors))

    def judged(self, word: str, text: str) -> None:
        """Say how something came out: PASS in green, FAIL in red, anything else in yellow."""
        colour = {"PASS": _GREEN, "FAIL": _RED}.get(word, _YELLOW)
        mark = self._painted(colour, f"{word:<7}", self._stream)
        self._write(self._stream, f"{mark} {self.clean(text)}")

    def table(self, rows: Iterable[Sequence[object]]) -> None:
        """Print rows in aligned columns; the first one is the head."""
        cells = [[self.clean(str(cell)) for cell in row] for row in rows]
        widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
        for number, row in enumerate(cells):
            padded = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
            text = "  ".join(padded).rstrip()
            self._write(self._stream, text if number else self._painted(_BOLD, text, self._stream))

    def close(self) -> None:
        """Take the status line away; what was printed stays."""
        with self._lock:
            self._status.running.clear()
            self._erase()

    def _prefixed(self, server: str, mark: tuple[str, str], text: str, *, style: str = "") -> None:
        with self._lock:
            self.align([server])
            width = max(map(len, self._names))
            colour = _SERVERS[self._names.index(server) % len(_SERVERS)]
            name = self._painted(colour, f"{server:<{width}} | ", self._stream)
            sign = self._painted(mark[1], mark[0], self._stream)
            lines = self.clean(text).split("\n")
            self._write(
                self._stream,
                "\n".join(
                    f"{name}{sign}{self._painted(style, line, self._stream)}" for line in lines
                ),
            )

    def _painted(self, code: str, text: str, stream: TextIO) -> str:
        wanted = _wants_colour(stream) if self._colour is None else self._colour
        return f"\x1b[{code}m{text}\x1b[0m" if wanted and code and text else text

    def _write(self, stream: TextIO, text: str) -> None:
        with self._lock:
            self._erase()
            stream.write(f"{text}\n")
            stream.flush()
            self._draw()

    def _erase(self) -> None:
        if self._status.shown:
            self._stream.write(_ERASE)
            self._stream.flush()
            self._status.shown = False

    def _draw(self) -> None:
        if not self._live or not self._status.running:
            return
        now = time.monotonic()
        parts = (
            f"{server}: {text.splitlines()[0] if text else ''} {_duration(now - began)}"
            for server, (text, began) in self._status.running.items()
        )
        width = shutil.get_terminal_size().columns - 1
        self._stream.write(self._painted(_DIM, "; ".join(parts)[:width], self._stream))
        self._stream.flush()
        self._status.shown = True

    def _tick(self) -> None:
        if self._live and not self._status.ticking:
            self._status.ticking = True
            threading.Thread(target=self._keep_drawing, daemon=True).start()

    def _keep_drawing(self) -> None:
        while True:
            time.sleep(_TICK)
            with self._lock:
                if not self._status.running:
                    self._status.ticking = False
                    return
                self._erase()
                self._draw()


def _is_terminal(stream: TextIO) -> bool:
    return stream.isatty() and os.environ.get("TERM", "dumb") != "dumb"


def _wants_colour(stream: TextIO) -> bool:
    return _is_terminal(stream) and not os.environ.get("NO_COLOR")


def _duration(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s"
