"""A port of a server that leads to a port of this machine, over the connection that is there.

The server listens on its own address alone; who connects there is connected to 127.0.0.1 here.
"""

from __future__ import annotations

import socket
import threading
from contextlib import suppress
from typing import Final, Protocol

HERE: Final = "127.0.0.1"
_PIECE: Final = 1 << 15
_PATIENCE: Final = 5.0


class Stream(Protocol):
    """One end of a connection that came through: a channel, or a socket."""

    def recv(self, size: int, /) -> bytes:
        """Wait for bytes; none at the end."""

    def sendall(self, data: bytes, /) -> object:
        """Send all of these bytes."""

    def close(self) -> None:
        """End it, both ways."""


class Tunnel:
    """Connects whoever comes through to one port of this machine."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._lock = threading.Lock()
        self._open: set[Stream] = set()
        self._closed = False

    def accept(self, far: Stream, *_: object) -> None:
        """Take one that has come through; returns at once, as the connection's own thread calls."""
        threading.Thread(target=self._serve, args=(far,), daemon=True).start()

    def close(self) -> None:
        """End all that is open, and take no more."""
        with self._lock:
            self._closed, still = True, tuple(self._open)
        for each in still:
            _end(each)

    def _serve(self, far: Stream) -> None:
        try:
            near = socket.create_connection((HERE, self._port), timeout=_PATIENCE)
        except OSError:
            # Nobody listens here yet: whoever came sees a closed connection, and tries again.
            _end(far)
            return
        near.settimeout(None)
        near.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self._keep(far, near):
            threading.Thread(target=self._pass_on, args=(near, far), daemon=True).start()
            self._pass_on(far, near)

    def _keep(self, *both: Stream) -> bool:
        with self._lock:
            if not self._closed:
                self._open.update(both)
                return True
        for each in both:
            _end(each)
        return False

    def _pass_on(self, source: Stream, target: Stream) -> None:
        """Carry bytes one way until either end is closed; then both are."""
        with suppress(OSError, EOFError):
            while data := source.recv(_PIECE):
                target.sendall(data)
        for each in (source, target):
            _end(each)
        with self._lock:
            self._open -= {source, target}


def _end(stream: Stream) -> None:
    if isinstance(stream, socket.socket):
        # A thread that waits in recv() does not notice close().
        with suppress(OSError):
            stream.shutdown(socket.SHUT_RDWR)
    with suppress(Exception):
        stream.close()
