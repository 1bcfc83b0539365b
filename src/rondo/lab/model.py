"""The nouns of the lab."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

Report = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class LabServer:
    """One server of the lab: a container that is reached over SSH like any other machine."""

    name: str
    address: str
    private_address: str
    state: str
    port: int = 22
    user: str = "deploy"

    @property
    def running(self) -> bool:
        """Whether it is up."""
        return self.state == "running"


@dataclass(frozen=True, slots=True)
class Lab:
    """A lab that is up."""

    name: str
    servers: tuple[LabServer, ...]
    registry: str  # HOST:PORT on the operator's side; the servers' engines use it as their mirror
    folder: Path

    @property
    def key(self) -> Path:
        """Private SSH key that every server's users accept."""
        return self.folder / "id_ed25519"

    @property
    def known_hosts(self) -> Path:
        """The servers' host keys, taken from the containers and not from the network."""
        return self.folder / "known_hosts"

    @property
    def authority(self) -> Path:
        """Certificate of the lab's own authority."""
        return self.folder / "ca.pem"
