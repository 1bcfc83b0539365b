"""Who answered: the slot and the release behind each request, and what servers logged of them.

Counted with the judge's own tables, so that the report cannot say another thing than the verdict.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from rondo.proof.choices import choices
from rondo.proof.report.runfile import Backend, Reconciled, Releases, Shares, Span, Stranger
from rondo.proof.turns import split

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from rondo.proof.case import Case, Log
    from rondo.proof.choices import Choices
    from rondo.proof.report.series import Counts, Floats, Grid

PARTS = 240
"""Into how many parts the time is cut to see which release a slot answered with."""
PATIENCE = 2.0
"""Seconds of silence of a slot that are no hole in its strip."""


def backends(case: Case) -> tuple[Backend, ...]:
    """Return every slot of the inventory with how often it was chosen, and should have been."""
    return tuple(each for found in choices(case) for each in _of(found))


def _of(found: Choices) -> Iterator[Backend]:
    upstream, shared = found.upstream, found.shares
    bounded = upstream.policy == "round_robin" and found.witnessed and len(found.weights) > 1
    for index, (slot, weight) in enumerate(upstream.slots.items()):
        yield Backend(
            server=upstream.server,
            service=upstream.service,
            upstream=upstream.name,
            policy=upstream.policy,
            slot=slot,
            weight=weight,
            requests=int(shared.counts[index]),
            expected=round(float(shared.due[index]), 2),
            bound=float(found.slack.bound) if bounded else None,
        )


def shares(case: Case, cut: Grid) -> tuple[Shares, ...]:
    """Count how often each slot was chosen in each interval, for upstreams that have a choice."""
    clocks = {log.server: log.witness.clock or 0.0 for log in case.logs}
    return tuple(
        Shares(
            server=found.upstream.server,
            upstream=found.upstream.name,
            counts={
                slot: cut.counted((found.starts - clocks.get(found.upstream.server, 0.0))[mine])
                for slot, mine in (
                    (slot, found.slots == index) for index, slot in enumerate(found.names)
                )
            },
        )
        for found in choices(case)
        if len(found.names) > 1
    )


def strangers(case: Case) -> tuple[Stranger, ...]:
    """Return what answered and is not of the inventory."""
    counted: Counter[tuple[str, str]] = Counter()
    for server, chain, count in _chains(case):
        for address in set(split(chain)):
            known = case.directory.knows(server, address)
            if not known and (server, address) not in case.former_addresses:
                counted[server, address] += count
    return tuple(
        Stranger(server=server, address=address, requests=count)
        for (server, address), count in sorted(counted.items())
    )


def _chains(case: Case) -> Iterator[tuple[str, str, int]]:
    """Yield server, $upstream_addr and how often, by the logs or else by what clients saw."""
    for log in case.logs:
        for text, count in _used(log.rows["backend"], log.texts):
            yield log.server, text, count
    if not case.logs:
        for text, count in _used(case.rows["seen"], case.texts):
            server, chain, *_ = (*text.split(";"), "", "")
            yield server, chain, count


def _used(index: NDArray[np.uint16], texts: tuple[str, ...]) -> Iterator[tuple[str, int]]:
    counts = np.bincount(index, minlength=len(texts))
    return ((texts[i], int(counts[i])) for i in np.flatnonzero(counts).tolist())


# -- releases


@dataclass(frozen=True, slots=True, eq=False)
class Answers:
    """From which place and with which release requests were answered."""

    times: Floats
    place: Counts
    release: Counts
    """Index into names; the first one is of those that said none."""
    names: tuple[str, ...]


def releases(case: Case, cut: Grid) -> tuple[Releases, ...]:
    """Return which release answered from each slot, from when to when."""
    every = [_told(case)] if case.told else [_logged(case, log) for log in case.logs]
    servers = case.loaded_servers
    found = []
    for number, place in enumerate(case.places):
        if place.server in servers:
            spans = (span for each in every for span in _spans(each, number, cut))
            found.append(Releases(server=place.server, slot=place.slot, spans=tuple(spans)))
    return tuple(found)


def _told(case: Case) -> Answers:
    release = case.seen.release[case.rows["seen"]].astype(np.int64)
    return Answers(case.rows["start"], case.place.astype(np.int64), release, case.seen.releases)


def _logged(case: Case, log: Log) -> Answers:
    del case
    times = log.rows["time"] - log.rows["seconds"] - (log.witness.clock or 0.0)
    release = log.rows["release"].astype(np.int64)
    return Answers(times, log.last.astype(np.int64), release, log.texts)


def _spans(seen: Answers, place: int, cut: Grid) -> Iterator[Span]:
    """Join neighbouring parts of the time in which the same releases answered."""
    mine = (seen.place == place) & (seen.release > 0)
    step = max(cut.width * cut.count / PARTS, 0.1)
    cells = np.floor((seen.times[mine] - cut.began) / step).astype(np.int64)
    codes = np.unique(np.maximum(cells, 0) * len(seen.names) + seen.release[mine])
    present: dict[int, list[str]] = {}
    for cell, which in (divmod(code, len(seen.names)) for code in codes.tolist()):
        present.setdefault(cell, []).append(seen.names[which])
    return _joined(present, step)


def _joined(present: dict[int, list[str]], step: float) -> Iterator[Span]:
    begin, end = 0.0, 0.0
    which: tuple[str, ...] = ()
    for cell in sorted(present):
        at, now = cell * step, tuple(sorted(present[cell]))
        near = at - end <= max(PATIENCE, 3 * step)
        if not (near and now == which):
            if which:
                yield _span(begin, at if near else end, which)
            begin, which = at, now
        end = at + step
    if which:
        yield _span(begin, end, which)


def _span(begin: float, end: float, which: tuple[str, ...]) -> Span:
    return Span(begin=round(begin, 3), end=round(end, 3), releases=which)


# -- the two witnesses


def reconciled(case: Case) -> tuple[Reconciled, ...]:
    """Set each server's log against what clients saw."""
    return tuple(_reconciled(case, number, log) for number, log in enumerate(case.logs))


def _reconciled(case: Case, number: int, log: Log) -> Reconciled:
    known = case.seen.servers.index(log.server) if log.server in case.seen.servers else -2
    said = case.seen.server[case.rows["seen"]] == known
    twice = len(case.match.doubled[number])
    return Reconciled(
        server=log.server,
        sent=int(np.count_nonzero(said)) if case.told else None,
        logged=len(log.rows) - twice,
        missing=int(np.count_nonzero(said & (case.match.log != number))) if case.told else None,
        twice=twice,
        unsent=len(case.match.unsent[number]),
    )


def unlogged(case: Case) -> int:
    """Count the requests that stand in no log."""
    return int(np.count_nonzero(case.match.log < 0)) if case.logs else 0
