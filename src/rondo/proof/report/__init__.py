"""The report of a run: one HTML file for people, run.json and junit.xml for programs.

    evidence + verdict --series, origins--> Run (run.json) --charts--> report.html
                                                      └--> junit.xml, terminal, comparison

Everything shown is in run.json first, so a past run can be drawn again, or beside another one.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from rondo.proof.report import junit, page
from rondo.proof.report.describe import describe
from rondo.proof.report.runfile import RUN_FILE, Run, read

if TYPE_CHECKING:
    from pathlib import Path

    from rondo.proof.evidence import Evidence
    from rondo.proof.verdict import Verdict

__all__ = ["PAGE", "RUN_FILE", "Run", "describe", "read", "write", "write_run"]

PAGE = "report.html"
JUNIT = "junit.xml"


def write(folder: Path, evidence: Evidence, verdict: Verdict) -> Path:
    """Write report.html, run.json and junit.xml into a run's folder; return the page's path."""
    return write_run(folder, describe(evidence, verdict))


def write_run(folder: Path, run: Run) -> Path:
    """Write the three files of a run that is already described."""
    _replace(folder / RUN_FILE, run.text())
    _replace(folder / JUNIT, junit.render(run))
    _replace(folder / PAGE, page.render(run))
    return folder / PAGE


def _replace(path: Path, text: str) -> None:
    """Write whole files only: a page that is open in a browser may be loaded again at any time."""
    fresh = path.with_name(f".{path.name}.new")
    # What servers said may hold halves of characters, which no file can.
    fresh.write_text(text, encoding="utf-8", errors="replace")
    os.replace(fresh, path)  # noqa: PTH105 - the two are in one folder
