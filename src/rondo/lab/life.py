"""The life of a lab: up, down, and what lies between.

Every step looks at what is there before it acts, and what is half-made is not taken for done; so
a run that was interrupted is continued by the next one.
"""

from __future__ import annotations

import shutil
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import yaml

from rondo.lab import authority, engine, images, keys, network, places, recipe, servers
from rondo.lab.engine import LABEL, LabError
from rondo.lab.images import Kitchen
from rondo.lab.model import Lab
from rondo.lab.registry import Registry, publisher_answers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from rondo.lab.authority import Certificate
    from rondo.lab.model import LabServer, Report
    from rondo.lab.places import Place


def up(servers: int = 2, *, report: Report) -> Lab:
    """Make sure that web-1 to web-N are up: build what is missing, start what is stopped."""
    if not 1 <= servers <= network.MAX_SERVERS:
        raise LabError(f"{servers} servers? Give a number from 1 to {network.MAX_SERVERS}")
    place = places.find()
    with places.locked(place, report):
        return _Raising.of(place, report).run(range(1, servers + 1))


def down(*, images: bool = False) -> None:
    """Remove servers, registry and networks; with images=True all that the lab ever made."""
    place = places.find()
    if shutil.which("docker") is None and not place.folder.exists():
        return
    with places.locked(place, lambda _: None):
        engine.require()
        _remove(place, "container", ("ps", "--all"), ("rm", "--force", "--volumes"))
        _remove(place, "network", ("network", "ls"), ("network", "rm"))
        _forget(place, "known_hosts", "servers.yaml")
        if images:
            _remove(place, "volume", ("volume", "ls"), ("volume", "rm", "--force"))
            _remove(place, "image", ("images", "--all"), ("rmi", "--force"))
            place.forget()


def status() -> tuple[LabServer, ...]:
    """Look at the servers."""
    engine.require()
    return servers.listing(places.find())


def reboot(name: str) -> None:
    """Restart a server, and wait until it is ready again."""
    place = places.find()
    server = _named(place, name)
    container = servers.container(place, name)
    engine.docker("restart", "-t", "60", container, deadline=120)
    servers.ready(container, server.address)


def renew(name: str, *, report: Report) -> LabServer:
    """Replace a server by a new one of the same name and addresses, with nothing on it."""
    place = places.find()
    with places.locked(place, report):
        _named(place, name)
        engine.docker("rm", "--force", "--volumes", servers.container(place, name))
        lab = _Raising.of(place, report).run([servers.number(name)])
    return next(server for server in lab.servers if server.name == name)


def ssh_command(name: str) -> tuple[str, ...]:
    """Give the words of an interactive SSH session on a server."""
    place = places.find()
    server = _named(place, name)
    options = (
        f'UserKnownHostsFile="{place.folder / "known_hosts"}"',
        "StrictHostKeyChecking=yes",
        "IdentitiesOnly=yes",
    )
    words = tuple(word for option in options for word in ("-o", option))
    key = str(place.folder / "id_ed25519")
    return ("ssh", "-i", key, *words, f"{server.user}@{server.address}")


def certificate(names: Sequence[str]) -> Certificate:
    """Give a certificate of the lab's authority for a site's names."""
    place = places.find()
    with places.locked(place, lambda _: None):
        return authority.issue(place, names)


