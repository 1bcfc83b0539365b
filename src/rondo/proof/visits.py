"""What is asked for where the inventory has no scenario: the pages and health checks of a site."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rondo.inventory import SlotService, StaticService
from rondo.objectives import Scenario, Step

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rondo.inventory import Inventory, Site
    from rondo.objectives import Proof


def site_of(proof: Proof, inventory: Inventory) -> str | None:
    """Name the site that is loaded: the one that the proof names, or the first."""
    return proof.site or next(iter(inventory.sites), None)


def default_scenario(proof: Proof, inventory: Inventory | None) -> dict[str, Scenario]:
    """Let users visit what the site has; / where nothing is known of it."""
    name = inventory and site_of(proof, inventory)
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
