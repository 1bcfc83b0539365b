"""What a failed change leaves on servers, removed: disk must not grow with deploys that fail."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rondo.errors import RondoError
from rondo.events import Event
from rondo.roll import settles
from rondo.steps import BuildImage, CarryImage, FillSlot, Prune, PullImage, SendFiles

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rondo.course import Course
    from rondo.server import Remote
    from rondo.steps import Step

LEAVING = (BuildImage, CarryImage, PullImage, SendFiles)
"""Steps that leave something behind when what comes after them fails."""


def tidy(course: Course, *, went_back: bool) -> None:
    """Remove what neither a recorded release nor the one that failed needs, where that is possible.

    What the failed one needs is kept: it is asked for again when the cause is mended.
    """
    if course.fleet.closed:
        return
    if not went_back:
        _tidy(course, "settle after the failure", tuple(settles(_moved(course))))
    _tidy(course, "prune after the failure", tuple(_prunes(course)))


def _moved(course: Course) -> Iterator[FillSlot]:
    """Yield the slots whose old containers may still be stopping."""
    return (step for step in course.done if isinstance(step, FillSlot))


def _prunes(course: Course) -> Iterator[Prune]:
    if not course.applier.material.release.servers:
        # Made from records alone: what contexts and images are wanted now is not known here.
        return
    for server in sorted({each.server for each in course.plan.steps if isinstance(each, LEAVING)}):
        records = tuple(course.applier.states[server].records)
        yield Prune(server, "nothing shall pile up", records)


def _tidy(course: Course, phase: str, steps: Sequence[Step]) -> None:
    if not steps:
        return
    course.emit(Event("phase", phase))
    by_server = {step.server: step for step in steps}

    def take(remote: Remote) -> None:
        try:
            course.applier(by_server[remote.name], remote)
        except RondoError as error:
            course.emit(Event("note", f"not tidied: {error}", remote.name))

    for result in course.fleet.each(take, tuple(by_server)).values():
        result.get()
