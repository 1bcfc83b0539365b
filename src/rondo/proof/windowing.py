"""Windows of load on a site, made one after the other: a load generator for each."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

from rondo.errors import RondoError
from rondo.proof import collect, windows
from rondo.proof.brief import make_brief
from rondo.proof.generator import Generator, loadtests_of
from rondo.proof.runs import span

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from rondo.fleet import Fleet
    from rondo.proof.aim import Aim
    from rondo.proof.brief import Brief
    from rondo.proof.runs import RunFolder
    from rondo.proof.windows import Window
    from rondo.source import Loaded

OVERHEAD: Final = 4.0
"""Seconds that a window takes beside its load, about: mostly the start of the load generator."""
_MARGIN: Final = 60.0
_LOOK: Final = 0.5


@dataclass(frozen=True, slots=True)
class Setting:
    """What is loaded, and who is told."""

    loaded: Loaded
    aim: Aim
    fleet: Fleet
    """Of all the inventory's servers that a release is on."""
    say: Callable[[str], None]
    led: tuple[str, ...] = ()
    """Options of a Locust master whose workers wait for it elsewhere."""
    workers: int = 1
    """Load generators that must have reported."""
    command: str = ""
    """What was typed for it; empty where that is not known."""


@dataclass(frozen=True, slots=True)
class Load:
    """What one window asks of the site: a rate, or connections that ask without a pause."""

    seconds: float
    rate: float | None = None
    closed: int | None = None


@dataclass(frozen=True, slots=True)
class Witnessed:
    """Who may answer a window; a set that is empty is not looked at."""

    servers: frozenset[str] = frozenset()
    releases: frozenset[str] = frozenset()


@dataclass(slots=True)
class Windowing:
    """Makes windows below the folder of a run, which holds what each generator wrote."""

    setting: Setting
    run: RunFolder
    secret: str = ""
    """What makes the servers say who answered; empty where they were not asked to."""
    _made: int = field(default=0)

    def make(self, aim: Aim, name: str, load: Load, witnessed: Witnessed) -> Window:
        """Load the site for a while, and measure.

        Raises RondoError if no load could be made.
        """
        self._made += 1
        folder = self.run.path / "windows" / f"{self._made:03}-{name}"
        folder.mkdir(mode=0o700, parents=True)
        brief = self._brief(aim, load)
        brief.write(folder / "brief.json")
        self._generate(folder, brief)
        return self._measured(folder, brief, witnessed)

    def _brief(self, aim: Aim, load: Load) -> Brief:
        inventory, authority = self.setting.loaded.inventory, aim.authority
        return make_brief(
            inventory.proof,
            inventory,
            run=self._own_run(),
            secret=self.secret,
            host=aim.host,
            addresses=aim.addresses,
            authority=str(authority) if authority else None,
            rate=load.rate,
            duration=load.seconds,
            closed=load.closed,
        )

    def _own_run(self) -> str:
        """Return an id for the window: users of two windows must not say the same things."""
        return hashlib.sha256(f"{self.run.run} {self._made}".encode()).hexdigest()[:12]

    def _generate(self, folder: Path, brief: Brief) -> None:
        options = ("--host", brief.host, *self.setting.led)
        limit = brief.duration + brief.timeout + _MARGIN
        with Generator(folder, loadtests_of(self.setting.loaded.root), options) as generator:
            if not generator.wait(limit):
                raise RondoError(
                    f"a window of {brief.duration:g} s had not ended after {limit:g} s; the load "
                    f"generator was ended, its last words:\n  {generator.last_words()}"
                )
            generator.demand()

    def _measured(self, folder: Path, brief: Brief, witnessed: Witnessed) -> Window:
        requests, reports = collect.read_requests(folder)
        began, _ = span(folder) or (0.0, 0.0)
        window = windows.measure(requests, brief, began, reports)
        others = windows.strangers(requests, witnessed.servers, witnessed.releases)
        wanted = self.setting.workers
        if len(reports) < wanted and not window.broken:
            others = f"{len(reports)} of {wanted} load generators reported"
        return replace(window, broken=window.broken or others)
