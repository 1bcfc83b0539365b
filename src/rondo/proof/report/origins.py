"""Who answered: the slot and the release behind each request, and what servers logged of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from rondo.proof.report.runfile import (
    Backend,
    Reconciled,
    Releases,
    Shares,
    Span,
    Stranger,
)
from rondo.proof.report.series import numbers

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from numpy.typing import NDArray

    from rondo.proof.evidence import Evidence, ServerWitness, Upstream
    from rondo.proof.report.series import Counts, Floats, Grid

FINEST = 240
"""Parts into which the strip of releases is cut."""
_UNKNOWN = -1

Place = tuple[str, str]
"""Server and $upstream_addr."""


@dataclass(frozen=True, slots=True, eq=False)
class Origins:
    """Which place answered each request, and with which release."""

    times: Floats
    """When each request was sent."""
    place: Counts
    """Index into places."""
    release: Counts
    """Index into releases."""
    places: tuple[Place, ...]
    releases: tuple[str, ...]


def origins(evidence: Evidence) -> Origins:
    """Ask the clients who answered; or, where they were not told, the servers' logs."""
    rows, texts = evidence.requests.rows, evidence.requests.texts
    if len(rows) and np.any(rows["seen"] > 0):
        seen = [_seen(text) for text in texts]
        told = np.array([bool(each) for each in seen])[rows["seen"]]
        rows = rows[told]
        known = [each or ("", "", "") for each in seen]
        return _gathered([(rows["start"], rows["seen"], known)])
    return _gathered([_logged(witness) for witness in evidence.witnesses])


def _seen(text: str) -> tuple[str, str, str] | None:
    parts = text.split(";")
    return (parts[0], _last(parts[1]), parts[2]) if len(parts) == 3 and parts[1] else None


def _last(addresses: str) -> str:
    """Return who answered in the end, after the retries of a comma list."""
    return addresses.replace(" : ", ", ").rpartition(", ")[2]


