"""`fab audit` as the operator sees it."""

from __future__ import annotations

import dataclasses
import json
from typing import TYPE_CHECKING

from rondo import audit
from rondo.errors import EXIT_DONE, InputError

if TYPE_CHECKING:
    from rondo.session import Session


def run_audit(session: Session, *, tail: int = 20, as_json: bool = False) -> int:
    """Print the last commands that changed the servers, the newest last."""
    if tail < 1:
        raise InputError(f"--tail {tail}: at least one line is shown")
    project = session.loaded.inventory.project
    entries, failure = audit.read(session.fleet, session.names, project, tail)
    if as_json:
        data = [dataclasses.asdict(entry) for entry in entries]
        print(json.dumps(data, indent=2))  # noqa: T201 - the answer itself
    else:
        rows = [_row(each) for each in entries]
        header = ("time", "by", "from", "command", "release", "result", "took", "servers")
        session.ui.table([header, *rows])
    if failure:
        raise failure
    return EXIT_DONE


def _row(entry: audit.Entry) -> tuple[str, ...]:
    told = (entry.time, entry.by, entry.origin, entry.command, entry.release or "-", entry.result)
    return (*told, f"{entry.seconds:.1f} s", ", ".join(entry.servers))
