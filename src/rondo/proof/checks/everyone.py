"""Tell whether every backend of the inventory served, and no other."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from rondo.proof import phrases, statistics
from rondo.proof.finding import ON_LOG, Fault, Finding, skipped
from rondo.proof.phrases import many, number
from rondo.proof.sightings import sight
from rondo.proof.turns import UNKNOWN, split

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from numpy.typing import NDArray

    from rondo.proof.case import Case, Log
    from rondo.proof.evidence import Upstream

KEY, TITLE = "everyone", "Everyone there"
EXPECTED = "every slot of the inventory on every server answers, and nothing else does"


def judge(case: Case) -> Finding:
    """Compare the slots that answered with those of the inventory."""
    if not case.count:
        return skipped(KEY, TITLE, EXPECTED, "No request was sent.")
    if not case.logs and not case.told:
        why = "No server said which backend answered: neither its log nor its header was there."
        return skipped(KEY, TITLE, EXPECTED, why)
    counts = served(case)
    loaded = _loaded(case, counts)
    judged = [n for n, each in enumerate(case.expected.upstreams) if _is_judged(case, each, loaded)]
    faults = [*_missing_servers(case, counts), *_silent(case, counts, judged), *_strangers(case)]
    there = sum(1 for n, place in enumerate(case.places) if place.upstream in judged and counts[n])
    slots = sum(len(case.expected.upstreams[n].slots) for n in judged)
    return Finding(
        KEY,
        TITLE,
        f"All {many(slots, 'slot')} of {many(len(case.loaded_servers), 'server')} answered,"
        " and nothing else did.",
        EXPECTED,
        f"{number(there)} of {many(slots, 'slot')} answered",
        "no slot of the inventory may be silent that was due for certain; no other may answer",
        _power(case, counts, judged),
        tuple(faults),
        (
            *_unloaded(loaded),
            *_unjudged(case, counts, judged),
            *_counts(case, counts),
            *case.reshaped,
        ),
        sightings=tuple(
            sight(
                "unknown backend",
                _unknown(case, log),
                lambda n, log=log: float(log.rows["time"][n]),  # type: ignore[misc]
                lambda n, log=log: f"{log.server}: {log.texts[log.rows['backend'][n]]} answered",  # type: ignore[misc]
            )
            for log in case.logs
        ),
    )


def served(case: Case) -> NDArray[np.int64]:
    """Count the requests that each slot answered; the witness that saw more of it is believed."""
    size = len(case.places)
    since = np.array([case.since(case.expected.upstreams[p.upstream]) for p in case.places])
    seen = case.seen.last[case.rows["seen"]]
    found = _tally(seen, case.rows["start"], since)
    logged = np.zeros(size, np.int64)
    for log in case.logs:
        logged += _tally(log.last, log.begun, since)
    return np.maximum(found, logged)


def _tally(
    places: NDArray[np.int16], begun: NDArray[np.float64], since: NDArray[np.float64]
) -> NDArray[np.int64]:
    """Count by place what began when the place was to serve."""
    here = places >= 0
    places, begun = places[here], begun[here]
    return np.bincount(places[begun > since[places]], minlength=len(since))


def due(upstream: Upstream, total: int, workers: int) -> bool:
    """Tell whether even the rarest slot was due for certain among so many requests."""
    rarest = min(upstream.slots.values()) / sum(upstream.slots.values())
    if upstream.policy == "round_robin":
        return total * rarest >= 2 * workers + 2
    if upstream.policy == "random":
        return total * math.log1p(-min(rarest, 0.999)) <= math.log(statistics.ALPHA)
    return upstream.policy == "least_conn" and total * rarest >= 30


def _loaded(case: Case, counts: NDArray[np.int64]) -> Mapping[str, int]:
    """Return the requests of each service, the cluster over."""
    found: dict[str, int] = {}
    for place, count in zip(case.places, counts, strict=True):
        found[place.service] = found.get(place.service, 0) + int(count)
    return found


def _is_judged(case: Case, upstream: Upstream, loaded: Mapping[str, int]) -> bool:
    return upstream.server in case.loaded_servers and bool(loaded.get(upstream.service))


def _here(case: Case, upstream: int, counts: NDArray[np.int64]) -> dict[int, int]:
    return {n: int(counts[n]) for n, p in enumerate(case.places) if p.upstream == upstream}


def _missing_servers(case: Case, counts: NDArray[np.int64]) -> Iterator[Fault]:
    for server in case.loaded_servers:
        if _answers_of(case, server, counts):
            continue
        witnessed = any(log.server == server for log in case.logs)
        rests = frozenset() if witnessed or case.told else ON_LOG
        yield Fault(f"{server} answered none of the {many(case.count, 'request')}.", rests)


def _answers_of(case: Case, server: str, counts: NDArray[np.int64]) -> int:
    mine = sum(int(counts[n]) for n, place in enumerate(case.places) if place.server == server)
    return mine + sum(len(log.rows) for log in case.logs if log.server == server)


def _silent(case: Case, counts: NDArray[np.int64], judged: list[int]) -> Iterator[Fault]:
    for index in judged:
        upstream, mine = case.expected.upstreams[index], _here(case, index, counts)
        total = sum(mine.values())
        if not total and math.isinf(case.since(upstream)):
            yield from _unreached(case, upstream, counts)
        elif due(upstream, total, case.counters(upstream)):
            silent = [case.places[n].slot for n, count in mine.items() if not count]
            if silent:
                yield Fault(
                    f"{upstream.server}: {phrases.listed(silent)} answered none of"
                    f" {many(total, 'request')} to {upstream.service}.",
                    frozenset() if case.told else ON_LOG,
                )


def _unreached(case: Case, upstream: Upstream, counts: NDArray[np.int64]) -> Iterator[Fault]:
    """Find a server that answers, but nothing of one service that the others answer."""
    peers = [
        sum(_here(case, n, counts).values())
        for n, each in enumerate(case.expected.upstreams)
        if each.service == upstream.service and each.server != upstream.server
    ]
    busy = sum(peers) / max(1, len(peers))
    if busy >= 30 and _answers_of(case, upstream.server, counts):
        yield Fault(
            f"{upstream.server}: no slot of {upstream.service} answered, while other servers"
            f" answered {number(sum(peers))} of its requests.",
            frozenset() if case.told else ON_LOG,
        )


def _strangers(case: Case) -> Iterator[Fault]:
    """Addresses and servers that the inventory does not have."""
    for server, chain in sorted(_chains(case)):
        known = server in case.expected.servers
        strange = [each for each in split(chain) if not case.directory.knows(server, each)]
        if known and strange:
            yield Fault(
                f"{server}: {phrases.listed(strange)} is no slot of the inventory but answered."
            )
        elif not known:
            yield Fault(f"{server} is no server of the inventory but answered.")


def _chains(case: Case) -> set[tuple[str, str]]:
    """Return each server with each list of addresses that it named; strange servers once."""
    found = set()
    for log in case.logs:
        numbers = np.unique(log.rows["backend"][_unknown(case, log)])
        found |= {(log.server, log.texts[n]) for n in numbers}
    seen, rows = case.seen, case.rows
    former = _former(case, (_named(text) for text in case.texts))
    for n in np.unique(rows["seen"][~(former[rows["seen"]] & _early(case, rows["start"]))]):
        server, _, rest = case.texts[n].partition(";")
        if server and server not in case.expected.servers:
            found.add((server, ""))
        elif seen.last[n] == UNKNOWN or seen.first[n] == UNKNOWN:
            found.add((server, rest.partition(";")[0]))
    return found


def _unknown(case: Case, log: Log) -> NDArray[np.int64]:
    """Return the lines of answers by no slot; one that a change removed was one before its end."""
    former = _former(case, ((log.server, text) for text in log.texts))[log.rows["backend"]]
    return np.flatnonzero((log.last == UNKNOWN) & ~(former & _early(case, log.begun)))


def _early(case: Case, begun: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Tell what began before the end of the change."""
    found: NDArray[np.bool_] = begun <= (case.change[1] if case.change else -math.inf)
    return found