def _logged(
    witness: ServerWitness,
) -> tuple[Floats, Counts, list[tuple[str, str, str]]]:
    rows, texts = witness.lines.rows, witness.lines.texts
    rows = rows[rows["backend"] > 0]
    pairs = rows["backend"].astype(np.int64) * len(texts) + rows["release"]
    different, index = np.unique(pairs, return_inverse=True)
    known = [
        (witness.server, _last(texts[pair // len(texts)]), texts[pair % len(texts)])
        for pair in different.tolist()
    ]
    return rows["time"] - rows["seconds"] - (witness.clock or 0.0), index, known


def _gathered(
    sources: Iterable[tuple[Floats, Counts, Sequence[tuple[str, str, str]]]],
) -> Origins:
    places: dict[Place, int] = {}
    releases: dict[str, int] = {}
    times, place, release = [np.empty(0)], [np.empty(0, np.int64)], [np.empty(0, np.int64)]
    for when, index, known in sources:
        where = [places.setdefault(each[:2], len(places)) for each in known]
        which = [releases.setdefault(each[2], len(releases)) for each in known]
        times.append(when)
        place.append(np.array(where, np.int64)[index])
        release.append(np.array(which, np.int64)[index])
    return Origins(
        np.concatenate(times),
        np.concatenate(place),
        np.concatenate(release),
        tuple(places),
        tuple(releases),
    )


def backends(evidence: Evidence, seen: Origins) -> tuple[Backend, ...]:
    """Return every slot of the inventory with what it answered and should have."""
    answered = _answered(seen)
    return tuple(
        each for upstream in _loaded(evidence) for each in _of(upstream, answered, evidence)
    )


def _answered(seen: Origins) -> dict[Place, int]:
    counts = np.bincount(seen.place, minlength=len(seen.places)) if len(seen.places) else []
    return dict(zip(seen.places, (int(each) for each in counts), strict=True))


def _loaded(evidence: Evidence) -> Iterator[Upstream]:
    only = evidence.planned.server
    return (each for each in evidence.expected.upstreams if only in {"", each.server})


def _of(upstream: Upstream, answered: dict[Place, int], evidence: Evidence) -> Iterator[Backend]:
    requests = dict.fromkeys(upstream.slots, 0)
    for address, slot in upstream.addresses.items():
        requests[slot] += answered.get((upstream.server, address), 0)
    total, weights = sum(requests.values()), sum(upstream.slots.values())
    bound = _bound(upstream, evidence)
    for slot, weight in upstream.slots.items():
        yield Backend(
            server=upstream.server,
            service=upstream.service,
            upstream=upstream.name,
            policy=upstream.policy,
            slot=slot,
            weight=weight,
            requests=requests[slot],
            expected=None if bound is None else round(total * weight / weights, 2),
            bound=bound,
        )


def _bound(upstream: Upstream, evidence: Evidence) -> float | None:
    """Return how far a healthy round robin may be off: 2W, once more for each reload, and others."""
    witness = next((each for each in evidence.witnesses if each.server == upstream.server), None)
    if upstream.policy != "round_robin" or not witness or len(upstream.slots) < 2:
        return None
    workers = 1 if upstream.zone else witness.nginx_workers
    others = sum(witness.others.get(address, 0) for address in upstream.addresses)
    texts = witness.lines.texts
    tried = np.array([text.count(",") + text.count(" : ") for text in texts] or [0])
    own = np.array([any(one in text for one in upstream.addresses) for text in texts] or [False])
    retries = int((tried * own)[witness.lines.rows["backend"]].sum())
    return float(2 * workers * (1 + witness.reloads) + others + retries)


def strangers(evidence: Evidence, seen: Origins) -> tuple[Stranger, ...]:
    """Return what answered and is not of the inventory."""
    known = {
        (upstream.server, address)
        for upstream in evidence.expected.upstreams
        for address in upstream.addresses
    }
    return tuple(
        Stranger(server=server, address=address, requests=count)
        for (server, address), count in sorted(_answered(seen).items())
        if (server, address) not in known
    )


def shares(evidence: Evidence, seen: Origins, cut: Grid) -> tuple[Shares, ...]:
    """Count what each slot answered in each interval, for upstreams that have a choice."""
    cells = seen.place * cut.count + cut.index(seen.times)
    counts = np.bincount(cells, minlength=len(seen.places) * cut.count).reshape(-1, cut.count)
    rows = {place: counts[index] for index, place in enumerate(seen.places)}
    return tuple(
        Shares(
            server=upstream.server,
            upstream=upstream.name,
            counts={slot: _summed(upstream, slot, rows, cut.count) for slot in upstream.slots},
        )
        for upstream in _loaded(evidence)
        if len(upstream.slots) > 1
    )


def _summed(
    upstream: Upstream, slot: str, rows: dict[Place, NDArray[np.int64]], count: int
) -> tuple[int, ...]:
    total = np.zeros(count, np.int64)
    for address in (each for each, name in upstream.addresses.items() if name == slot):
        total += rows.get((upstream.server, address), 0)
    return numbers(total)


def releases(evidence: Evidence, seen: Origins, cut: Grid) -> tuple[Releases, ...]:
    """Return which release answered from each slot, from when to when."""
    slots: dict[Place, list[int]] = {}
    for upstream in _loaded(evidence):
        for address, slot in upstream.addresses.items():
            mine = slots.setdefault((upstream.server, slot), [])
            mine += [i for i, each in enumerate(seen.places) if each == (upstream.server, address)]
    return tuple(
        Releases(server=server, slot=slot, spans=tuple(_spans(seen, places, cut)))
        for (server, slot), places in slots.items()
    )


def _spans(seen: Origins, places: list[int], cut: Grid) -> Iterator[Span]:
    """Join neighbouring parts of the time in which the same releases answered."""
    mine = np.isin(seen.place, places) & np.array([bool(each) for each in seen.releases] or [0])[
        seen.release
    ].astype(bool)
    length = cut.width * cut.count
    step = max(length / FINEST, 0.1)
    cells = np.floor((seen.times[mine] - cut.began) / step).astype(np.int64)
    codes = np.unique(np.stack([cells, seen.release[mine]]), axis=1).T.tolist()
    present: dict[int, list[str]] = {}
    for cell, which in codes:
        present.setdefault(max(cell, 0), []).append(seen.releases[which])
    return _joined(present, step, max(2.0, 3 * step))


def _joined(present: dict[int, list[str]], step: float, patience: float) -> Iterator[Span]:
    """Yield spans; a silence that is longer than patience is a hole."""
    open_: tuple[float, float, tuple[str, ...]] | None = None
    for cell in sorted(present):
        begin, which = cell * step, tuple(sorted(present[cell]))
        if open_ and which == open_[2] and begin - open_[1] <= patience:
            open_ = (open_[0], begin + step, which)
            continue
        if open_:
            near = begin - open_[1] <= patience
            yield _span(open_[0], begin if near else open_[1], open_[2])
        open_ = (begin, begin + step, which)
    if open_:
        yield _span(*open_)


def _span(begin: float, end: float, which: tuple[str, ...]) -> Span:
    return Span(begin=round(begin, 3), end=round(end, 3), releases=which)


def reconciled(evidence: Evidence) -> tuple[tuple[Reconciled, ...], int]:
    """Set each server's log against the clients; return also what no server logged."""
    rows, texts = evidence.requests.rows, evidence.requests.texts
    names = np.array([text.partition(";")[0] for text in texts] or [""])
    found, everywhere = [], [np.empty(0, np.uint64)]
    for witness in evidence.witnesses:
        ids = witness.lines.rows["id"]
        logged, times = np.unique(ids[ids != 0], return_counts=True)
        said = rows["id"][(names == witness.server)[rows["seen"]]]
        everywhere.append(logged)
        found.append(
            Reconciled(
                server=witness.server,
                sent=len(said),
                logged=len(logged),
                missing=int(np.count_nonzero(~np.isin(said, logged))),
                twice=int(np.count_nonzero(times > 1)),
            )
        )
    if not found:
        return (), 0
    return tuple(found), int(np.count_nonzero(~np.isin(rows["id"], np.concatenate(everywhere))))
