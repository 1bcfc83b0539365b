"""Which site is loaded, by which name, and what is asked of it without a scenario. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from rondo.errors import InputError
from rondo.inventory import SlotService, StaticService
from rondo.objectives import Scenario, Step

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rondo.inventory import Inventory, Site
    from rondo.objectives import Proof


def site_of(proof: Proof, inventory: Inventory) -> str | None:
    """Name the site that is loaded: the one that the proof names, or the first."""
    return proof.site or next(iter(inventory.sites), None)


def site_at(inventory: Inventory, host: str) -> str:
    """Name the site that answers for a host, as Nginx finds it; empty if none does.

    Nginx takes the exact name, and without one the longest wildcard that covers the host.
    """
    found = {
        declared: name
        for name, site in inventory.sites.items()
        for declared in site.server_names
        if declared == host or (declared.startswith("*.") and host.endswith(declared[1:]))
    }
    return found.get(host) or found.get(max(found, key=len, default=""), "")


def url_of(name: str, site: Site) -> str:
    """Return what a site is loaded as where no host is named.

    Raises InputError if each of its names is a wildcard: which one it has pages for is not known.
    """
    plain = next((each for each in site.server_names if not each.startswith("*.")), "")
    if not plain:
        wild = site.server_names[0]
        raise InputError(
            f"the site {name} has no name without a wildcard, only {wild}, so that it is not known "
            f"what to ask for: name one with --host https://www{wild[1:]}, or add one to "
            f"sites.{name}.server_names"
        )
    return f"{'https' if site.tls else 'http'}://{plain}"


def default_scenario(proof: Proof, inventory: Inventory | None, host: str) -> dict[str, Scenario]:
    """Let users visit what the site of a host has; / where nothing is known of it."""
    name = inventory and (
        site_at(inventory, urlsplit(host).hostname or "") or site_of(proof, inventory)
    )
    steps = _visits(inventory, inventory.sites[name]) if inventory and name else ()
    return {"visit": Scenario(steps=tuple(steps) or (Step(get="/", assets=True),))}


def _visits(inventory: Inventory, site: Site) -> Iterator[Step]:
    """Yield the pages and health checks that the site lets its users ask for."""
    checked = set()
    for route, name in site.routes.items():
        service = inventory.services.get(name)
        if isinstance(service, StaticService):
            yield Step(get=route, assets=True)
        elif isinstance(service, SlotService) and name not in checked:
            health = service.health
            if site.routes.get(_route_of(site, health.path)) == name:
                checked.add(name)
                yield Step(get=health.path, status=health.status)


def _route_of(site: Site, path: str) -> str:
    """Find the route that Nginx takes for a path: the longest that it begins with."""
    plain = path.partition("?")[0]
    fitting = [route for route in site.routes if plain.startswith(route) or plain + "/" == route]
    return max(fitting, key=len, default="")
