"""Comparisons and the search for the knee as the operator sees them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from rondo.errors import InputError
from rondo.proof import climb, conduct, contest
from rondo.proof.report import windowed
from rondo.proof.verdict import EXIT_CODES

if TYPE_CHECKING:
    from pathlib import Path

    from rondo.proof.report.windowed import Table
    from rondo.proof.verdict import Status
    from rondo.proof.windowing import Setting
    from rondo.ui import Ui

FEWEST_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class Wish:
    """What was typed."""

    versus: str = ""
    knee: bool = False
    pairs: int = 8
    connections: int = contest.CONNECTIONS

    @property
    def given(self) -> bool:
        """Whether anything but a plain proof was asked for."""
        return bool(self.versus) or self.knee


def measure(ui: Ui, setting: Setting, wish: Wish, options: conduct.Options) -> int:
    """Compare, or search; print the table and the sentence, and return the exit code."""
    seconds = options.duration
    if wish.versus and wish.knee:
        raise InputError("--versus and --knee are two things; give one of them")
    if seconds is not None and seconds < FEWEST_SECONDS:
        raise InputError(f"--duration {seconds:g}: a window takes at least {FEWEST_SECONDS:g} s")
    told = _searched(setting, options) if wish.knee else _compared(setting, wish, options)
    return _tell(ui, told, setting.loaded.root)


@dataclass(frozen=True, slots=True)
class _Told:
    table: Table
    status: Status
    sentence: str
    page: Path


def _searched(setting: Setting, options: conduct.Options) -> _Told:
    wanted = climb.Options(options.rate, options.duration or climb.STAGE)
    found = climb.climb(setting, wanted)
    table = windowed.stage_table(found.knee)
    return _Told(table, found.knee.status, found.knee.sentence, found.page)


def _compared(setting: Setting, wish: Wish, options: conduct.Options) -> _Told:
    seconds = options.duration or contest.WINDOW
    wanted = contest.Options(wish.pairs, seconds, options.rate, wish.connections)
    found = contest.contest(setting, wish.versus, wanted)
    table = windowed.comparison_table(found.contest)
    return _Told(table, found.contest.status, found.contest.sentence, found.page)


def _tell(ui: Ui, told: _Told, root: Path) -> int:
    if told.table.rows:
        ui.table([told.table.head, *told.table.rows])
    ui.note("")
    ui.judged(told.status.value, told.sentence)
    page = told.page
    ui.note(f"report: {page.relative_to(root) if page.is_relative_to(root) else page}")
    return EXIT_CODES[told.status]
