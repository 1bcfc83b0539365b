"""Which slot each request of an upstream was given to first, by the best witness there is. Pure."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from rondo.proof.shares import Shares, Slack, shares

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from rondo.proof.case import Case, Log
    from rondo.proof.evidence import ServerWitness, Upstream

_EDGES = 8
"""Requests of others that may have been in flight as the log of the run began and ended."""


@dataclass(frozen=True, slots=True)
class Choices:
    """The first choices of one upstream, in the order of the witness."""

    upstream: Upstream
    slots: NDArray[np.int64]
    """Slot that each request was given to first, by its place in the upstream."""
    starts: NDArray[np.float64]
    ends: NDArray[np.float64]
    slack: Slack
    others: NDArray[np.int64]
    """Requests of others that each slot took: they take turns like ours."""
    clients: NDArray[np.int64]
    """Load generator that sent each request: each has one address."""
    witnessed: bool = True
    """Whether all turns are known: from the server's log, with those of others."""

    @property
    def names(self) -> tuple[str, ...]:
        """Slots in the order of the upstream."""
        return tuple(self.upstream.slots)

    @property
    def weights(self) -> tuple[int, ...]:
        """Weights in the same order."""
        return tuple(self.upstream.slots.values())

    @property
    def shares(self) -> Shares:
        """What each took, requests of others counted in."""
        counts = np.bincount(self.slots, minlength=len(self.weights)) + self.others
        return shares(counts, self.weights)

    @property
    def where(self) -> str:
        """How it is called in sentences."""
        return f"{self.upstream.server} {self.upstream.service}"


def choices(case: Case) -> Iterator[Choices]:
    """Yield the choices of each upstream: from the server's log, or else as clients saw them."""
    logs = {log.server: log for log in case.logs}
    for index, upstream in enumerate(case.expected.upstreams):
        if upstream.server in logs:
            yield _logged(case, index, upstream, logs[upstream.server])
        elif upstream.server in case.loaded_servers:
            yield _seen(case, index, upstream)


def _slots_of(case: Case, index: int) -> NDArray[np.int64]:
    """Return, by place, its number within the upstream; -1 for places of others."""
    found = np.full(len(case.places) + 2, -1)
    mine = [n for n, place in enumerate(case.places) if place.upstream == index]
    found[mine] = np.arange(len(mine))
    return found


def _logged(case: Case, index: int, upstream: Upstream, log: Log) -> Choices:
    slot = _slots_of(case, index)[log.first]  # NONE and UNKNOWN index the two at the end
    here = np.flatnonzero(slot >= 0)
    change = _tcp_change(case, upstream, log.witness)
    if change:
        time = log.rows["time"][here] - (log.witness.clock or 0.0)
        here = here[(time < change[0]) | (time > change[1])]
    # What began before may have been given away by a worker with the former configuration.
    here = here[log.begun[here] > case.since(upstream)]
    rows = log.rows[here]
    ends = rows["time"]
    witness = log.witness
    others = _others(upstream, witness)
    # Whether others took their turns before or after the change is not known.
    untold = bool(others.any()) and math.isfinite(case.since(upstream))
    others *= not untold
    flying = _EDGES if others.any() else 0
    slack = Slack(
        case.counters(upstream),
        witness.reloads,
        int(np.count_nonzero(log.tries[here] > 1)),
        flying,
    )
    return Choices(
        upstream,
        slot[here],
        ends - rows["seconds"],
        ends,
        slack,
        others=others,
        clients=_clients(rows["id"]),
        witnessed=not untold,
    )


def _tcp_change(
    case: Case, upstream: Upstream, witness: ServerWitness
) -> tuple[float, float] | None:
    """Return when not to judge: a slot that listens on TCP is taken out while it changes."""
    local = all(address.startswith("unix:") for address in upstream.addresses)
    return None if local or not witness.reloads else case.change


def _others(upstream: Upstream, witness: ServerWitness) -> NDArray[np.int64]:
    found = dict.fromkeys(upstream.slots, 0)
    for chain, count in witness.others.items():
        first = chain.split(",")[0].strip()
        if first in upstream.addresses:
            found[upstream.addresses[first]] += count
    return np.array(list(found.values()), np.int64)


def _clients(ids: NDArray[np.uint64]) -> NDArray[np.int64]:
    return (ids >> np.uint64(40)).astype(np.int64)


def _seen(case: Case, index: int, upstream: Upstream) -> Choices:
    slot = _slots_of(case, index)[case.seen.first[case.rows["seen"]]]
    here = np.flatnonzero((slot >= 0) & (case.rows["start"] > case.since(upstream)))
    rows = case.rows[here]
    tries = case.seen.tries[rows["seen"]]
    silent = int(np.count_nonzero(case.rows["status"] == 0))
    slack = Slack(case.counters(upstream), 0, int(np.count_nonzero(tries > 1)), silent)
    none = np.zeros(len(upstream.slots), np.int64)
    return Choices(
        upstream,
        slot[here],
        rows["start"],
        rows["end"],
        slack,
        others=none,
        clients=_clients(rows["id"]),
        witnessed=False,
    )
