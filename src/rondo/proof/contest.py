"""A comparison as it is made: two servers, groups or releases, loaded in turn, pair by pair."""

from __future__ import annotations

import shlex
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from rondo import cluster, operations
from rondo.errors import InputError, RondoError
from rondo.events import journal
from rondo.inventory import Hooks
from rondo.proof import expect, versus
from rondo.proof.conduct import interruptible
from rondo.proof.report import windowed
from rondo.proof.runs import new_run
from rondo.proof.versus import CLOSED, PACED, Contest, Pair
from rondo.proof.windowing import OVERHEAD, Load, Setting, Windowing, Witnessed
from rondo.proof.witnesses import Witnesses
from rondo.recorded_plan import find_release, release_in_force

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from rondo.inventory import Inventory
    from rondo.proof.aim import Aim
    from rondo.proof.conduct import Say
    from rondo.proof.runs import RunFolder
    from rondo.proof.versus import Side
    from rondo.proof.windows import Window
    from rondo.state import ServerState

WINDOW: Final = 8.0
"""Seconds of each window."""
CONNECTIONS: Final = 16
"""Of the closed loop."""
_SETTLING: Final = Load(3.0, closed=4)
_KINDS: Final = (("closed", CLOSED), ("paced", PACED))


@dataclass(frozen=True, slots=True)
class Options:
    """How two sides are compared."""

    pairs: int = versus.FEWEST_PAIRS
    seconds: float = WINDOW
    rate: float | None = None
    """Of the paced windows; the inventory's without it."""
    connections: int = CONNECTIONS

    def load(self, kind: str) -> Load:
        """Return what a window of a kind asks."""
        if kind == "closed":
            return Load(self.seconds, closed=self.connections)
        return Load(self.seconds, rate=self.rate)


