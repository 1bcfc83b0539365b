"""What an operator is told of a proof: a sentence for each check, and one for the whole."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rondo.proof.report import terminal

if TYPE_CHECKING:
    from pathlib import Path

    from rondo.proof.inquiry import Outcome
    from rondo.ui import Ui


def tell(ui: Ui, outcome: Outcome, root: Path) -> int:
    """Print the verdict, and return its exit code."""
    for note in outcome.evidence.notes:
        ui.warn(note)
    terminal.show(ui, outcome.verdict)
    page = outcome.page
    ui.note(f"report: {page.relative_to(root) if page.is_relative_to(root) else page}")
    return outcome.verdict.exit_code
