"""A change of the cluster proved as it happens: loaded before it, all through it, and after."""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from rondo import cluster
from rondo.errors import EXIT_FAILED, InputError, Interrupted, RondoError, of_a_proof
from rondo.events import Event, fan_out, journal, redacted
from rondo.layout import Layout
from rondo.proof import expect, nginxconf, telling
from rondo.proof.conduct import Load, Options, aim_at, generate, interruptible, told, write_brief
from rondo.proof.evidence import Mark, MarkKind
from rondo.proof.inquiry import Inquiry
from rondo.proof.runs import new_run, typed

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rondo.attendance import Ending
    from rondo.events import Emit
    from rondo.proof.aim import Aim
    from rondo.proof.conduct import Say
    from rondo.proof.runs import RunFolder
    from rondo.session import Session
    from rondo.state import ServerState

Change = Callable[["Emit"], bool]
"""What is proved: it tells what it does, and returns whether there was anything to do."""
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


def proving(
    session: Session, change: Change, show: Emit, ending: Ending, back: Return | None = None
) -> int:
    """Make a change under load and judge both; return 0 if it was made and the site held.

    A change that is done goes `back` when its proof fails; a run that was not sound proves nothing
    against it. The hook after it, the `ending`, hears of the verdict, and of the way back.

    Raises the RondoError of a change that failed, when what the clients saw of it is told, and
    UsageError if something that was written is wrong.
    """
    with of_a_proof():
        chosen = aim_at(session.loaded, names=session.names)
        states = cluster.observe(session.fleet, chosen.servers, session.loaded.inventory.project)
        proof = _Proof(session, *loadable(chosen, states), new_run(session.loaded.root))
        emit = fan_out(show, journal(proof.run.events))
        return ending.await_verdict(
            lambda: _proving(proof, change, emit, back), redacted(emit, session.fleet.redact)
        )


@dataclass(frozen=True, slots=True)
class _Proof:
    """What a change is proved by."""

    session: Session
    aim: Aim
    left_out: tuple[str, ...]
    run: RunFolder


def _proving(proof: _Proof, change: Change, emit: Emit, back: Return | None) -> int:
    session, run, course = proof.session, proof.run, Course()
    root, ui = session.loaded.root, session.ui
    try:
        with interruptible(), Inquiry(proof.aim, session.fleet, run) as inquiry:
            inquiry.notes += proof.left_out
            inquiry.command = typed(sys.argv)
            _under_load(inquiry, lambda sink: course.go(change, sink), emit, ui.note)
            outcome = inquiry.conclude(cut=True, undone=bool(course.failure))
    except Interrupted as error:
        raise Interrupted(f"{error}{course.told}") from None
    verdict = telling.tell(ui, outcome, root)
    if course.failure:
        raise course.failure
    if verdict == EXIT_FAILED and back and back(emit, f"the proof {run.run} failed"):
        ui.warn("everything is back as it was before; what did not hold under load stands above")
    elif verdict and course.made:
        ui.warn("the change itself is done; what did not hold under load stands above")
    return verdict


def _under_load(inquiry: Inquiry, change: Change, emit: Emit, say: Say) -> None:
    """Make a change while the site is loaded: before it, all through it, and after."""
    inquiry.open()
    brief = write_brief(inquiry, Options(duration=LONGEST))
    say(told(inquiry.aim, brief))
    with generate(inquiry, brief) as generator:
        inquiry.look()
        load = Load(generator, brief, inquiry, say)
        load.steady(brief.warm_up + BEFORE)
        assert inquiry.aim.loaded  # noqa: S101 - a change is one of an inventory's servers
        marks = Marks(inquiry.aim.loaded.inventory.project, inquiry.marks)
        marks.around(change, fan_out(emit, marks))
        load.steady(AFTER)
        load.stop()


def loadable(aim: Aim, states: Mapping[str, ServerState]) -> tuple[Aim, tuple[str, ...]]:
    """Aim at the servers that serve a site before a change; say which are left out.

    Raises InputError if none does: nothing could be held against what comes after.
    """
    assert aim.loaded  # noqa: S101 - as above
    inventory = aim.loaded.inventory
    path = Layout(inventory.project).site_file
    there = tuple(
        name
        for name in aim.servers
        if states[name].current
        and expect.in_force(
            expect.upstreams(inventory, aim.site, [name]),
            nginxconf.upstreams(states[name].files.get(path, "")),
        )
    )
    missing = ", ".join(name for name in aim.servers if name not in there)
    if not there:
        raise InputError(
            f"the site {aim.site} does not run whole on {missing} yet, so that nothing can be "
            f"loaded before the change; nothing was touched. Do it without --prove, then: inv prove"
        )
    left_out = f"{missing}: {aim.site} did not run whole there before the change, so that it was "
    left_out += "not loaded; prove it by itself: inv prove"
    return replace(aim, servers=there), (left_out,) if missing else ()


@dataclass(slots=True)
class Course:
    """How far a change has come."""

    made: bool | None = None
    """Whether there was anything to do, once it is done."""
    failure: RondoError | None = None
    """Why it was not."""

    def go(self, change: Change, emit: Emit) -> bool:
        """Make the change; a failure is kept until what the clients saw of it is told."""
        try:
            self.made = change(emit)
        except Interrupted:
            raise
        except RondoError as error:
            self.failure = error
        return bool(self.made)

    @property
    def told(self) -> str:
        """What is to be said of the change where its proof comes to no end."""
        if self.failure:
            return f"\nThe change itself had failed before: {self.failure}"
        if not self.made:
            return ""
        return (
            "\nThe change itself is done and in force, only its proof is not: `inv prove` proves "
            "what runs, `fab rollback` goes back"
        )


class Marks:
    """Makes marks of a change's events, by the operator's clock."""

    def __init__(self, project: str, marks: list[Mark]) -> None:
        self._project = project
        self._marks = marks

    def around(self, change: Change, emit: Emit) -> bool:
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
