"""The lab's servers: containers that behave like machines."""

from __future__ import annotations

import io
import json
import socket
import tarfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rondo.lab import engine, recipe
from rondo.lab.engine import LABEL, LabError
from rondo.lab.model import LabServer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rondo.lab.network import Networks
    from rondo.lab.places import Place

_ROLE = f"{LABEL}.role"
_NAME = f"{LABEL}.server"
_FRONT = f"{LABEL}.front"
_PRIVATE = f"{LABEL}.private"
_READY_DEADLINE = 180
_READY = (Path(__file__).parent / "ready.sh").read_text()
_STARVED = (
    "this machine has no inotify instances left for the systemd of {named} (14 servers use up the "
    "usual 128); remove some servers, or allow more: sudo sysctl "
    "fs.inotify.max_user_instances=1024; then: docker restart {named}"
)
_UNCONFINED = (
    *(f"--security-opt={name}=unconfined" for name in ("seccomp", "apparmor", "systempaths")),
    "--device-cgroup-rule=a *:* rwm",
)
# Never the right to set the clock: it is the operator's machine's, too, and setting a server's time
# zone would move it. Some machines lack a right that others need; --privileged asks for all there
# are and comes last because it cannot be told to leave one out (the entry script then does).
ACCESS: dict[str, tuple[str, ...]] = {
    "all but the clock": ("--cap-add=ALL", "--cap-drop=SYS_TIME", *_UNCONFINED),
    "all but the clock and resources": (
        "--cap-add=ALL",
        "--cap-drop=SYS_TIME",
        "--cap-drop=SYS_RESOURCE",
        *_UNCONFINED,
    ),
    "privileged": ("--privileged",),
}
_RESOLVERS = (Path("/etc/resolv.conf"), Path("/run/systemd/resolve/resolv.conf"))
_USERS = {"deploy": 1000, "dock": 1001}


@dataclass(frozen=True, slots=True)
class Site:
    """What a server of this lab is made from."""

    place: Place
    networks: Networks
    image: str
    key: str

    def create(self, number: int) -> LabServer:
        """Make a server, not started and not furnished yet."""
        name = f"web-{number}"
        front, private = self.networks.addresses(number)
        labels = {
            LABEL: self.place.name,
            _ROLE: "server",
            _NAME: name,
            _FRONT: front,
            _PRIVATE: private,
        }
        named = container(self.place, name)
        engine.docker(
            *("create", "--name", named, "--hostname", name, "--cgroupns=private"),
            *(f"--label={key}={value}" for key, value in labels.items()),
            *("--network", self.networks.front_name, "--ip", front, "--network-alias", name),
            *("--tmpfs", "/run", "--tmpfs", "/run/lock", "--volume", "/var/lib/docker"),
            # A reboot from within ends systemd with a code that is not zero.
            "--restart=on-failure",
            *access(self.place, self.image),
            self.image,
        )
        return LabServer(name, front, private, "created")

    def start(self, server: LabServer) -> None:
        """Start a server, and wait until it is ready; a new one is furnished before."""
        named = container(self.place, server.name)
        if server.state == "created":
            self._furnish(server, named)
        engine.docker("unpause" if server.state == "paused" else "start", named)
        ready(named, server.address)

    def _furnish(self, server: LabServer, named: str) -> None:
        """Give a new server what is this lab's own; as often as it takes, until its first start."""
        network = self.networks.private_name
        connected = engine.docker(
            "inspect", "--format", "{{json .NetworkSettings.Networks}}", named
        )
        if network not in json.loads(connected):
            engine.docker("network", "connect", "--ip", server.private_address, network, named)
        engine.docker("cp", "--archive", "-", f"{named}:/", data=self._furniture())

    def _furniture(self) -> bytes:
        stream = io.BytesIO()
        with tarfile.open(fileobj=stream, mode="w") as archive:
            for user, identifier in _USERS.items():
                path = f"home/{user}/.ssh/authorized_keys"
                recipe.add(archive, path, self.key.encode(), 0o600, identifier)
            settings = json.dumps(engine_settings(self.networks.registry), indent=2)
            recipe.add(archive, "etc/docker/daemon.json", f"{settings}\n".encode(), 0o644)
        return stream.getvalue()


def container(place: Place, name: str) -> str:
    """Give Docker's name of a server."""
    return f"{place.name}-{name}"


def number(name: str) -> int:
    """Give the number in a server's name."""
    return int(name.removeprefix("web-"))


def engine_settings(registry: str) -> dict[str, Any]:
    """Give the settings of a server's Docker Engine."""
    settings: dict[str, Any] = {
        "registry-mirrors": [f"http://{registry}:5000"],
        # BuildKit asks a mirror over TLS unless it is listed here, scheme included.
        "insecure-registries": [f"http://{registry}:5000"],
    }
    resolvers = name_servers()
    return settings | ({"dns": resolvers} if resolvers else {})


def name_servers(files: Sequence[Path] = _RESOLVERS) -> list[str]:
    """Give the operator's name servers, as containers can reach them.

    A server's own resolver is the outer engine's, at a loopback address that inner containers
    cannot reach.
    """
    for path in files:
        text = path.read_text() if path.exists() else ""
        found = [line.split()[1] for line in text.splitlines() if line.startswith("nameserver ")]
        usable = [address for address in found if not address.startswith(("127.", "::1", "fe80"))]
        if usable:
            return usable
    return []


def access(place: Place, image: str) -> tuple[str, ...]:
    """Find the options with which a server works here; tried once and remembered."""
    note = place.folder / "access"
    known = note.read_text().strip() if note.exists() else ""
    if known in ACCESS:
        return ACCESS[known]
    script = "unshare --mount mount -t tmpfs tmpfs /mnt"
    for name, options in ACCESS.items():
        test = ("run", "--rm", f"--label={LABEL}={place.name}", "--cgroupns=private", *options)
        if engine.try_docker(*test, "--entrypoint", "sh", image, "-c", script) is not None:
            place.write("access", f"{name}\n")
            return options
    raise LabError("this Docker Engine starts no container with the rights that a server needs")


def listing(place: Place) -> tuple[LabServer, ...]:
    """Look at all servers of a lab, in the order of their numbers."""
    shown = "\t".join(
        ["{{.State}}", *(f'{{{{.Label "{label}"}}}}' for label in (_NAME, _FRONT, _PRIVATE))],
    )
    filters = (f"--filter=label={LABEL}={place.name}", f"--filter=label={_ROLE}=server")
    rows = (line.split("\t") for line in engine.lines("ps", "--all", *filters, "--format", shown))
    found = [LabServer(name, front, private, state) for state, name, front, private in rows]
    return tuple(sorted(found, key=lambda server: number(server.name)))


def ready(named: str, address: str) -> list[str]:
    """Wait until a server's sshd and engine answer; give its host keys."""
    limit = time.monotonic() + _READY_DEADLINE
    while time.monotonic() < limit and not engine.stopping():
        answer = engine.try_docker("exec", named, "sh", "-c", f"{{ {_READY}\n}} 2>/dev/null") or ""
        if "starved" in answer:
            raise LabError(_STARVED.format(named=named))
        if answer and _ssh_answers(address):
            return [line for line in answer.splitlines() if " " in line]
        time.sleep(0.1)
    raise LabError(
        f"{named} was not ready within {_READY_DEADLINE} s; look with: "
        f"docker exec {named} systemctl --failed",
    )


def _ssh_answers(address: str) -> bool:
    try:
        with socket.create_connection((address, 22), timeout=2) as connection:
            connection.settimeout(5)
            return connection.recv(4) == b"SSH-"
    except OSError:
        return False
