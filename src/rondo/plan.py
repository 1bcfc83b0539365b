"""From what is wanted and what runs to the steps between them. Pure.

`fab plan` prints the same object that `fab deploy` applies.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING

from rondo.layout import Layout
from rondo.marks import marked, unmarked
from rondo.roll import USUAL, Pace, make_roll, settles
from rondo.state import RunningContainer, ServerState, text_digest
from rondo.steps import (
    BuildImage,
    CarryImage,
    EmptySlot,
    FillSlot,
    InstallConfig,
    Prune,
    PullImage,
    RunReleaseCommand,
    SendContext,
    SendFiles,
    Settle,
    StartAccessory,
    StartWorker,
    Step,
    WriteRecord,
)

if TYPE_CHECKING:
    from rondo.docker import Container
    from rondo.release import BuiltImage, Release, ServerRelease, Slot, Upkeep, Worker


class Order(Enum):
    """How the steps of a phase go over the servers."""

    TOGETHER = "all servers at the same time"
    ONE_BY_ONE = "one server after the other"
    BATCHES = "batch by batch"


@dataclass(frozen=True, slots=True)
class Phase:
    """Steps that belong together; the next phase starts when all of them are done."""

    name: str
    order: Order
    steps: tuple[Step, ...]
    batches: tuple[tuple[Step, ...], ...] = ()
    """Steps that are done at the same time, when that is the order."""
    pause: float = 0.0
    """Seconds between two batches."""
    outages: tuple[str, ...] = ()
    """What would leave a service without any slot on a server."""

    def on(self, server: str) -> tuple[Step, ...]:
        """Return the steps of one server, in order."""
        return tuple(step for step in self.steps if step.server == server)

    @property
    def servers(self) -> tuple[str, ...]:
        """Servers that have something to do, in the order of the steps."""
        return tuple(dict.fromkeys(step.server for step in self.steps))


@dataclass(frozen=True, slots=True)
class Plan:
    """All that a deploy does, in phases."""

    release: str
    phases: tuple[Phase, ...]
    notes: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.phases)

    @property
    def steps(self) -> Iterator[Step]:
        """Every step, in the order of the phases."""
        return (step for phase in self.phases for step in phase.steps)


@dataclass(frozen=True, slots=True)
class Policy:
    """What the settings say about how to get there."""

    build_once: bool = False
    keep_releases: int = 5
    pace: Pace = USUAL


@dataclass(frozen=True, slots=True)
class _Site:
    """One server's side of the plan: what is wanted there and what is there."""

    project: str
    server: str
    wanted: ServerRelease
    state: ServerState
    layout: Layout = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "layout", Layout(self.project))

    @property
    def stale_slots(self) -> Iterator[tuple[Slot, str]]:
        for slot in self.wanted.slots:
            reason = _difference(slot.container, self.state.in_slot(slot.name))
            if reason:
                yield slot, reason

    @property
    def strays(self) -> tuple[Slot, ...]:
        """Slots that stay as they are, with more containers than the one that fills them."""
        stale = {slot.name for slot, _ in self.stale_slots}
        return tuple(
            slot
            for slot in self.wanted.slots
            if slot.name not in stale and len([*self.state.named(slot.name)]) > 1
        )

    @property
    def stale_workers(self) -> Iterator[tuple[Worker, str]]:
        for worker in self.wanted.workers:
            running = next(self.state.named(worker.container.name), None)
            reason = _difference(worker.container, running)
            if reason:
                yield worker, reason

    @property
    def stale_accessories(self) -> Iterator[tuple[Upkeep, str]]:
        for accessory in self.wanted.accessories:
            running = next(self.state.named(accessory.container.name), None)
            reason = _difference(accessory.container, running)
            if reason:
                yield accessory, reason

    @property
    def surplus(self) -> Iterator[str]:
        """Slots and workers that run though nothing declares them."""
        declared = {each.name for each in self.wanted.containers}
        declared |= {each.container.name for each in self.wanted.accessories}
        there = (each for each in self.state.containers if each.kind != "accessory")
        names = dict.fromkeys([*self.state.slots, *(each.slot for each in there)])
        return (name for name in names if name and name not in declared)


def _difference(wanted: Container, there: RunningContainer | None) -> str:
    """Say why a container must be replaced; empty when it is the wanted one and runs."""
    if there is None:
        return "nothing fills it"
    if there.spec != wanted.digest:
        return "its image, environment or options changed"
    if not there.running:
        return f"its container is {there.state or 'gone'}"
    return ""


