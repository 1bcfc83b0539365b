"""What must be seen in a proof: from the inventory, and from what the servers recorded. Pure."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from rondo import status, views
from rondo.errors import InputError
from rondo.inventory import StaticService, UwsgiService
from rondo.proof import configuration, visits
from rondo.proof.evidence import Expected, Running, Upstream

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from rondo.inventory import Inventory, SlotService
    from rondo.proof.evidence import Installed
    from rondo.state import ServerState

_SOCKET: Final = re.compile(r"/sockets/(?P<slot>[^/]+)/")


def site_of(inventory: Inventory, host: str = "") -> str:
    """Return the site that has a name, empty if none has; without a name the one to be proved.

    Raises InputError if the inventory has no site to prove.
    """
    sites = inventory.sites
    if host:
        return visits.site_at(inventory, host)
    name = inventory.proof.site or next(iter(sites), "")
    if name not in sites:
        told = f"proof.site is {name}, which is not under sites" if name else "it has no sites"
        raise InputError(f"the inventory gives nothing to load: {told}; add it there")
    return name


def servers_of(inventory: Inventory, site: str, names: Sequence[str] = ()) -> tuple[str, ...]:
    """Return the servers that answer for a site, of those named or of all.

    Raises InputError for a name that is none of them.
    """
    answering = [
        name
        for name, server in inventory.servers.items()
        if not server.edge and any(view.name == site for view in views.site_views(inventory, name))
    ]
    strange = [name for name in names if name not in answering]
    if strange:
        raise InputError(
            f"no server {', '.join(strange)} answers for the site {site};"
            f" there are: {', '.join(answering)}"
        )
    return tuple(name for name in answering if not names or name in names)


def upstreams(inventory: Inventory, site: str, names: Sequence[str]) -> tuple[Upstream, ...]:
    """Return each service that a site routes to on each server, as the inventory declares it."""
    return tuple(
        _upstream(inventory, server, name, service)
        for server in names
        for name, service in _services(inventory, site, server)
    )


def _services(inventory: Inventory, site: str, server: str) -> Iterator[tuple[str, SlotService]]:
    routed = set(inventory.sites[site].routes.values())
    for name, service in views.slot_services(inventory, server).items():
        if name in routed:
            yield name, service


def _upstream(inventory: Inventory, server: str, name: str, service: SlotService) -> Upstream:
    declared = views.upstream(inventory, name, service)
    return Upstream(
        server=server,
        service=name,
        name=declared.name,
        policy=service.balance,
        slots={member.slot: member.weight for member in declared.members},
        addresses={member.address: member.slot for member in declared.members},
        zone=True,
    )


def former(
    declared: Sequence[Upstream], installed: Mapping[str, Sequence[Installed]]
) -> tuple[Upstream, ...]:
    """Return the upstreams that servers had in another shape than the inventory declares."""
    found = (
        (each, had)
        for each in declared
        for had in installed.get(each.server, ())
        if had.name == each.name and any(configuration.differences(each, (had,)))
    )
    return tuple(_as_it_was(each, had) for each, had in found)


def _as_it_was(declared: Upstream, had: Installed) -> Upstream:
    slots = {each.address: _slot_at(each.address, declared) for each in had.members}
    return replace(
        declared,
        policy=had.policy,
        slots={slots[each.address]: each.weight for each in had.members},
        addresses=slots,
        zone=had.zone,
    )


def _slot_at(address: str, declared: Upstream) -> str:
    """Name the slot at an address: the inventory does, or its socket's folder."""
    named = _SOCKET.search(address)
    return declared.addresses.get(address) or (named["slot"] if named else address)


def put_back(found: Expected, had: Sequence[Upstream]) -> Expected:
    """Expect the shape that upstreams had before a change that failed, and forgive the new one."""
    before = {(each.server, each.name): each for each in had}
    return replace(
        found,
        upstreams=tuple(before.get((each.server, each.name), each) for each in found.upstreams),
        former=tuple(each for each in found.upstreams if (each.server, each.name) in before),
    )


def in_force(declared: Sequence[Upstream], installed: Sequence[Installed]) -> bool:
    """Tell whether a server has every service of a site already, in whatever shape."""
    return {each.name for each in declared} <= {each.name for each in installed}


def running(
    inventory: Inventory, site: str, states: Mapping[str, ServerState]
) -> tuple[Running, ...]:
    """Return what fills each slot of a site's services; a slot without a container is left out."""
    return tuple(
        found
        for server, state in states.items()
        for name, service in _services(inventory, site, server)
        for member in views.upstream(inventory, name, service).members
        if (found := _running(server, service, member.slot, state))
    )


def _running(server: str, service: SlotService, slot: str, state: ServerState) -> Running | None:
    there = state.in_slot(slot)
    if there is None or not there.running:
        return None
    recorded = {each.name: each.spec for each in status.expected(state.record)}
    return Running(
        server=server,
        slot=slot,
        release=there.release if tells_release(service) else "",
        recorded=recorded.get(slot) == there.spec,
        in_force=state.current,
    )


def tells_release(service: SlotService) -> bool:
    """Tell whether a service's containers name their release in each answer: our templates do."""
    ours = service.context is not None and not service.dockerfile and not service.command
    return ours and isinstance(service, (StaticService, UwsgiService))


def expected(
    inventory: Inventory,
    site: str,
    servers: Sequence[str],
    before: Mapping[str, ServerState],
    after: Mapping[str, ServerState],
) -> Expected:
    """Return all that must be seen of a site on these servers, as far as they were observed."""
    declared = inventory.sites[site]
    return Expected(
        upstreams=upstreams(inventory, site, servers),
        before=running(inventory, site, before),
        after=running(inventory, site, after),
        servers=tuple(servers),
        tls=declared.tls is not None,
        names=declared.server_names,
    )
