"""What the Nginx templates are given: upstreams, sites, locations and gates of one server. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from rondo import nginx
from rondo.errors import InputError
from rondo.inventory import SlotService, StaticService, UwsgiService
from rondo.layout import Layout
from rondo.release import servers_of, slot_names

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from rondo.inventory import AnyService, Inventory, Site, Timeouts

CLOSED = "/.rondo-maintenance"
"""Where Nginx finds the page of a site that is closed for maintenance; no client can ask for it."""

# Sent by several parties at once, so that ours joins the application's instead of replacing it.
_JOINED_HEADERS = frozenset({"link", "server-timing", "set-cookie", "vary"})
_FORBIDDEN_HEADERS = frozenset(
    {"connection", "content-encoding", "content-length", "content-type", "transfer-encoding"}
)


@dataclass(frozen=True, slots=True)
class Member:
    """A slot in an upstream."""

    slot: str
    address: str
    weight: int


@dataclass(frozen=True, slots=True)
class Upstream:
    """The slots of one service, and how requests are spread over them."""

    name: str
    protocol: Literal["uwsgi", "http"]
    balance: str
    keepalive: int
    zone: str
    members: tuple[Member, ...]
    scheme: str = "http"
    idle: str = "1s"
    """How long a connection may lie idle that is kept; shorter than what a backend keeps."""


@dataclass(frozen=True, slots=True)
class Location:
    """One location of a site."""

    site: SiteView
    match: Literal["", "= "]
    path: str
    action: Literal["pass", "assets", "redirect", "nothing"]
    upstream: Upstream | None = None
    websocket: bool = False
    below: str = ""
    """Prefix that the frontend's container does not see."""
    status: int = 404
    service: str = ""
    """Service whose assets these are."""


@dataclass(frozen=True, slots=True)
class SafeHeader:
    """A header that is sent unless the application sends it itself."""

    name: str
    variable: str
    value: str

    @property
    def sent(self) -> str:
        """Nginx's variable with what the application sent."""
        return f"$upstream_http_{self.name.lower().replace('-', '_')}"


SAFE_HEADERS = (
    SafeHeader("X-Content-Type-Options", "sniff", "nosniff"),
    SafeHeader("X-Frame-Options", "frame", "SAMEORIGIN"),
    SafeHeader("Referrer-Policy", "referrer", "strict-origin-when-cross-origin"),
)


