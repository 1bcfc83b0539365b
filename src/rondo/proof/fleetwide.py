"""`fab prove`: a proof of the chosen servers, whose load may be made on servers as well."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from rondo.errors import InputError, of_a_proof
from rondo.proof import conduct, measuring, placing, telling
from rondo.proof.aim import aim_at
from rondo.proof.runs import typed
from rondo.proof.windowing import Setting

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from rondo.proof.placing import Placed
    from rondo.session import Session


def run_prove(
    session: Session,
    *,
    host: str,
    wish: Mapping[str, Any],
    place: Mapping[str, Any],
    **typed: str,
) -> int:
    """Load the site and judge it; 0 passed, 1 failed, 2 asked for wrongly, 3 says neither."""
    with of_a_proof():
        return _prove(session, host, measuring.Wish(**wish), place, conduct.options(**typed))


def _prove(
    session: Session,
    host: str,
    asked: measuring.Wish,
    place: Mapping[str, Any],
    options: conduct.Options,
) -> int:
    loaded, ui = session.loaded, session.ui
    aim, command = aim_at(loaded, host=host, names=session.names), typed(sys.argv)
    with _placed(session, **place) as there:
        led, count = (there.options, there.count) if there else ((), 1)
        if asked.given:
            setting = Setting(loaded, aim, session.fleet, ui.note, led, count, command)
            return measuring.measure(ui, setting, asked, options)
        options = replace(options, led=led)
        outcome = conduct.prove(aim, session.fleet, options, ui.note, command)
    return telling.tell(ui, outcome, loaded.root)


@contextmanager
def _placed(
    session: Session, *, workers: str, processes: int, keep_image: bool
) -> Iterator[Placed | None]:
    if not workers:
        if processes or keep_image:
            raise InputError("--processes and --keep-image are for --workers; name some servers")
        yield None
        return
    if processes < 0:
        raise InputError(f"--processes {processes}: at least 1, or 0 for one for each processor")
    loaded = session.loaded
    wish = placing.Wish(placing.chosen(loaded.inventory, workers), processes, keep_image)
    with placing.placed(loaded, session.fleet, wish, session.ui.note) as there:
        yield there
