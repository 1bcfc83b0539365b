"""How slots move: how many at once, in which batches, and how much still serves meanwhile. Pure."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from itertools import groupby, zip_longest
from typing import TYPE_CHECKING, Any, TypeVar

from rondo.steps import FillSlot, Settle, Step

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from rondo.inventory import Inventory
    from rondo.state import ServerState

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Pace:
    """What the settings say about how fast and how carefully slots move."""

    parallel: str = "1"
    """Slots of a service at once on a server: a number or a share."""
    parallel_of: Mapping[str, str] = field(default_factory=dict)
    """The same of services that have a setting of their own."""
    servers_at_once: str = "1"
    """Servers at once: a number or a share."""
    in_place: frozenset[str] = frozenset()
    """Services whose old containers stop first."""
    pause: float = 0.0
    """Seconds between two batches."""
    min_healthy: float = 0.0
    """Seconds that a container must stay healthy in its slot."""

    def slots(self, service: str, total: int) -> int:
        """Return how many of a service's slots on a server move at once."""
        return amount(self.parallel_of.get(service, self.parallel), total)


USUAL = Pace()


def pace_of(inventory: Inventory) -> Pace:
    """Return what an inventory says about how slots move."""
    roll = inventory.settings.roll
    services = inventory.services.items()
    return Pace(
        parallel=roll.parallel,
        parallel_of={
            name: own for name, each in services if (own := getattr(each, "parallel", None))
        },
        servers_at_once=roll.servers_at_once,
        in_place=frozenset(
            name
            for name, each in services
            if (getattr(each, "replace", None) or roll.replace) == "in_place"
        ),
        pause=roll.pause,
        min_healthy=roll.min_healthy,
    )


def amount(share: str, total: int) -> int:
    """Return what a number or a share of a total comes to: at least one, at most all."""
    wanted = total * int(share[:-1]) // 100 if share.endswith("%") else int(share)
    return max(1, min(wanted, total))


def _chunks(items: Iterable[T], size: int) -> Iterator[tuple[T, ...]]:
    every = tuple(items)
    return (every[at : at + size] for at in range(0, len(every), size))


def is_out(step: FillSlot) -> bool:
    """Whether the slot's own container does not serve while the step is under way."""
    return step.in_place or step.slot.container.port is not None


@dataclass(frozen=True, slots=True)
class Roll:
    """Slots that serve, about to move."""

    batches: tuple[tuple[Step, ...], ...]
    """Steps that are done at the same time, in their order."""
    outages: tuple[str, ...] = ()
    """What would leave a service without any slot on a server, or out of Nginx's reach."""


def make_roll(fills: Iterable[FillSlot], states: Mapping[str, ServerState], pace: Pace) -> Roll:
    """Return the batches in which slots move, each step with what serves meanwhile."""
    by_server: dict[str, list[FillSlot]] = {}
    for step in fills:
        by_server.setdefault(step.server, []).append(step)
    rounds = []
    outages: list[str] = []
    for group in _chunks(by_server, amount(pace.servers_at_once, len(by_server) or 1)):
        lines = [_rounds(by_server[name], states[name], pace, outages) for name in group]
        rounds += [
            tuple(step for part in parts for step in part)
            for parts in zip_longest(*lines, fillvalue=())
        ]
    for name, steps in by_server.items():
        outages += _moves(steps, states[name])
    return Roll(tuple(rounds), tuple(outages))


def _rounds(
    fills: list[FillSlot], state: ServerState, pace: Pace, outages: list[str]
) -> list[tuple[Step, ...]]:
    """Return what one server does at once, one after the other."""
    found: list[tuple[Step, ...]] = []
    for service, group in groupby(fills, key=lambda step: step.slot.container.service):
        serving = _serving(state, service)
        steps = [_paced(step, pace) for step in group]
        for chunk in _chunks(steps, pace.slots(service, len(serving) or len(steps))):
            out = {step.slot.name for step in chunk if is_out(step)} & serving
            left, total = len(serving - out), len(serving)
            found.append(tuple(_told(step, lane, left, total) for lane, step in enumerate(chunk)))
            if out and not left:
                outages.append(_outage(chunk, service, total))
            # One that had crashed serves from now on.
            serving |= {step.slot.name for step in chunk}
    return found


def _serving(state: ServerState, service: str) -> set[str]:
    """Return the slots of a service that serve on a server."""
    filled = {slot: state.in_slot(slot) for slot in state.slots}
    return {
        slot
        for slot, each in filled.items()
        if each is not None and each.service == service and each.running
    }


def _paced(step: FillSlot, pace: Pace) -> FillSlot:
    container = step.slot.container
    in_place = container.service in pace.in_place and container.port is None
    return replace(step, in_place=in_place, min_healthy=pace.min_healthy)


def _told(step: FillSlot, lane: int, left: int, total: int) -> FillSlot:
    reason = f"{step.reason}; {max(left, 0)} of {total} serve meanwhile"
    return replace(step, lane=lane, reason=reason)


def _outage(chunk: tuple[FillSlot, ...], service: str, total: int) -> str:
    names = ", ".join(step.slot.name for step in chunk)
    in_place = chunk[0].in_place
    why = "replaced in place" if in_place else "on a TCP port"
    remedy = "let fewer move at once (`parallel`)" if len(chunk) > 1 else "give it more `replicas`"
    # In place a slot is lent to a neighbour that serves, so that there has to be one.
    last = "replace it by surge (`replace: surge`)" if in_place else "bear it with --outage"
    return (
        f"{chunk[0].server}: {names} would leave none of the {total} of {service} serving, as "
        f"they are {why}; {remedy}, or {last}"
    )


def _address(container: Mapping[str, object]) -> tuple[object, bool]:
    """Return how Nginx asks what fills a slot: by which port, if any, and protocol."""
    return container.get("port"), container.get("kind") == "uwsgi"


def _moves(fills: Iterable[FillSlot], state: ServerState) -> Iterator[str]:
    """Yield what Nginx would ask where it is no more, until its file comes after the roll."""
    server: Any = state.record.get("server", {})
    there = {
        each["container"]["name"]: _address(each["container"]) for each in server.get("slots", ())
    }
    moved = {
        (step.server, step.slot.container.service): None
        for step in fills
        if (address := _address(asdict(step.slot.container))) != there.get(step.slot.name, address)
    }
    for name, service in moved:
        yield (
            f"{name}: {service} changes its address or protocol, which Nginx learns only after "
            "the roll; declare it under another name, or bear it with --outage"
        )


def settles(fills: Iterable[FillSlot]) -> Iterator[Settle]:
    """Yield the steps that wait for the containers which stop in the background."""
    by_server: dict[str, list[FillSlot]] = {}
    for step in fills:
        if step.slot.container.port is None:
            by_server.setdefault(step.server, []).append(step)
    for server, steps in by_server.items():
        yield Settle(
            server,
            "they stop while the next slots are filled",
            tuple(step.slot.name for step in steps),
            max(step.slot.stop_grace for step in steps),
        )
