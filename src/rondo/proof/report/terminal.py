"""The verdict on the operator's terminal: a sentence for each check, and one for the whole."""

from __future__ import annotations

import shutil
import textwrap
from typing import TYPE_CHECKING

from rondo.proof.verdict import Check, Status, Verdict

if TYPE_CHECKING:
    from rondo.proof.report.runfile import CheckResult, Run
    from rondo.ui import Ui

_WORD = 8
"""Columns of a status and the space behind it."""
_TELLING = {Status.FAIL.value, Status.INVALID.value}


def show(ui: Ui, verdict: Verdict) -> None:
    """Print a verdict; of what did not pass also what was expected, observed and allowed."""
    for check in verdict.checks:
        _show_check(ui, check.status.value, check)
    ui.note("")
    _line(ui, verdict.status.value, verdict.sentence)


def show_run(ui: Ui, run: Run) -> None:
    """Print the verdict of a past run."""
    for check in run.checks:
        _show_check(ui, check.status, check)
    ui.note("")
    _line(ui, run.status, run.sentence)


def _show_check(ui: Ui, status: str, check: Check | CheckResult) -> None:
    _line(ui, status, f"{check.title}: {check.sentence}")
    if status in _TELLING:
        told = {"expected": check.expected, "observed": check.observed, "bound": check.bound}
        for name, text in told.items():
            if text:
                ui.note(_wrapped(f"{name + ':':<10}{text}", _WORD, _WORD + 10))


def _line(ui: Ui, status: str, text: str) -> None:
    ui.judged(status, _wrapped(text, _WORD, _WORD).lstrip())


def _wrapped(text: str, first: int, rest: int) -> str:
    """Break lines as wide as the terminal, and indent the first and the others."""
    return textwrap.fill(
        text,
        max(shutil.get_terminal_size((100, 24)).columns, 60),
        initial_indent=" " * first,
        subsequent_indent=" " * rest,
        break_on_hyphens=False,
        break_long_words=False,
    )
