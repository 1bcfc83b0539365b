"""Which backends a request was given to, read from what Nginx said. Pure.

Nginx's $upstream_addr is a list after retries ("a, b"), is empty when a cache answered, and holds
the upstream's own name when no backend was left. Texts are few and requests many, so that each text
is read once, into tables that rows index.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from numpy.typing import NDArray

    from rondo.proof.evidence import Upstream
    from rondo.proof.records import Lines, Requests

NONE = -1
"""No backend was asked, or nobody said which."""
UNKNOWN = -2
"""A backend that the inventory does not have."""
_BETWEEN = re.compile(r", | : ")


@dataclass(frozen=True, slots=True)
class Place:
    """A slot of a service on a server."""

    server: str
    service: str
    slot: str
    upstream: int
    """Index of its upstream in the inventory's list."""
    share: float
    """Share of the upstream's requests that its weight gives it."""

    @property
    def name(self) -> str:
        """How it is called in sentences."""
        return f"{self.server} {self.slot}"


def places_of(upstreams: Sequence[Upstream]) -> tuple[Place, ...]:
    """Return every slot of the inventory."""
    return tuple(
        Place(each.server, each.service, slot, index, weight / sum(each.slots.values()))
        for index, each in enumerate(upstreams)
        for slot, weight in each.slots.items()
    )


def split(chain: str) -> tuple[str, ...]:
    """Return the addresses of a list, in the order they were tried."""
    return tuple(each for each in _BETWEEN.split(chain) if each not in {"", "-"})


class Directory:
    """The inventory's slots by what Nginx calls them."""

    def __init__(self, upstreams: Sequence[Upstream]) -> None:
        self.places = places_of(upstreams)
        numbers = {(p.server, p.service, p.slot): n for n, p in enumerate(self.places)}
        self._by_address = {
            (each.server, address): numbers[each.server, each.service, slot]
            for each in upstreams
            for address, slot in each.addresses.items()
        }
        self._names = {(each.server, each.name) for each in upstreams}

    def tried(self, server: str, chain: str) -> tuple[int, ...]:
        """Return the places that were tried."""
        return tuple(
            self._by_address.get((server, address), UNKNOWN)
            for address in split(chain)
            if (server, address) not in self._names
        )

    def knows(self, server: str, address: str) -> bool:
        """Tell whether an address is the inventory's."""
        return (server, address) in self._by_address or (server, address) in self._names


@dataclass(frozen=True, slots=True)
class Table:
    """What each text of a witness says, by the text's number."""

    first: NDArray[np.int16]
    """Place that was chosen first."""
    last: NDArray[np.int16]
    """Place that answered."""
    tries: NDArray[np.uint8]
    server: NDArray[np.int16]
    """Number of the server in `servers`; -1 where nobody said."""
    release: NDArray[np.int32]
    """Number of the text of the release, in `releases`."""
    servers: tuple[str, ...]
    releases: tuple[str, ...]


def read_seen(requests: Requests, directory: Directory, used: NDArray[np.bool_]) -> Table:
    """Read the header that clients saw: server;addresses;release."""
    said = [_header(text) if used[n] else ("", "", "") for n, text in enumerate(requests.texts)]
    return _table(said, directory)


def read_log(lines: Lines, directory: Directory, server: str, used: NDArray[np.bool_]) -> Table:
    """Read the addresses that a server logged."""
    said = [(server, text if used[n] else "", "") for n, text in enumerate(lines.texts)]
    return _table(said, directory)


def _header(text: str) -> tuple[str, str, str]:
    server, _, rest = text.partition(";")
    chain, _, release = rest.partition(";")
    return server, chain, release


def _table(said: Sequence[tuple[str, str, str]], directory: Directory) -> Table:
    tried = [directory.tried(server, chain) for server, chain, _ in said]
    servers, releases = _numbers(each[0] for each in said), _numbers(each[2] for each in said)
    return Table(
        np.array([each[0] if each else NONE for each in tried], np.int16),
        np.array([each[-1] if each else NONE for each in tried], np.int16),
        np.array([min(255, len(each)) for each in tried], np.uint8),
        np.array([servers[each[0]] if each[0] else NONE for each in said], np.int16),
        np.array([releases[each[2]] for each in said], np.int32),
        tuple(servers),
        tuple(releases),
    )


def _numbers(texts: Iterable[str]) -> Mapping[str, int]:
    found: dict[str, int] = {"": 0}
    for text in texts:
        found.setdefault(text, len(found))
    return found
