"""A change of the cluster proved as it happens: loaded before it, all through it, and after."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from rondo.errors import EXIT_DONE, EXIT_FAILED, InputError, Interrupted, RondoError, UsageError
from rondo.events import Event, fan_out, journal
from rondo.proof import telling
from rondo.proof.conduct import Load, Options, aim_at, generate, interruptible, told, write_brief
from rondo.proof.evidence import Mark, MarkKind
from rondo.proof.inquiry import Inquiry
from rondo.proof.runs import new_run

if TYPE_CHECKING:
    from rondo.events import Emit
    from rondo.session import Session

Change = Callable[["Emit"], int]
"""What is proved: it tells what it does, and returns an exit code."""
Return = Callable[["Emit", str], bool]
"""The way back from a change that is done, for a reason; tells whether there was one to go."""

LONGEST: Final = 6 * 3600.0
"""A load that waits for a change would end by itself after so long."""
BEFORE: Final = 8.0
"""Seconds of load before a change: what its phases are held against."""
AFTER: Final = 5.0
_SLOT_NEWS: Final = re.compile(r"(?P<kind>switched|drained) (?P<name>[a-z0-9-]+)")
_KINDS: Final[dict[str, MarkKind]] = {
    "phase": "phase",
    "start": "start",
    "done": "done",
    "failed": "failed",
}


def proving(session: Session, change: Change, show: Emit, back: Return | None = None) -> int:
    """Make a change under load and judge both; return 0 if it was made and the site held.

    A change that is done goes `back` when its proof fails; a run that was not sound proves nothing
    against it.

    Raises the RondoError of a change that failed, when what the clients saw of it is told, and
    UsageError if something that was written is wrong.
    """
    try:
        return _proving(session, change, show, back)
    except InputError as error:
        raise UsageError(str(error)) from None


def _proving(session: Session, change: Change, show: Emit, back: Return | None) -> int:
    loaded, ui = session.loaded, session.ui
    aim = aim_at(loaded, names=session.names)
    run = new_run(loaded.root)
    failure: RondoError | None = None
    code = EXIT_DONE
    with interruptible(), Inquiry(aim, session.fleet, run) as inquiry:
        inquiry.open()
        brief = write_brief(inquiry, Options(duration=LONGEST))
        ui.note(told(aim, brief))
        with generate(inquiry, brief) as generator:
            inquiry.look()
            load = Load(generator, brief, inquiry, ui.note)
            load.steady(brief.warm_up + BEFORE)
            marks = Marks(loaded.inventory.project, inquiry.marks)
            try:
                code = marks.around(change, fan_out(show, marks, journal(run.events)))
            except Interrupted:
                raise
            except RondoError as error:
                failure = error
            load.steady(AFTER)
            load.stop()
        outcome = inquiry.conclude(cut=True)
    verdict = telling.tell(ui, outcome, loaded.root)
    if failure:
        raise failure
    emit = fan_out(show, journal(run.events))
    if verdict == EXIT_FAILED and back and back(emit, f"the proof {run.run} failed"):
        ui.warn("everything is back as it was before; what did not hold under load stands above")
    elif verdict:
        ui.warn("the change itself is done; what did not hold under load stands above")
    return code or verdict


class Marks:
    """Makes marks of a change's events, by the operator's clock."""

    def __init__(self, project: str, marks: list[Mark]) -> None:
        self._project = project
        self._marks = marks

    def around(self, change: Change, emit: Emit) -> int:
        """Make a change between two marks."""
        self._marks.append(Mark(time.time(), "begin", "the change begins"))
        try:
            return change(emit)
        finally:
            self._marks.append(Mark(time.time(), "end", "the change is over"))

    def __call__(self, event: Event) -> None:
        """Take an event for a mark if it is one."""
        text = event.text.partition("\n")[0]
        if kind := _KINDS.get(event.kind):
            self._marks.append(Mark(event.at, kind, text, event.server))
        elif event.kind == "line" and (news := _SLOT_NEWS.fullmatch(text)):
            slot = slot_in(self._project, news["name"])
            told: MarkKind = "switched" if news["kind"] == "switched" else "drained"
            self._marks.append(Mark(event.at, told, text, event.server, slot))


def slot_in(project: str, name: str) -> str:
    """Return the slot that is told of: by its own name, or by that of its container."""
    container = re.fullmatch(rf"{re.escape(project)}-(?P<slot>.+-[0-9]+)-[0-9a-f]{{8}}", name)
    return container["slot"] if container else name
