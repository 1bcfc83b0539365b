"""What runs where, how it does, and what differs from the release record. Pure."""

from __future__ import annotations

import base64
import datetime
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from rondo.docker import ONCE, digest
from rondo.marks import unmarked
from rondo.state import RunningContainer, ServerState, text_digest


@dataclass(frozen=True, slots=True)
class Expected:
    """A container that the release record names, with how to ask for its health."""

    name: str
    kind: str
    spec: str
    host: str = ""
    path: str = ""
    status: int = 0
    timeout: float = 5.0


@dataclass(frozen=True, slots=True)
class Probe:
    """What the server said of one slot when it was asked."""

    health: str = ""
    flight: int | None = None
    memory: int | None = None
    since: str = ""


@dataclass(frozen=True, slots=True)
class Row:
    """One line of `fab status`."""

    server: str
    slot: str
    release: str
    state: str
    health: str
    uptime: float | None
    """Seconds."""
    memory: int | None
    """Bytes."""
    in_flight: int | None


@dataclass(frozen=True, slots=True)
class ServerStatus:
    """One server as `fab status` shows it."""

    server: str
    release: str
    rows: tuple[Row, ...]
    drift: tuple[str, ...] = ()
    certificates: Mapping[str, int] = field(default_factory=dict)
    """Days left, by site."""
    closed: Mapping[str, str] = field(default_factory=dict)
    """Sites that are closed for maintenance: since when and by whom."""
    drained: Mapping[str, str] = field(default_factory=dict)
    """Servers that are out of an edge's rotation: since when and by whom."""

    @property
    def sound(self) -> bool:
        """Whether everything that the record names runs, is healthy and unchanged."""
        return not self.drift and all(row.health in {"ok", ""} for row in self.rows)


def expected(record: Mapping[str, Any]) -> tuple[Expected, ...]:
    """Return what a release record says must run on its server."""
    server = record.get("server", {})
    slots = (_expected(each["container"], each["gate"]) for each in server.get("slots", ()))
    rest = (*server.get("workers", ()), *server.get("accessories", ()))
    return (*slots, *(_expected(each["container"], {}) for each in rest))


def _expected(container: Mapping[str, Any], gate: Mapping[str, Any]) -> Expected:
    return Expected(
        name=container["name"],
        kind=container["kind"],
        spec=digest(container),
        host=gate.get("host", ""),
        path=gate.get("path", ""),
        status=gate.get("status", 0),
        timeout=gate.get("timeout", 5.0),
    )


def probe_arguments(state: ServerState) -> tuple[str, ...]:
    """Return the words by which the status script is told what to ask, six for each container."""
    words: list[str] = []
    for each in expected(state.record):
        there = _find(state, each)
        if there is not None:
            words += [each.name, there.id, there.instance, each.host, each.path, str(each.timeout)]
    return tuple(words)


def _find(state: ServerState, wanted: Expected) -> RunningContainer | None:
    if wanted.path:
        return state.in_slot(wanted.name)
    return next(state.named(wanted.name), None)


def parse_probes(text: str) -> tuple[dict[str, Probe], dict[str, str]]:
    """Return the probes by slot, and the certificates (PEM) by site."""
    found: dict[str, dict[str, str]] = {}
    for line in text.splitlines():
        word, _, rest = line.partition("\t")
        key, _, value = rest.partition("\t")
        found.setdefault(word, {})[key] = value
    names = {name for word in ("since", "health") for name in found.get(word, {})}
    certificates = found.get("certificate", {})
    return (
        {name: _probe(name, found) for name in names},
        {site: base64.b64decode(pem).decode() for site, pem in certificates.items()},
    )


def _probe(name: str, found: Mapping[str, Mapping[str, str]]) -> Probe:
    def number(word: str) -> int | None:
        text = found.get(word, {}).get(name, "")
        return int(text) if text.isdigit() else None

    return Probe(
        health=found.get("health", {}).get(name, ""),
        flight=number("flight"),
        memory=number("memory"),
        since=found.get("since", {}).get(name, ""),
    )


def summarise(
    server: str,
    state: ServerState,
    probes: Mapping[str, Probe],
    certificates: Mapping[str, int],
    now: datetime.datetime,
) -> ServerStatus:
    """Return a server's status from what was observed and what its slots answered."""
    wanted = expected(state.record)
    return ServerStatus(
        server=server,
        release=state.current,
        rows=tuple(
            _row(server, each, state, probes.get(each.name, Probe()), now) for each in wanted
        ),
        drift=tuple(_drift(state, wanted)),
        certificates=certificates,
        closed=state.closed,
        drained=state.drained,
    )


def _row(
    server: str, wanted: Expected, state: ServerState, probe: Probe, now: datetime.datetime
) -> Row:
    there = _find(state, wanted)
    return Row(
        server=server,
        slot=wanted.name,
        release=there.release if there else "",
        state=there.state if there else "missing",
        health=_health(wanted, probe) if there and there.running else "down",
        uptime=_uptime(probe.since, now) if there and there.running else None,
        memory=probe.memory,
        in_flight=probe.flight,
    )


def _health(wanted: Expected, probe: Probe) -> str:
    if not wanted.path:
        return ""
    if probe.health == str(wanted.status):
        return "ok"
    return f"answers {probe.health}" if probe.health.strip("0") else "no answer"


def _uptime(since: str, now: datetime.datetime) -> float | None:
    try:
        started = datetime.datetime.fromisoformat(since[:19] + "+00:00")
    except ValueError:
        return None
    return max(0.0, (now - started).total_seconds())


def _drift(state: ServerState, wanted: Sequence[Expected]) -> Iterator[str]:
    """Tell what differs from the record: stopped or strange containers, edited files."""
    if state.facts.docker_version is None:
        yield f"its Docker Engine does not answer: {state.facts.docker_error or 'not installed'}"
        return
    if not state.current:
        yield "nothing was deployed here"
    yield from (text for each in wanted if (text := _container_drift(each, _find(state, each))))
    names = {each.name for each in wanted}
    for container in state.containers:
        if container.kind in {"accessory", ONCE}:
            continue
        if container.running and container.slot not in names:
            yield f"{container.name}: runs though the record does not name it"
    for path, recorded in _configs(state):
        there = state.files.get(path)
        if there is None:
            yield f"{path}: is gone"
        elif text_digest(unmarked(there, state.drained)) != recorded:
            yield f"{path}: was edited on the server"


def _container_drift(wanted: Expected, there: RunningContainer | None) -> str:
    if there is None:
        return f"{wanted.name}: its container is gone"
    if not there.running:
        return f"{wanted.name}: its container is {there.state} (stopped by hand?)"
    if there.spec != wanted.spec:
        return f"{wanted.name}: runs another spec than the record's"
    return ""


def _configs(state: ServerState) -> Iterator[tuple[str, str]]:
    configs = state.record.get("configs")
    if isinstance(configs, Mapping):
        yield from configs.items()


def duration(seconds: float | None) -> str:
    """Write a time as people say it: 45s, 12m, 3h, 9d."""
    if seconds is None:
        return "-"
    for size, unit in ((86400, "d"), (3600, "h"), (60, "m")):
        if seconds >= size:
            return f"{int(seconds // size)}{unit}"
    return f"{int(seconds)}s"


def mebibytes(size: int | None) -> str:
    """Write a size of memory in MiB."""
    return "-" if size is None else f"{size / 1024**2:.0f} MiB"