def _images_needed(site: _Site) -> Iterator[str]:
    """Yield the images that the server needs for what it does not run yet."""
    wanted = [*(each.container for each in site.wanted.accessories), *site.wanted.containers]
    for container in wanted:
        if container.image not in site.state.images:
            yield container.image


def _files(site: _Site) -> Iterator[Step]:
    environments = sorted(site.wanted.environments - site.state.environments)
    certificates = [
        name for name, text in site.wanted.certificates if site.state.certificates.get(name) != text
    ]
    if environments or certificates:
        kinds = (("variables or secrets", environments), ("certificate", certificates))
        reason = " and ".join(kind for kind, found in kinds if found) + " not there yet"
        yield SendFiles(site.server, reason, tuple(environments), tuple(certificates))


def _build(site: _Site, image: BuiltImage) -> Iterator[Step]:
    base = site.state.manifests.get(image.service, "")
    reason = "no image of this content is there"
    if base != image.context:
        yield SendContext(site.server, reason, image, base)
    yield BuildImage(site.server, reason, image)


def _obtain(site: _Site, release: Release, origins: dict[str, str]) -> Iterator[Step]:
    """Get each missing image: pulled, built here, or carried from where it was built."""
    built = {image.reference: image for image in release.images.values()}
    for reference in dict.fromkeys(_images_needed(site)):
        if reference not in built:
            yield PullImage(site.server, "the image is not there", reference)
        elif reference in origins and origins[reference] != site.server:
            reason = "built once, the same everywhere"
            yield CarryImage(site.server, reason, reference, origins[reference])
        else:
            yield from _build(site, built[reference])


def _origins(sites: Iterable[_Site], release: Release, policy: Policy) -> dict[str, str]:
    """Return, for images built once, the server that has or builds it."""
    if not policy.build_once:
        return {}
    origins: dict[str, str] = {}
    for image in release.images.values():
        users = [
            site
            for site in sites
            if any(each.image == image.reference for each in site.wanted.containers)
        ]
        holders = [site for site in users if image.reference in site.state.images]
        if users:
            origins[image.reference] = (holders or users)[0].server
    return origins


def _config(site: _Site, path: str, text: str) -> Iterator[Step]:
    there = site.state.files.get(path)
    # What was taken out of an edge's rotation stays out, whatever is deployed.
    text = marked(text, site.state.drained)
    if there == text or not text:
        return
    configs = site.state.record.get("configs")
    recorded = configs.get(path) if isinstance(configs, Mapping) else None
    if there is None:
        reason = "it is not there"
    elif recorded is not None and recorded != text_digest(unmarked(there, site.state.drained)):
        reason = "somebody edited it on the server"
    else:
        reason = "the rendered configuration changed"
    yield InstallConfig(site.server, reason, path, text, there)


def _release_commands(sites: Mapping[str, _Site], release: Release) -> Iterator[Step]:
    """Run a service's release command once when any of its containers is about to change."""
    for command in release.commands:
        able = [server for server in sites if server in command.containers]
        if able and any(_service_changes(site, command.service) for site in sites.values()):
            container = command.containers[able[0]]
            yield RunReleaseCommand(
                able[0], "once, before the first switch", container, command.deadline
            )


def _service_changes(site: _Site, service: str) -> bool:
    return any(
        _needs_command(container, site.state)
        for container in site.wanted.containers
        if container.service == service
    )


def _needs_command(wanted: Container, state: ServerState) -> bool:
    """Whether another release of the container ran before; a stopped one alone needs nothing."""
    return not any(there.spec == wanted.digest for there in state.named(wanted.name))


def _kept(site: _Site, release: str, keep: int) -> tuple[str, ...]:
    """Return the releases to keep: the new one, the one it takes over from, then the youngest.

    The one that it takes over from is kept in any case: it is the way back.
    """
    older = sorted(
        (name for name in site.state.records if name != release),
        key=lambda name: (
            name == site.state.current,
            str(site.state.records[name].get("created", "")),
        ),
        reverse=True,
    )
    return (release, *older[: max(1, keep - 1)])


def _phase(name: str, order: Order, steps: Iterable[Step]) -> Phase:
    return Phase(name, order, tuple(steps))


def roll_phase(fills: Iterable[FillSlot], states: Mapping[str, ServerState], pace: Pace) -> Phase:
    """Return the phase in which slots that serve move."""
    roll = make_roll(fills, states, pace)
    steps = tuple(step for batch in roll.batches for step in batch)
    return Phase("roll", Order.BATCHES, steps, roll.batches, pace.pause, roll.outages)


