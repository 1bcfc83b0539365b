"""What runs now: one server's answer to the observe script, parsed. Pure."""

from __future__ import annotations

import base64
import hashlib
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from rondo.errors import PreflightError, RemoteError
from rondo.facts import Facts, parse_facts

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

END = "end"


@dataclass(frozen=True, slots=True)
class RunningContainer:
    """A container of the project as Docker lists it."""

    id: str
    name: str
    service: str
    slot: str
    kind: str
    spec: str
    instance: str
    release: str
    image: str
    state: str
    status: str

    @property
    def running(self) -> bool:
        """Whether Docker says that it runs (not restarting, not paused, not dead)."""
        return self.state == "running"


@dataclass(frozen=True, slots=True)
class ServerState:
    """All that a plan needs to know of one server."""

    facts: Facts
    containers: tuple[RunningContainer, ...] = ()
    images: Mapping[str, str] = field(default_factory=dict)
    """Image id by tag, by digest reference, and by itself."""
    slots: Mapping[str, str] = field(default_factory=dict)
    """Instance that each slot's symlink names."""
    environments: frozenset[str] = frozenset()
    manifests: Mapping[str, str] = field(default_factory=dict)
    """Digest of the manifest of the last context, by service."""
    files: Mapping[str, str] = field(default_factory=dict)
    """Text of the configuration files, by path."""
    certificates: Mapping[str, str] = field(default_factory=dict)
    """Digest of chain and key, by site."""
    records: Mapping[str, Mapping[str, object]] = field(default_factory=dict)
    """Release records by id."""
    current: str = ""
    """Id of the release in force; empty before the first deploy."""
    closed: Mapping[str, str] = field(default_factory=dict)
    """Sites that are closed for maintenance: since when and by whom."""
    drained: Mapping[str, str] = field(default_factory=dict)
    """On an edge, servers that are out of its rotation: since when and by whom."""

    @property
    def record(self) -> Mapping[str, object]:
        """Record of the release in force; empty before the first deploy."""
        return self.records.get(self.current, {})

    def in_slot(self, slot: str) -> RunningContainer | None:
        """Return the container that a slot's symlink (or the TCP port) belongs to now."""
        instance = self.slots.get(slot)
        return next((each for each in self.named(slot) if each.instance == instance), None)

    def named(self, slot: str) -> Iterator[RunningContainer]:
        """Yield every container made for a slot, worker or accessory."""
        return (each for each in self.containers if each.slot == slot)


def _container(entry: Mapping[str, object]) -> RunningContainer:
    labels = entry.get("Labels") or {}
    names = entry.get("Names") or ["/"]
    assert isinstance(labels, dict)  # noqa: S101 - the shape is Docker's API
    assert isinstance(names, list)  # noqa: S101 - same
    label = {key.removeprefix("rondo."): str(value) for key, value in labels.items()}
    return RunningContainer(
        id=str(entry["Id"]),
        name=str(names[0]).removeprefix("/"),
        service=label.get("service", ""),
        slot=label.get("slot", ""),
        kind=label.get("kind", ""),
        spec=label.get("spec", ""),
        instance=label.get("instance", ""),
        release=label.get("release", ""),
        image=str(entry.get("ImageID", "")),
        state=str(entry.get("State", "")),
        status=str(entry.get("Status", "")),
    )


def _containers(entries: list[dict[str, object]]) -> tuple[RunningContainer, ...]:
    """Return containers in the order of their slots; Docker gives the youngest first."""
    return tuple(sorted(map(_container, entries), key=lambda each: (each.slot, each.name)))


def _images(entries: list[dict[str, object]]) -> Iterator[tuple[str, str]]:
    for entry in entries:
        yield str(entry["Id"]), str(entry["Id"])
        for key in ("RepoTags", "RepoDigests"):
            references = entry.get(key) or []
            assert isinstance(references, list)  # noqa: S101 - the shape is Docker's API
            yield from ((str(reference), str(entry["Id"])) for reference in references)


@dataclass(slots=True)
class _Lines:
    """The observe script's answer, sorted by the first word of each line."""

    facts: list[str] = field(default_factory=list)
    pairs: dict[str, dict[str, str]] = field(default_factory=dict)
    complete: bool = False

    def take(self, line: str) -> None:
        word, _, rest = line.partition("\t")
        if word == "fact":
            self.facts.append(line)
        elif word == END:
            self.complete = True
        else:
            key, _, value = rest.partition("\t")
            self.pairs.setdefault(word, {})[key] = value

    def of(self, word: str) -> dict[str, str]:
        return self.pairs.get(word, {})

    def decoded(self, word: str) -> dict[str, str]:
        return {key: base64.b64decode(value).decode() for key, value in self.of(word).items()}

    def docker(self, key: str) -> list[dict[str, object]] | None:
        """Return what the engine lists, or None where it gave no list."""
        try:
            found = json.loads(self.of("docker").get(key, ""))
        except ValueError:
            return None
        return found if isinstance(found, list) else None


def _listed(server: str, facts: Facts, lines: _Lines, key: str) -> list[dict[str, object]]:
    found = lines.docker(key)
    if found is None and _has_engine(facts):
        said = lines.of("docker").get(key, "")
        # Half a list would tell nobody why there is not more of it.
        said = facts.docker_error or ("" if said.startswith("[") else said) or "no answer"
        raise PreflightError(
            f"{server}: its Docker Engine does not answer ({said[:200]}); on the server run: "
            "systemctl restart docker, and see journalctl -u docker"
        )
    return found or []


def _has_engine(facts: Facts) -> bool:
    """Tell whether an engine can be asked: bootstrap may not have been here yet."""
    installed = facts.docker_version is not None or facts.docker_error
    return bool(installed) and "curl" not in facts.missing


def parse(server: str, text: str) -> ServerState:
    """Return the state of a server from the observe script's output.

    Raises RemoteError when the answer was cut short, and PreflightError when the Docker Engine did
    not tell what runs: a server of which that is not known must not be read as an empty one.
    """
    lines = _Lines()
    for line in text.splitlines():
        lines.take(line)
    if not lines.complete:
        raise RemoteError(
            f"{server}: the server's description of itself was cut short; "
            "run the command again, and `fab bootstrap` if it stays"
        )
    facts = parse_facts(lines.facts)
    return ServerState(
        facts=facts,
        containers=_containers(_listed(server, facts, lines, "containers")),
        images=dict(_images(_listed(server, facts, lines, "images"))),
        slots=lines.of("slot"),
        environments=frozenset(lines.of("environment")),
        manifests=lines.of("manifest"),
        files=lines.decoded("file"),
        certificates=lines.of("certificate"),
        records={key: json.loads(value) for key, value in lines.decoded("record").items()},
        current=lines.of("current").get("release", ""),
        closed=lines.decoded("closed"),
        drained=lines.of("drained"),
    )


def text_digest(text: str) -> str:
    """Return the digest by which a file's text is compared."""
    return hashlib.sha256(text.encode()).hexdigest()
