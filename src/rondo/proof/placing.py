"""Load generators on servers of the inventory: containers there, led by a master here.

The master listens on 127.0.0.1 alone. Each server gets a port of its own address that leads to it
over the SSH connection. What a run asks for, its secret included, comes through that to the
workers; no argument, variable or file on a server holds it.
"""

from __future__ import annotations

import secrets
import socket
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import rondo
from rondo import cluster, context
from rondo.errors import InputError, Interrupted, RondoError
from rondo.proof import payload
from rondo.proof.generator import loadtests_of
from rondo.scripts import changing
from rondo.tunnel import HERE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from rondo.context import Context
    from rondo.fleet import Fleet
    from rondo.inventory import Inventory
    from rondo.server import Hold, Remote
    from rondo.source import Loaded

BASE: Final = "python:3.11-slim"
GROUP: Final = "group:"
_START: Final = 60.0
_REMOVE: Final = 120.0
_LONGEST_WAIT: Final = 45
_MEMORY: Final = 512
"""MiB for each process."""
_TOLD_LINES: Final = "20"


@dataclass(frozen=True, slots=True)
class Wish:
    """What was typed."""

    servers: tuple[str, ...]
    processes: int = 0
    """On each server; 0 for one for each of its processors."""
    keep_image: bool = False


@dataclass(frozen=True, slots=True)
class Placed:
    """Load generators that wait for a master."""

    options: tuple[str, ...]
    """Of the master."""
    count: int


@dataclass(frozen=True, slots=True)
class _Image:
    """What the generators are made of, on one server."""

    server: str
    tag: str
    processors: int


def chosen(inventory: Inventory, text: str) -> tuple[str, ...]:
    """Return the servers that --workers names: group:load, or names with commas.

    Raises InputError for a name that is none.
    """
    found: dict[str, None] = {}
    for word in (each.strip() for each in text.split(",") if each.strip()):
        servers = [word] if word in inventory.servers else _group(inventory, word)
        if not servers:
            known = ", ".join((*inventory.servers, *_groups(inventory)))
            raise InputError(
                f"--workers {word}: no server or group of that name; there are: {known}"
            )
        found |= dict.fromkeys(servers)
    if not found:
        raise InputError("--workers: give a group or servers, like group:load or web-1,web-2")
    return tuple(found)


def _group(inventory: Inventory, word: str) -> list[str]:
    group = word.removeprefix(GROUP)
    return [name for name, server in inventory.servers.items() if group in server.groups]


def _groups(inventory: Inventory) -> list[str]:
    return [
        f"{GROUP}{group}"
        for group in sorted({group for each in inventory.servers.values() for group in each.groups})
    ]


@contextmanager
def placed(
    loaded: Loaded, fleet: Fleet, wish: Wish, say: Callable[[str], None]
) -> Iterator[Placed]:
    """Put load generators on servers for as long as the context lasts.

    Raises RondoError for a server on which none could be started.
    """
    place = _Place(loaded, fleet, wish, say)
    with ExitStack() as stack:
        stack.callback(place.take_away)
        images = place.build()
        port = _free_port()
        count = sum(place.start(stack, image, port) for image in images.values())
        say(f"{count} load generators wait on {', '.join(wish.servers)}")
        try:
            yield Placed(_master(port, count), count)
        except Interrupted:
            raise
        except RondoError:
            place.last_words()
            raise


def _master(port: int, count: int) -> tuple[str, ...]:
    where = ("--master", "--master-bind-host", HERE, "--master-bind-port", str(port))
    wait = ("--expect-workers", str(count), "--expect-workers-max-wait", str(_LONGEST_WAIT))
    return (*where, *wait)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HERE, 0))
        return int(probe.getsockname()[1])