def _named(text: str) -> tuple[str, str]:
    """Return the server and the addresses that the header has."""
    server, chain, *_ = (*text.split(";"), "", "")
    return server, chain


def _former(case: Case, said: Iterable[tuple[str, str]]) -> NDArray[np.bool_]:
    """Tell which texts name but slots of the inventory, and such as there were before a change."""
    return np.array(
        [
            any((server, each) in case.former_addresses for each in split(chain))
            and all(
                case.directory.knows(server, each) or (server, each) in case.former_addresses
                for each in split(chain)
            )
            for server, chain in said
        ],
        np.bool_,
    )


def _unloaded(loaded: Mapping[str, int]) -> Iterator[str]:
    for service, count in loaded.items():
        if not count:
            yield f"{service} was not loaded: no request of the scenario reaches it."


def _unjudged(case: Case, counts: NDArray[np.int64], judged: list[int]) -> Iterator[str]:
    for index in judged:
        upstream = case.expected.upstreams[index]
        total = sum(_here(case, index, counts).values())
        if upstream.policy == "ip_hash":
            yield (
                f"{upstream.server} {upstream.service}: by ip_hash one address meets one slot;"
                " whether the others serve cannot be seen from here."
            )
        elif total and not due(upstream, total, case.counters(upstream)):
            yield (
                f"{upstream.server} {upstream.service}: {many(total, 'request')} are too few to"
                " expect every slot."
            )


def _counts(case: Case, counts: NDArray[np.int64]) -> Iterator[str]:
    for place, count in zip(case.places, counts, strict=True):
        if place.server in case.loaded_servers:
            yield f"{place.name}: {number(int(count))} answered"


def _power(case: Case, counts: NDArray[np.int64], judged: list[int]) -> str:
    """Name the slot with the fewest requests due: the one most easily missed."""
    rarest = min(
        (
            sum(_here(case, place.upstream, counts).values()) * place.share
            for place in case.places
            if place.upstream in judged
        ),
        default=0.0,
    )
    return (
        f"A slot that takes no request is seen for certain: each was due at least"
        f" {number(math.floor(rarest))} of them."
    )
