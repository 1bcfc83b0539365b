"""The lab's two networks: a front one, and a private one between the servers."""

from __future__ import annotations

import ipaddress
import socket
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rondo.lab import engine
from rondo.lab.engine import LABEL, LabError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from rondo.lab.places import Place

Range = ipaddress.IPv4Network
_REGISTRY_HOST = 10
MAX_SERVERS = 100


@dataclass(frozen=True, slots=True)
class Networks:
    """The ranges of the two networks; addresses in them are fixed by a server's number."""

    name: str
    front: Range
    private: Range

    @property
    def front_name(self) -> str:
        """Docker's name of the network that clients and the internet are on."""
        return f"{self.name}-front"

    @property
    def private_name(self) -> str:
        """Docker's name of the network between the servers."""
        return f"{self.name}-private"

    @property
    def registry(self) -> str:
        """Address of the registry on the front network."""
        return str(self.front[_REGISTRY_HOST])

    def addresses(self, number: int) -> tuple[str, str]:
        """Give the front and the private address of server NUMBER (1, 2, ...)."""
        return str(self.front[_REGISTRY_HOST + number]), str(self.private[_REGISTRY_HOST + number])


def candidates() -> Iterator[tuple[Range, Range]]:
    """Pairs of ranges, in the order in which they are tried."""
    for third in (*range(77, 255, 2), *range(1, 77, 2)):
        yield Range(f"172.30.{third}.0/24"), Range(f"172.30.{third + 1}.0/24")


def free_pairs(taken: Iterable[Range]) -> Iterator[tuple[Range, Range]]:
    """Pairs of ranges that overlap none of those taken."""
    used = list(taken)
    for pair in candidates():
        if not any(range_.overlaps(other) for range_ in pair for other in used):
            yield pair


def routes(table: str) -> list[Range]:
    """Read the destinations of a kernel routing table (/proc/net/route), but the default route."""
    found = []
    for line in table.splitlines()[1:]:
        words = line.split()
        destination, mask = (_dotted(words[1]), _dotted(words[7]))
        if mask != "0.0.0.0":  # noqa: S104 - a mask, no address to listen on
            found.append(Range(f"{destination}/{mask}", strict=False))
    return found


def _dotted(word: str) -> str:
    return socket.inet_ntoa(struct.pack("<L", int(word, 16)))


def find(place: Place) -> Networks | None:
    """Find the networks of a lab; None unless both are there."""
    names = (f"{place.name}-front", f"{place.name}-private")
    present = set(
        engine.lines(
            "network", "ls", "--filter", f"label={LABEL}={place.name}", "--format", "{{.Name}}"
        ),
    )
    if not present.issuperset(names):
        return None
    ranges = [_range(network) for network in engine.inspect("network", names)]
    return Networks(place.name, *ranges)


def ensure(place: Place) -> Networks:
    """Find the networks of a lab, or make them in ranges that nothing else uses."""
    found = find(place)
    if found is not None:
        return found
    _remove(place)
    for front, private in free_pairs(_taken()):
        networks = Networks(place.name, front, private)
        if _create(networks):
            return networks
    raise LabError("no free pair of address ranges is left in 172.30.0.0/16; remove some networks")


def _create(networks: Networks) -> bool:
    """Make both networks; False when somebody took a range between our look and now."""
    try:
        _create_one(networks.name, networks.front_name, networks.front)
        _create_one(networks.name, networks.private_name, networks.private, "--internal")
    except LabError as error:
        if "overlap" not in str(error):
            raise
        engine.try_docker("network", "rm", networks.front_name)
        return False
    return True


def _create_one(lab: str, name: str, range_: Range, *options: str) -> None:
    # Containers that others put on the network get addresses from the upper half.
    upper = next(reversed(list(range_.subnets())))
    engine.docker(
        *("network", "create", "--label", f"{LABEL}={lab}", "--subnet", str(range_)),
        *("--ip-range", str(upper), "--gateway", str(range_[1]), *options, name),
    )


def _remove(place: Place) -> None:
    for name in (f"{place.name}-front", f"{place.name}-private"):
        engine.try_docker("network", "rm", name)


def _taken() -> list[Range]:
    table = Path("/proc/net/route")
    taken = routes(table.read_text()) if table.exists() else []
    identifiers = engine.lines("network", "ls", "--quiet", "--filter", "driver=bridge")
    for network in engine.inspect("network", identifiers):
        taken.extend(_ranges(network))
    return taken


def _ranges(network: dict[str, Any]) -> list[Range]:
    configs = network["IPAM"].get("Config") or []
    subnets = [config["Subnet"] for config in configs if "." in config.get("Subnet", "")]
    return [Range(subnet) for subnet in subnets]


def _range(network: dict[str, Any]) -> Range:
    return _ranges(network)[0]
