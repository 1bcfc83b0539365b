"""A change of the cluster, whatever its plan: lock, observe, plan, apply; and back if it fails."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rondo import cluster
from rondo.apply import Applier
from rondo.attendance import attended
from rondo.audit import audited
from rondo.course import Course, lasting, places, standing
from rondo.errors import InputError, Interrupted, LockedError, PreflightError, RondoError
from rondo.events import Event
from rondo.gather import Material
from rondo.interruption import Interruption
from rondo.plan import Plan
from rondo.release import Recorded, Release
from rondo.revert import hindrances, make_revert_plan
from rondo.roll import pace_of
from rondo.tidying import tidy
from rondo.units import seconds_of

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Sequence

    from rondo.cluster import Locks
    from rondo.course import Failure
    from rondo.events import Emit
    from rondo.fleet import Fleet
    from rondo.inventory import Inventory
    from rondo.state import ServerState

TOLD_AGAIN = 15
"""Lines of a failed step that are told once more at the end."""
_NOT_BACK = (
    "nothing was put back. `fab history` shows what is in force, `fab rollback RELEASE` goes back"
)
Planner = Callable[[Mapping[str, "ServerState"]], "Plan"]
"""From what runs to a plan; it is asked again under the lock."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a change did, and what it found before."""

    plan: Plan
    states: Mapping[str, ServerState]


@dataclass(frozen=True, slots=True)
class Manner:
    """How a change is made, whatever it changes."""

    revert: bool = True
    """Whether slots that moved go back when something fails."""
    wait: float = 0.0
    """Seconds to wait for somebody else's change to end."""
    outage: bool = False
    """Whether a service may be without any slot for a moment."""


USUAL = Manner()


def command_line(inventory: Inventory, names: Sequence[str], *words: str) -> str:
    """Return what is typed to do something on these servers; nobody names all of them."""
    every = {name for name, server in inventory.servers.items() if not server.edge}
    chosen = () if every <= {*names} else ("-H", ",".join(names))
    return " ".join(("fab", *chosen, *(word for word in words if word)))


def manner_of(*, no_revert: bool = False, wait: str = "", outage: bool = False) -> Manner:
    """Return how a change is to be made, as the command line says.

    Raises InputError for a time that is none.
    """
    try:
        seconds = seconds_of(wait or 0)
    except ValueError as error:
        raise InputError(f"--wait: {wait!r} {error}") from None
    return Manner(revert=not no_revert, wait=float(str(seconds)), outage=outage)


@dataclass(frozen=True, slots=True)
class Change:
    """What is to be done, and with what."""

    inventory: Inventory
    command: str
    """What is typed for it, like `fab deploy`."""
    purpose: str
    """What others are told who come second."""
    plan: Planner
    material: Callable[[Plan], Material]
    manner: Manner = USUAL


def recorded_material(project: str, plan: Plan) -> Material:
    """Return what a plan made from records is carried out with: nothing is sent for it."""
    release = Release(project, servers={}, images={}, recorded=Recorded(plan.release, ""))
    return Material(release, contexts={}, environments={}, certificates={})


def carry_out(change: Change, fleet: Fleet, names: Sequence[str], emit: Emit) -> Outcome:
    """Make a change under the lock of the cluster; what moved goes back if any of it fails.

    Raises RondoError of the steps that failed, with what serves where from now on.
    """
    project, wait = change.inventory.project, change.manner.wait
    with (
        attended(change.inventory, change.purpose, fleet, names, emit) as account,
        Interruption(emit) as interruption,
        cluster.locked(fleet, names, project, change.purpose, wait=wait, emit=emit) as locks,
    ):
        # Somebody else may have finished between the first look and the lock.
        states = cluster.observe(fleet, names, project)
        plan = change.plan(states)
        account.release = plan.release
        if not change.manner.outage:
            refuse_outages(plan)
        for note in plan.notes:
            emit(Event("note", note))
        attempt = _Attempt(change, fleet, states, _Hearing(emit), interruption, locks)
        attempt.make(plan)
    return Outcome(plan, states)


def refuse_outages(plan: Plan) -> None:
    """Raise PreflightError if a batch leaves a service without any slot on a server."""
    lines = "\n".join(f"  {each}" for phase in plan.phases for each in phase.outages)
    if lines:
        raise PreflightError(f"not without an outage; nothing was touched:\n{lines}")


