"""What shall run: images, container specs, files and their digests. Pure.

A release is equal to another when its digest is: nothing is inferred from names, tags or a
field-by-field look at running containers.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING

from rondo.docker import Container, accessory_options, digest, service_options
from rondo.inventory import SlotService, WorkerService

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from rondo.inventory import Accessory, AnyService, Inventory, ServiceBase


@dataclass(frozen=True, slots=True)
class Gate:
    """The health check of a slot, as the server asks it."""

    host: str
    path: str
    status: int
    successes: int
    interval: float
    timeout: float
    deadline: float


@dataclass(frozen=True, slots=True)
class Slot:
    """A slot and what shall fill it."""

    container: Container
    gate: Gate
    drain: float
    stop_grace: float

    @property
    def name(self) -> str:
        """Name of the slot, like backend-2."""
        return self.container.name


@dataclass(frozen=True, slots=True)
class Worker:
    """A container without traffic."""

    container: Container
    stop_grace: float


@dataclass(frozen=True, slots=True)
class Upkeep:
    """An accessory and how to tell that it is ready."""

    container: Container
    ready: tuple[str, ...]
    ready_deadline: float
    networks: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class BuiltImage:
    """An image built from a context; its tag is the digest of all that goes into it."""

    service: str
    reference: str
    context: str
    """Digest of the context's files."""
    dockerfile: str
    arguments: tuple[tuple[str, str], ...] = ()
    target: str | None = None


@dataclass(frozen=True, slots=True)
class ReleaseCommand:
    """A command that runs once per deploy, before the first switch."""

    service: str
    containers: Mapping[str, Container]
    """Its container by server: any one of them may run it."""
    deadline: float


@dataclass(frozen=True, slots=True)
class ServerRelease:
    """What one server shall run."""

    slots: tuple[Slot, ...] = ()
    workers: tuple[Worker, ...] = ()
    accessories: tuple[Upkeep, ...] = ()
    gate_config: str = ""
    site_config: str = ""
    certificates: tuple[tuple[str, str], ...] = ()
    """Digest of chain and key, by site."""

    @property
    def containers(self) -> Iterator[Container]:
        """Every container of the server that a deploy may replace."""
        yield from (slot.container for slot in self.slots)
        yield from (worker.container for worker in self.workers)

    @property
    def environments(self) -> frozenset[str]:
        """Digests of the environments that its containers need."""
        kept = (accessory.container for accessory in self.accessories)
        return frozenset(each.environment for each in (*self.containers, *kept))


@dataclass(frozen=True, slots=True)
class Source:
    """Where the release was made from."""

    commit: str = ""
    dirty: bool = False
    version: str = ""


@dataclass(frozen=True, slots=True)
class Recorded:
    """What the servers call a release that is made again from their records."""

    id: str
    content: str


@dataclass(frozen=True, slots=True)
class Release:
    """What shall run on every server."""

    project: str
    servers: Mapping[str, ServerRelease]
    images: Mapping[str, BuiltImage]
    """Built images by service."""
    commands: tuple[ReleaseCommand, ...] = ()
    source: Source = field(default_factory=Source)
    recorded: Recorded | None = None
    """Its name, if it was made from records: they may tell of some of its servers only."""
    content: str = field(init=False, repr=False, compare=False)
    """Digest of all that runs; the same content is the same release."""

    def __post_init__(self) -> None:
        # Once: with fifty servers of ten slots it takes a tenth of a second.
        content = self.recorded.content if self.recorded else _digest_of(self.servers)
        object.__setattr__(self, "content", content)

    @property
    def id(self) -> str:
        """Name for people: commit, whether the tree was clean, and the content's digest."""
        if self.recorded:
            return self.recorded.id
        version = f"{self.source.version}-" if self.source.version else ""
        commit = self.source.commit[:10] or "nogit"
        dirty = "-dirty" if self.source.dirty else ""
        return f"{version}{commit}{dirty}.{self.content[:8]}"

    def on(self, names: Iterable[str]) -> Release:
        """Return the part of the release that concerns these servers."""
        return replace(self, servers={name: self.servers[name] for name in names})


def _digest_of(servers: Mapping[str, ServerRelease]) -> str:
    return digest({name: asdict(server) for name, server in servers.items()})


def servers_of(inventory: Inventory, service: ServiceBase) -> tuple[str, ...]:
    """Return the servers that run a service, in the inventory's order."""
    wanted = set(service.servers)
    return tuple(
        name
        for name, server in inventory.servers.items()
        if not server.edge and (not wanted or name in wanted or wanted & set(server.groups))
    )


def slot_names(name: str, replicas: int) -> tuple[str, ...]:
    """Return the names of a service's slots on a server."""
    return tuple(f"{name}-{number}" for number in range(1, replicas + 1))


def image_reference(inventory: Inventory, service: str, image_digest: str) -> str:
    """Return the tag of a built image: the digest of its context, Dockerfile and arguments."""
    version = f"{inventory.version}-" if inventory.version else ""
    prefix = inventory.settings.image_prefix
    return f"{prefix}/{inventory.project}/{service}:{version}{image_digest}"


