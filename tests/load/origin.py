"""A web server for load tests, in a thread: a test says how it answers, and reads what it saw."""

from __future__ import annotations

import asyncio
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Iterator


@dataclass(frozen=True, slots=True)
class Seen:
    """One request that arrived."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    reused: bool
    """Whether the connection had carried a request before."""


@dataclass(frozen=True, slots=True)
class Reply:
    """How to answer."""

    status: int = 200
    body: bytes = b"hello"
    headers: dict[str, str] = field(default_factory=dict)
    pause: float = 0.0


class Origin:
    """Answers at 127.0.0.1; a None instead of a reply drops the connection."""

    def __init__(
        self, answering: Callable[[Seen], Reply | None], tls: ssl.SSLContext | None
    ) -> None:
        self.answering = answering
        self.seen: list[Seen] = []
        self.connections = 0
        self.port = 0
        self._tls = tls
        self._loop = asyncio.new_event_loop()

    @property
    def url(self) -> str:
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self.port}"

    @property
    def now(self) -> float:
        return self._loop.time()

    def start(self) -> None:
        listening = threading.Event()
        threading.Thread(target=self._run, args=(listening,), daemon=True).start()
        listening.wait()

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)

    def _run(self, listening: threading.Event) -> None:
        made = self._loop.create_server(lambda: _Conversation(self), "127.0.0.1", ssl=self._tls)
        server = self._loop.run_until_complete(made)
        self.port = server.sockets[0].getsockname()[1]
        listening.set()
        self._loop.run_forever()
        server.close()
        self._loop.close()


class _Conversation(asyncio.Protocol):
    def __init__(self, origin: Origin) -> None:
        self._origin = origin
        self._data = b""
        self._count = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._origin.connections += 1

    def data_received(self, data: bytes) -> None:
        self._data += data
        head, end, rest = self._data.partition(b"\r\n\r\n")
        if not end:
            return
        first, *lines = head.decode("latin-1").split("\r\n")
        headers = {name.lower(): value for name, _, value in (x.partition(": ") for x in lines)}
        length = int(headers.get("content-length", "0"))
        if len(rest) < length:
            return
        self._data = rest[length:]
        method, path, _ = first.split(" ")
        seen = Seen(method, path, headers, rest[:length], reused=self._count > 0)
        self._count += 1
        self._origin.seen.append(seen)
        reply = self._origin.answering(seen)
        if reply is None:
            self._transport.close()
        elif reply.pause:
            asyncio.get_running_loop().call_later(reply.pause, self._answer, seen, reply)
        else:
            self._answer(seen, reply)

    def _answer(self, seen: Seen, reply: Reply) -> None:
        headers = {"Content-Length": str(len(reply.body)), **reply.headers}
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        self._transport.write(f"HTTP/1.1 {reply.status} Yes\r\n{lines}\r\n".encode() + reply.body)
        if seen.headers.get("connection") == "close":
            self._transport.close()


@contextmanager
def serving(
    answering: Callable[[Seen], Reply | None] = lambda _: Reply(),
    tls: ssl.SSLContext | None = None,
) -> Iterator[Origin]:
    """Serve while the block runs."""
    origin = Origin(answering, tls)
    origin.start()
    try:
        yield origin
    finally:
        origin.stop()
