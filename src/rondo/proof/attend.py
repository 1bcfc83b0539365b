"""The witnesses of a load that somebody makes with Locust by hand: a process beside it.

    python -m rondo.proof.attend RUN-FOLDER --host https://shop.example.com

It says in one line of JSON when the servers are ready, waits until its standard input is closed,
then hears them, judges, reports, and ends with the verdict's exit code.
"""

from __future__ import annotations

import argparse
import json
import os
import secrets
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from rondo import source
from rondo.errors import RondoError
from rondo.fleet import Fleet
from rondo.proof import telling
from rondo.proof.aim import aim_at
from rondo.proof.brief import Brief
from rondo.proof.inquiry import Inquiry
from rondo.proof.runs import RunFolder, span
from rondo.ui import Ui

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rondo.proof.aim import Aim

_EARLY = 1.0
"""Seconds before the planned end from which on a load was not ended by hand."""


def main(words: Sequence[str] | None = None) -> int:
    """Watch over one run; return its exit code."""
    parser = argparse.ArgumentParser(prog="python -m rondo.proof.attend")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--host", required=True)
    given = parser.parse_args(words)
    try:
        loaded = source.load() if os.environ.get(source.VARIABLE) else None
        return _attend(aim_at(loaded, host=given.host), given.folder)
    except RondoError as error:
        _say({"error": str(error)})
        return error.exit_code


def _attend(aim: Aim, folder: Path) -> int:
    ui = Ui()
    run = RunFolder(folder.name.rpartition("-")[2], secrets.token_hex(16), folder)
    names = aim.servers if aim.loaded else ()
    fleet = (
        Fleet(aim.loaded.inventory, aim.loaded.root, names, note=ui.warn) if aim.loaded else None
    )
    try:
        with Inquiry(aim, fleet, run) as inquiry:
            inquiry.open()
            authority = str(aim.authority) if aim.authority else None
            _say(
                {
                    "secret": inquiry.secret,
                    "addresses": list(aim.addresses),
                    "authority": authority,
                }
            )
            inquiry.look()
            sys.stdin.read()
            return telling.tell(ui, inquiry.conclude(cut=_by_hand(folder)), Path.cwd())
    finally:
        if fleet:
            fleet.close()


def _by_hand(folder: Path) -> bool:
    """Tell whether somebody ended the load before its time."""
    brief, found = Brief.read(folder / "brief.json"), span(folder)
    return found is not None and found[1] < found[0] + brief.duration - _EARLY


def _say(told: dict[str, object]) -> None:
    print(json.dumps(told), flush=True)  # noqa: T201 - the protocol


if __name__ == "__main__":
    sys.exit(main())