def _mounted(owner: ServiceBase | Accessory) -> tuple[str, ...]:
    return tuple(sorted(name for name, secret in owner.secrets.items() if secret.mount == "file"))


def _container(  # noqa: PLR0913, PLR0917 - a spec has this many parts
    inventory: Inventory, server: str, name: str, number: int, image: str, environment: str
) -> Container:
    service = inventory.services[name]
    slot = slot_names(name, number)[-1]
    ports = _ports(service, number)
    return Container(
        name=slot,
        service=name,
        kind=service.kind,
        image=image,
        environment=environment,
        secrets=_mounted(service),
        options=service_options(inventory, server, service, slot),
        command=service.command or (),
        port=ports[0],
        container_port=ports[1],
        traffic=isinstance(service, SlotService),
    )


def _ports(service: AnyService, number: int) -> tuple[int | None, int | None]:
    """Return the loopback port of a slot and the container's own; none on a Unix socket."""
    if isinstance(service, SlotService) and service.listen == "tcp":
        return service.first_port + number - 1, service.container_port
    return None, None


def gate_host(inventory: Inventory, service: str) -> str:
    """Return the Host of a service's health checks: the first name of a site that routes to it."""
    for site in inventory.sites.values():
        if service in site.routes.values():
            return site.server_names[0].replace("*.", "www.")
    return "localhost"


def _slot(inventory: Inventory, service: SlotService, container: Container) -> Slot:
    health = service.health
    gate = Gate(
        host=gate_host(inventory, container.service),
        path=health.path,
        status=health.status,
        successes=health.successes,
        interval=health.interval,
        timeout=health.timeout,
        deadline=health.deadline,
    )
    return Slot(container, gate, drain=service.drain, stop_grace=service.stop_grace)


def _accessory(inventory: Inventory, name: str, environment: str) -> Upkeep:
    accessory = inventory.accessories[name]
    container = Container(
        name=name,
        service=name,
        kind="accessory",
        image=accessory.image,
        environment=environment,
        secrets=_mounted(accessory),
        options=accessory_options(inventory, name),
        command=accessory.command or (),
        traffic=False,
    )
    return Upkeep(container, accessory.ready or (), accessory.ready_deadline)


@dataclass(frozen=True, slots=True)
class Parts:
    """What was read from the operator's machine to make a release of an inventory."""

    images: Mapping[str, BuiltImage]
    environments: Mapping[str, str]
    """Digest of the environment, by service and accessory."""
    site_configs: Mapping[str, str]
    """Nginx configuration of the sites, by server."""
    gate_configs: Mapping[str, str]
    """Nginx configuration of the gate, by server."""
    certificates: Mapping[str, str]
    """Digest of chain and key, by site."""
    source: Source


def _image(parts: Parts, name: str, service: ServiceBase) -> str:
    return service.image or parts.images[name].reference


def _server_containers(
    inventory: Inventory, parts: Parts, server: str
) -> Iterator[tuple[AnyService, Container]]:
    for name, service in inventory.services.items():
        if server not in servers_of(inventory, service):
            continue
        image = _image(parts, name, service)
        for number in range(1, service.replicas + 1):
            environment = parts.environments[name]
            yield service, _container(inventory, server, name, number, image, environment)


def _server_release(inventory: Inventory, parts: Parts, server: str) -> ServerRelease:
    containers = tuple(_server_containers(inventory, parts, server))
    return ServerRelease(
        slots=tuple(
            _slot(inventory, service, container)
            for service, container in containers
            if isinstance(service, SlotService)
        ),
        workers=tuple(
            Worker(container, service.stop_grace)
            for service, container in containers
            if isinstance(service, WorkerService)
        ),
        accessories=tuple(
            _accessory(inventory, name, parts.environments[name])
            for name, accessory in inventory.accessories.items()
            if accessory.server == server
        ),
        # An edge has no slots, and so no gate.
        gate_config=parts.gate_configs.get(server, ""),
        site_config=parts.site_configs[server],
        certificates=tuple(sorted(parts.certificates.items())),
    )


def _commands(inventory: Inventory, parts: Parts) -> Iterator[ReleaseCommand]:
    for name, service in inventory.services.items():
        servers = servers_of(inventory, service)
        if not service.release_command:
            continue
        image, environment = _image(parts, name, service), parts.environments[name]
        containers = {
            server: replace(
                _container(inventory, server, name, 1, image, environment),
                command=service.release_command,
                port=None,
                traffic=False,
            )
            for server in servers
        }
        yield ReleaseCommand(name, containers, service.release_deadline)


def make_release(inventory: Inventory, parts: Parts) -> Release:
    """Return the release that an inventory declares, from what was read for it."""
    return Release(
        project=inventory.project,
        servers={name: _server_release(inventory, parts, name) for name in inventory.servers},
        images=parts.images,
        commands=tuple(_commands(inventory, parts)),
        source=parts.source,
    )
