"""Builders for unit tests: an inventory, a release of it, and a server that takes steps at once."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from rondo import plan, steps
from rondo.facts import Facts
from rondo.inventory import Inventory
from rondo.layout import Layout
from rondo.record import before, make_record
from rondo.release import BuiltImage, Parts, Release, Source, make_release
from rondo.state import RunningContainer, ServerState

if TYPE_CHECKING:
    from rondo.docker import Container

SHOP: dict[str, Any] = {
    "project": "shop",
    "servers": {
        "web-1": {"address": "192.0.2.1", "private_address": "10.0.0.1", "groups": ["web"]},
        "web-2": {"address": "192.0.2.2", "private_address": "10.0.0.2", "groups": ["web"]},
    },
    "services": {
        "frontend": {"kind": "static", "context": "frontend"},
        "backend": {
            "kind": "uwsgi",
            "context": "backend",
            "release_command": ["python", "manage.py", "migrate"],
        },
    },
    "accessories": {"database": {"image": "postgres:15", "server": "web-1", "port": 5432}},
    "sites": {
        "shop": {
            "server_names": ["shop.example.com"],
            "tls": {"certificate": "shop.pem", "key": "shop.key"},
            "routes": {"/": "frontend", "/api/": "backend"},
        }
    },
}

FACTS = Facts(
    hostname="web-1",
    os_id="debian",
    os_version="12",
    architecture="x86_64",
    cores=2,
    memory_total=4 * 2**30,
    memory_available=3 * 2**30,
    disk_docker=20 * 2**30,
    disk_rondo=20 * 2**30,
    docker_version="20.10.24",
    docker_error="",
    nginx_version="1.22.1",
    nginx_user="www-data",
    nginx_running=True,
    systemd=True,
    listeners=((80, "nginx"), (443, "nginx")),
    clock=1_700_000_000.0,
    bootstrapped=True,
    missing=(),
    buildkit=True,
    conf_d_included=True,
)

BARE = ServerState(facts=FACTS)


def merged(base: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return a mapping with changes merged in, key by key; None takes a key out."""
    result = dict(base)
    for key, value in changes.items():
        if value is None:
            result.pop(key, None)
            continue
        there = result.get(key)
        both = isinstance(there, Mapping) and isinstance(value, Mapping)
        result[key] = merged(there, value) if both else value
    return result


def inventory(**changes: object) -> Inventory:
    """Return the shop's inventory with changes merged in."""
    return Inventory.model_validate(merged(SHOP, changes))


def parts(declared: Inventory, version: str = "1", **changes: object) -> Parts:
    """Return what would have been read for a release; `version` stands for the source."""
    built = {
        name: BuiltImage(
            service=name,
            reference=f"rondo/{declared.project}/{name}:{version}",
            context=f"manifest-{name}-{version}",
            dockerfile=".rondo/Dockerfile",
        )
        for name, service in declared.services.items()
        if service.context is not None
    }
    owners = (*declared.services, *declared.accessories)
    made = Parts(
        images=built,
        environments=dict.fromkeys(owners, "environment-1"),
        site_configs=dict.fromkeys(declared.servers, "site-1"),
        gate_configs=dict.fromkeys(declared.servers, "gate-1"),
        certificates={name: "pair-1" for name, site in declared.sites.items() if site.tls},
        source=Source("0123456789abcdef"),
    )
    return replace(made, **changes)


def release(version: str = "1", declared: Inventory | None = None, **changes: object) -> Release:
    """Return a release of the shop."""
    declared = declared or inventory()
    return make_release(declared, parts(declared, version, **changes))


def bare(wanted: Release) -> dict[str, ServerState]:
    """Return servers that bootstrap has just left."""
    return dict.fromkeys(wanted.servers, BARE)


