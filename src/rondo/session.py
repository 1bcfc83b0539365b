"""One run of `fab`: the inventory, the servers chosen by -H, their connections, the terminal."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, NoReturn

from invoke.context import Context

from rondo.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from rondo.fleet import Fleet
    from rondo.inventory import Inventory
    from rondo.source import Loaded
    from rondo.target import Flags, Target
    from rondo.ui import Ui

_LOCALLY = (
    "{} would run on your own machine, so it is not done; use session.fleet[NAME].run(...) for a "
    "server, or subprocess for this machine"
)


@dataclass(frozen=True, slots=True)
class Selection:
    """What -H chose: servers of the inventory, logins that it gave them, and plain targets."""

    names: tuple[str, ...]
    users: dict[str, str]
    extra: tuple[str, ...] = ()


def choose(inventory: Inventory, hosts: str | None) -> Selection:
    """Resolve -H: names, groups and plain targets with commas; without it, every server."""
    if hosts is None:
        return Selection(tuple(inventory.servers), {})
    words = [word.strip() for word in hosts.split(",") if word.strip()]
    if not words:
        raise InputError("-H names no server; leave it away for the whole inventory")
    names: dict[str, None] = {}
    users: dict[str, str] = {}
    extra: dict[str, None] = {}
    for word in words:
        found, user = _resolve(inventory, word)
        names.update(dict.fromkeys(found))
        if user and found:
            users[found[0]] = user
        if not found:
            extra[word] = None
    return Selection(tuple(names), users, tuple(extra))


def _resolve(inventory: Inventory, word: str) -> tuple[tuple[str, ...], str | None]:
    """Give the servers that a word of -H means, none for a plain target of no server."""
    if word in inventory.servers:
        return (word,), None
    group = tuple(name for name, server in inventory.servers.items() if word in server.groups)
    if group:
        return group, None
    from rondo import target as targets  # noqa: PLC0415 - not needed for `fab --list`

    if not targets.is_plain(word):
        raise InputError(_unknown(inventory, word))
    target = targets.parse(word)
    found = _at(inventory, target)
    if len(found) > 1:
        raise InputError(f"-H {word} means {' and '.join(found)}; name one, or give the port")
    return found, target.user


def _at(inventory: Inventory, target: Target) -> tuple[str, ...]:
    return tuple(
        name
        for name, server in inventory.servers.items()
        if target.host in (name, server.address) and target.port in (None, server.port)
    )


def _unknown(inventory: Inventory, word: str) -> str:
    groups = sorted({group for server in inventory.servers.values() for group in server.groups})
    known = [*inventory.servers, *groups]
    near = difflib.get_close_matches(word, known, n=1)
    remedy = f"did you mean {near[0]}?" if near else f"there are: {', '.join(known)}"
    return f"-H {word}: the inventory has no server or group of that name; {remedy}"


class Run:
    """What the tasks of one `fab` share for one inventory: read once, connected once."""

    def __init__(
        self, selection: str | None, hosts: str | None, start: Path, ui: Ui, flags: Flags
    ) -> None:
        self.ui = ui
        self._flags = flags
        self._selection = selection
        self._hosts = hosts
        self._start = start
        self._fleets: list[Fleet] = []

    @cached_property
    def loaded(self) -> Loaded:
        """The inventory."""
        from rondo.source import load  # noqa: PLC0415 - not needed for `fab --list`

        return load(self._selection, start=self._start)

    @cached_property
    def chosen(self) -> Selection:
        """What -H means in this inventory."""
        return choose(self.loaded.inventory, self._hosts)

    @cached_property
    def fleet(self) -> Fleet:
        """The chosen servers, connected to when first used."""
        self.ui.align([*self.chosen.names, *self.chosen.extra])
        return self.open(_with_users(self.loaded.inventory, self.chosen.users), self.chosen.extra)

    def open(self, inventory: Inventory, extra: Sequence[str] = ()) -> Fleet:
        """Open the chosen servers as another inventory describes them."""
        from rondo.fleet import Fleet  # noqa: PLC0415 - not needed for `fab --list`

        root = self.loaded.root
        names = self.chosen.names
        fleet = Fleet(inventory, root, names, extra, flags=self._flags, note=self.ui.warn)
        self._fleets.append(fleet)
        return fleet

    def close(self) -> None:
        """Close every connection."""
        for fleet in self._fleets:
            fleet.close()


def _with_users(inventory: Inventory, users: dict[str, str]) -> Inventory:
    servers = {
        name: server.model_copy(update={"user": users[name]}) if name in users else server
        for name, server in inventory.servers.items()
    }
    return inventory.model_copy(update={"servers": servers}) if users else inventory


class Session(Context):
    """What a cluster task works with; unlike Invoke's own context it runs nothing by itself."""

    def __init__(self, config: Any, run: Run, words: Iterable[str]) -> None:  # noqa: ANN401
        super().__init__(config)
        # Invoke turns attributes into settings; these are the object's own.
        self._set(_shared=run, words=tuple(words))

    @property
    def loaded(self) -> Loaded:
        """The inventory, with where it was written."""
        return self._shared.loaded  # type: ignore[no-any-return]

    @property
    def names(self) -> tuple[str, ...]:
        """The chosen servers of the inventory, in its order or that of -H."""
        if extra := self._shared.chosen.extra:
            raise InputError(
                f"-H {extra[0]} is no server of {self.loaded.path.name}, and this task needs to "
                f"know what belongs on it; add it to servers:"
            )
        return self._shared.chosen.names  # type: ignore[no-any-return]

    @property
    def targets(self) -> tuple[str, ...]:
        """The chosen servers and plain targets, for tasks that do not need the inventory."""
        return self.fleet.names

    @property
    def fleet(self) -> Fleet:
        """Connections to them."""
        return self._shared.fleet  # type: ignore[no-any-return]

    @property
    def ui(self) -> Ui:
        """The operator's terminal."""
        return self._shared.ui  # type: ignore[no-any-return]

    def open(self, inventory: Inventory) -> Fleet:
        """Open the chosen servers as another inventory describes them; closed with the session."""
        return self._shared.open(inventory)  # type: ignore[no-any-return]

    def run(self, *_: object, **__: object) -> NoReturn:
        """Refuse: this context has no server."""
        raise InputError(_LOCALLY.format("session.run"))

    def sudo(self, *_: object, **__: object) -> NoReturn:
        """Refuse: this context has no server."""
        raise InputError(_LOCALLY.format("session.sudo"))

    def local(self, *_: object, **__: object) -> NoReturn:
        """Refuse: nothing runs here by mistake."""
        raise InputError(_LOCALLY.format("session.local"))

    def put(self, *_: object, **__: object) -> NoReturn:
        """Refuse: this context has no server."""
        raise InputError(_LOCALLY.format("session.put"))

    def get(self, *_: object, **__: object) -> NoReturn:
        """Refuse: this context has no server."""
        raise InputError(_LOCALLY.format("session.get"))
