"""The way back when a change has failed: what moved returns to what it served before. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from rondo.layout import Layout
from rondo.plan import Order, Phase, Plan, roll_phase, settle_phase
from rondo.release import Slot, Worker
from rondo.restore import missing, moved_tags, server_release
from rondo.roll import USUAL, Pace
from rondo.steps import EmptySlot, EnforceRelease, FillSlot, InstallConfig, StartWorker, Step

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from rondo.docker import Container
    from rondo.restore import Record
    from rondo.state import RunningContainer, ServerState

BACK = "as it was before"
STAYS = "stays as it is now: accessories have data and are never put back"


@dataclass(frozen=True, slots=True)
class _Known:
    """A slot or worker that a record tells of, and that record."""

    what: Slot | Worker
    record: Record


def _known(state: ServerState) -> dict[tuple[str, str], _Known]:
    """Return all that a server's records can bring back, by name and spec digest."""
    found: dict[tuple[str, str], _Known] = {}
    for record in (*state.records.values(), state.record):
        try:
            recorded = server_release(record)
        except (KeyError, TypeError, ValueError):
            continue
        every: tuple[Slot | Worker, ...] = (*recorded.slots, *recorded.workers)
        for each in every:
            found[each.container.name, each.container.digest] = _Known(each, record)
    return found


@dataclass(frozen=True, slots=True)
class _Return:
    """One server's way back."""

    server: str
    before: ServerState
    now: ServerState
    tags: list[Step] = field(default_factory=list)
    fills: list[FillSlot] = field(default_factory=list)
    workers: list[Step] = field(default_factory=list)
    empties: list[Step] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def find(self) -> None:
        """Compare what ran with what runs."""
        known = _known(self.before)
        for there in self.before.containers:
            if there.kind == "accessory":
                self._leave(there)
            elif self._served(there) and not self._serves(there):
                self._bring_back(there, known.get((there.slot, there.spec)))
        reason = "nothing filled it before"
        self.empties.extend(EmptySlot(self.server, reason, name) for name in self._additions())

    def _served(self, there: RunningContainer) -> bool:
        if there.kind == "worker":
            return there.running
        return self.before.in_slot(there.slot) == there

    def _serves(self, there: RunningContainer) -> bool:
        """Whether it does so still, or the same in a fresh container does."""
        if there.kind == "worker":
            now = next((each for each in self.now.named(there.slot) if each.running), None)
        else:
            now = self.now.in_slot(there.slot)
        if now is None:
            return False
        return now.instance == there.instance or (now.spec == there.spec and now.running)

    def _leave(self, accessory: RunningContainer) -> None:
        if all(each.spec != accessory.spec for each in self.now.named(accessory.slot)):
            self.notes.append(f"{self.server} {accessory.slot}: {STAYS}")

    def _bring_back(self, there: RunningContainer, known: _Known | None) -> None:
        place = f"{self.server} {there.slot}"
        if known is None:
            self.notes.append(f"{place}: no record tells what ran there before")
            return
        container = known.what.container
        gone = [each.what for each in missing(self.server, [container], known.record, self.now)]
        if gone:
            self.notes.append(f"{place}: cannot be put back, {' and '.join(gone)} is gone")
            return
        self._obtain(container, known.record)
        if isinstance(known.what, Slot):
            self.fills.append(FillSlot(self.server, BACK, known.what, there.release))
        else:
            self.workers.append(StartWorker(self.server, BACK, known.what, there.release))

    def _obtain(self, container: Container, record: Record) -> None:
        tags = moved_tags(self.server, [container], record, self.now)
        self.tags.extend(step for step in tags if step not in self.tags)

    def _additions(self) -> Iterator[str]:
        """Yield the slots and workers that run and were not there before."""
        earlier = {each.slot for each in self.before.containers} | self.before.slots.keys()
        workers = (
            each.slot for each in self.now.containers if each.kind == "worker" and each.running
        )
        names = dict.fromkeys((*self.now.slots, *workers))
        return (name for name in names if name not in earlier)

    def config(self, path: str) -> Iterator[Step]:
        """Yield the step that puts a configuration file back."""
        before, now = self.before.files.get(path), self.now.files.get(path)
        if before is not None and before != now:
            yield InstallConfig(self.server, BACK, path, before, now)

    def record(self) -> Iterator[Step]:
        """Yield the step that puts the old release in force again."""
        if self.now.current != self.before.current:
            yield EnforceRelease(self.server, BACK, self.before.current)


def make_revert_plan(
    project: str,
    before: Mapping[str, ServerState],
    now: Mapping[str, ServerState],
    pace: Pace = USUAL,
) -> Plan:
    """Return the steps from what runs now to what served before; empty when nothing moved.

    A server on which no release was in force has nothing to go back to and is left as it is.
    """
    layout = Layout(project)
    ways = [
        _Return(name, before[name], state) for name, state in now.items() if before[name].current
    ]
    for way in ways:
        way.find()
    # Every server at once: what serves now is what the operator wants to be rid of.
    quick = replace(pace, servers_at_once="100%", pause=0.0, min_healthy=0.0)
    together, serial = Order.TOGETHER, Order.ONE_BY_ONE
    phases = (
        _phase("images", together, (step for way in ways for step in way.tags)),
        _phase("gate", together, (step for way in ways for step in way.config(layout.gate_file))),
        roll_phase((step for way in ways for step in way.fills), now, quick),
        _phase("workers", serial, (step for way in ways for step in way.workers)),
        _phase("site", serial, (step for way in ways for step in way.config(layout.site_file))),
        _phase("empty", together, (step for way in ways for step in way.empties)),
        settle_phase(step for way in ways for step in way.fills),
        _phase("record", together, (step for way in ways for step in way.record())),
    )
    old = ", ".join(dict.fromkeys(way.before.current for way in ways))
    notes = (*_left(before, now), *(note for way in ways for note in way.notes))
    return Plan(old, tuple(phase for phase in phases if phase.steps), notes)


def hindrances(plan: Plan) -> tuple[str, ...]:
    """Return the notes of a way back that tell what ought to go back and cannot.

    An accessory that stays is meant to: what serves is no mixture for it.
    """
    return tuple(note for note in plan.notes if not note.endswith(STAYS))


def _phase(name: str, order: Order, steps: Iterator[Step]) -> Phase:
    return Phase(name, order, tuple(steps))


def _left(before: Mapping[str, ServerState], now: Mapping[str, ServerState]) -> Iterator[str]:
    for name, state in now.items():
        if not before[name].current and state.slots:
            yield f"{name}: nothing ran there before; it is left as it is"
