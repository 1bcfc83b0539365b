"""What a failed change leaves on servers, removed: disk must not grow with deploys that fail."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rondo.errors import RondoError
from rondo.events import Event
from rondo.steps import BuildImage, CarryImage, Prune, PullImage, SendFiles

if TYPE_CHECKING:
    from rondo.course import Course
    from rondo.server import Remote

LEAVING = (BuildImage, CarryImage, PullImage, SendFiles)
"""Steps that leave something behind when what comes after them fails."""


def tidy(course: Course) -> None:
    """Remove what neither a recorded release nor the one that failed needs, where that is possible.

    What the failed one needs is kept: it is asked for again when the cause is mended.
    """
    servers = {step.server for step in course.plan.steps if isinstance(step, LEAVING)}
    if course.fleet.closed or not servers:
        return
    course.emit(Event("phase", "prune after the failure"))

    def prune(remote: Remote) -> None:
        records = tuple(course.applier.states[remote.name].records)
        step = Prune(remote.name, "nothing shall pile up", records)
        try:
            course.applier(step, remote)
        except RondoError as error:
            course.emit(Event("note", f"not tidied: {error}", remote.name))

    for result in course.fleet.each(prune, sorted(servers)).values():
        result.get()
