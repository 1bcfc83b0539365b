"""The lab's registry: published images under their usual names, for the servers' engines."""

from __future__ import annotations

import hashlib
import http.client
import time
import urllib.request
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.error import URLError

from rondo.lab import engine, images, recipe
from rondo.lab.engine import LABEL, LabError

if TYPE_CHECKING:
    from rondo.lab.images import Kitchen
    from rondo.lab.network import Networks

_STAMP = "/var/lib/registry/complete"
_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
_DEADLINE = 600


@dataclass(frozen=True, slots=True)
class Registry:
    """The registry of one lab; its data are in a volume that outlives the container."""

    kitchen: Kitchen
    networks: Networks

    @property
    def name(self) -> str:
        """Docker's name of the container and of the volume."""
        return f"{self.kitchen.place.name}-registry"

    def address(self) -> str:
        """Where the operator's engine reaches it: HOST:PORT on loopback."""
        answer = engine.docker("port", self.name, "5000/tcp").split()
        return answer[0]

    def complete(self) -> bool:
        """Whether it runs and holds all that it shall hold."""
        found = engine.try_docker("exec", self.name, "cat", _STAMP)
        return found == self._wanted()

    def revive(self) -> bool:
        """Start it, if that needs no building; whether it is complete then."""
        if not (self._state() or self.kitchen.has(self.kitchen.derived("registry"))):
            return False
        self.ensure_running()
        return self.complete()

    def ensure_running(self) -> None:
        """Start the registry, unless it runs."""
        if self._state() in {"", "created", "dead"}:
            engine.try_docker("rm", "--force", self.name)
            self._create()
        engine.docker("start", self.name)
        self._wait()

    def publish(self, name: str) -> None:
        """Put one image into the registry under all of its names."""
        if self.kitchen.official:
            for version in recipe.PUBLISHED[name]:
                self._copy_official(name, version)
        else:
            self._push_substitute(name)

    def seal(self) -> None:
        """Note that the registry is complete; the last thing that is done to it."""
        script = f"cat > {_STAMP}.new && mv {_STAMP}.new {_STAMP}"
        stamp = self._wanted().encode()
        engine.docker("exec", "--interactive", self.name, "sh", "-c", script, data=stamp)

    def _state(self) -> str:
        look = ("container", "inspect", "--format", "{{.State.Status}}", self.name)
        return (engine.try_docker(*look) or "").strip()

    def _wanted(self) -> str:
        names = repr(sorted(recipe.PUBLISHED.items()))
        if self.kitchen.official:
            parts = [recipe.hub()]
        else:
            parts = [self.kitchen.substitute(name).digest for name in recipe.PUBLISHED]
        return hashlib.sha256(" ".join([names, *parts]).encode()).hexdigest()

    def _create(self) -> None:
        label = f"{LABEL}={self.kitchen.place.name}"
        wanted = self.kitchen.derived("registry")
        self.kitchen.ensure(wanted)
        engine.docker("volume", "create", "--label", label, self.name)
        engine.docker(
            *("create", "--name", self.name, "--label", label, "--label", f"{LABEL}.role=registry"),
            *("--network", self.networks.front_name, "--ip", self.networks.registry),
            *("--publish", "127.0.0.1::5000", "--volume", f"{self.name}:/var/lib/registry"),
            self.kitchen.tag(wanted),
        )

    def _wait(self) -> None:
        url = f"http://{self.address()}/v2/"
        limit = time.monotonic() + 30
        while time.monotonic() < limit:
            try:
                with urllib.request.urlopen(url, timeout=5):
                    return
            except (URLError, OSError, http.client.HTTPException):
                time.sleep(0.05)
        logs = engine.try_docker("logs", "--tail", "3", self.name) or ""
        raise LabError(f"the registry {self.name} did not answer within 30 s: {logs.strip()}")

    def _push_substitute(self, name: str) -> None:
        """Push it once, under its digest, and give it its usual names in the registry itself."""
        wanted = self.kitchen.substitute(name)
        remote = f"{self.address()}/library/{name}"
        engine.docker("tag", self.kitchen.tag(wanted), f"{remote}:{wanted.digest}")
        try:
            engine.docker("push", "--quiet", f"{remote}:{wanted.digest}", deadline=_DEADLINE)
        finally:
            engine.try_docker("rmi", f"{remote}:{wanted.digest}")
        manifest = _manifest(name, self.address(), wanted.digest)
        for version in recipe.PUBLISHED[name]:
            _manifest(name, self.address(), version, manifest)

    def _copy_official(self, name: str, version: str) -> None:
        source = f"{recipe.hub()}/{name}:{version}"
        target = f"{self.address()}/library/{name}:{version}"
        with images.borrowed(source):
            engine.docker("tag", source, target)
            try:
                engine.docker("push", "--quiet", target, deadline=_DEADLINE)
            finally:
                engine.try_docker("rmi", target)


def _manifest(name: str, address: str, version: str, content: bytes | None = None) -> bytes:
    """Read a manifest from the registry, or write one."""
    request = urllib.request.Request(
        f"http://{address}/v2/library/{name}/manifests/{version}",
        data=content,
        method="GET" if content is None else "PUT",
        headers={"Accept": _MANIFEST, "Content-Type": _MANIFEST},
    )
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310 - as above
            return bytes(answer.read())
    except URLError as error:
        raise LabError(f"the registry refused {name}:{version}: {error}") from error


def publisher_answers() -> bool:
    """Whether published images can be had from their publisher; a probe of two seconds."""
    host = recipe.hub().partition("/")[0]
    if host == "none":
        return False
    secure = not host.startswith(("127.", "localhost"))
    probed = "registry-1.docker.io" if host == "docker.io" else host
    kind = http.client.HTTPSConnection if secure else http.client.HTTPConnection
    connection = kind(probed, timeout=2)
    try:
        connection.request("GET", "/v2/")
        return connection.getresponse().status in {200, 401}
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
