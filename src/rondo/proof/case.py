"""The evidence, read once for all checks: what more than one of them needs. Pure."""

from __future__ import annotations

import math
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from rondo.proof import latency, phrases
from rondo.proof.matching import Match, match
from rondo.proof.records import Outcome
from rondo.proof.turns import NONE, Directory, Table, read_log, read_seen

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from rondo.proof.evidence import Evidence, ServerWitness, Upstream

PROBE = "probe"
"""Name of the step of the sequential user, which is no part of the rate."""
_USUAL_WORKERS = 8
"""Where nobody was asked how many there are."""


class Log:
    """What one server logged, with its texts read."""

    def __init__(self, witness: ServerWitness, directory: Directory) -> None:
        self.witness = witness
        self.server = witness.server
        self.rows = witness.lines.rows
        self.texts = witness.lines.texts
        used = np.zeros(len(self.texts), np.bool_)
        used[self.rows["backend"]] = True
        self.table: Table = read_log(witness.lines, directory, witness.server, used)

    @property
    def first(self) -> NDArray[np.int16]:
        """Place that each request was given to first."""
        found: NDArray[np.int16] = self.table.first[self.rows["backend"]]
        return found

    @property
    def last(self) -> NDArray[np.int16]:
        """Place that answered each request."""
        found: NDArray[np.int16] = self.table.last[self.rows["backend"]]
        return found

    @property
    def begun(self) -> NDArray[np.float64]:
        """When Nginx took each request, by the operator's clock."""
        away = self.witness.clock or 0.0
        found: NDArray[np.float64] = self.rows["time"] - self.rows["seconds"] - away
        return found

    @property
    def tries(self) -> NDArray[np.uint8]:
        """How many backends each request was given to."""
        found: NDArray[np.uint8] = self.table.tries[self.rows["backend"]]
        return found


class Case:
    """One run, with what its checks have in common."""

    def __init__(self, evidence: Evidence) -> None:
        self.evidence = evidence
        self.planned, self.limits = evidence.planned, evidence.limits
        self.expected = evidence.expected
        self.rows: NDArray[Any] = evidence.requests.rows
        self.texts = evidence.requests.texts
        self.count = len(self.rows)
        self.directory = Directory(self.expected.upstreams)
        self.places = self.directory.places
        self.logs = tuple(Log(each, self.directory) for each in evidence.witnesses)

    @cached_property
    def seen(self) -> Table:
        """What the headers that clients saw say."""
        used = np.zeros(len(self.texts), np.bool_)
        used[self.rows["seen"]] = True
        return read_seen(self.evidence.requests, self.directory, used)

    @cached_property
    def told(self) -> bool:
        """Whether servers said to clients which backend answered."""
        return bool((self.seen.server[self.rows["seen"]] != NONE).any())

    @cached_property
    def place(self) -> NDArray[np.int16]:
        """Place that answered each request: as its client saw it, or else as it was logged."""
        found: NDArray[np.int16] = self.seen.last[self.rows["seen"]]
        if self.told or not self.logs:
            return found
        for number, log in enumerate(self.logs):
            mine = np.flatnonzero(self.match.log == number)
            found[mine] = log.last[self.match.line[mine]]
        return found

    @cached_property
    def match(self) -> Match:
        """Which line of which log belongs to each request."""
        return match(self.rows["id"], [log.rows["id"] for log in self.logs])

    @cached_property
    def probing(self) -> NDArray[np.bool_]:
        """Which steps are the sequential user's."""
        return np.array([*(step == PROBE for step in self.planned.steps), False])

    @cached_property
    def paced(self) -> NDArray[np.bool_]:
        """Which requests belong to the rate."""
        step = np.minimum(self.rows["step"], len(self.probing) - 1)
        found: NDArray[np.bool_] = ~self.probing[step]
        return found

    @cached_property
    def right(self) -> NDArray[np.bool_]:
        """Which requests were answered as expected."""
        found: NDArray[np.bool_] = self.rows["outcome"] == Outcome.RIGHT
        return found

    @cached_property
    def answered(self) -> NDArray[np.bool_]:
        """Which requests got a whole answer, right or wrong."""
        found: NDArray[np.bool_] = self.rows["outcome"] <= Outcome.WRONG
        return found

    @cached_property
    def late(self) -> NDArray[np.float64]:
        """Latencies that are judged, from the intended start, sorted."""
        return latency.intended(self, latency.judged(self))

    @cached_property
    def change(self) -> tuple[float, float] | None:
        """From when to when the cluster was changed, by the operator's clock."""
        marks = self.evidence.marks
        if not marks:
            return None
        ends = [each.at for each in marks if each.kind == "end"]
        return min(each.at for each in marks), max(ends or [each.at for each in marks])

    def since(self, upstream: Upstream) -> float:
        """Return from when on an upstream must be the declared one, by the operator's clock.

        At once, but where a change was to make it so: then from the end of the change on.
        """
        reshaped = (upstream.server, upstream.name) in self._former
        return self.change[1] if reshaped and self.change else -math.inf

    @cached_property
    def former_addresses(self) -> frozenset[tuple[str, str]]:
        """Server and address of each slot that an upstream had before the change."""
        return frozenset(
            (each.server, address) for each in self.expected.former for address in each.addresses
        )

    @cached_property
    def _former(self) -> frozenset[tuple[str, str]]:
        return frozenset((each.server, each.name) for each in self.expected.former)

    @cached_property
    def reshaped(self) -> tuple[str, ...]:
        """Say of each upstream with another shape before the change from when on it is judged."""
        return tuple(
            f"{each.server} {each.service}: its slots, weights or policy were changed; judged from"
            f" the end of the change on, {phrases.clock(self.since(each))}"
            for each in self.expected.upstreams
            if math.isfinite(self.since(each))
        )

    def counters(self, upstream: Upstream) -> int:
        """Return how many Nginx workers count the turns of an upstream on their own.

        One if it has a zone: the installed one if the configuration was read, else as declared.
        """
        for log in self.logs:
            if log.server == upstream.server:
                found = [e.zone for e in log.witness.installed if e.name == upstream.name]
                shared = found[0] if found else upstream.zone
                return 1 if shared else log.witness.nginx_workers
        return 1 if upstream.zone else _USUAL_WORKERS

    @property
    def loaded_servers(self) -> tuple[str, ...]:
        """Servers that were to answer."""
        only = self.planned.server
        return (only,) if only else self.expected.servers

    def step(self, number: int) -> str:
        """Return the name of a step."""
        steps = self.planned.steps
        return steps[number] if number < len(steps) else f"step {number}"

    def method(self, number: int) -> str:
        """Return the method of a step."""
        methods = self.planned.methods
        return methods[number] if number < len(methods) else "GET"