@dataclass(frozen=True, slots=True)
class SiteView:
    """A site as one server answers it."""

    name: str
    declared_as: Site
    upstreams: Mapping[str, Upstream | None]
    """By service; None for one that this server does not run."""
    services: Mapping[str, AnyService]
    caches: bool
    number: int = 1
    """Its place among the inventory's sites: part of the names of variables."""
    authority: str = ""
    """On an edge, the file by which it verifies the servers behind it."""

    @property
    def tls(self) -> bool:
        """Whether it answers over TLS."""
        return self.declared_as.tls is not None

    @property
    def gzip(self) -> bool:
        """Whether text answers are compressed."""
        return self.declared_as.gzip

    @property
    def security_headers(self) -> bool:
        """Whether the headers of SAFE_HEADERS are sent."""
        return self.declared_as.security_headers

    @property
    def timeouts(self) -> Timeouts:
        """How long to wait for backends."""
        return self.declared_as.timeouts

    @property
    def scheme(self) -> str:
        """What the application is told."""
        return "https" if self.tls else "http"

    @property
    def server_names(self) -> tuple[str, ...]:
        """Names as `server_name` takes them."""
        return tuple(map(nginx.server_name, self.declared_as.server_names))

    @property
    def body_size(self) -> str:
        """Largest request body."""
        return nginx.size(self.declared_as.body_size)

    @property
    def hsts(self) -> str | None:
        """Value of Strict-Transport-Security."""
        hsts = self.declared_as.hsts
        if hsts is None or not self.tls:
            return None
        return f"max-age={int(hsts.max_age)}" + "; includeSubDomains" * hsts.include_subdomains

    @property
    def headers(self) -> tuple[tuple[str, str], ...]:
        """Further response headers, in the order of their names."""
        for name in self.declared_as.headers:
            if name.lower() in _FORBIDDEN_HEADERS:
                raise InputError(
                    f"sites.{self.name}.headers.{name} is for Nginx and the application to set:"
                    " remove it"
                )
        return tuple(sorted(self.declared_as.headers.items()))

    @property
    def declared(self) -> frozenset[str]:
        """Lower-case names of the declared headers."""
        return frozenset(map(str.lower, self.declared_as.headers))

    @property
    def replaced(self) -> tuple[str, ...]:
        """Headers of the application that the inventory's stand in for."""
        ours = {"strict-transport-security"} if self.hsts else set()
        return tuple(sorted((self.declared | ours) - _JOINED_HEADERS))

    @property
    def retry_window(self) -> float:
        """Time in which another backend may be tried: connects fit in, a read timeout does not."""
        timeouts = self.declared_as.timeouts
        return min(2 * timeouts.connect + 1, timeouts.read)

    @property
    def guests(self) -> tuple[str, ...]:
        """Networks that are let through while the site is closed for maintenance."""
        return nginx.networks(self.declared_as.maintenance_allow)

    @property
    def always_open(self) -> str:
        """Pattern of the paths that are answered also while the site is closed.

        A front page is no health check that can be left open: a service that wants one has a path
        of its own.
        """
        running = (self.services[each] for each in self.declared_as.routes.values())
        checks = {
            each.health.path.partition("?")[0] for each in running if isinstance(each, SlotService)
        }
        kept = [nginx.pattern(path) for path in sorted(checks - {"/"})]
        return "|".join([*kept, "/[.]well-known/acme-challenge/.*", nginx.pattern(CLOSED)])

    @property
    def uwsgi(self) -> bool:
        """Whether a backend speaks the uwsgi protocol."""
        return any(each and each.protocol == "uwsgi" for each in self.upstreams.values())

    @property
    def proxy(self) -> bool:
        """Whether a backend speaks HTTP."""
        return any(each and each.protocol == "http" for each in self.upstreams.values())

    @property
    def locations(self) -> tuple[Location, ...]:
        """Every location, in the order of their paths."""
        found: dict[tuple[str, str], Location] = {}
        for location in self._candidates():
            found.setdefault((location.match, location.path), location)
        found.setdefault(("", "/"), Location(self, "", "/", "nothing"))
        return tuple(found[key] for key in sorted(found, key=lambda key: (key[1], key[0])))

    @property
    def kept(self) -> tuple[str, ...]:
        """Services whose assets of earlier releases are still answered."""
        found = (each.service for each in self.locations if each.action == "assets")
        return tuple(sorted(set(found)))

    def _candidates(self) -> Iterator[Location]:
        """Yield what was declared first, so that nothing derived from it takes its place."""
        routes = self.declared_as.routes
        for route, name in routes.items():
            yield self._pass("" if route.endswith("/") else "= ", route, name)
        for route, name in routes.items():
            if not route.endswith("/"):
                yield self._pass("", f"{route}/", name)
        for route, name in routes.items():
            if route.endswith("/"):
                yield from self._derived(route, name)

    def _pass(self, match: Literal["", "= "], path: str, name: str) -> Location:
        upstream, service = self.upstreams[name], self.services[name]
        if upstream is None:
            return Location(self, match, path, "nothing", status=503)
        websocket = getattr(service, "websocket", False)
        mounted = isinstance(service, StaticService) and path in self.declared_as.routes
        below = path.rstrip("/") if mounted and not match else ""
        return Location(self, match, path, "pass", upstream, websocket, below)

    def _derived(self, route: str, name: str) -> Iterator[Location]:
        upstream, service = self.upstreams[name], self.services[name]
        if route != "/":
            yield Location(self, "= ", route.rstrip("/"), "redirect")
        if upstream and isinstance(service, StaticService):
            below = route.rstrip("/")
            path = below + assets_folder(service, name)
            yield Location(self, "", path, "assets", upstream, below=below, service=name)