class _Place:
    """The servers that generators are put on, and what was put there."""

    def __init__(
        self, loaded: Loaded, fleet: Fleet, wish: Wish, say: Callable[[str], None]
    ) -> None:
        self._loaded = loaded
        self._fleet = fleet
        self._wish = wish
        self._say = say
        self._name = f"rondo-proof-{secrets.token_hex(6)}"
        self._removed: dict[str, str] = {}
        self._holds: list[Hold] = []

    def build(self) -> dict[str, _Image]:
        """See that every server has the image."""
        root = Path(rondo.__file__).parents[1]
        lock = self._loaded.root / payload.LOCK
        own = lock if lock.exists() else root.parent / payload.LOCK
        content = payload.context(root, loadtests_of(self._loaded.root), own)
        arguments = self._arguments()
        digest = context.image_digest(content, "Dockerfile", dict(arguments), None)
        tag = f"rondo-proof-worker:{digest}"

        def ensure(remote: Remote) -> _Image:
            return self._ensure(remote, tag, content, arguments)

        return cluster.everywhere(self._fleet, self._wish.servers, ensure)

    def _arguments(self) -> list[tuple[str, str]]:
        mirror = self._loaded.inventory.settings.build.mirrors.pypi
        return [("PYPI_MIRROR", str(mirror))] if mirror else []

    def _ensure(
        self, remote: Remote, tag: str, content: Context, arguments: Sequence[tuple[str, str]]
    ) -> _Image:
        script, step = changing("proof_image"), "make the image of a load generator"
        asked = remote.run(script, tag, BASE, "ask", step=step).stdout.split()
        if asked[-1] == "there":
            # What was there before is somebody's: left by --keep-image, or of a run that is on.
            self._removed[remote.name] = ""
            return _Image(remote.name, tag, int(asked[0]))
        self._say(f"{remote.name}: building the image of a load generator, once")
        options = [f"--build-arg={key}={value}" for key, value in arguments]
        said = remote.run(
            script,
            *(tag, BASE, "build", *options),
            step=step,
            deadline=self._loaded.inventory.settings.build.deadline,
            stdin=context.tar(content),
        ).stdout.split()
        self._removed[remote.name] = self._unwanted(tag, *([BASE] if said[-1] == "fetched" else []))
        return _Image(remote.name, tag, int(said[0]))

    def _unwanted(self, *images: str) -> str:
        """Return what is to be removed in the end; the base only where it came for this."""
        return "" if self._wish.keep_image else " ".join(images)

    def start(self, stack: ExitStack, image: _Image, port: int) -> int:
        """Start the generators of one server; return how many they are."""
        theirs = stack.enter_context(self._fleet.connection(image.server).reverse(port))
        processes = self._wish.processes or image.processors
        self._holds.append(
            self._fleet[image.server].hold(
                changing("proof_worker"),
                self._name,
                self._removed[image.server],
                *_container(processes),
                image.tag,
                str(theirs),
                str(processes),
                step="start a load generator",
                deadline=_START,
            )
        )
        return processes

    def take_away(self) -> None:
        """Remove all that was put on the servers; what cannot be reached removes it itself."""
        try:
            found = self._fleet.each(self._remove, tuple(self._removed))
        except RondoError as error:
            self._say(f"{error}; the servers remove the load generators by themselves")
            return
        finally:
            for hold in self._holds:
                with suppress(RondoError):
                    hold.close()
        for result in found.values():
            if result.error:
                self._say(f"{result.error}; it removes the load generator by itself")

    def _remove(self, remote: Remote) -> None:
        remote.run(
            'docker rm --force "$1" >/dev/null; [ -z "$2" ] || docker rmi $2 >/dev/null 2>&1 || :',
            *(self._name, self._removed[remote.name]),
            step="remove the load generator",
            deadline=_REMOVE,
        )

    def last_words(self) -> None:
        """Tell the end of what each generator printed."""
        for name in self._removed:
            with suppress(RondoError):
                output = self._fleet[name].run(
                    'docker logs --tail "$2" "$1" 2>&1',
                    *(self._name, _TOLD_LINES),
                    step="read what the load generator said",
                )
                self._say(f"{name}: the load generator's last words:\n{output.stdout.rstrip()}")


def _container(processes: int) -> tuple[str, ...]:
    """Return how a container of generators is run: it may ask for pages, and no more."""
    return (
        "--network=host",
        "--read-only",
        "--tmpfs=/tmp",
        "--cap-drop=ALL",
        "--security-opt=no-new-privileges",
        f"--memory={_MEMORY * processes}m",
        f"--cpus={processes}",
        f"--pids-limit={64 * processes + 64}",
        "--log-opt=max-size=1m",
    )
