"""What a server lacks for a deploy, each fault with its one-line fix, before anything is touched.

Pure: the facts were collected by the same command that observed the server.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from rondo.errors import PreflightError
from rondo.facts import Facts, version_numbers
from rondo.inventory import MEBIBYTE, Inventory

if TYPE_CHECKING:
    from collections.abc import Iterator

DOCKER_OLDEST = (20, 10)
CLOCK_TOLERANCE = 30.0
DISK_FLOOR = 2 * 1024 * MEBIBYTE
FOLDER_FLOOR = 100 * MEBIBYTE
CONTAINER_GUESS = 150 * MEBIBYTE

Finding: TypeAlias = tuple[str, str]
"""What is wrong, and how to mend it."""


@dataclass(frozen=True, slots=True)
class Needs:
    """What this deploy will take from a server."""

    clock: float
    """The operator's clock when the server answered, in seconds since 1970."""
    context_bytes: int = 0
    """Size of the build contexts to be sent."""
    image_bytes: int = 0
    """Size of the images that will be built or received."""
    builds: bool = True
    """Whether images are made on this server at all."""
    services: frozenset[str] | None = None
    """Services that will be rolled; None for all of the server's."""
    parallel: int = 1
    """Containers started before the old ones are stopped."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is wrong with one server, and how to mend it."""

    server: str
    what: str
    fix: str

    def __str__(self) -> str:
        return f"{self.server}: {self.what}; {self.fix}"


def preflight(
    inventory: Inventory, server: str, facts: Facts, *, needs: Needs
) -> tuple[Fault, ...]:
    """Return every fault of a server, () when it is ready."""
    found = (
        *_software(server, facts),
        *_nginx(inventory, server, facts),
        *_ports(inventory, facts),
        *_disk(facts, needs),
        *_memory(inventory, server, facts, needs),
        *_clock(facts, needs),
    )
    return tuple(Fault(server, what, fix) for what, fix in found)


def refuse(faults: tuple[Fault, ...]) -> None:
    """Raise one error that lists all faults, if there are any."""
    if faults:
        lines = "\n".join(f"  {fault}" for fault in faults)
        raise PreflightError(f"not ready to deploy, and nothing was touched:\n{lines}")


def _software(server: str, facts: Facts) -> Iterator[Finding]:
    bootstrap = f"run: fab -H {server} bootstrap"
    if not facts.bootstrapped:
        yield "it is not bootstrapped (/var/lib/rondo is missing)", bootstrap
    if facts.missing:
        yield f"{', '.join(facts.missing)} not installed", bootstrap
    if facts.docker_version is None and not facts.docker_error:
        yield "Docker is not installed", bootstrap
    elif facts.docker_version is None:
        yield (
            f"its Docker Engine does not answer ({facts.docker_error[:200]})",
            "on the server run: systemctl restart docker, and see journalctl -u docker",
        )
    elif version_numbers(facts.docker_version) < DOCKER_OLDEST:
        yield (
            f"its Docker Engine {facts.docker_version} is too old",
            "install 20.10 or newer, as docs/servers.md says",
        )


def _nginx(inventory: Inventory, server: str, facts: Facts) -> Iterator[Finding]:
    wanted = inventory.settings.nginx.version
    if facts.nginx_version is None:
        yield "Nginx is not installed", f"run: fab -H {server} bootstrap"
        return
    if version_numbers(facts.nginx_version) < version_numbers(wanted):
        yield (
            f"its Nginx {facts.nginx_version} is older than settings.nginx.version {wanted}",
            f"set settings.nginx.version to {facts.nginx_version}, or install a newer Nginx there",
        )
    if not facts.nginx_running:
        yield (
            "Nginx is not running",
            "on the server run: nginx -t && systemctl start nginx",
        )
    if not facts.conf_d_included:
        yield (
            "/etc/nginx/nginx.conf does not include conf.d/*.conf",
            "add `include /etc/nginx/conf.d/*.conf;` inside its http { } block",
        )


def _ports(inventory: Inventory, facts: Facts) -> Iterator[Finding]:
    """Name strangers on the ports of the sites; an Nginx that is not the server's own is one."""
    needed = {80, 443} if any(site.tls for site in inventory.sites.values()) else {80}
    for port, process in facts.listeners:
        if port in needed and not (process == "nginx" and facts.nginx_running):
            yield (
                f"port {port} is held by {process or 'another process'}",
                f"stop it, or move it to another port (on the server: ss -ltnp 'sport = :{port}')",
            )


def _disk(facts: Facts, needs: Needs) -> Iterator[Finding]:
    images = 2 * needs.context_bytes + needs.image_bytes
    docker = max(DISK_FLOOR, images) if needs.builds else needs.image_bytes
    rondo = max(FOLDER_FLOOR, 2 * needs.context_bytes)
    if facts.disk_docker < docker:
        yield (
            f"{_size(facts.disk_docker)} of disk are free for images and {_size(docker)} needed",
            "make room (on the server: docker system df, docker builder prune), or add disk",
        )
    if facts.disk_rondo < rondo:
        yield (
            f"{_size(facts.disk_rondo)} are free at /var/lib/rondo and {_size(rondo)} needed",
            "make room (on the server: du -xh /var | sort -h | tail), or add disk",
        )


def _memory(inventory: Inventory, server: str, facts: Facts, needs: Needs) -> Iterator[Finding]:
    """Count a new container beside the old one; services are rolled one after the other."""
    each = [
        service.limits.memory or CONTAINER_GUESS
        for name, service in inventory.services.items()
        if _runs_on(inventory, server, service.servers)
        and (needs.services is None or name in needs.services)
    ]
    surge = max(each, default=0) * needs.parallel
    if facts.memory_available < surge:
        yield (
            f"{_size(facts.memory_available)} of memory are available and {_size(surge)} needed",
            "lower limits.memory, stop something there, or add memory: old and new run together",
        )


def _runs_on(inventory: Inventory, server: str, names: tuple[str, ...]) -> bool:
    return (
        not names or server in names or not set(names).isdisjoint(inventory.servers[server].groups)
    )


def _clock(facts: Facts, needs: Needs) -> Iterator[Finding]:
    off = facts.clock - needs.clock
    if abs(off) > CLOCK_TOLERANCE:
        yield (
            f"its clock is {abs(off):.0f} s {'ahead of' if off > 0 else 'behind'} yours",
            "set the wrong one of the two (on the server: timedatectl set-ntp true)",
        )


def _size(size: int) -> str:
    """Write a size as people say it: 850 MB, 1.9 GB."""
    if size < 1000 * MEBIBYTE:
        return f"{size / MEBIBYTE:.0f} MB"
    return f"{size / (1024 * MEBIBYTE):.1f} GB"
