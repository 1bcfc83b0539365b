"""One step on one server: the only place where a plan becomes commands. Decides nothing."""

from __future__ import annotations

import io
import json
import math
import secrets as random
import tarfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from rondo import context, steps
from rondo.docker import Instance, container_name, run_options
from rondo.errors import RemoteError
from rondo.events import Emit, Event, Kind
from rondo.layout import Layout
from rondo.record import before, make_record
from rondo.restore import certified_sites
from rondo.scripts import changing

if TYPE_CHECKING:
    from rondo.docker import Container
    from rondo.gather import Material
    from rondo.inventory import BuildSettings
    from rondo.server import Output, Remote
    from rondo.state import ServerState

FILES_DEADLINE = 120.0
CONTEXT_DEADLINE = 1800.0
PULL_DEADLINE = 1800.0
RELOAD_DEADLINE = 60.0
# Beyond the waits that a script bounds itself: starting and stopping containers on a busy server.
MARGIN = 120.0
# What `settle` waits for transactions that still stop something, beyond what a container may take.
OTHERS = 600.0


@dataclass(frozen=True, slots=True)
class File:
    """A file for a server: its path below the project's folder, its mode and its bytes."""

    path: str
    content: bytes
    mode: int = 0o600

    def __repr__(self) -> str:
        return f"File({self.path!r}, ***)"


