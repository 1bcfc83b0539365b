"""Clients of a site: they verify its certificate, name it by SNI, and count what they are told."""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import ssl
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

SHOP = "shop.example.com"
SHOP_PAGES = (
    ("GET", "/"),
    ("POST", "/api/slow/?seconds=0"),
    ("GET", "/api/whoami"),
    ("POST", "/api/slow/?seconds=0.2"),
)


@dataclass(frozen=True)
class Answer:
    """What came back for a request."""

    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def json(self) -> Any:  # noqa: ANN401
        return json.loads(self.body)


class _Connection(http.client.HTTPSConnection):
    """HTTPS to an address, asked and verified by a site's name."""

    def __init__(self, address: str, host: str, context: ssl.SSLContext) -> None:
        super().__init__(host, context=context, timeout=30)
        self._address = address
        self._verify = context

    def connect(self) -> None:
        plain = socket.create_connection((self._address, 443), self.timeout)
        try:
            self.sock = self._verify.wrap_socket(plain, server_hostname=self.host)
        except BaseException:
            plain.close()
            raise


@dataclass(frozen=True)
class Site:
    """One server's side of a site."""

    address: str
    authority: Path
    host: str = SHOP

    @contextlib.contextmanager
    def connection(self) -> Iterator[http.client.HTTPSConnection]:
        """Open one connection that is kept alive."""
        context = ssl.create_default_context(cafile=str(self.authority))
        connection = _Connection(self.address, self.host, context)
        try:
            yield connection
        finally:
            connection.close()

    def ask(
        self, path: str, method: str = "GET", body: bytes | None = None, **headers: str
    ) -> Answer:
        """Ask once, over a connection of its own."""
        with self.connection() as connection:
            return ask(connection, path, method, body, headers)

    def plain(self, path: str, host: str | None = None) -> Answer:
        """Ask port 80."""
        connection = http.client.HTTPConnection(self.address, timeout=10)
        with contextlib.closing(connection):
            return ask(connection, path, headers={"Host": host or self.host})


def ask(
    connection: http.client.HTTPConnection,
    path: str,
    method: str = "GET",
    body: bytes | None = None,
    headers: Mapping[str, str] | None = None,
) -> Answer:
    """Ask over a connection that is there."""
    connection.request(method, path, body, dict(headers or {}))
    answer = connection.getresponse()
    return Answer(answer.status, answer.headers, answer.read())


def shares(site: Site, path: str, header: str, requests: int, clients: int = 1) -> Counter[str]:
    """Count who answers; each client keeps one connection."""
    counts: Counter[str] = Counter()
    faults: list[BaseException] = []

    def client() -> None:
        try:
            with site.connection() as connection:
                seen = Counter(
                    ask(connection, path).headers[header] for _ in range(requests // clients)
                )
            with lock:
                counts.update(seen)
        except BaseException as error:  # noqa: BLE001 - raised again below
            faults.append(error)

    lock = threading.Lock()
    threads = [threading.Thread(target=client) for _ in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if faults:
        raise faults[0]
    return counts


@dataclass
class Watch:
    """A visitor of every server who never stops asking while something is done to them.

    Half of the requests are POSTs, which Nginx gives to no second backend. `wrong` has all that
    was not 200, `releases` who answered.
    """

    sites: Sequence[Site]
    pages: tuple[tuple[str, str], ...] = SHOP_PAGES
    asked: int = 0
    wrong: list[str] = field(default_factory=list)
    releases: set[str] = field(default_factory=set)
    _stop: threading.Event = field(default_factory=threading.Event)
    _threads: list[threading.Thread] = field(default_factory=list)

    LONGEST = 600.0

    def __enter__(self) -> Self:
        for site in self.sites:
            thread = threading.Thread(target=self._visit, args=(site,), daemon=True)
            thread.start()
            self._threads.append(thread)
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _visit(self, site: Site) -> None:
        end = time.monotonic() + self.LONGEST
        while not self._stop.is_set() and time.monotonic() < end:
            for method, path in self.pages:
                self._look(site, method, path)
            self._stop.wait(0.02)

    def _look(self, site: Site, method: str, path: str) -> None:
        self.asked += 1
        try:
            answer = site.ask(path, method)
        except (OSError, http.client.HTTPException) as error:
            self.wrong.append(f"{site.address} {method} {path}: {error!r}")
            return
        if answer.status != 200:
            self.wrong.append(f"{site.address} {method} {path}: {answer.status}")
        elif release := answer.headers["X-Shop-Release"]:
            self.releases.add(release)