def put_back(change: Change, fleet: Fleet, made: Outcome, emit: Emit) -> Outcome:
    """Return the servers to what they served before a change that was completed.

    Raises RondoError when that does not succeed everywhere, and when somebody has changed them
    since, or does so now: that is not ours to undo.
    """
    project, names, wait = change.inventory.project, tuple(made.states), change.manner.wait
    with (
        audited(fleet, names, project, change.purpose),
        Interruption(emit) as interruption,
        _locked_to_return(change, fleet, names, wait, emit) as locks,
    ):
        _refuse_overtaken(made, cluster.look(fleet, names, project)[0])
        attempt = _Attempt(change, fleet, made.states, _Hearing(emit), interruption, locks)
        back = attempt.go_back()
        for note in sorted({*back.plan.notes} - {*hindrances(back.plan)}):
            emit(Event("note", note))
        if not back.sound:
            raise RondoError(back.told)
    return Outcome(back.plan, made.states)


@contextmanager
def _locked_to_return(
    change: Change, fleet: Fleet, names: Sequence[str], wait: float, emit: Emit
) -> Iterator[Locks]:
    """Hold the lock of the cluster; somebody else who has it keeps what is in force there."""
    with ExitStack() as stack:
        try:
            locks = stack.enter_context(
                cluster.locked(
                    fleet, names, change.inventory.project, change.purpose, wait=wait, emit=emit
                )
            )
        except LockedError as error:
            raise RondoError(f"{str(error).partition(';')[0]}; {_NOT_BACK}") from None
        yield locks


def _refuse_overtaken(made: Outcome, now: Mapping[str, ServerState]) -> None:
    release = made.plan.release
    since = [name for name, state in now.items() if state.current != release]
    if since:
        raise RondoError(
            f"{', '.join(since)}: release {release} is no longer in force, somebody has changed "
            f"the cluster since; {_NOT_BACK}"
        )


class _Hearing:
    """Passes events on, and keeps what each server said last in a step."""

    def __init__(self, emit: Emit) -> None:
        self._emit = emit
        self._said: dict[str, deque[str]] = {}
        self._failed: dict[str, tuple[str, ...]] = {}

    def __call__(self, event: Event) -> None:
        """Take an event."""
        if event.kind == "start":
            self._said[event.server] = deque(maxlen=TOLD_AGAIN)
        elif event.kind == "line" and event.server in self._said:
            self._said[event.server].append(event.text)
        elif event.kind == "failed":
            # Other slots of the server may begin before this one is told of.
            self._failed.setdefault(event.server, tuple(self._said.get(event.server, ())))
        self._emit(event)

    def last_lines(self, failures: Iterable[Failure]) -> str:
        """Return what the servers of failed steps said last, below one another."""
        servers = dict.fromkeys(failure.step.server for failure in failures)
        return "".join(
            f"  {name} | {line}\n" for name in servers for line in self._failed.get(name, ())
        )


@dataclass(frozen=True, slots=True)
class _Back:
    """How a way back went."""

    plan: Plan
    sound: bool
    told: str


