"""Edge servers: they balance a site over the servers that run it, by their private addresses. Pure.

An edge's upstream lists servers, never slots: a release does not touch its configuration.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from rondo import nginx, views
from rondo.inventory import SlotService
from rondo.layout import Layout
from rondo.problems import Problem
from rondo.release import servers_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rondo.inventory import Inventory, Site

SYSTEM_AUTHORITIES = "/etc/ssl/certs/ca-certificates.crt"
# The server behind gives up first, so that its own answer is heard and not ours.
LONGER = 5.0
# Shorter than what a server keeps, also while an old worker of its Nginx ends: none of the two
# closes a connection just as the other uses it.
IDLE = "5s"


@dataclass(frozen=True, slots=True)
class EdgeSite(views.SiteView):
    """A site as an edge answers it: everything goes to the servers behind."""

    through: views.Upstream | None = None
    websocket: bool = False

    @property
    def locations(self) -> tuple[views.Location, ...]:
        """The one location; the servers behind know the routes."""
        return (views.Location(self, "", "/", "pass", self.through, self.websocket),)


def edges_of(inventory: Inventory) -> tuple[str, ...]:
    """Return the names of the edge servers."""
    return tuple(name for name, server in inventory.servers.items() if server.edge)


def check(inventory: Inventory) -> Iterator[Problem]:
    """Yield servers that edges and the servers behind them cannot reach by a private address."""
    found = edges_of(inventory)
    behind = [each for site in inventory.sites.values() for each in servers_behind(inventory, site)]
    for name in dict.fromkeys([*found, *behind] if found else ()):
        if inventory.servers[name].private_address is None:
            message = (
                "is missing; an edge and the servers behind it reach each other by it"
                if name in found
                else f"is missing; {found[0]} is an edge and reaches it by that"
            )
            yield Problem(("servers", name, "private_address"), message)
    if found and len(found) == len(inventory.servers):
        yield Problem(("servers", found[0], "edge"), "every server is an edge; none runs services")


def addresses(inventory: Inventory) -> tuple[str, ...]:
    """Return the addresses from which the servers behind believe what a client's address is."""
    found = (inventory.servers[name].private_address for name in edges_of(inventory))
    return tuple(sorted({address for address in found if address}))


def servers_behind(inventory: Inventory, site: Site) -> tuple[str, ...]:
    """Return the servers that answer a site, in the inventory's order."""
    # A route to nobody is told where routes are checked.
    services = (inventory.services.get(name) for name in site.routes.values())
    running = {
        server
        for service in services
        if isinstance(service, SlotService)
        for server in servers_of(inventory, service)
    }
    return tuple(name for name in inventory.servers if name in running)


def site_views(inventory: Inventory) -> tuple[EdgeSite, ...]:
    """Return the sites as every edge answers them."""
    return tuple(
        _site(inventory, number, name, site)
        for number, (name, site) in enumerate(inventory.sites.items(), 1)
        if servers_behind(inventory, site)
    )


def _site(inventory: Inventory, number: int, name: str, site: Site) -> EdgeSite:
    services = [inventory.services[each] for each in site.routes.values()]
    through = upstream(inventory, name, site)
    return EdgeSite(
        name=name,
        declared_as=_as_passed_on(site),
        upstreams={name: through},
        services=inventory.services,
        caches=False,
        number=number,
        authority=authority(inventory, name),
        through=through,
        websocket=any(getattr(service, "websocket", False) for service in services),
    )


def _as_passed_on(site: Site) -> Site:
    """Return a site without what the servers behind do already."""
    timeouts = site.timeouts
    # Checked already; a little over the longest that may be declared is right here.
    longer = timeouts.model_copy(
        update={"read": timeouts.read + LONGER, "send": timeouts.send + LONGER}
    )
    return site.model_copy(update={"timeouts": longer, "gzip": False})


def authority(inventory: Inventory, site: str) -> str:
    """Return the file by which an edge verifies the servers behind; empty without TLS."""
    tls = inventory.sites[site].tls
    if tls is None:
        return ""
    own = Layout(inventory.project).certificate(entry_of(site))
    return own if tls.authority else SYSTEM_AUTHORITIES


def entry_of(site: str) -> str:
    """Return the name under which a site's authority is sent, among the certificates."""
    return f"{site}.authority"


def upstream(inventory: Inventory, name: str, site: Site) -> views.Upstream:
    """Return the upstream of a site: each server behind, by its private address."""
    port = 443 if site.tls else 80
    balances = {getattr(inventory.services[each], "balance", "") for each in site.routes.values()}
    return views.Upstream(
        name=f"{nginx.prefix(inventory)}_{name}_servers".replace("-", "_"),
        protocol="http",
        balance="ip_hash" if "ip_hash" in balances else "round_robin",
        keepalive=64,
        zone="64k",
        members=tuple(_members(inventory, site, port)),
        scheme="https" if site.tls else "http",
        idle=IDLE,
    )


def _members(inventory: Inventory, site: Site, port: int) -> Iterator[views.Member]:
    for name in servers_behind(inventory, site):
        address = inventory.servers[name].private_address or inventory.servers[name].address
        host = f"[{address}]" if ":" in address else address
        yield views.Member(name, f"{host}:{port}", 1)