def pack(files: Iterable[File]) -> bytes:
    """Return the files as a tar, which goes to a server over standard input."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for file in files:
            entry = tarfile.TarInfo(file.path)
            entry.size, entry.mode = len(file.content), file.mode
            archive.addfile(entry, io.BytesIO(file.content))
    return buffer.getvalue()


def new_instance() -> str:
    """Return an id for one start of a container."""
    return random.token_hex(4)


@dataclass(frozen=True, slots=True)
class Applier:
    """Carries out steps of one deploy."""

    material: Material
    states: Mapping[str, ServerState]
    build: BuildSettings
    emit: Emit
    author: str
    created: str
    """Time of the release, ISO 8601 in UTC."""
    image_ids: dict[str, dict[str, str]] = field(default_factory=dict)

    @property
    def project(self) -> str:
        """Name of the project."""
        return self.material.release.project

    @property
    def layout(self) -> Layout:
        """Folders of the project on a server."""
        return Layout(self.project)

    def __call__(self, step: steps.Step, remote: Remote) -> None:
        """Carry out one step; raises RemoteError, with the old version still serving."""
        _ACTIONS[type(step)](self, step, remote)

    def lines(self, remote: Remote) -> Callable[[str], None]:
        """Return a sink for the lines that a server prints during a step."""
        return lambda line: self.emit(Event("line", line, remote.name))

    def events(self, remote: Remote) -> Callable[[str], None]:
        """Return a sink for the tagged lines of a transaction: events, notes and log lines."""

        def take(line: str) -> None:
            tag, _, text = line.partition("\t")
            kind: Kind = "note" if tag == "note" else "line"
            self.emit(Event(kind, text.replace("\t", " ") if text else line, remote.name))

        return take

    def instance(self, remote: Remote, release: str = "") -> Instance:
        """Return a new start of a container on a server."""
        return Instance(new_instance(), remote.name, release or self.material.release.id)


def _send_files(applier: Applier, step: steps.SendFiles, remote: Remote) -> None:
    files = [
        *_environment_files(applier.material, step.environments),
        *_certificate_files(applier.material, step.certificates),
    ]
    remote.run(
        changing("files"),
        applier.layout.root,
        step=step.title,
        stdin=pack(files),
        deadline=FILES_DEADLINE,
        # Once all has arrived it is put in its place: a key without its certificate is no state.
        survive=True,
    )


def _environment_files(material: Material, digests: Iterable[str]) -> Iterator[File]:
    for digest in digests:
        environment = material.environments[digest]
        for name, value in environment.files.items():
            yield File(f"environments/{digest}/secrets/{name}", value.reveal(), 0o400)
        yield File(f"environments/{digest}/env", environment.env_file.reveal())


def _certificate_files(material: Material, sites: Iterable[str]) -> Iterator[File]:
    for site in sites:
        pair = material.certificates[site]
        yield File(f"tls/{site}.key", pair.key.reveal())
        yield File(f"tls/{site}.pem", pair.chain, 0o644)


def _send_context(applier: Applier, step: steps.SendContext, remote: Remote) -> None:
    service = step.image.service
    read = applier.material.contexts[service]
    folder = applier.layout.context(service)
    known = context.fetch_manifest(remote, folder) if step.base else ""
    sent = context.send(remote, folder, read, known, deadline=CONTEXT_DEADLINE)
    applier.emit(Event("line", f"sent {sent} bytes", remote.name))


def _build(applier: Applier, step: steps.BuildImage, remote: Remote) -> None:
    image = step.image
    options = [f"--build-arg={key}={value}" for key, value in image.arguments]
    if image.target:
        options.append(f"--target={image.target}")
    remote.run(
        changing("build"),
        applier.layout.context(image.service),
        image.dockerfile,
        image.reference,
        applier.project,
        *options,
        step=step.title,
        deadline=applier.build.deadline,
        on_line=applier.lines(remote),
    )


def _pull(applier: Applier, step: steps.PullImage, remote: Remote) -> None:
    remote.run(
        # First: a pull that is cut short may have left the image.
        'printf "%s\\n" "$1" >>"$2"; exec docker pull "$1" 2>&1',
        step.reference,
        applier.layout.pulled,
        step=step.title,
        deadline=PULL_DEADLINE,
        on_line=applier.lines(remote),
    )


def _tag(_: Applier, step: steps.TagImage, remote: Remote) -> None:
    remote.run('docker tag "$1" "$2"', step.identity, step.reference, step=step.title)


def _secret_folder(applier: Applier, container: Container) -> str:
    return applier.layout.environment(container.environment)


def _start_accessory(applier: Applier, step: steps.StartAccessory, remote: Remote) -> None:
    container = step.accessory.container
    instance = applier.instance(remote)
    remote.run(
        changing("accessory"),
        applier.project,
        container.name,
        container_name(applier.project, container, instance),
        container.image,
        _secret_folder(applier, container),
        applier.layout.network,
        str(step.accessory.ready_deadline),
        str(len(step.accessory.ready)),
        *step.accessory.ready,
        applier.layout.root,
        "--",
        *run_options(applier.project, container, instance),
        step=step.title,
        deadline=step.accessory.ready_deadline + MARGIN,
        on_line=applier.events(remote),
        survive=True,
    )


def _release_command(applier: Applier, step: steps.RunReleaseCommand, remote: Remote) -> None:
    container = step.container
    instance = applier.instance(remote)
    remote.run(
        changing("once"),
        applier.project,
        applier.layout.network,
        container_name(applier.project, container, instance),
        container.image,
        _secret_folder(applier, container),
        "1",
        "--",
        *run_options(applier.project, container, instance),
        step=step.title,
        deadline=step.deadline,
        on_line=applier.lines(remote),
    )


def _install_config(applier: Applier, step: steps.InstallConfig, remote: Remote) -> None:
    remote.run(
        changing("site"),
        step.path,
        applier.layout.asset_cache,
        _nginx_user(applier, remote),
        step=step.title,
        stdin=step.text.encode(),
        deadline=RELOAD_DEADLINE,
        survive=True,
    )


def _nginx_user(applier: Applier, remote: Remote) -> str:
    return applier.states[remote.name].facts.nginx_user or "www-data"


def _fill(applier: Applier, step: steps.FillSlot, remote: Remote) -> None:
    slot, gate, layout = step.slot, step.slot.gate, applier.layout
    container = slot.container
    instance = applier.instance(remote, step.release)
    remote.run(
        changing("assets", "slot"),
        "fill",
        layout.sockets,
        slot.name,
        instance.id,
        container_name(applier.project, container, instance),
        container.image,
        _secret_folder(applier, container),
        str(container.port or ""),
        _nginx_user(applier, remote),
        gate.host,
        gate.path,
        *(str(number) for number in (gate.status, gate.successes, gate.interval)),
        *(str(number) for number in (gate.timeout, gate.deadline)),
        layout.gate,
        *(str(number) for number in (slot.drain, round(slot.stop_grace))),
        layout.site_file,
        _log_folder(layout, container),
        applier.project,
        layout.root,
        container.service,
        "in_place" if step.in_place else "surge",
        str(math.ceil(step.min_healthy)),
        str(step.lane),
        "--",
        *run_options(applier.project, container, instance),
        step=step.title,
        deadline=gate.deadline + slot.drain + slot.stop_grace + step.min_healthy + MARGIN,
        on_line=applier.events(remote),
        survive=True,
    )


def _log_folder(layout: Layout, container: Container) -> str:
    folder = layout.container_logs(container.name)
    return folder if any(folder in option for option in container.options) else ""


def _start_worker(applier: Applier, step: steps.StartWorker, remote: Remote) -> None:
    container = step.worker.container
    instance = applier.instance(remote, step.release)
    remote.run(
        changing("slot"),
        "start",
        applier.project,
        container.name,
        instance.id,
        container_name(applier.project, container, instance),
        container.image,
        _secret_folder(applier, container),
        str(round(step.worker.stop_grace)),
        _log_folder(applier.layout, container),
        applier.layout.root,
        "--",
        *run_options(applier.project, container, instance),
        step=step.title,
        deadline=step.worker.stop_grace + MARGIN,
        on_line=applier.events(remote),
        survive=True,
    )


def _empty(applier: Applier, step: steps.EmptySlot, remote: Remote) -> None:
    remote.run(
        changing("slot"),
        "empty",
        applier.project,
        applier.layout.root,
        step.slot,
        str(EMPTY_DRAIN),
        str(EMPTY_GRACE),
        step=step.title,
        deadline=EMPTY_DRAIN + EMPTY_GRACE + MARGIN,
        on_line=applier.events(remote),
        survive=True,
    )


def _settle(applier: Applier, step: steps.Settle, remote: Remote) -> None:
    remote.run(
        changing("slot"),
        "settle",
        applier.project,
        applier.layout.root,
        str(round(step.stop_grace)),
        *step.slots,
        step=step.title,
        deadline=step.stop_grace + OTHERS + MARGIN,
        survive=True,
    )


# A slot that is no longer declared has no settings of its own left.
EMPTY_DRAIN = 30
EMPTY_GRACE = 30


def _built_ids(remote: Remote, references: Iterable[str]) -> dict[str, str]:
    """Ask a server for the ids of the images that a release runs."""
    names = list(references)
    if not names:
        return {}
    answer = remote.run(
        'docker image inspect --format "{{.Id}}" "$@"',
        *names,
        step="ask for the ids of the images",
    )
    return dict(zip(names, answer.stdout.split(), strict=True))


def _write_record(applier: Applier, step: steps.WriteRecord, remote: Remote) -> None:
    release = applier.material.release
    server = release.servers[remote.name]
    containers = (*server.containers, *(each.container for each in server.accessories))
    ids = _built_ids(remote, sorted({container.image for container in containers}))
    record = make_record(
        release,
        remote.name,
        ids,
        created=applier.created,
        author=applier.author,
        before=before(applier.states[remote.name], release.id),
    )
    text = json.dumps(record, indent=1, sort_keys=True).encode()
    remote.run(
        changing("files", "record"),
        applier.layout.root,
        applier.layout.releases,
        release.id,
        step=step.title,
        stdin=pack([File(f"releases/{release.id}/record.json", text)]),
        survive=True,
    )


def _enforce(applier: Applier, step: steps.EnforceRelease, remote: Remote) -> None:
    layout = applier.layout
    remote.run(
        changing("record"),
        layout.root,
        layout.releases,
        step.release,
        step=step.title,
        survive=True,
    )


def _prune(applier: Applier, step: steps.Prune, remote: Remote) -> None:
    state = applier.states[remote.name]
    kept = [state.records[name] for name in step.releases if name in state.records]
    server = applier.material.release.servers[remote.name]
    containers = (*server.containers, *(each.container for each in server.accessories))
    images = {container.image for container in containers}
    environments = set(server.environments)
    certificates = set(applier.material.certificates)
    for record in kept:
        images |= set(_strings(record.get("images")))
        environments |= set(_strings(record.get("environments")))
        certificates |= set(certified_sites(record))
    remote.run(
        changing("assets_prune", "prune", "prune_engine"),
        applier.project,
        applier.layout.root,
        "\n".join(sorted(images)),
        "\n".join(sorted(environments)),
        "\n".join(step.releases),
        "\n".join(sorted(applier.material.contexts)),
        "\n".join(sorted(certificates)),
        str(applier.build.cache or ""),
        "\n".join(sorted(_forgotten(state, step.releases))),
        step=step.title,
        deadline=300,
        survive=True,
    )


def _forgotten(state: ServerState, releases: Iterable[str]) -> set[str]:
    """Return the images that records name which are about to go."""
    gone = set(state.records) - set(releases)
    return {image for name in gone for image in _strings(state.records[name].get("images"))}


def _strings(value: object) -> Iterator[str]:
    if isinstance(value, (list, Mapping)):
        yield from (str(each) for each in value)


def _not_here(_: Applier, step: steps.Step, remote: Remote) -> None:
    raise RemoteError(f"{remote.name}: {step.title} takes two servers; this is a fault of Rondo")


Action = Callable[[Applier, "steps.Step", "Remote"], None]

_ACTIONS: dict[type[steps.Step], Callable[..., Output | None]] = {
    steps.SendFiles: _send_files,
    steps.SendContext: _send_context,
    steps.BuildImage: _build,
    steps.PullImage: _pull,
    steps.CarryImage: _not_here,
    steps.TagImage: _tag,
    steps.StartAccessory: _start_accessory,
    steps.RunReleaseCommand: _release_command,
    steps.InstallConfig: _install_config,
    steps.FillSlot: _fill,
    steps.StartWorker: _start_worker,
    steps.EmptySlot: _empty,
    steps.Settle: _settle,
    steps.WriteRecord: _write_record,
    steps.EnforceRelease: _enforce,
    steps.Prune: _prune,
}
