"""What a proof loads: a site of the inventory on its servers, or any host. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from rondo.errors import InputError
from rondo.proof import expect
from rondo.proof.evidence import Expected
from rondo.proof.visits import url_of
from rondo.proof.witness import Place

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rondo.inventory import Inventory
    from rondo.source import Loaded
    from rondo.state import ServerState

HTTP, HTTPS = 80, 443


@dataclass(frozen=True, slots=True)
class Aim:
    """Where the load goes, and who can witness it."""

    loaded: Loaded | None
    """The inventory; None for a host that is loaded by hand without one."""
    host: str
    """Like https://shop.example.com."""
    site: str = ""
    """The site of the inventory; empty for a host that is none."""
    servers: tuple[str, ...] = ()
    """Servers of the inventory that are asked; none for a host that is no site."""
    only: str = ""
    """The one server that was chosen."""

    @property
    def name(self) -> str:
        """Name that clients ask for and verify."""
        return urlsplit(self.host).hostname or ""

    @property
    def tls(self) -> bool:
        """Whether it is asked over TLS."""
        return self.host.startswith("https:")

    @property
    def port(self) -> int:
        """Port that is asked."""
        return urlsplit(self.host).port or (HTTPS if self.tls else HTTP)

    @property
    def doors(self) -> Mapping[str, tuple[str, int]]:
        """Address and port by server; the host's own for one that is no site."""
        if not self.servers:
            return {self.name: (self.name, self.port)}
        assert self.loaded  # noqa: S101 - whoever has servers has an inventory
        declared = self.loaded.inventory.servers
        return {name: (declared[name].address, self.port) for name in self.servers}

    @property
    def addresses(self) -> tuple[str, ...]:
        """Doors as a brief has them; none to let each client look the name up."""
        if not self.servers:
            return ()
        return tuple(f"{_bracketed(address)}:{port}" for address, port in self.doors.values())

    @property
    def place(self) -> Place:
        """The site as its servers know it."""
        assert self.loaded  # noqa: S101 - as above
        declared = self.loaded.inventory.sites[self.site]
        return Place(self.loaded.inventory.project, self.name, tls=declared.tls is not None)

    @property
    def authority(self) -> Path | None:
        """File with the authority to verify with; None for what this machine trusts."""
        declared = self.loaded and self.loaded.inventory.proof.authority
        return (
            (self.loaded.root / Path(declared).expanduser()).resolve()
            if self.loaded and declared
            else None
        )

    def expected(
        self, before: Mapping[str, ServerState], after: Mapping[str, ServerState]
    ) -> Expected:
        """Return what must be seen."""
        if not self.site or not self.loaded:
            return Expected(tls=self.tls, names=(self.name,))
        inventory = self.loaded.inventory
        return expect.expected(inventory, self.site, self.servers, before, after)


def aim_at(
    loaded: Loaded | None, *, host: str = "", server: str = "", names: Sequence[str] = ()
) -> Aim:
    """Return what to load: the proof's site, or another host, on all servers or on some.

    `names` may hold servers that do not answer for the site; a `server` must answer for it.
    Raises InputError for what cannot be loaded.
    """
    if loaded is None:
        return Aim(None, _url(host))
    inventory = loaded.inventory
    if not host:
        site = expect.site_of(inventory)
        url = url_of(site, inventory.sites[site])
        return Aim(loaded, url, site, _servers(inventory, site, server, names), server)
    url = _url(host)
    site = expect.site_of(inventory, urlsplit(url).hostname or "")
    if not site and server:
        raise InputError(
            f"--server {server} cannot be loaded for {url}, which is no site of "
            f"{loaded.path.name}; leave one of them away"
        )
    servers = _servers(inventory, site, server, names) if site else ()
    return Aim(loaded, url, site, servers, server)


def _servers(inventory: Inventory, site: str, server: str, names: Sequence[str]) -> tuple[str, ...]:
    answering = expect.servers_of(inventory, site, (server,) if server else ())
    chosen = tuple(name for name in answering if not names or name in names)
    if not chosen:
        raise InputError(
            f"no server of {', '.join(names)} answers for the site {site}, so that nothing would "
            f"be proved; there are: {', '.join(answering)}"
        )
    return chosen


def _url(host: str) -> str:
    text = host if "://" in host else f"https://{host}"
    try:
        parts = urlsplit(text)
        sound = parts.scheme in {"http", "https"} and parts.hostname and parts.path in {"", "/"}
        port = parts.port
    except ValueError:
        sound, port = False, None
    if not sound:
        raise InputError(f"--host {host} is no site to load; give it like https://www.example.com")
    return f"{parts.scheme}://{_bracketed(str(parts.hostname))}" + (f":{port}" if port else "")


def _bracketed(address: str) -> str:
    return f"[{address}]" if ":" in address else address
