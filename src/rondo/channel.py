"""One command on an open connection: data in, output out, a deadline, an end in every case."""

from __future__ import annotations

import codecs
import math
import select
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol, TypeVar

import paramiko

from rondo.errors import DeadlineError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

PIECE: Final = 1 << 20
"""Bytes of data that are announced together."""
_PACKET: Final = 1 << 15
_LOOK: Final = 0.25
_LINGER: Final = 5.0
_PARTING: Final = 1.0
_FOREVER: Final = 1e8

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Output:
    """What a command said and how it ended."""

    stdout: str
    stderr: str
    code: int

    def __bool__(self) -> bool:
        return self.code == 0


class Sink(Protocol):
    """Where the bytes of one stream go."""

    def feed(self, data: bytes, /) -> None:
        """Take the next bytes."""


class Lines:
    """Bytes to text and lines, as they come; never stumbles over an encoding."""

    def __init__(self, on_line: Callable[[str], None] | None = None, *, keep: bool = True) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        self._on_line = on_line
        self._keep = keep
        self._kept: list[str] = []
        self._rest = ""

    def feed(self, data: bytes, /) -> None:
        """Take the next bytes."""
        self._take(self._decoder.decode(data))

    def finish(self) -> str:
        """Tell a last line that has no line break, and give all of the text."""
        self._take(self._decoder.decode(b"", final=True))
        if self._on_line and self._rest:
            self._on_line(self._rest)
            self._rest = ""
        return "".join(self._kept)

    def _take(self, text: str) -> None:
        if self._keep:
            self._kept.append(text)
        if self._on_line:
            *lines, self._rest = (self._rest + text).split("\n")
            for line in lines:
                self._on_line(line.removesuffix("\r"))


class Exchange:
    """A command that runs on a channel; close it whatever happens."""

    def __init__(self, channel: paramiko.Channel, end: float | None) -> None:
        self._channel = channel
        self._end = end
        self._fault: BaseException | None = None

    def start(self, command: str) -> None:
        """Send the command; paramiko would wait for the answer for ever."""
        expired = threading.Event()

        def expire() -> None:
            expired.set()
            self.close()

        timer = threading.Timer(max(0.0, self._left()), expire)
        timer.daemon = True
        timer.start()
        try:
            self._channel.exec_command(command)
        except (paramiko.SSHException, OSError, EOFError):
            if expired.is_set():
                raise DeadlineError from None
            raise
        finally:
            timer.cancel()

    def feed(self, data: Iterable[bytes]) -> None:
        """Send data in the background, framed for the guard."""
        threading.Thread(target=self._feed, args=(data,), daemon=True).start()

    def _feed(self, data: Iterable[bytes]) -> None:
        source = iter(data)
        # An OSError of ours means that the command has ended early: its exit code tells why.
        with suppress(OSError):
            while (piece := self._next(source)) is not None:
                self._send(b"%d\n" % len(piece))
                self._send(piece)
            if self._fault is None:
                self._send(b"0\n")

    def _next(self, source: Iterator[bytes]) -> bytes | None:
        try:
            return next(source, None)
        except BaseException as error:  # noqa: BLE001 - raised again by whoever waits
            # Without an end mark the guard takes the data for cut off and ends the command.
            self._fault = error
            self._channel.close()
            return None

    def _send(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            view = view[self._channel.send(bytes(view[:_PACKET])) :]

    def on_terminal(self, kind: str, columns: int, rows: int) -> None:
        """Give the command a terminal, before it is started."""
        self._channel.get_pty(kind, columns, rows)

    def resize(self, columns: int, rows: int) -> None:
        """Tell the command that its terminal has another size."""
        with suppress(OSError, paramiko.SSHException):
            self._channel.resize_pty(columns, rows)

    def type(self, keys: bytes) -> None:
        """Pass on what was typed."""
        with suppress(OSError):
            self._send(keys)

    def pump(
        self, stdout: Sink, stderr: Sink, *, until: Callable[[], object] | None = None
    ) -> None:
        """Pass on output until the command has ended or `until` is true."""
        for sink, data in self.chunks(stdout, stderr):
            sink.feed(data)
            if until and until():
                return

    def chunks(self, stdout: T, stderr: T) -> Iterator[tuple[T, bytes]]:
        """Give output as it comes, each piece with the mark of its stream."""
        channel = self._channel
        poll = select.poll()
        poll.register(channel.fileno(), select.POLLIN)
        lingers = math.inf
        while not self.is_over() and time.monotonic() < lingers:
            if channel.recv_ready():
                yield stdout, channel.recv(PIECE)
                lingers = math.inf
            elif channel.recv_stderr_ready():
                yield stderr, channel.recv_stderr(PIECE)
                lingers = math.inf
            elif self._left() <= 0:
                raise DeadlineError
            else:
                self._wait(poll)
                if channel.exit_status_ready():
                    # Something that the command left behind may hold its output open for ever.
                    lingers = min(lingers, time.monotonic() + _LINGER)
        if self._fault:
            raise self._fault

    def _wait(self, poll: select.poll) -> None:
        seconds = max(0.001, min(_LOOK, self._left()))
        if self._channel.eof_received:
            # From here on the poll would return at once.
            self._channel.status_event.wait(seconds)
        else:
            poll.poll(seconds * 1000)

    @property
    def whole(self) -> bool:
        """Whether the end of the output was seen, not just the end of the command."""
        return bool(self._channel.eof_received)

    def code(self) -> int:
        """Exit code; -1 when the connection was lost before it came."""
        self._channel.status_event.wait(max(0.0, min(self._left(), _LINGER)))
        return self._channel.exit_status

    def close(self) -> None:
        """Close the channel, and the connection with it if the peer does not even take that."""
        closing = threading.Thread(target=self._close_quietly, daemon=True)
        closing.start()
        closing.join(_PARTING)
        transport = self._channel.get_transport()
        if closing.is_alive() and transport:
            transport.close()

    def _close_quietly(self) -> None:
        with suppress(Exception):
            self._channel.close()

    def has_ended(self) -> bool:
        """Tell whether the command has ended, or the connection under it."""
        return bool(self._channel.closed or self._channel.exit_status_ready())

    def is_over(self) -> bool:
        """Tell whether the command has ended and all it said was passed on."""
        channel = self._channel
        finished = channel.closed or (channel.eof_received and channel.exit_status_ready())
        return bool(finished) and not channel.recv_ready() and not channel.recv_stderr_ready()

    def _left(self) -> float:
        return _FOREVER if self._end is None else self._end - time.monotonic()


def pieces(data: bytes | Iterable[bytes]) -> Iterator[bytes]:
    """Cut or join data to pieces of a good size."""
    if isinstance(data, bytes):
        yield from (data[start : start + PIECE] for start in range(0, len(data), PIECE))
        return
    waiting = bytearray()
    for part in data:
        waiting += part
        if len(waiting) >= PIECE:
            yield bytes(waiting)
            waiting.clear()
    if waiting:
        yield bytes(waiting)
