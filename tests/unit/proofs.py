"""Made-up evidence of proofs: a healthy run, and knobs that break it the way real faults do.

proofs.evidence()                                       20 s at 200/s, 2 servers, 3 slots each
proofs.evidence(slow={"backend-2": 1.3}, duration=60)   one slot is slower
proofs.evidence(change=True)                            a deploy under load, with marks
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from rondo.objectives import ProofLimits
from rondo.proof.evidence import (
    Evidence,
    Expected,
    Installed,
    Mark,
    Member,
    Planned,
    Running,
    ServerWitness,
    TlsFinding,
    Upstream,
    WorkerReport,
)
from rondo.proof.records import (
    LOGGED,
    REQUEST,
    Lines,
    Outcome,
    Requests,
    Wire,
    no_lines,
    no_requests,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from rondo.proof.evidence import Policy

BEGAN = 1_750_000_000.0
RUN = "5f0c1d2e3b4a"
OLD, NEW = "25677641", "9c41f7d0"
STEPS = (
    "GET /",
    "GET /api/products/",
    "GET /api/products/{product}/",
    "POST /api/orders/",
    "probe",
)
METHODS = ("GET", "GET", "GET", "POST", "GET")
SERVICE_OF_STEP = (0, 1, 1, 1, 0)  # frontend, backend
SERVICES = ("frontend", "backend")
STATUSES = (200, 200, 200, 201, 200)
SERVICE_SECONDS = (0.0015, 0.006, 0.008, 0.012, 0.004)
PROBES = 10
MOST_SLOTS = 64


@dataclass(frozen=True)
class Knobs:
    """How the run was, and what was wrong with it."""

    rate: float = 200
    duration: float = 20
    servers: int = 2
    replicas: int = 3
    users: int = 100
    seed: int = 1
    limits: Mapping[str, Any] = field(default_factory=dict)
    witnessed: bool = True
    """Whether the servers could be asked."""
    secret: bool = True
    """Whether the servers told the clients which backend answered."""
    tls: bool = True

    policy: Policy = "round_robin"
    """Declared; and done, without `balance`."""
    balance: Policy | None = None
    """What Nginx does in truth."""
    weights: tuple[int, ...] | None = None
    """Declared; and in force, without `real_weights`."""
    real_weights: tuple[int, ...] | None = None
    read_configuration: bool = True
    """Whether the installed configuration tells the truth about balance and weights."""
    zone: bool = True
    nginx_workers: int = 2
    reloads: int = 0
    foreign: int = 0
    """Requests of others."""

    dead: tuple[str, ...] = ()
    """Slots that never answer, and are passed over without a retry: down, backup, left out."""
    killed: Mapping[str, float] = field(default_factory=dict)
    """Slots that die at a share of the run."""
    missing_server: str = ""
    """A server that answers nothing, and is not asked."""
    slow: Mapping[str, float] = field(default_factory=dict)
    """Factor by slot, on every server."""
    noise: float = 0.35
    """Standard deviation of the logarithm of service times."""
    shared: float = 0.25
    """The same, of what all requests of a second share; it lasts for some seconds."""
    wrong: float = 0
    """Share of requests to the backend that answer 500."""
    dropped: float = 0
    """Share of GETs whose connection is closed."""
    stall: float = 0
    """Seconds that every fifth second stands still."""

    stray: Mapping[str, str] = field(default_factory=dict)
    """Release by slot, other than the recorded one."""
    change: bool = False
    """A deploy during the load."""
    reshaped_from: tuple[int, ...] = ()
    """Weights of the backend's slots before the deploy, if it gives it another shape."""
    late_old: int = 0
    """Answers of the old release after the end of the deploy."""
    change_factor: float = 1
    """How much slower the site is during the change."""

    sent_share: float = 1
    cpu: float = 0.3
    lag: float = 0.001
    lost_worker: bool = False
    unlogged: int = 0
    """Lines that are missing in the first server's log."""
    doubled: int = 0
    """Lines that are there twice."""
    complete: bool = True
    clock: float = 0
    """Of the first server, against the operator's."""
    tls_error: str = ""
    tls_versions: tuple[str, ...] = ("TLSv1.2", "TLSv1.3")
    days_left: float = 80
    http2: bool = True
    redirect: str = "308 https://shop.example.com/"


