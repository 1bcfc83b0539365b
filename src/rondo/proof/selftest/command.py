"""`inv prove.selftest`: what was typed, where the ledger is, and what is told at the end."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from rondo.errors import EXIT_DONE, EXIT_FAILED, InputError
from rondo.proof.selftest import matrix, stage
from rondo.proof.selftest import run as runs_of
from rondo.proof.selftest.ledger import Ledger

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from rondo.proof.selftest.matrix import Tally
    from rondo.ui import Ui

_LANES: Final = (1, stage.SERVERS)


def run(  # noqa: PLR0913 - each an option of the command
    ui: Ui, only: str, *, runs: int, healthy: int, lanes: int, short: bool, fresh: bool
) -> int:
    """Make the runs that are due, show the table, write it down; 1 if a row has not its share."""
    if lanes not in _LANES:
        raise InputError(f"--lanes {lanes}: the lab has {stage.SERVERS} servers; use 1 or 2")
    if min(runs, healthy) < 1:
        raise InputError("--runs and --healthy are numbers of runs: 1 or more")
    rows = matrix.choose([name.strip() for name in only.split(",") if name.strip()], short=short)
    root = stage.find().root
    ledger = _ledger(root, short=short, fresh=fresh)
    wanted = runs_of.Wanted(rows, *((1, 1) if short else (runs, healthy)), lanes)
    tallies, entries = runs_of.run(wanted, ledger, ui.note)
    _show(ui, tallies)
    if not short:
        path = runs_of.write(root, runs, healthy, entries)
        ui.note(f"written into {path.relative_to(root)}; every run is in {ledger.path}")
    return EXIT_DONE if all(each.enough for each in tallies) else EXIT_FAILED


def _ledger(root: Path, *, short: bool, fresh: bool) -> Ledger:
    """Find what was run before; what was counted is moved aside, never removed."""
    ledger = Ledger(root / (runs_of.SHORT_LEDGER if short else runs_of.LEDGER))
    if (short or fresh) and ledger.path.exists():
        ledger.path.replace(ledger.path.with_suffix(".before.jsonl"))
    return ledger


def _show(ui: Ui, tallies: Sequence[Tally]) -> None:
    head = ("row", "must say", "runs", "right", "made again", "what spoke")
    ui.table([head, *map(_line, tallies)])


def _line(tally: Tally) -> tuple[str, ...]:
    row = tally.row
    spoke = ", ".join(f"{key} {count}" for key, count in tally.spoke) or "-"
    must = " ".join((row.verdict.value, "/".join(row.keys))).strip()
    right = f"{tally.caught}" + ("" if tally.enough else " MISSED")
    return row.name, must, f"{tally.runs}/{tally.wanted}", right, f"{tally.repeated}", spoke