def running(container: Container, instance: str, state: str = "running") -> RunningContainer:
    """Return what Docker would list for a started container."""
    return RunningContainer(
        id=f"id-{container.name}-{instance}",
        name=f"shop-{container.name}-{instance}",
        service=container.service,
        slot=container.name,
        kind=container.kind,
        spec=container.digest,
        instance=instance,
        release="",
        image=f"id-of-{container.image}",
        state=state,
        status="Up 1 second",
    )


class Simulation:
    """Servers on which every step succeeds at once."""

    def __init__(self, wanted: Release, states: Mapping[str, ServerState]) -> None:
        self.wanted = wanted
        self.states = dict(states)
        self.starts = sum(len(state.containers) for state in states.values())

    def apply(self, made: plan.Plan) -> dict[str, ServerState]:
        for step in made.steps:
            state = self.states[step.server]
            self.states[step.server] = self.take(step, state)
        return self.states

    def take(self, step: steps.Step, state: ServerState) -> ServerState:  # noqa: C901, PLR0911 - a table
        match step:
            case steps.SendFiles():
                pairs = dict(self.wanted.servers[step.server].certificates)
                sent = {name: pairs[name] for name in step.certificates}
                return replace(
                    state,
                    environments=state.environments | set(step.environments),
                    certificates={**state.certificates, **sent},
                )
            case steps.SendContext(image=image):
                return replace(state, manifests={**state.manifests, image.service: image.context})
            case steps.BuildImage(image=image):
                assert state.manifests.get(image.service) == image.context
                return self.with_image(state, image.reference)
            case steps.CarryImage(reference=reference) | steps.PullImage(reference=reference):
                return self.with_image(state, reference)
            case steps.TagImage(reference=reference, identity=identity):
                assert identity in state.images
                return replace(state, images={**state.images, reference: identity})
            case steps.InstallConfig(path=path, text=text):
                return replace(state, files={**state.files, path: text})
            case steps.StartAccessory(accessory=accessory):
                return self.started(state, accessory.container)
            case steps.FillSlot(slot=slot):
                assert Layout("shop").gate_file in state.files, "no gate to ask"
                return self.started(state, slot.container)
            case steps.StartWorker(worker=worker):
                return self.started(state, worker.container)
            case steps.EmptySlot(slot=slot):
                slots = {name: each for name, each in state.slots.items() if name != slot}
                rest = tuple(each for each in state.containers if each.slot != slot)
                return replace(state, slots=slots, containers=rest)
            case steps.WriteRecord():
                return self.recorded(state, step.server)
            case steps.EnforceRelease(release=identity):
                assert identity in state.records
                return replace(state, current=identity)
        return state

    def with_image(self, state: ServerState, reference: str) -> ServerState:
        identity = f"id-of-{reference}"
        return replace(state, images={**state.images, reference: identity, identity: identity})

    def started(self, state: ServerState, container: Container) -> ServerState:
        assert container.image in state.images, f"{container.image} is not there"
        assert container.environment in state.environments, "the environment is not there"
        self.starts += 1
        instance = f"i{self.starts}"
        others = tuple(each for each in state.containers if each.slot != container.name)
        slots = {**state.slots, container.name: instance} if container.traffic else state.slots
        return replace(state, containers=(*others, running(container, instance)), slots=slots)

    def recorded(self, state: ServerState, server: str) -> ServerState:
        made = make_record(
            self.wanted,
            server,
            state.images,
            created=f"2026-{len(state.records):04}",
            author="me",
            before=before(state, self.wanted.id),
        )
        # As a server keeps it.
        record = json.loads(json.dumps(made))
        records = {**state.records, self.wanted.id: record}
        return replace(state, records=records, current=self.wanted.id)


def deployed(wanted: Release, policy: plan.Policy | None = None) -> dict[str, ServerState]:
    """Return servers on which a release was deployed."""
    states = bare(wanted)
    return Simulation(wanted, states).apply(plan.make_plan(wanted, states, policy or plan.Policy()))