def settle_phase(fills: Iterable[FillSlot]) -> Phase:
    """Return the phase that waits for the containers which were replaced in a roll."""
    return _phase("settle", Order.TOGETHER, settles(fills))


def _fills(sites: Iterable[_Site], *, live: bool) -> Iterator[FillSlot]:
    for site in sites:
        for slot, reason in site.stale_slots:
            if (site.state.in_slot(slot.name) is not None) == live:
                yield FillSlot(site.server, reason, slot)


def _starts(sites: Iterable[_Site]) -> Iterator[Step]:
    for site in sites:
        for worker, reason in site.stale_workers:
            yield StartWorker(site.server, reason, worker)


def _empties(sites: Iterable[_Site]) -> Iterator[Step]:
    for site in sites:
        for slot in site.surplus:
            yield EmptySlot(site.server, "nothing declares it any more", slot)


def _accessories(sites: Iterable[_Site]) -> Iterator[Step]:
    for site in sites:
        for accessory, reason in site.stale_accessories:
            yield StartAccessory(site.server, reason, accessory)


def _sites(release: Release, states: Mapping[str, ServerState]) -> dict[str, _Site]:
    return {
        name: _Site(release.project, name, release.servers[name], state)
        for name, state in states.items()
        if name in release.servers
    }


def changing_phases(
    release: Release, states: Mapping[str, ServerState], policy: Policy
) -> tuple[Phase, ...]:
    """Return the phases that make servers run a release, without those that record it."""
    phases = _phases(release, _sites(release, states), policy)
    return tuple(phase for phase in phases if phase.steps)


def make_plan(release: Release, states: Mapping[str, ServerState], policy: Policy) -> Plan:
    """Return the steps from what runs to what is wanted, on the servers that were observed."""
    sites = _sites(release, states)
    phases = changing_phases(release, states, policy)
    if not phases and _recorded(release, sites):
        return Plan(release.id, ())
    return Plan(release.id, (*phases, *_closing(release, sites, policy)))


def _recorded(release: Release, sites: Mapping[str, _Site]) -> bool:
    return all(site.state.record.get("content") == release.content for site in sites.values())


def _phases(release: Release, sites: Mapping[str, _Site], policy: Policy) -> Iterator[Phase]:
    every = tuple(sites.values())
    layout = Layout(release.project)
    origins = _origins(every, release, policy)
    together, serial = Order.TOGETHER, Order.ONE_BY_ONE
    obtained = [step for site in every for step in _obtain(site, release, origins)]
    carried = [step for step in obtained if isinstance(step, CarryImage)]
    made = [step for step in obtained if not isinstance(step, CarryImage)]
    yield _phase("files", together, (step for site in every for step in _files(site)))
    yield _phase("images", together, made)
    yield _phase("carry", together, carried)
    yield _phase("accessories", together, _accessories(every))
    gates = ((site, site.wanted.gate_config) for site in every)
    yield _phase(
        "gate",
        together,
        (step for site, text in gates for step in _config(site, layout.gate_file, text)),
    )
    yield _phase("release command", serial, _release_commands(sites, release))
    yield _phase("first fill", together, _fills(every, live=False))
    states = {site.server: site.state for site in every}
    yield roll_phase(_fills(every, live=True), states, policy.pace)
    yield _phase("workers", serial, _starts(every))
    configs = ((site, site.wanted.site_config) for site in every)
    yield _phase(
        "site",
        serial,
        (step for site, text in configs for step in _config(site, layout.site_file, text)),
    )
    yield _phase("empty", together, _empties(every))
    yield settle_phase(_fills(every, live=True))


def _settles_strays(sites: Iterable[_Site]) -> Iterator[Step]:
    for site in sites:
        if slots := site.strays:
            names = tuple(slot.name for slot in slots)
            grace = max(slot.stop_grace for slot in slots)
            yield Settle(site.server, "a failed or interrupted change left them", names, grace)


def _closing(release: Release, sites: Mapping[str, _Site], policy: Policy) -> Iterator[Phase]:
    together = Order.TOGETHER
    records = [
        WriteRecord(site.server, "so that the release can be told and restored", release.id)
        for site in sites.values()
    ]
    prunes = [
        Prune(
            site.server,
            f"the last {policy.keep_releases} releases are kept",
            _kept(site, release.id, policy.keep_releases),
        )
        for site in sites.values()
    ]
    strays = tuple(_settles_strays(sites.values()))
    if strays:
        yield _phase("strays", together, strays)
    yield _phase("record", together, records)
    yield _phase("prune", together, prunes)
