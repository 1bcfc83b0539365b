"""Tell whether every slot took its turn, as the declared policy has it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from rondo.proof import configuration, phrases
from rondo.proof.choices import Choices, choices
from rondo.proof.finding import ON_LOG, Fault, Finding, skipped
from rondo.proof.phrases import many, number
from rondo.proof.shares import (
    Excursion,
    beyond_chance,
    excursion,
    seen_shift,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rondo.proof.case import Case

KEY, TITLE = "round_robin", "Round robin"


def judge(case: Case) -> Finding:
    """Test every upstream by the policy that the inventory declares for it."""
    every = [each for each in choices(case) if len(each.weights) > 1 and each.shares.counts.sum()]
    wrong = tuple(_configured(case))
    if not every and not wrong:
        return skipped(KEY, TITLE, _expected(case), "No service with two slots or more was loaded.")
    faults = [*(Fault(text) for text in wrong)]
    for each in every:
        faults += _JUDGES[each.upstream.policy](each, len(every))
    return Finding(
        KEY,
        TITLE,
        _good(every),
        _expected(case),
        _observed(every),
        _bound(every),
        _power(every),
        tuple(faults),
        tuple(_details(case, every)),
    )


def _configured(case: Case) -> Iterator[str]:
    for log in case.logs:
        for upstream in case.expected.upstreams:
            if upstream.server == log.server and log.witness.installed:
                yield from configuration.differences(upstream, log.witness.installed)


# -- by policy


def _by_turns(found: Choices, tests: int) -> Iterator[Fault]:
    if not found.witnessed:
        # Turns that others took are not known, or not when: only chance bounds it.
        yield from _by_chance(found, tests)
        return
    shared, bound = found.shares, found.slack.bound
    worst = shared.worst
    if abs(shared.away[worst]) > bound:
        yield Fault(_uneven(found, worst), ON_LOG)
        return
    along = _along(found)
    if along and along.beyond > 0:
        yield Fault(
            f"{found.where}: at {phrases.clock(along.at)} {found.names[along.slot]} had taken"
            f" {number(along.taken)} requests where {along.due:,.1f} were due; a round robin stays"
            f" within {along.bound:.0f}.",
            ON_LOG,
        )


def _along(found: Choices) -> Excursion | None:
    """Follow the log; not where others took turns at times that are not known."""
    if found.others.sum() or not len(found.slots):
        return None
    return excursion(found.slots, found.starts, found.ends, found.weights, found.slack)


def _uneven(found: Choices, slot: int) -> str:
    shared = found.shares
    return (
        f"{found.where}: {found.names[slot]} took {number(shared.counts[slot])} of"
        f" {many(int(shared.counts.sum()), 'request')}, {shared.due[slot]:,.1f} were due,"
        f" {abs(shared.away[slot]):,.1f} away; the bound is {found.slack.bound}."
    )


def _by_chance(found: Choices, tests: int) -> Iterator[Fault]:
    shared = found.shares
    strange = beyond_chance(shared, tests * len(found.weights))
    for slot in strange:
        if abs(shared.away[slot]) > found.slack.bound:
            yield Fault(
                f"{found.where}: {found.names[slot]} took {number(shared.counts[slot])} of"
                f" {many(int(shared.counts.sum()), 'request')}, {shared.due[slot]:,.1f} were due;"
                " chance does that in fewer than one run of 10,000.",
                ON_LOG,
            )


def _by_connections(found: Choices, tests: int) -> Iterator[Fault]:
    """least_conn prefers what is free: a slow slot may get less, but none may starve."""
    del tests
    shared = found.shares
    for slot, count in enumerate(shared.counts):
        if shared.due[slot] >= 30 and count < shared.due[slot] / 10:
            yield Fault(
                f"{found.where}: {found.names[slot]} starved: it took {number(count)} of"
                f" {many(int(shared.counts.sum()), 'request')}, {shared.due[slot]:,.1f} were due.",
                ON_LOG,
            )


def _by_address(found: Choices, tests: int) -> Iterator[Fault]:
    """ip_hash gives each address one slot; a load generator has one address."""
    del tests
    size = len(found.weights)
    used = np.unique(found.clients * size + found.slots)
    if len(used) > len(np.unique(found.clients)) and not found.slack.retries:
        yield Fault(
            f"{found.where}: clients of one address met {len(used)} slots; ip_hash gives each one.",
            ON_LOG,
        )


_JUDGES = {
    "round_robin": _by_turns,
    "random": _by_chance,
    "least_conn": _by_connections,
    "ip_hash": _by_address,
}

# -- in words


def _expected(case: Case) -> str:
    policies = dict.fromkeys(each.policy for each in case.expected.upstreams if len(each.slots) > 1)
    return f"shares as {phrases.listed(policies) or 'declared'} gives them, weights included"


def _good(every: list[Choices]) -> str:
    if any(each.upstream.policy != "round_robin" for each in every):
        return f"Requests were spread as declared over {many(len(every), 'upstream')}."
    away = max((float(np.abs(each.shares.away).max()) for each in every), default=0.0)
    return f"Every slot took its turn: none was more than {away:.1f} requests from its share."


def _observed(every: list[Choices]) -> str:
    return "; ".join(f"{each.where} {_counted(each)}" for each in every)


def _counted(found: Choices) -> str:
    return "/".join(number(count) for count in found.shares.counts)


def _bound(every: list[Choices]) -> str:
    said = {
        f"{each.where}: {each.slack.bound} requests ({each.slack.words()})"
        for each in every
        if each.upstream.policy == "round_robin" and each.witnessed
    }
    chance = any(each.upstream.policy == "random" or not each.witnessed for each in every)
    parts = [*sorted(said), *["what chance gives but for one run in 10,000"] * chance]
    return "; ".join(parts) or "none that counts: the policy does not fix the shares"


def _power(every: list[Choices]) -> str:
    exact = [each for each in every if each.upstream.policy == "round_robin" and each.witnessed]
    if not exact:
        return "Only a slot that starves, or shares that chance cannot explain, would have shown."
    shift = max(seen_shift(each.shares, each.slack.bound) for each in exact)
    return (
        f"A slot with {phrases.share(min(shift, 1.0))} less or more than its share would have been"
        " seen for certain; so would choices by chance, by the running count."
    )


def _details(case: Case, every: list[Choices]) -> Iterator[str]:
    for each in every:
        due = "/".join(f"{value:,.1f}" for value in each.shares.due)
        foreign = f", {number(each.others.sum())} of others counted in" if each.others.any() else ""
        yield f"{each.where}: took {_counted(each)}, due {due}{foreign}"
    yield from _cluster(every)
    yield from case.reshaped
    yield from (
        f"{log.server}: the installed configuration was not read"
        for log in case.logs
        if not log.witness.installed
    )


def _cluster(every: list[Choices]) -> Iterator[str]:
    """Add up the servers, slot by slot."""
    for service in dict.fromkeys(each.upstream.service for each in every):
        mine = [each for each in every if each.upstream.service == service]
        if len(mine) > 1 and len({each.names for each in mine}) == 1:
            counts = sum(each.shares.counts for each in mine)
            bound = sum(each.slack.bound for each in mine)
            said = "/".join(number(count) for count in np.asarray(counts))
            yield f"cluster {service}: took {said}; the bound is {bound}"