@dataclass(frozen=True, slots=True)
class _Raising:
    """One run of `up`, with what it found out at its start."""

    place: Place
    kitchen: Kitchen
    registry: Registry
    site: servers.Site
    info: dict[str, Any]
    report: Report

    @classmethod
    def of(cls, place: Place, report: Report) -> _Raising:
        info = engine.require()
        authority.make(place)
        networks = network.ensure(place)
        kitchen = Kitchen(place, _official(place), report)
        registry = Registry(kitchen, networks)
        image = kitchen.tag(kitchen.derived("server"))
        site = servers.Site(place, networks, image, keys.public_key(place))
        return cls(place, kitchen, registry, site, info, report)

    def run(self, numbers: Iterable[int]) -> Lab:
        found = {server.name: server for server in servers.listing(self.place)}
        wanted = {f"web-{number}": number for number in numbers}
        missing = [number for name, number in wanted.items() if name not in found]
        stopped = [found[name] for name in wanted if name in found and not found[name].running]
        jobs: list[Callable[[], object]] = [partial(self._serve, missing, stopped)]
        if self.registry.complete() or self.registry.revive():
            self._prepare(missing)
            engine.parallel(jobs)
        else:
            self._fill(jobs)
        return self._note()

    def _prepare(self, missing: Sequence[int]) -> None:
        """Make the base, if servers are to be made and their image is not there."""
        if missing and not self.kitchen.has(self.kitchen.derived("server")):
            images.require_space(self.info)
            self.kitchen.ensure_base()

    def _fill(self, jobs: list[Callable[[], object]]) -> None:
        """Build and publish all images while the servers are being made."""
        images.require_space(self.info)
        self.kitchen.ensure_base()
        started: Future[None] = Future()
        publish = [partial(self._publish, name, started) for name in recipe.PUBLISHED]
        engine.parallel([*jobs, partial(self._start_registry, started), *publish])
        self.registry.seal()
        self.kitchen.tidy()

    def _start_registry(self, started: Future[None]) -> None:
        try:
            self.registry.ensure_running()
        except BaseException as error:
            started.set_exception(error)
            raise
        started.set_result(None)

    def _publish(self, name: str, started: Future[None]) -> None:
        if not self.kitchen.official:
            self.kitchen.ensure(self.kitchen.substitute(name))
        started.result()
        self.registry.publish(name)

    def _serve(self, missing: Sequence[int], stopped: Sequence[LabServer]) -> None:
        if missing:
            self.kitchen.ensure(self.kitchen.derived("server"))
        created = [self.site.create(number) for number in missing]
        engine.parallel([partial(self._start, server) for server in (*created, *stopped)])

    def _start(self, server: LabServer) -> None:
        self.report(f"starting {server.name}")
        self.site.start(server)

    def _note(self) -> Lab:
        """Wait until all that run are ready, and write down how they are reached."""
        found = servers.listing(self.place)
        host_keys: dict[str, list[str]] = {}
        running = [server for server in found if server.running]
        engine.parallel([partial(self._ask, server, host_keys) for server in running])
        pins = [
            line
            for server in running
            for line in keys.known_hosts_lines(server, host_keys[server.name])
        ]
        key = str((self.place.folder / "id_ed25519").relative_to(self.place.root))
        self.place.write("known_hosts", "".join(f"{line}\n" for line in pins))
        self.place.write("servers.yaml", facts(found, key))
        return Lab(self.place.name, found, self.registry.address(), self.place.folder)

    def _ask(self, server: LabServer, host_keys: dict[str, list[str]]) -> None:
        container = servers.container(self.place, server.name)
        host_keys[server.name] = servers.ready(container, server.address)


def facts(found: Sequence[LabServer], key: str) -> str:
    """Write the servers as an inventory wants them."""
    rows = {
        server.name: {
            "address": server.address,
            "private_address": server.private_address,
            "user": server.user,
            "port": server.port,
            "key": key,
        }
        for server in found
    }
    return "# Written by `inv lab.up`.\n" + yaml.safe_dump(rows, sort_keys=False)


def _official(place: Place) -> bool:
    """Whether published images are the real ones; found out once for the life of a lab."""
    note = place.folder / "source"
    if note.exists():
        return note.read_text().strip() == "official"
    official = publisher_answers()
    place.write("source", "official\n" if official else "substitutes\n")
    return official


def _named(place: Place, name: str) -> LabServer:
    found = {server.name: server for server in servers.listing(place)}
    if name not in found:
        known = ", ".join(found) or "none; inv lab.up makes some"
        raise LabError(f"the lab has no server {name!r} (there are: {known})")
    return found[name]


def _remove(place: Place, kind: str, look: Sequence[str], remove: Sequence[str]) -> None:
    """Remove everything of one kind; in rounds, because an image keeps those that it is made of."""
    label = f"--filter=label={LABEL}={place.name}"
    left = set(engine.lines(*look, "--quiet", label))
    while left:
        engine.try_docker(*remove, *sorted(left))
        before, left = left, set(engine.lines(*look, "--quiet", label))
        if left == before:
            names = ", ".join(sorted(left))
            raise LabError(f"the lab's {kind}s {names} are in use; end what uses them, then again")


def _forget(place: Place, *names: str) -> None:
    for name in names:
        (place.folder / name).unlink(missing_ok=True)
