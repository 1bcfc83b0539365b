"""All that the judge is given: what was planned, expected and seen. Pure data."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from rondo.proof.records import Lines, Requests, no_lines, no_requests

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rondo.objectives import ProofLimits

Policy = Literal["round_robin", "least_conn", "random", "ip_hash"]


@dataclass(frozen=True, slots=True)
class Planned:
    """The load as it was meant to be."""

    rate: float
    """Requests a second."""
    duration: float
    """Seconds from the first intended start to the last."""
    warm_up: float
    """Seconds at the beginning that latency and throughput are not judged on."""
    users: int
    workers: int
    steps: tuple[str, ...]
    """Name of each step, like "GET /api/products/"; REQUEST.step is an index into it."""
    methods: tuple[str, ...]
    """Method of each step."""
    shares: tuple[float, ...]
    """Share of all requests that each step was meant to have."""
    host: str
    """What was loaded, like https://shop.example.com."""
    server: str = ""
    """The one server that was loaded; empty for all."""


@dataclass(frozen=True, slots=True)
class Upstream:
    """One service on one server, as the inventory declares it."""

    server: str
    service: str
    name: str
    """Its name in the Nginx configuration."""
    policy: Policy
    slots: Mapping[str, int]
    """Weight by slot."""
    addresses: Mapping[str, str]
    """Slot by address, as $upstream_addr has it."""
    zone: bool = True
    """Whether the declared configuration shares its counters between Nginx's workers."""


@dataclass(frozen=True, slots=True)
class Running:
    """What a slot runs before and after the load."""

    server: str
    slot: str
    release: str
    """Release that started its container, as the container says it to Nginx; empty without one."""
    recorded: bool
    """Whether that container is the one that the server's release record names."""
    in_force: str = ""
    """Release in force on the server, by its record; empty where it was not asked."""


@dataclass(frozen=True, slots=True)
class Member:
    """A server line of an upstream, as installed."""

    address: str
    weight: int = 1
    down: bool = False
    backup: bool = False


@dataclass(frozen=True, slots=True)
class Installed:
    """An upstream of the configuration that the server has."""

    name: str
    policy: Policy
    members: tuple[Member, ...]
    zone: bool


@dataclass(frozen=True, slots=True)
class ServerWitness:
    """What one server says of the run."""

    server: str
    lines: Lines = field(default_factory=no_lines)
    others: Mapping[str, int] = field(default_factory=dict)
    """Requests of others in the same time, by $upstream_addr."""
    installed: tuple[Installed, ...] = ()
    nginx_workers: int = 1
    reloads: int = 0
    """Times that Nginx took a new configuration during the run."""
    complete: bool = True
    """Whether every byte of the log of this time was read."""
    reason: str = ""
    """Why it is not complete."""
    clock: float | None = None
    """Server's clock minus the operator's, in seconds, as asked over SSH; None if not asked."""


MarkKind = Literal["begin", "phase", "start", "switched", "drained", "done", "failed", "end"]


@dataclass(frozen=True, slots=True)
class Mark:
    """Something that the deploy under load did, by the operator's clock."""

    at: float
    kind: MarkKind
    text: str
    server: str = ""
    slot: str = ""
    """With switched and drained."""


@dataclass(frozen=True, slots=True)
class TlsFinding:
    """What a handshake with one server showed."""

    server: str
    name: str
    """Name that was asked for by SNI."""
    error: str = ""
    """Why the chain or the name was not accepted; empty if it was."""
    days_left: float | None = None
    versions: tuple[str, ...] = ()
    """Protocol versions that the server took, like ("TLSv1.2", "TLSv1.3")."""
    http2: bool = False
    redirect: str = ""
    """Where http:// led: status and Location, or why it was not asked."""


@dataclass(frozen=True, slots=True)
class WorkerReport:
    """How one load generator did."""

    name: str
    planned: int
    """Requests that were due in its share of the schedule."""
    sent: int
    cpu: tuple[float, ...] = ()
    """Share of one processor that it used, second by second."""
    lag: tuple[float, ...] = ()
    """Its own lateness: quantiles 0.5, 0.9, 0.99, 1 of start minus the later of the intended time
    and the end of the user's request before, in seconds."""
    lost: bool = False
    """Whether it went away before the end."""


@dataclass(frozen=True, slots=True)
class Expected:
    """What must be seen, from the inventory and the records on the servers."""

    upstreams: tuple[Upstream, ...] = ()
    before: tuple[Running, ...] = ()
    after: tuple[Running, ...] = ()
    servers: tuple[str, ...] = ()
    """Servers that must have answered."""
    tls: bool = True
    names: tuple[str, ...] = ()
    """Server names of the site."""
    former: tuple[Upstream, ...] = ()
    """Upstreams that had other slots, weights or another policy before the change, as they were."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """One run, whole."""

    run: str
    """Id of the run: it is in every request and in every line of the logs."""
    began: float
    """First intended start, seconds since 1970."""
    ended: float
    planned: Planned
    limits: ProofLimits
    expected: Expected = field(default_factory=Expected)
    requests: Requests = field(default_factory=no_requests)
    witnesses: tuple[ServerWitness, ...] = ()
    """Empty when the servers could not be asked: what rests on them is then not judged."""
    marks: tuple[Mark, ...] = ()
    tls: tuple[TlsFinding, ...] = ()
    workers: tuple[WorkerReport, ...] = ()
    notes: tuple[str, ...] = ()
    """What kept a witness from being heard, in sentences."""
    versions: Mapping[str, str] = field(default_factory=dict)
    """Of rondo, locust, python and each server's nginx, for the report."""
    command: str = ""
    """What was typed for it; empty where that is not known."""
