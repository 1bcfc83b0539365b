"""What does not fit together in sites: names, routes, and the services behind them. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rondo.inventory import SlotService, StaticService, WorkerService
from rondo.problems import Problem, close_to
from rondo.release import servers_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rondo.inventory import Inventory, Site
    from rondo.problems import Path


def check(inventory: Inventory) -> Iterator[Problem]:
    """Yield everything that is wrong with the sites."""
    for name, site in inventory.sites.items():
        yield from _site(inventory, name, site)
    yield from _server_names(inventory)


def _site(inventory: Inventory, name: str, site: Site) -> Iterator[Problem]:
    path = ("sites", name)
    if site.hsts and not site.tls:
        message = "makes browsers insist on TLS, and the site has none; add tls or remove it"
        yield Problem((*path, "hsts"), message)
    for route, service in site.routes.items():
        yield from _route(inventory, (*path, "routes", route), service)
    yield from _clashing_routes(inventory, path, site)
    yield from _incomplete(inventory, path, site)


def _route(inventory: Inventory, path: Path, name: str) -> Iterator[Problem]:
    service = inventory.services.get(name)
    if service is None:
        hint = close_to(name, _with_traffic(inventory))
        yield Problem(path, f"{name} is no service; {hint}")
    elif isinstance(service, WorkerService):
        hint = close_to(name, _with_traffic(inventory))
        yield Problem(path, f"{name} is a worker, which answers no requests; {hint}")


def _with_traffic(inventory: Inventory) -> list[str]:
    services = inventory.services.items()
    return [name for name, service in services if isinstance(service, SlotService)]


def _clashing_routes(inventory: Inventory, path: Path, site: Site) -> Iterator[Problem]:
    taken: dict[str, str] = {}
    for route in site.routes:
        other = taken.setdefault(route.rstrip("/"), route)
        if other != route:
            message = f"is the same place as {other}; keep one (a final slash changes nothing)"
            yield Problem((*path, "routes", route), message)
    for route, name in site.routes.items():
        service = inventory.services.get(name)
        if isinstance(service, StaticService) and service.assets.strip("/"):
            assets = route.rstrip("/") + service.assets.rstrip("/")
            if assets in taken:
                message = (
                    f"hides the assets of {name}; give it or services.{name}.assets another path"
                )
                yield Problem((*path, "routes", taken[assets]), message)


def _incomplete(inventory: Inventory, path: Path, site: Site) -> Iterator[Problem]:
    """Yield servers that lack a service: a server answers a site by itself."""
    routed = {route: inventory.services.get(name) for route, name in site.routes.items()}
    runs_on = {
        route: servers_of(inventory, service)
        for route, service in routed.items()
        if isinstance(service, SlotService)
    }
    everywhere = {server for servers in runs_on.values() for server in servers}
    for route, servers in runs_on.items():
        missing = [name for name in inventory.servers if name in everywhere.difference(servers)]
        if missing and servers:
            message = (
                f"{site.routes[route]} does not run on {' and '.join(missing)}, where the"
                " site's other services do; let all of them run on the same servers"
            )
            yield Problem((*path, "routes", route), message)


def _server_names(inventory: Inventory) -> Iterator[Problem]:
    first: dict[str, str] = {}
    for site_name, site in inventory.sites.items():
        for index, name in enumerate(site.server_names):
            path = ("sites", site_name, "server_names", index)
            if name in first:
                where = "twice in this site" if first[name] == site_name else f"in {first[name]}"
                yield Problem(path, f"{name} is {where}, too; a name leads to one site")
            first.setdefault(name, site_name)
