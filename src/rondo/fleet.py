"""The servers of one run: opened when needed, worked on in parallel, closed in every case."""

from __future__ import annotations

import threading
from concurrent.futures import Future
from dataclasses import dataclass, replace
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Final, Generic, Self, TypeVar

import fabric

from rondo import sshconfig
from rondo import target as targets
from rondo.blotting import Blotter
from rondo.errors import InputError, Interrupted, RondoError
from rondo.server import Remote
from rondo.ssh import Connection, Options, jumps
from rondo.target import SSH_PORT
from rondo.verifier import Verifier

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from rondo.inventory import Inventory
    from rondo.target import Flags, Target

__all__ = ["Fleet", "Result"]

WORKERS: Final = 32
"""Servers worked on at a time."""
OWN_KNOWN_HOSTS: Final = Path("~/.ssh/known_hosts")

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Result(Generic[T]):
    """What came of an action on one server: a value, or the error."""

    value: T | None = None
    error: RondoError | None = None

    def __bool__(self) -> bool:
        return self.error is None

    def get(self) -> T:
        """Give the value, or raise the error."""
        if self.error is not None:
            raise self.error
        return self.value  # type: ignore[return-value]  # T may itself be None


class Fleet:
    """Servers by name. Use it as a context manager: leaving it closes every connection."""

    def __init__(  # noqa: PLR0913 - what a run consists of
        self,
        inventory: Inventory,
        root: Path,
        names: Sequence[str],
        extra: Sequence[str] = (),
        *,
        flags: Flags = targets.Flags(),  # noqa: B008 - frozen
        note: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.names: tuple[str, ...] = (*names, *extra)
        self._inventory = inventory
        self._root = root
        self.redact: Callable[[str], str] = Blotter(inventory, root)
        """Takes the inventory's secrets out of what the servers say."""
        self._options = _options(inventory, root, flags, note)
        self._lock = threading.RLock()
        self.closed = False
        """Whether every connection was closed: nothing can be done any more."""
        self._connections: dict[str, Connection] = {}
        self._remotes: dict[str, Remote] = {}

    def __getitem__(self, name: str) -> Remote:
        with self._lock:
            if name not in self._remotes:
                self._remotes[name] = Remote(name, self.connection(name))
            return self._remotes[name]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close every connection, jump hosts last."""
        with self._lock:
            self.closed = True
            connections = list(self._connections.values())
        for connection in reversed(connections):
            connection.abandon()
        self._options.keys.close()

    @property
    def root(self) -> Path:
        """Folder of the inventory on this machine."""
        return self._root

    @property
    def verified(self) -> frozenset[str]:
        """Servers whose host key was found to be the pinned one."""
        return frozenset(self._options.verifier.verified)

    def each(
        self, action: Callable[[Remote], T], names: Iterable[str] | None = None
    ) -> dict[str, Result[T]]:
        """Do something on several servers at once; one that fails does not stop the others."""
        chosen = tuple(self.names if names is None else names)
        futures = {name: Future[T]() for name in chosen}
        queue: SimpleQueue[str] = SimpleQueue()
        for name in chosen:
            queue.put(name)

        def work() -> None:
            while (name := _next(queue)) is not None:
                _settle(futures[name], lambda: action(self[name]))

        for _ in range(min(WORKERS, len(chosen))):
            # Daemons: a thread that hangs in the network must not keep the program from ending.
            threading.Thread(target=work, daemon=True).start()
        try:
            return {name: _result(future) for name, future in futures.items()}
        except KeyboardInterrupt:
            self.close()
            raise Interrupted(
                "interrupted; the connections are closed and the servers end what ran, "
                "but for a slot already being switched, which is finished"
            ) from None

    def connection(self, name: str) -> Connection:
        """Give the connection to a server of the inventory or to a plain target, not opened."""
        with self._lock:
            if name not in self._connections:
                self._connections[name] = self._connect(self._target(name), ())
            return self._connections[name]

    def _target(self, name: str) -> Target:
        server = self._inventory.servers.get(name)
        return targets.of_server(name, server, self._root) if server else targets.parse(name)

    def _connect(self, target: Target, seen: tuple[str, ...]) -> Connection:
        if target.name in seen:
            way = " -> ".join((*seen, target.name))
            raise InputError(f"{target.name}: its jump hosts go in a circle ({way})")
        path = (*seen, target.name)
        connection = Connection(target, self._options)
        hops = (target.jump,) if target.jump else _configured(connection)
        jump: Connection | None = None
        for hop in hops:
            jump = self._hop(hop, target, path, jump)
        if jump is None:
            return connection
        return Connection(target, self._options, jump)

    def _hop(
        self, name: str, target: Target, path: tuple[str, ...], before: Connection | None
    ) -> Connection:
        """Give the one connection that all targets behind a jump host share."""
        if name not in self._connections:
            if name in self._inventory.servers:
                made = self._connect(self._target(name), path)
            else:
                made = self._plain_hop(name, target, path, before)
            self._connections[name] = made
        return self._connections[name]

    def _plain_hop(
        self, name: str, target: Target, path: tuple[str, ...], before: Connection | None
    ) -> Connection:
        # Bastions mostly know the same key as the servers behind them; the agent is asked too.
        hop = replace(targets.parse(name), key=target.key, behind=target.name)
        if before is not None:
            return Connection(hop, self._options, before)
        return self._connect(hop, path)


def _configured(connection: Connection) -> tuple[str, ...]:
    """Give the jump hosts that ssh_config names; with `Host *` a bastion would be its own."""
    hops = jumps(connection)
    ends = {(hop.host, hop.port or SSH_PORT) for hop in map(targets.parse, hops)}
    own = {(host, connection.port) for host in (connection.host, connection.original_host)}
    return () if ends & own else hops


def _options(
    inventory: Inventory, root: Path, flags: Flags, note: Callable[[str], None]
) -> Options:
    settings = inventory.settings.ssh
    verifier = Verifier(
        root / Path(settings.known_hosts).expanduser(),
        OWN_KNOWN_HOSTS.expanduser(),
        accept_new=settings.host_keys == "accept-new",
        note=note,
    )
    path = Path(flags.ssh_config).expanduser() if flags.ssh_config else None
    config = fabric.Config(ssh_config=sshconfig.load(path))
    timeout = flags.connect_timeout or settings.connect_timeout
    return Options(verifier, config, timeout, settings.keepalive, flags)


def _next(queue: SimpleQueue[str]) -> str | None:
    try:
        return queue.get_nowait()
    except Empty:
        return None


def _settle(future: Future[T], action: Callable[[], T]) -> None:
    try:
        future.set_result(action())
    except BaseException as error:  # noqa: BLE001 - raised again where the future is read
        future.set_exception(error)


def _result(future: Future[T]) -> Result[T]:
    try:
        return Result(value=future.result())
    except RondoError as error:
        return Result(error=error)