def evidence(**knobs: Any) -> Evidence:  # noqa: ANN401 - the fields of Knobs
    """Make the evidence of one run."""
    return _Run(Knobs(**knobs)).evidence()


class Texts:
    """Texts by number, as rows hold them."""

    def __init__(self) -> None:
        self.found: dict[str, int] = {"": 0}

    def __getitem__(self, text: str) -> int:
        return self.found.setdefault(text, len(self.found))

    def many(self, codes: NDArray[np.int64], text: Callable[[int], str]) -> NDArray[np.int64]:
        """Return the numbers of the texts that codes stand for, each text made once."""
        each, inverse = np.unique(codes, return_inverse=True)
        return np.array([self[text(int(code))] for code in each], np.int64)[inverse]

    @property
    def all(self) -> tuple[str, ...]:
        return tuple(self.found)


class _Run:
    """One run in the making: a column per property of a request."""

    def __init__(self, knobs: Knobs) -> None:
        self.knobs = knobs
        self.chance = np.random.default_rng(knobs.seed)
        self.servers = tuple(f"web-{number + 1}" for number in range(knobs.servers))
        self.slots = {
            "frontend": ("frontend-1",),
            "backend": tuple(f"backend-{number + 1}" for number in range(knobs.replicas)),
        }
        self.plan()
        self.balance()
        self.answer()

    # -- the load

    def plan(self) -> None:
        knobs = self.knobs
        paced = max(1, int(knobs.rate * knobs.duration * knobs.sent_share))
        number = np.arange(paced)
        probes = np.arange(max(1, int(PROBES * knobs.duration)))
        self.user = np.concatenate([number % knobs.users, np.full(len(probes), knobs.users)])
        chosen = self.chance.choice(4, paced, p=(0.25, 0.25, 0.2, 0.3))
        self.step = np.concatenate([chosen, np.full(len(probes), 4)])
        at = np.concatenate([number / (knobs.rate or 1), probes / PROBES + 0.05])
        order = np.argsort(at, kind="stable")
        self.user, self.step, self.offset = self.user[order], self.step[order], at[order]
        if not knobs.rate:
            self.user, self.step, self.offset = (each[:0] for each in (self.user, self.step, at))
        self.count = len(self.user)
        live = [s for s in range(len(self.servers)) if self.servers[s] != knobs.missing_server]
        self.server = np.array(live)[self.user % len(live)]
        self.service = np.array(SERVICE_OF_STEP)[self.step]
        self.lateness = self.chance.exponential(knobs.lag / 5, self.count)

    # -- Nginx

    def balance(self) -> None:
        self.first = np.zeros(self.count, np.int64)
        self.second = np.full(self.count, -1)
        for server in range(len(self.servers)):
            for service, name in enumerate(SERVICES):
                here = np.flatnonzero((self.server == server) & (self.service == service))
                if len(here):
                    self._spread(here, len(self.slots[name]) if service else 1)

    def _spread(self, here: NDArray[np.int64], slots: int) -> None:
        knobs = self.knobs
        weights = self._weights(slots)
        alive = np.array([f"backend-{slot + 1}" not in knobs.dead for slot in range(slots)])
        turns = 1 if knobs.zone else knobs.nginx_workers
        worker = self.user[here] * 7 // 3 % turns
        policy = knobs.balance or knobs.policy
        if slots == 1:
            self.first[here] = 0
        elif policy == "random":
            share = weights * alive / (weights * alive).sum()
            self.first[here] = self.chance.choice(slots, len(here), p=share)
        elif policy == "ip_hash":
            self.first[here] = np.flatnonzero(alive)[0]
        else:
            for each in range(turns):
                mine = here[worker == each]
                self.first[mine] = _turns(weights * alive, len(mine))
        if slots > 1 and knobs.reshaped_from:
            # Nginx is reloaded before the deploy is over.
            early = here[self.offset[here] < self.change_end - 0.5]
            self.first[early] = _turns(np.array(knobs.reshaped_from), len(early))
        self._kill(here, slots, weights)

    def _weights(self, slots: int) -> NDArray[np.int64]:
        given = self.knobs.real_weights or self.knobs.weights
        return np.array(given if given and slots == len(given) else (1,) * slots)

    def _kill(self, here: NDArray[np.int64], slots: int, weights: NDArray[np.int64]) -> None:
        """Five turns end in a retry, then Nginx passes the slot over."""
        for name, share in self.knobs.killed.items():
            slot = int(name.rsplit("-", 1)[1]) - 1
            if slots == 1:
                continue
            late = here[self.offset[here] >= share * self.knobs.duration]
            struck = late[self.first[late] == slot][:5]
            self.second[struck] = (slot + 1) % slots
            if len(struck):
                rest = late[late > struck[-1]]
                self.first[rest] = _turns(np.where(np.arange(slots) == slot, 0, weights), len(rest))

    # -- the application

    def answer(self) -> None:
        knobs, count = self.knobs, self.count
        last = np.where(self.second < 0, self.first, self.second)
        self.last = self.service * MOST_SLOTS + last
        self.chain = (self.service * MOST_SLOTS + self.first) * MOST_SLOTS + self.second + 1
        seconds = np.array(SERVICE_SECONDS)[self.step] * self.chance.lognormal(
            0, knobs.noise, count
        )
        seconds *= np.exp(_drift(self.chance, int(knobs.duration) + 2, knobs.shared))[
            self.offset.astype(int)
        ]
        for name, factor in knobs.slow.items():
            seconds[self.last == self.number(name)] *= factor
        self.changing = self._changing()
        seconds[self.changing] *= knobs.change_factor
        self.start = self.offset + self.lateness
        if knobs.stall:
            into = self.start % 5
            held = into < knobs.stall
            seconds = np.where(held, knobs.stall - into + seconds, seconds)
        self.end = self.start + seconds
        self._outcomes()
        self._releases()

    def number(self, slot: str) -> int:
        """Return what stands for a slot in `last`."""
        service, _, number = slot.rpartition("-")
        return SERVICES.index(service) * MOST_SLOTS + int(number) - 1

    def _outcomes(self) -> None:
        knobs, count = self.knobs, self.count
        self.status = np.array(STATUSES)[self.step]
        self.outcome = np.zeros(count, np.int64)
        luck = self.chance.random(count)
        wrong = (self.service == 1) & (luck < knobs.wrong)
        self.status[wrong], self.outcome[wrong] = 500, Outcome.WRONG
        get = np.array([method == "GET" for method in METHODS])[self.step]
        self.lost = get & (luck > 1 - knobs.dropped)
        self.outcome[self.lost] = Outcome.TRANSPORT

    # -- the deploy

    @property
    def schedule(self) -> list[tuple[float, str, str]]:
        """When each slot is switched, from the beginning."""
        if not self.knobs.change:
            return []
        every = [(s, slot) for slot in self.slots["backend"] for s in self.servers]
        span = self.knobs.duration * 0.3
        first = self.knobs.duration * 0.4
        return [
            (first + span * number / len(every), server, slot)
            for number, (server, slot) in enumerate(every)
        ]

    @property
    def change_end(self) -> float:
        return self.knobs.duration * 0.75

    def _changing(self) -> NDArray[np.bool_]:
        began = self.knobs.duration * 0.38
        return self.knobs.change & (self.offset >= began) & (self.offset < self.change_end)

    def _releases(self) -> None:
        self.releases = (OLD, NEW, *self.knobs.stray.values())
        self.release = np.zeros(self.count, np.int64)
        server = np.array(self.servers)[self.server]
        for at, where, slot in self.schedule:
            self.release[
                (server == where) & (self.last == self.number(slot)) & (self.start > at)
            ] = 1
        if self.knobs.change:
            self.release[(self.service == 0) & (self.start > self.change_end - 0.5)] = 1
        for stray, slot in enumerate(self.knobs.stray):
            self.release[self.last == self.number(slot)] = 2 + stray
        late = np.flatnonzero((self.start > self.change_end + 0.5) & (self.service == 1))
        self.release[late[: self.knobs.late_old]] = 0

    def marks(self) -> tuple[Mark, ...]:
        if not self.knobs.change:
            return ()
        first = BEGAN + self.knobs.duration * 0.38
        found = [Mark(first, "begin", "deploy"), Mark(first + 0.1, "phase", "roll backend")]
        for at, server, slot in self.schedule:
            found.append(Mark(BEGAN + at, "switched", f"switched shop-{slot}", server, slot))
            found.append(Mark(BEGAN + at + 0.2, "drained", f"drained {slot}", server, slot))
        end = BEGAN + self.change_end
        for server in self.servers:
            found.append(Mark(end - 0.5, "switched", "switched", server, "frontend-1"))
            found.append(Mark(end - 0.3, "drained", "drained", server, "frontend-1"))
        return (*found, Mark(end, "end", "deployed"))

    # -- what is handed in

    def address(self, slot: str) -> str:
        return f"unix:/var/lib/rondo/shop/sockets/{slot}/slot.sock"

    def requests(self) -> Requests:
        texts, rows = Texts(), np.zeros(self.count, REQUEST)
        rows["id"] = np.arange(self.count) + 1
        rows["intended"], rows["start"] = BEGAN + self.offset, BEGAN + self.start
        rows["end"], rows["step"], rows["user"] = BEGAN + self.end, self.step, self.user
        rows["status"] = np.where(self.lost, 0, self.status)
        rows["outcome"], rows["wire"] = self.outcome, np.where(self.step == 4, Wire.FRESH, 1)
        codes = (self.chain * 8 + self.server) * 8 + self.release
        seen = texts.many(codes, self.header)
        rows["seen"] = np.where(self.lost, 0, seen) * self.knobs.secret
        rows["error"][self.outcome == Outcome.WRONG] = texts["status 500 instead of 200"]
        rows["error"][self.lost] = texts["closed before the answer was whole"]
        rows["bytes"] = np.where(self.lost, 0, 1000 + self.step * 100)
        return Requests(rows, texts.all)

    def header(self, code: int) -> str:
        """Write X-Rondo-Backend."""
        rest, release = divmod(code, 8)
        chain, server = divmod(rest, 8)
        return f"{self.servers[server]};{self.addresses(chain)};{self.releases[release]}"

    def addresses(self, chain: int) -> str:
        """Write $upstream_addr."""
        first, second = divmod(chain, MOST_SLOTS)
        service, slot = divmod(first, MOST_SLOTS)
        tried = (slot, second - 1)[: 1 + (second > 0)]
        return ", ".join(self.address(f"{SERVICES[service]}-{each + 1}") for each in tried)

    def lines(self, server: int) -> Lines:
        knobs, texts = self.knobs, Texts()
        here = np.flatnonzero(self.server == server)
        rows = np.zeros(len(here), LOGGED)
        rows["id"] = here + 1
        rows["time"] = np.round(BEGAN + self.end[here] - 0.0002, 3)
        rows["time"] += knobs.clock if server == 0 else 0
        rows["seconds"] = np.round(self.end[here] - self.start[here], 3)
        rows["status"], rows["bytes"] = self.status[here], 1000 + self.step[here] * 100
        rows["method"] = np.array([texts[each] for each in METHODS])[self.step[here]]
        rows["path"] = np.array([texts[each] for each in STEPS])[self.step[here]]
        rows["backend"] = texts.many(self.chain[here], self.addresses)
        rows["release"] = texts.many(self.release[here], lambda code: self.releases[code])
        told = self.status[here] * 2 + (self.second[here] >= 0)
        rows["backend_status"] = texts.many(
            told, lambda code: "502, " * (code % 2) + f"{code // 2}"
        )
        rows = rows[np.argsort(rows["time"], kind="stable")]
        if server == 0:
            rows = rows[knobs.unlogged :]
            rows = np.concatenate([rows, rows[: knobs.doubled]])
        return Lines(rows, texts.all)

    def witnesses(self) -> tuple[ServerWitness, ...]:
        knobs = self.knobs
        if not knobs.witnessed:
            return ()
        return tuple(
            ServerWitness(
                server,
                self.lines(number),
                self.others(),
                self.installed(),
                knobs.nginx_workers,
                knobs.reloads,
                knobs.complete or number > 0,
                "" if knobs.complete or number > 0 else "the log was cut off",
                knobs.clock if number == 0 else 0.0,
            )
            for number, server in enumerate(self.servers)
            if server != knobs.missing_server
        )

    def others(self) -> dict[str, int]:
        if not self.knobs.foreign:
            return {}
        return {self.address("frontend-1"): self.knobs.foreign}

    def upstreams(self) -> tuple[Upstream, ...]:
        return tuple(
            Upstream(
                server,
                service,
                f"rondo_shop_{service}",
                self.knobs.policy if service == "backend" else "round_robin",
                dict(zip(slots, self.declared(service), strict=True)),
                {self.address(slot): slot for slot in slots},
                self.knobs.zone,
            )
            for server in self.servers
            for service, slots in self.slots.items()
        )

    def declared(self, service: str) -> tuple[int, ...]:
        slots = self.slots[service]
        return (self.knobs.weights if service == "backend" else None) or (1,) * len(slots)

    def installed(self) -> tuple[Installed, ...]:
        knobs = self.knobs
        policy, weights = knobs.policy, knobs.weights
        if knobs.read_configuration:
            policy, weights = knobs.balance or policy, knobs.real_weights or weights
        members = tuple(
            Member(self.address(slot), weight, down=knobs.read_configuration and slot in knobs.dead)
            for slot, weight in zip(
                self.slots["backend"], weights or (1,) * knobs.replicas, strict=True
            )
        )
        front = (Member(self.address("frontend-1")),)
        return (
            Installed("rondo_shop_frontend", "round_robin", front, knobs.zone),
            Installed("rondo_shop_backend", policy, members, knobs.zone),
        )

    def expected(self) -> Expected:
        every = [
            (server, slot) for server in self.servers for s in self.slots.values() for slot in s
        ]
        before = tuple(Running(server, slot, OLD, recorded=True) for server, slot in every)
        after = (
            tuple(replace(each, release=NEW) for each in before) if self.knobs.change else before
        )
        names = ("shop.example.com",)
        return Expected(
            self.upstreams(), before, after, self.servers, self.knobs.tls, names, self.former()
        )

    def former(self) -> tuple[Upstream, ...]:
        given = self.knobs.reshaped_from
        slots = [f"backend-{number + 1}" for number in range(len(given))]
        return tuple(
            replace(
                each,
                slots=dict(zip(slots, given, strict=True)),
                addresses={self.address(slot): slot for slot in slots},
            )
            for each in self.upstreams()
            if given and each.service == "backend"
        )

    def workers(self) -> tuple[WorkerReport, ...]:
        knobs = self.knobs
        due, cpu = int(knobs.rate * knobs.duration), (knobs.cpu,) * max(1, int(knobs.duration))
        sent = int((self.step != 4).sum())
        lag = (knobs.lag / 8, knobs.lag / 2, knobs.lag, knobs.lag * 2)
        return (WorkerReport("worker-0", due, sent, cpu, lag, knobs.lost_worker),)

    def findings(self) -> tuple[TlsFinding, ...]:
        knobs = self.knobs
        if not knobs.tls:
            return ()
        name, days = "shop.example.com", knobs.days_left
        said = (knobs.tls_error, days, knobs.tls_versions, knobs.http2, knobs.redirect)
        return tuple(TlsFinding(server, name, *said) for server in self.servers)

    def evidence(self) -> Evidence:
        knobs = self.knobs
        shares = (0.25, 0.25, 0.2, 0.3, 0.0)
        scheme = "https" if knobs.tls else "http"
        host = f"{scheme}://shop.example.com"
        return Evidence(
            RUN,
            BEGAN,
            BEGAN + knobs.duration,
            Planned(
                knobs.rate,
                knobs.duration,
                min(2.0, knobs.duration / 5),
                knobs.users,
                1,
                STEPS,
                METHODS,
                shares,
                host,
            ),
            ProofLimits.model_validate({"p95": 0.3, "p99": 1.0, **knobs.limits}),
            self.expected(),
            self.requests(),
            self.witnesses(),
            self.marks(),
            self.findings(),
            self.workers(),
            (),
            {"rondo": "0.1.0", "locust": "2.47.0", "python": "3.11.7", "nginx web-1": "1.22.1"},
        )