@dataclass(frozen=True, slots=True)
class _Attempt:
    """A change under the lock."""

    change: Change
    fleet: Fleet
    before: Mapping[str, ServerState]
    emit: _Hearing
    interruption: Interruption
    locks: Locks

    def make(self, plan: Plan) -> None:
        """Carry out a plan; go back if it fails."""
        course = self._course(plan, self.change.material(plan), to_the_end=False)
        try:
            course.run()
        except KeyboardInterrupt:
            self.fleet.close()
            raise Interrupted(f"interrupted\n{self._abrupt(course)}") from None
        except RondoError as error:
            told = self._answer(course)
            # What went wrong is told, however impatient somebody gets with what is swept up.
            with suppress(RondoError, KeyboardInterrupt):
                tidy(course, went_back=self.change.manner.revert)
            raise type(error)(f"{error}\n{told}") from None

    def _course(self, plan: Plan, material: Material, *, to_the_end: bool) -> Course:
        applier = Applier(
            material=material,
            states=self.before,
            build=self.change.inventory.settings.build,
            emit=self.emit,
            author=cluster.author(),
            created=cluster.now(),
        )
        return Course(
            plan, self.fleet, applier, self.emit, self.interruption, to_the_end, self.locks.keep
        )

    def _answer(self, course: Course) -> str:
        """Do what is to be done after a failure, and say where things stand then."""
        if self.fleet.closed:
            return self._abrupt(course)
        if course.all_but_pruned:
            return f"Release {course.plan.release} is in force; only cleaning up is left."
        again = f"Mend the cause and run `{self.change.command}` again."
        if not course.begun:
            return _sentences(standing(course), self._lasting(course), again)
        if not self.change.manner.revert:
            left = "Left so, as asked."
            return _sentences(standing(course), left, self._lasting(course), again)
        # The way back is long on the screen: what happened is told once more below it.
        said = self.emit.last_lines(course.failures)
        touched = {step.server for step in course.begun}
        told = self.go_back(touched, places(course.done)).told
        return said + _sentences(told, self._lasting(course), again)

    def _lasting(self, course: Course) -> str:
        return lasting(course, self.before)

    def _abrupt(self, course: Course) -> str:
        told = _sentences(standing(course), self._lasting(course))
        if course.begun:
            told += (
                " A slot in hand is undone or finished by its server; "
                f"`{self.change.command}` does what is left"
            )
            # A restart has nothing to go back to: the release is the same.
            if course.plan.release != self._former:
                told += f", `fab rollback {self._former or 'RELEASE'}` goes back"
        return told

    @property
    def _former(self) -> str:
        """The release that was in force before, if it was the same on every server."""
        found = {state.current for state in self.before.values() if state.current}
        return found.pop() if len(found) == 1 else ""

    def go_back(self, touched: Collection[str] | None = None, moved: str = "") -> _Back:
        """Put everything back that `moved`, as far as that is possible.

        Servers on which nothing was begun need not be asked: they may be out of reach, and serve
        what they did before.
        """
        project = self.change.inventory.project
        names = tuple(name for name in self.before if touched is None or name in touched)
        try:
            now, lost = cluster.settled(self.fleet, names, project)
        except RondoError as error:
            return _Back(Plan(self._former, ()), sound=False, told=self._not_asked(moved, error))
        plan = make_revert_plan(project, self.before, now, pace_of(self.change.inventory))
        hindered = hindrances(plan)
        if not plan and not lost:
            return _Back(plan, sound=not hindered, told=_nothing_back(hindered, moved))
        self.emit(Event("phase", f"revert to {plan.release or self._former}"))
        course = self._course(plan, recorded_material(project, plan), to_the_end=True)
        try:
            course.run()
        except (RondoError, KeyboardInterrupt) as error:
            told = _half_back(course, lost, error, self._former)
            return _Back(plan, sound=False, told=told)
        sound = not lost and not hindered
        told = _back(course) if sound else _half_back(course, lost, None, self._former)
        return _Back(plan, sound, told)

    def _not_asked(self, moved: str, error: RondoError) -> str:
        return (
            f"NOT put back: {error}\nMoved by then: {moved or 'nothing for sure'}. `fab status` "
            f"shows what serves, `fab rollback {self._former or 'RELEASE'}` goes back everywhere."
        )


def _sentences(*parts: str) -> str:
    return " ".join(part for part in parts if part)


def _nothing_back(hindered: Sequence[str], moved: str) -> str:
    if hindered:
        return f"Nothing was put back: {'; '.join(hindered)}."
    if moved:
        return f"Fresh containers of the same release serve in {moved}: nothing is to be put back."
    return "Nothing was switched: every slot serves what it did before."


def _back(course: Course) -> str:
    return (
        f"Everything that had moved is back ({places(course.done)}): release "
        f"{course.plan.release} serves as before."
    )


def _half_back(
    course: Course, lost: Mapping[str, RondoError], error: BaseException | None, former: str
) -> str:
    """Say exactly what stands where when a way back was not possible to its end."""
    lines = ["NOT everything could be put back; the cluster is mixed:"]
    if course.done:
        lines.append(f"  back on {course.plan.release}: {places(course.done)}")
    if course.left:
        lines.append(f"  not put back: {places(course.left)}")
    lines += [f"  not known: {name}: {reason}" for name, reason in lost.items()]
    lines += [f"  {note}" for note in hindrances(course.plan)]
    if isinstance(error, RondoError):
        lines += ["  because:", *(f"    {line}" for line in str(error).splitlines())]
    lines.append(
        f"`fab status` shows what serves; when the cause is mended, `fab rollback "
        f"{former or course.plan.release or 'RELEASE'}` goes back everywhere."
    )
    return "\n".join(lines)