@dataclass(frozen=True, slots=True)
class Contender:
    """One side: servers of the inventory, or a release that all of them have recorded."""

    name: str
    servers: tuple[str, ...]
    release: str = ""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a comparison."""

    contest: Contest
    folder: Path
    page: Path


def words_of(text: str) -> tuple[str, str]:
    """Take A:B apart. Raises InputError for what is no two different names."""
    a, colon, b = text.partition(":")
    if not (a and colon and b) or ":" in b:
        raise InputError(f"--versus {text}: give two servers, groups or releases, like web-1:web-2")
    if a == b:
        raise InputError(f"--versus {text}: there is nothing to compare {a} with but itself")
    return a, b


def servers_of(inventory: Inventory, word: str) -> tuple[str, ...]:
    """Return the servers that a name of a server or group means; none if it is neither."""
    if word in inventory.servers:
        return (word,)
    return tuple(name for name, server in inventory.servers.items() if word in server.groups)


def contenders(
    inventory: Inventory, aim: Aim, text: str, states: Mapping[str, ServerState] | None
) -> tuple[Contender, Contender]:
    """Find out what the two sides are; `states` of the servers are needed to know releases.

    Raises InputError for sides that are not there or cannot be told apart.
    """
    words = words_of(text)
    found = [servers_of(inventory, word) for word in words]
    if all(found):
        return _servers(inventory, aim, words, (found[0], found[1]))
    if any(found):
        server, other = words if found[0] else reversed(words)
        raise InputError(
            f"--versus {text}: {server} is of the inventory's servers and {other} is not; give "
            f"two servers, two groups or two releases"
        )
    a, b = (find_release(states or {}, word) for word in words)
    if a == b:
        raise InputError(f"--versus {text}: both are the release {a}")
    return Contender(a, aim.servers, a), Contender(b, aim.servers, b)


def _servers(
    inventory: Inventory,
    aim: Aim,
    words: tuple[str, str],
    found: tuple[tuple[str, ...], tuple[str, ...]],
) -> tuple[Contender, Contender]:
    if common := set(found[0]) & set(found[1]):
        raise InputError(f"--versus {words[0]}:{words[1]}: {min(common)} is on both sides")
    a, b = (
        Contender(word, expect.servers_of(inventory, aim.site, names))
        for word, names in zip(words, found, strict=True)
    )
    return a, b


@dataclass(slots=True)
class Switch:
    """Moves the whole cluster between two recorded releases, and back in the end."""

    setting: Setting
    names: tuple[str, ...]
    run: RunFolder
    before: str
    """The release that was in force."""
    _current: str = ""

    def to(self, release: str) -> bool:
        """Switch, unless that release is in force; tell whether anything was done."""
        self._current = self._current or self.before
        if release == self._current:
            return False
        setting = self.setting
        setting.say(f"switching {', '.join(self.names)} to release {release}")
        emit = journal(self.run.events)
        inventory = setting.loaded.inventory
        # Nothing is released: nobody is to be told of it as of a rollback.
        quiet = inventory.model_copy(update={"hooks": Hooks()})
        operations.rollback(quiet, setting.fleet, self.names, emit, release)
        self._current = release
        return True

    def releases(self) -> frozenset[str]:
        """Return the releases that containers name: a slot that both releases share keeps its."""
        inventory, aim = self.setting.loaded.inventory, self.setting.aim
        states = cluster.observe(self.setting.fleet, self.names, inventory.project)
        there = expect.running(inventory, aim.site, states)
        return frozenset(each.release for each in there if each.release)

    def back(self) -> None:
        """Go back to the release that was in force before."""
        try:
            self.to(self.before)
        except RondoError as error:
            raise RondoError(
                f"release {self._current} is in force, and {self.before} was before: the way back "
                f"failed; run: fab rollback {self.before}\n  {error}"
            ) from error


@dataclass(slots=True)
class Ring:
    """Where the two sides meet."""

    aim: Aim
    options: Options
    windowing: Windowing
    say: Say
    switch: Switch | None = None
    _releases: frozenset[str] = frozenset()
    _number: int = 0

    def round(self, sides: Mapping[Side, Contender], first: Side) -> dict[str, Pair]:
        """Make the windows of one pair, of every kind; both kinds of a side stand together."""
        second: Side = "B" if first == "A" else "A"
        seen: dict[Side, dict[str, Window]] = {}
        for side in (first, second):
            seen[side] = self._windows(side, sides[side])
        return {kind: Pair(first, seen["A"][kind], seen["B"][kind]) for kind, _ in _KINDS}

    def _windows(self, side: Side, contender: Contender) -> dict[str, Window]:
        aim = replace(self.aim, servers=contender.servers)
        self._enter(aim, contender)
        return {kind: self._window(aim, side, contender, kind) for kind, _ in _KINDS}

    def _enter(self, aim: Aim, contender: Contender) -> None:
        if self.switch is None:
            return
        if self.switch.to(contender.release) or not self._releases:
            self._releases = self.switch.releases()
            # Fresh containers answer slowly at first; that is not what is compared.
            self.windowing.make(aim, "settling", _SETTLING, Witnessed())

    def _window(self, aim: Aim, side: Side, contender: Contender, kind: str) -> Window:
        witnessed = Witnessed(frozenset(contender.servers), self._releases)
        window = self.windowing.make(aim, f"{side}-{kind}", self.options.load(kind), witnessed)
        self._number += 1
        total = 2 * len(_KINDS) * self.options.pairs
        self.say(f"{self._number} of {total}: {contender.name}, {kind}: {_told(kind, window)}")
        return window


def _told(kind: str, window: Window) -> str:
    measures = next(measures for name, measures in _KINDS if name == kind)
    told = ", ".join(f"{each.value} {each.written(each.of(window))}" for each in measures)
    return told + (f", {window.lost:,} lost" if window.lost else "")


def contest(setting: Setting, text: str, options: Options) -> Outcome:
    """Compare two sides. Raises RondoError where no load could be made or no release switched."""
    aim, say = setting.aim, setting.say
    _refuse(aim, text, options)
    run = new_run(setting.loaded.root)
    with interruptible(), Witnesses(setting.fleet, aim, run.run, run.secret) as servers:
        sides, switch = _sides(setting, text, run)
        servers.open()
        ring = Ring(aim, options, Windowing(setting, run, run.secret), say, switch)
        say(_plan(run.run, sides, options))
        with _returning(switch):
            rounds = [
                ring.round({"A": sides[0], "B": sides[1]}, first)
                for first in versus.order(run.run, options.pairs)
            ]
    kinds = [(measures, [each[kind] for each in rounds]) for kind, measures in _KINDS]
    names = (sides[0].name, sides[1].name)
    judged = versus.judge(names, kinds, setting.loaded.inventory.proof.limits.errors)
    command = setting.command or _command(aim, names, options)
    page = windowed.write_contest(run.path, judged, kinds, command)
    return Outcome(judged, run.path, page)


def _refuse(aim: Aim, text: str, options: Options) -> None:
    words_of(text)
    if not aim.site:
        raise InputError(f"--versus needs a site of the inventory, and {aim.host} is none")
    if options.pairs < versus.FEWEST_PAIRS:
        raise InputError(
            f"--pairs {options.pairs} is too few to say anything; at least {versus.FEWEST_PAIRS}"
        )
    if options.connections < 1:
        raise InputError(f"--connections {options.connections}: at least 1 is needed")


@contextmanager
def _returning(switch: Switch | None) -> Iterator[None]:
    try:
        yield
    finally:
        if switch:
            switch.back()


def _sides(
    setting: Setting, text: str, run: RunFolder
) -> tuple[tuple[Contender, Contender], Switch | None]:
    inventory, aim = setting.loaded.inventory, setting.aim
    if any(servers_of(inventory, word) for word in words_of(text)):
        return contenders(inventory, aim, text, None), None
    names = operations.serving(inventory, setting.fleet.names)
    states = cluster.observe(setting.fleet, names, inventory.project)
    sides = contenders(inventory, aim, text, states)
    return sides, Switch(setting, names, run, release_in_force(states))


def _plan(run: str, sides: tuple[Contender, Contender], options: Options) -> str:
    each = 2 * len(_KINDS) * (options.seconds + OVERHEAD)
    switching = ", and the time to switch between them" if sides[0].release else ""
    return (
        f"run {run}: {sides[0].name} against {sides[1].name}, {options.pairs} pairs of windows of "
        f"{options.seconds:g} s, about {options.pairs * each / 60:.0f} minutes{switching}"
    )


def _command(aim: Aim, names: tuple[str, str], options: Options) -> str:
    words = ["inv", "prove", "--versus", ":".join(names), "--host", aim.host]
    words += ["--pairs", str(options.pairs), "--duration", f"{options.seconds:g}"]
    words += ["--connections", str(options.connections)]
    return shlex.join(words + (["--rate", f"{options.rate:g}"] if options.rate else []))
