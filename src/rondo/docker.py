"""A container: its spec, the digest by which it is equal to another, what `docker run` is told."""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Final

from rondo.layout import Layout
from rondo.secrets import SECRETS_FOLDER

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from rondo.inventory import AnyService, Inventory, Limits, Logs, Volume


def digest(value: object) -> str:
    """Return the digest by which two values that JSON can hold are equal."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class Container:
    """All that decides whether a running container is the wanted one."""

    name: str
    """Slot (backend-2), worker (queue-1) or accessory (database) that it fills."""
    service: str
    kind: str
    image: str
    environment: str
    """Digest of its variables and secrets, and the name of their folder on the server."""
    secrets: tuple[str, ...] = ()
    options: tuple[str, ...] = ()
    """Options of `docker run` that do not depend on the instance."""
    command: tuple[str, ...] = ()
    port: int | None = None
    """Loopback port of a slot that listens on TCP; None for a Unix socket."""
    container_port: int | None = None
    traffic: bool = True

    @property
    def digest(self) -> str:
        """Digest of the whole spec; the container's label `rondo.spec`."""
        return digest(asdict(self))


def _limit_options(limits: Limits, logs: Logs) -> Iterator[str]:
    yield f"--pids-limit={limits.pids}"
    if limits.memory is not None:
        yield f"--memory={limits.memory}"
    if limits.cpus is not None:
        yield f"--cpus={limits.cpus:g}"
    yield "--log-driver=json-file"
    yield f"--log-opt=max-size={logs.max_size}"
    yield f"--log-opt=max-file={logs.max_files}"


def _volume_options(project: str, volumes: Iterable[Volume]) -> Iterator[str]:
    for volume in volumes:
        absolute = volume.source.startswith("/")
        # No name holds an underscore, so two projects' volumes cannot be the same.
        source = volume.source if absolute else f"{project}_{volume.source}"
        yield f"--volume={source}:{volume.target}{':ro' if volume.read_only else ''}"


def _host_options(inventory: Inventory, server: str) -> Iterator[str]:
    """Name the accessories of other servers; on its own server Docker's network does it."""
    for name, accessory in inventory.accessories.items():
        address = inventory.servers[accessory.server].private_address
        if accessory.server != server and address:
            yield f"--add-host={name}:{address}"


def service_options(
    inventory: Inventory, server: str, service: AnyService, slot: str
) -> tuple[str, ...]:
    """Return the options of `docker run` for a slot or worker that no instance changes."""
    layout, zone, replicas = (
        Layout(inventory.project),
        inventory.settings.time_zone,
        service.replicas,
    )
    options = [
        f"--network={layout.network}",
        "--security-opt=no-new-privileges",
        f"--stop-timeout={math.ceil(service.stop_grace)}",
        f"--env=TZ={zone}",
        f"--env=RONDO_REPLICAS={replicas}",
        *_host_options(inventory, server),
        *_limit_options(service.limits, service.logs),
        *_volume_options(inventory.project, service.volumes),
    ]
    if service.logs.directory:
        options.append(f"--volume={layout.container_logs(slot)}:{service.logs.directory}")
    if service.user:
        options.append(f"--user={service.user}")
    if service.kind == "static":
        # What is served under it is kept for a while when the container goes.
        options.append(f"--label=rondo.assets={service.assets.rstrip('/')}/")
    return tuple(options)


def accessory_options(inventory: Inventory, name: str) -> tuple[str, ...]:
    """Return the options of `docker run` for an accessory; it listens on the private address."""
    accessory = inventory.accessories[name]
    address = inventory.servers[accessory.server].private_address
    options = [
        f"--network={Layout(inventory.project).network}",
        f"--network-alias={name}",
        f"--env=TZ={inventory.settings.time_zone}",
        *_limit_options(accessory.limits, accessory.logs),
        *_volume_options(inventory.project, accessory.volumes),
    ]
    if address and accessory.port:
        options.append(f"--publish={address}:{accessory.port}:{accessory.port}")
    return tuple(options)


ONCE: Final = "once"
"""Kind of a container in which somebody runs a command: it fills no slot."""


@dataclass(frozen=True, slots=True)
class Instance:
    """One start of a container: what differs each time though the spec is the same."""

    id: str
    server: str
    release: str


def run_options(project: str, container: Container, instance: Instance) -> tuple[str, ...]:
    """Return the arguments of `docker run` for one start of a container."""
    layout = Layout(project)
    folder = layout.environment(container.environment)
    labels = {
        "rondo.project": project,
        "rondo.service": container.service,
        "rondo.slot": container.name,
        "rondo.kind": container.kind,
        "rondo.spec": container.digest,
        "rondo.instance": instance.id,
        "rondo.release": instance.release,
    }
    variables = {
        "RONDO_PROJECT": project,
        "RONDO_SERVICE": container.service,
        "RONDO_SLOT": container.name,
        "RONDO_SERVER": instance.server,
        "RONDO_RELEASE": instance.release,
    }
    # Of a file that is missing a --volume would make a folder, and start with that.
    mounts = [
        f"--mount=type=bind,source={folder}/secrets/{name},target={SECRETS_FOLDER}/{name},readonly"
        for name in container.secrets
    ]
    return (
        f"--name={container_name(project, container, instance)}",
        *(f"--label={key}={value}" for key, value in labels.items()),
        f"--env-file={folder}/env",
        *(f"--env={key}={value}" for key, value in variables.items()),
        *_listen_options(layout, container, instance),
        *mounts,
        *container.options,
        container.image,
        *container.command,
    )


def _listen_options(layout: Layout, container: Container, instance: Instance) -> tuple[str, ...]:
    if container.port is not None:
        published = f"127.0.0.1:{container.port}:{container.container_port}"
        return (f"--publish={published}", f"--env=RONDO_PORT={container.container_port}")
    if container.traffic:
        folder = layout.instance(container.name, instance.id)
        return (f"--volume={folder}:{folder}", f"--env=RONDO_SOCKET={folder}/app.sock")
    return ()


def container_name(project: str, container: Container, instance: Instance) -> str:
    """Return a name that tells people what it is; the tool itself goes by labels."""
    return f"{project}-{container.name}-{instance.id}"
