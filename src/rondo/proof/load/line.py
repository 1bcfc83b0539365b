"""One kept connection of one user, over which nothing is ever sent twice.

geventhttpclient's own client sends a GET again when its connection was dropped, so that a load
test over it reports no failure where one request in ten was lost. This one has its parser and none
of its retries.
"""

from __future__ import annotations

import select
import socket
import ssl
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from gevent.monkey import get_original
from geventhttpclient.response import HTTPParseError, HTTPResponse

from rondo.errors import InputError
from rondo.proof.records import Wire

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rondo.proof.brief import Brief

FAILURES = (OSError, HTTPParseError)
"""What an exchange raises when no whole answer came."""

_BLOCK = 65536
_poll = get_original("select", "poll")


class ClosedError(OSError):
    """The server closed the connection before its answer was whole."""


class Answer(HTTPResponse):
    """A whole answer."""

    def body(self) -> bytes:
        """Return its body as the application made it."""
        data = bytes(self._body_buffer)
        if self.get("content-encoding") == "gzip":
            return zlib.decompress(data, wbits=31)
        return data

    @property
    def size(self) -> int:
        """Bytes of the body as they were sent."""
        return len(self._body_buffer)


@dataclass(frozen=True, slots=True)
class Door:
    """Where to connect to, and as whom the server must prove itself."""

    family: socket.AddressFamily
    address: tuple[str, int]
    name: str
    context: ssl.SSLContext | None


def doors(brief: Brief, authority: str | None) -> tuple[Door, ...]:
    """Resolve the addresses of a brief; `authority` is PEM text, None for what is trusted here."""
    parts = urlsplit(brief.host)
    name = parts.hostname or ""
    port = parts.port or (443 if parts.scheme == "https" else 80)
    context = tls_context(authority) if parts.scheme == "https" else None
    targets = [_split(each) for each in brief.addresses] or [(name, port)]
    resolved = [each for target in targets for each in _resolved(target, alone=len(targets) == 1)]
    return tuple(Door(family, address, name, context) for family, address in resolved)


def _split(address: str) -> tuple[str, int]:
    host, _, port = address.rpartition(":")
    return host.strip("[]"), int(port)


def _resolved(
    target: tuple[str, int], *, alone: bool
) -> Sequence[tuple[socket.AddressFamily, tuple[str, int]]]:
    """Look an address up once, so that the name service is no part of any latency."""
    try:
        found = socket.getaddrinfo(*target, type=socket.SOCK_STREAM)
    except OSError as error:
        message = f"{target[0]} has no address that this machine knows ({error.strerror})"
        raise InputError(f"{message}; check --host") from None
    family = found[0][0]
    same = [(family, (str(each[4][0]), target[1])) for each in found if each[0] == family]
    return same if alone else same[:1]


def tls_context(authority: str | None) -> ssl.SSLContext:
    """Make the one context that all users share: chain and host name are always verified."""
    try:
        context = ssl.create_default_context(cadata=authority)
    except ssl.SSLError as error:
        message = f"The authority is no certificate in PEM form ({error.reason})"
        raise InputError(f"{message}; check proof.authority") from None
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


class Line:
    """A connection that is kept from request to request, as a browser does."""

    __slots__ = ("_door", "_poll", "_socket", "wire")

    def __init__(self, door: Door) -> None:
        self._door = door
        self._socket: socket.socket | None = None
        self._poll = _poll()
        self.wire = Wire.FRESH
        """What the last exchange went over."""

    def exchange(self, method: str, request: bytes) -> Answer:
        """Send a request once and read its answer; raise one of FAILURES if there was none."""
        self.wire = Wire.REUSED if self._usable() else Wire.FRESH
        try:
            connection = self._socket or self._connect()
            connection.sendall(request)
            answer = _read(connection, method)
        except BaseException:
            self.close()
            raise
        if answer.should_close():
            self.close()
        return answer

    def _usable(self) -> bool:
        """Whether there is a connection that the server has not closed while it was idle.

        No request is lost where it has: that is a fresh connection, nothing sent again.
        """
        if self._socket is not None and self._poll.poll(0):
            self.close()
        return self._socket is not None

    def _connect(self) -> socket.socket:
        door = self._door
        connection = socket.socket(door.family, socket.SOCK_STREAM)
        self._socket = connection
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.connect(door.address)
        if door.context:
            connection = door.context.wrap_socket(connection, server_hostname=door.name)
            self._socket = connection
        self._poll.register(connection.fileno(), select.POLLIN)
        return connection

    def close(self) -> None:
        """Hang up; the next exchange connects anew."""
        connection, self._socket = self._socket, None
        self._poll = _poll()
        if connection is not None:
            connection.close()


def _read(connection: socket.socket, method: str) -> Answer:
    answer = Answer(method)
    while not answer.message_complete or answer.get_code() < 200:
        data = connection.recv(_BLOCK)
        answer.feed(data)
        if not data and not answer.message_complete:
            raise ClosedError("the server closed the connection before its answer was whole")
    return answer


def told(error: BaseException) -> str:
    """Say in a few words why there was no answer."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"certificate not accepted: {error.verify_message}"
    if isinstance(error, OSError):
        return error.strerror or str(error) or type(error).__name__
    return str(error) or type(error).__name__
