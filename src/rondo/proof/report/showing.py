"""What `inv report` does: a verdict on the terminal, its page in the browser if there is one."""

from __future__ import annotations

import os
import sys
import webbrowser
from typing import TYPE_CHECKING

from rondo import terminal as tty
from rondo.errors import EXIT_DONE
from rondo.proof.report import PAGE, compare, read, write_run
from rondo.proof.report.terminal import show_run

if TYPE_CHECKING:
    from pathlib import Path

    from rondo.ui import Ui


def one(ui: Ui, folder: Path) -> int:
    """Show a past run."""
    run = read(folder)
    page = folder / PAGE
    if not page.exists():
        page = write_run(folder, run)
    show_run(ui, run)
    return _opened(ui, page)


def pair(ui: Ui, first: Path, second: Path) -> int:
    """Show two runs side by side; the page is written beside the second one's."""
    compare.show(ui, read(first), read(second))
    return _opened(ui, compare.write(second, first, second))


def _opened(ui: Ui, page: Path) -> int:
    ui.note(f"report: {page}")
    if tty.is_there() and _has_display():
        webbrowser.open(page.resolve().as_uri())
    return EXIT_DONE


def _has_display() -> bool:
    """Tell whether a page opened here would be seen: not over SSH, not in CI."""
    return sys.platform == "darwin" or any(map(os.environ.get, ("DISPLAY", "WAYLAND_DISPLAY")))