@dataclass(frozen=True, slots=True)
class GateView:
    """A location of the gate: the slots of a service, or one slot that listens on TCP."""

    pattern: str
    protocol: Literal["uwsgi", "http"]
    target: str
    scheme: str
    timeout: float


def assets_folder(service: StaticService, name: str) -> str:
    """Return the path of the hashed files, with a slash at both ends."""
    path = service.assets.rstrip("/") + "/"
    if path == "/":
        raise InputError(
            f"services.{name}.assets is /, which would keep index.html for a year:"
            " give the folder whose files have a hash in their names, like /assets/"
        )
    return path


def slot_services(inventory: Inventory, server: str) -> dict[str, SlotService]:
    """Return the services with traffic that a server runs, by name."""
    return {
        name: service
        for name, service in inventory.services.items()
        if isinstance(service, SlotService) and server in servers_of(inventory, service)
    }


def _address(layout: Layout, service: SlotService, slot: str, index: int) -> str:
    if service.listen == "tcp":
        return f"127.0.0.1:{service.first_port + index}"
    return f"unix:{layout.slot_socket(slot)}"


def upstream(inventory: Inventory, name: str, service: SlotService) -> Upstream:
    """Return the upstream of a service: each of its slots, with its weight."""
    layout = Layout(inventory.project)
    weights = service.weights or (1,) * service.replicas
    slots = slot_names(name, service.replicas)
    protocol: Literal["uwsgi", "http"] = "uwsgi" if isinstance(service, UwsgiService) else "http"
    reuse = service.listen == "tcp" and protocol == "http"
    return Upstream(
        name=f"{nginx.prefix(inventory)}_{name}".replace("-", "_"),
        protocol=protocol,
        balance=service.balance,
        keepalive=64 if reuse else 0,
        zone="64k" if service.replicas <= 16 else "256k",
        members=tuple(
            Member(slot, _address(layout, service, slot, index), weight)
            for index, (slot, weight) in enumerate(zip(slots, weights, strict=True))
        ),
    )


def site_views(inventory: Inventory, server: str) -> tuple[SiteView, ...]:
    """Return the sites that route to any service of this server."""
    running = slot_services(inventory, server)
    upstreams = {name: upstream(inventory, name, service) for name, service in running.items()}
    return tuple(
        SiteView(
            name=name,
            declared_as=site,
            upstreams={each: upstreams.get(each) for each in site.routes.values()},
            services=inventory.services,
            caches=inventory.settings.nginx.asset_cache > 0,
            number=number,
        )
        for number, (name, site) in enumerate(inventory.sites.items(), 1)
        if not running.keys().isdisjoint(site.routes.values())
    )


def gate_views(inventory: Inventory, server: str) -> Iterator[GateView]:
    """Yield the gate's locations."""
    sockets = Layout(inventory.project).sockets
    for name, service in slot_services(inventory, server).items():
        made = upstream(inventory, name, service)
        scheme = _gate_scheme(inventory, name)
        timeout = service.health.timeout
        if service.listen == "socket":
            target = f"unix:{sockets}/$rondo_slot/candidate.sock"
            pattern = f"(?<rondo_slot>{name}-[0-9]+)"
            yield GateView(pattern, made.protocol, target, scheme, timeout)
            continue
        for member in made.members:
            yield GateView(member.slot, made.protocol, member.address, scheme, timeout)


def _gate_scheme(inventory: Inventory, service: str) -> str:
    """Return the scheme of the site whose name health checks bear."""
    for site in inventory.sites.values():
        if service in site.routes.values():
            return "https" if site.tls else "http"
    return "http"


def default_certificate(sites: tuple[SiteView, ...]) -> str | None:
    """Return the site whose certificate is shown to a client that asks for nobody's name."""
    return next((site.name for site in sites if site.tls), None)