def _turns(weights: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """Take turns as Nginx does: smooth weighted round robin, from the beginning."""
    total, current, period = int(weights.sum()), np.zeros(len(weights), np.int64), []
    for _ in range(total):
        current += weights
        best = int(np.argmax(np.where(weights > 0, current, np.iinfo(np.int64).min)))
        current[best] -= total
        period.append(best)
    return np.resize(np.array(period), count)


def _drift(chance: np.random.Generator, seconds: int, size: float) -> NDArray[np.float64]:
    """Make a disturbance that lasts: each second is much like the one before."""
    found = np.zeros(seconds)
    for second in range(1, seconds):
        found[second] = 0.8 * found[second - 1] + chance.normal(0, size * 0.6)
    return found


def without_rows(found: Evidence) -> Evidence:
    """Take from evidence what witnesses leave in files."""
    silent = tuple(replace(each, lines=no_lines()) for each in found.witnesses)
    return replace(found, requests=no_requests(), witnesses=silent)


def leave(folder: Path, found: Evidence) -> None:
    """Write what the witnesses of a run leave in its folder."""
    for name in ("clients", "servers"):
        (folder / name).mkdir()
    found.requests.rows.tofile(folder / "clients" / "worker-0.rows")
    said = {"texts": found.requests.texts, "began": found.began, "ended": found.ended}
    said["report"] = asdict(found.workers[0])
    (folder / "clients" / "worker-0.json").write_text(json.dumps(said))
    for each in found.witnesses:
        with (folder / "servers" / f"{each.server}.log").open("w") as file:
            file.writelines(_log_lines(each))


def _log_lines(witness: ServerWitness) -> Iterator[str]:
    """Yield lines as the template's log_format writes them."""
    text = [json.dumps(each) for each in witness.lines.texts]
    for row in witness.lines.rows.tolist():
        number, at, seconds, status, method, path, backend, told, release, size = row
        yield (
            f'{{"time":{at:.3f},"id":"{number:016x}","run":"{RUN}","client":"192.0.2.9",'
            f'"host":"shop.example.com","method":{text[method]},"path":{text[path]},'
            f'"status":"{status}","bytes":{size},"seconds":{seconds:.3f},'
            f'"backend":{text[backend]},"backend_status":{text[told]},'
            f'"backend_seconds":"{seconds:.3f}","release":{text[release]},"cache":""}}\n'
        )
