"""What no single field can know: references, collisions, and what does not go together.

Pure: `rondo.files` looks at the files that an inventory names.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from rondo import edges, proof_checks, site_checks
from rondo.inventory import SlotService, StaticService
from rondo.problems import Problem, close_to
from rondo.release import servers_of, slot_names

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from rondo.inventory import Accessory, Inventory, Secret, Server, ServiceBase, Volume
    from rondo.problems import Path

_RESERVED_PROJECTS = frozenset({"rondo", "elevate", "default"})
_RESERVED_SERVERS = frozenset({"all", "localhost"})
_RESERVED_HOSTS = frozenset({"localhost", "gate"})
_NGINX_PORTS = {80: "Nginx", 443: "Nginx"}
_ONLY_WITH_CONTEXT = ("dockerfile", "build")
_ONLY_WITH_TCP = ("first_port", "container_port")


def check(inventory: Inventory) -> Iterator[Problem]:
    """Yield everything that does not fit together in a valid inventory."""
    yield from _names(inventory)
    yield from _servers(inventory)
    for name, service in inventory.services.items():
        yield from _service(inventory, name, service)
    for name, accessory in inventory.accessories.items():
        yield from _accessory(inventory, name, accessory)
    yield from site_checks.check(inventory)
    yield from edges.check(inventory)
    yield from proof_checks.check(inventory)
    for server in inventory.servers:
        yield from _ports(inventory, server)


def _names(inventory: Inventory) -> Iterator[Problem]:
    project = inventory.project
    if project in _RESERVED_PROJECTS or project.endswith("-gate"):
        yield Problem(("project",), f"{project} is a name that Rondo uses itself; give another")
    for section, names, reserved in (
        ("servers", inventory.servers, _RESERVED_SERVERS),
        ("services", inventory.services, _RESERVED_HOSTS),
        ("accessories", inventory.accessories, _RESERVED_HOSTS),
    ):
        for name in reserved & set(names):
            message = "is a name that Rondo uses itself; give another"
            yield Problem((section, name), message)
    yield from _shared_names(inventory)


def _shared_names(inventory: Inventory) -> Iterator[Problem]:
    """Services, slots and accessories are names in one Docker network."""
    taken = {name: f"the service {name}" for name in inventory.services}
    for name, service in inventory.services.items():
        for slot in slot_names(name, service.replicas):
            if slot in inventory.services:
                message = f"is the name of a slot of the service {name}, too; give another"
                yield Problem(("services", slot), message)
            taken[slot] = f"a slot of the service {name}"
    for name in inventory.accessories:
        if name in taken:
            message = f"is the name of {taken[name]}, too; give another"
            yield Problem(("accessories", name), message)


def _servers(inventory: Inventory) -> Iterator[Problem]:
    first: dict[tuple[str, int], str] = {}
    for name, server in inventory.servers.items():
        other = first.setdefault((server.address, server.port), name)
        if other != name:
            message = f"is the address and port of {other}, too; give each server its own"
            yield Problem(("servers", name, "address"), message)
        yield from _groups(inventory, name, server)
        yield from _jump(inventory, name, server)


def _groups(inventory: Inventory, name: str, server: Server) -> Iterator[Problem]:
    for index, group in enumerate(server.groups):
        if group in inventory.servers or group in _RESERVED_SERVERS:
            what = "of a server, too" if group in inventory.servers else "that Rondo uses itself"
            message = f"{group} is a name {what}; give the group another"
            yield Problem(("servers", name, "groups", index), message)


def _jump(inventory: Inventory, name: str, server: Server) -> Iterator[Problem]:
    path = ("servers", name, "jump")
    jump = server.jump
    if jump is None:
        return
    if not set("@.:") & set(jump) and jump not in inventory.servers:
        hint = close_to(jump, (each for each in inventory.servers if each != name))
        yield Problem(path, f"{jump} is neither user@host:port nor a server; {hint}")
    elif name in (chain := _jumps(inventory, jump)):
        way = " -> ".join([name, *chain[: chain.index(name) + 1]])
        yield Problem(path, f"goes round in a circle ({way}); let one be reached directly")


def _jumps(inventory: Inventory, jump: str | None) -> list[str]:
    chain: list[str] = []
    while jump in inventory.servers and jump not in chain:
        chain.append(jump)
        jump = inventory.servers[jump].jump
    return chain


def _service(inventory: Inventory, name: str, service: ServiceBase) -> Iterator[Problem]:
    path = ("services", name)
    yield from _origin(path, service)
    yield from _placement(inventory, path, service)
    yield from _values(path, service)
    yield from _volumes(path, service.volumes, service.logs.directory)
    if isinstance(service, SlotService):
        yield from _slots(path, service)
    if isinstance(service, StaticService) and service.assets.strip("/") == "":
        message = "/ would keep index.html for a year; give the folder of the hashed files"
        yield Problem((*path, "assets"), message)


def _origin(path: Path, service: ServiceBase) -> Iterator[Problem]:
    if service.context and service.image:
        yield Problem((*path, "image"), "there is a context, too; keep one of image and context")
    elif service.image and "@sha256:" not in service.image:
        message = "names no digest, so servers could run different images; give NAME@sha256:..."
        yield Problem((*path, "image"), message)
    elif service.image:
        for key in service.model_fields_set.intersection(_ONLY_WITH_CONTEXT):
            yield Problem((*path, key), "means nothing for an image that is not built; remove it")
    elif not service.context:
        message = "is missing; give the folder with the source, or `image: NAME@sha256:...`"
        yield Problem((*path, "context"), message)


def _placement(inventory: Inventory, path: Path, service: ServiceBase) -> Iterator[Problem]:
    groups = {group for server in inventory.servers.values() for group in server.groups}
    known = [*inventory.servers, *sorted(groups)]
    unknown = [each for each in service.servers if each not in known]
    for index, each in enumerate(service.servers):
        if each in unknown:
            message = f"{each} is no server or group; {close_to(each, known)}"
            yield Problem((*path, "servers", index), message)
    if not unknown and not servers_of(inventory, service):
        where = (*path, "servers") if service.servers else path
        yield Problem(where, "runs on no server; edge servers run no services")


def _values(path: Path, owner: ServiceBase | Accessory) -> Iterator[Problem]:
    for variable in owner.environment:
        if variable.startswith("RONDO_"):
            message = "begins with RONDO_, which Rondo sets itself; give it another name"
            yield Problem((*path, "environment", variable), message)
    for name, secret in owner.secrets.items():
        where = (*path, "secrets", name)
        yield from _secret(where, secret)
        variable = name.upper() if secret.mount == "env" else f"{name.upper()}_FILE"
        if variable in owner.environment:
            message = f"sets {variable}, which stands under environment, too; keep one"
            yield Problem(where, message)


def _secret(path: Path, secret: Secret) -> Iterator[Problem]:
    sources = [key for key in ("env", "file", "command") if getattr(secret, key) is not None]
    if not sources:
        yield Problem(path, "has no source; give one of env, file and command")
    elif len(sources) > 1:
        yield Problem(path, f"has {len(sources)} sources; keep one of {' and '.join(sources)}")


def _volumes(path: Path, volumes: tuple[Volume, ...], logs: str | None) -> Iterator[Problem]:
    seen = {logs: "logs.directory"} if logs else {}
    for index, volume in enumerate(volumes):
        target = volume.target.rstrip("/")
        if target in seen:
            message = f"{target} is the target of {seen[target]}, too; give each its own"
            yield Problem((*path, "volumes", index, "target"), message)
        seen.setdefault(target, f"volumes[{index}]")


def _slots(path: Path, service: SlotService) -> Iterator[Problem]:
    given = len(service.weights)
    if given not in {0, service.replicas}:
        message = f"{given} weights for {service.replicas} replicas; give one for each, or none"
        yield Problem((*path, "weights"), message)
    if service.listen == "socket":
        for key in service.model_fields_set.intersection(_ONLY_WITH_TCP):
            yield Problem((*path, key), "means nothing on a socket; add `listen: tcp` or remove it")
    elif service.first_port + service.replicas - 1 > 65535:
        message = f"leaves no ports for {service.replicas} slots; give a smaller one"
        yield Problem((*path, "first_port"), message)


def _accessory(inventory: Inventory, name: str, accessory: Accessory) -> Iterator[Problem]:
    path = ("accessories", name)
    yield from _values(path, accessory)
    yield from _volumes(path, accessory.volumes, accessory.logs.directory)
    server = inventory.servers.get(accessory.server)
    if server is None:
        hint = close_to(accessory.server, inventory.servers)
        yield Problem((*path, "server"), f"{accessory.server} is no server; {hint}")
    elif (
        accessory.port and not server.private_address and (user := _far_user(inventory, accessory))
    ):
        message = (
            f"the service {user} runs on other servers, too: give {accessory.server} a"
            " private_address by which they reach it"
        )
        yield Problem((*path, "server"), message)


def _far_user(inventory: Inventory, accessory: Accessory) -> str | None:
    """Find a service that can want the accessory and runs on another server than it."""
    for name, service in inventory.services.items():
        elsewhere = set(servers_of(inventory, service)) - {accessory.server}
        if elsewhere and not isinstance(service, StaticService):
            return name
    return None


def _ports(inventory: Inventory, server: str) -> Iterator[Problem]:
    """Ports that a server would have to give twice."""
    loopback = dict(_NGINX_PORTS)
    for name, service in inventory.services.items():
        if not isinstance(service, SlotService) or service.listen == "socket":
            continue
        if server in servers_of(inventory, service):
            ports = range(service.first_port, service.first_port + service.replicas)
            yield from _claimed(loopback, ports, name, ("services", name, "first_port"), server)
    private = dict(_NGINX_PORTS)
    for name, accessory in inventory.accessories.items():
        published = accessory.port and inventory.servers[server].private_address
        if accessory.server == server and accessory.port and published:
            path = ("accessories", name, "port")
            yield from _claimed(private, [accessory.port], name, path, server)


def _claimed(
    owners: dict[int, str], ports: Iterable[int], name: str, path: Path, server: str
) -> Iterator[Problem]:
    clashes = Counter(owners[port] for port in ports if port in owners)
    for owner in clashes:
        first = min(port for port in ports if owners.get(port) == owner)
        yield Problem(path, f"the port {first} belongs to {owner} on {server}; give another")
    owners.update({port: name for port in ports if port not in owners})
