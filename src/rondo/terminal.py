"""The operator's terminal, or pipe, joined to a command on a server."""

from __future__ import annotations

import os
import select
import shutil
import signal
import sys
import termios
import threading
import tty
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rondo.channel import Exchange

_CHUNK = 1 << 16


def is_there() -> bool:
    """Tell whether the operator sits at a terminal, for input and output."""
    return sys.stdin.isatty() and sys.stdout.isatty()


def confirm(question: str) -> bool:
    """Ask the operator; without a terminal the answer is no."""
    if not is_there():
        return False
    return input(f"{question} [y/N] ").strip().lower() in {"y", "yes"}


def announce(exchange: Exchange) -> None:
    """Ask for a terminal like the operator's, before the command is started."""
    exchange.on_terminal(os.environ.get("TERM", "xterm"), *shutil.get_terminal_size())


def attach(exchange: Exchange) -> int:
    """Join a command to the operator's terminal until it ends, as if they sat at the server."""
    sink = _Descriptor(sys.stdout.fileno())
    done = threading.Event()
    with _raw(sys.stdin.fileno()), _resized(exchange):
        keys = threading.Thread(target=_pass_keys, args=(exchange, done), daemon=True)
        keys.start()
        try:
            exchange.pump(sink, sink)
        finally:
            done.set()
    return exchange.code()


def pipe(exchange: Exchange) -> int:
    """Join a command to the operator's standard input, output and error until it ends."""
    exchange.feed(_read(sys.stdin.fileno()))
    sys.stdout.flush()
    exchange.pump(_Descriptor(sys.stdout.fileno()), _Descriptor(sys.stderr.fileno()))
    return exchange.code()


class _Descriptor:
    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def feed(self, data: bytes, /) -> None:
        view = memoryview(data)
        while view:
            view = view[os.write(self._descriptor, view) :]


def _read(descriptor: int) -> Iterator[bytes]:
    while data := os.read(descriptor, _CHUNK):
        yield data


def _pass_keys(exchange: Exchange, done: threading.Event) -> None:
    descriptor = sys.stdin.fileno()
    while not done.is_set():
        ready, _, _ = select.select([descriptor], [], [], 0.2)
        if ready and not done.is_set():
            exchange.type(os.read(descriptor, _CHUNK))


@contextmanager
def _raw(descriptor: int) -> Iterator[None]:
    before = termios.tcgetattr(descriptor)
    try:
        tty.setraw(descriptor)
        yield
    finally:
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)


@contextmanager
def _resized(exchange: Exchange) -> Iterator[None]:
    before = signal.signal(signal.SIGWINCH, lambda *_: exchange.resize(*shutil.get_terminal_size()))
    try:
        yield
    finally:
        with suppress(TypeError):
            signal.signal(signal.SIGWINCH, before)
