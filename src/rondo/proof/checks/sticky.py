"""Tell whether users met all backends, or each was held by one."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from rondo.proof import phrases, statistics
from rondo.proof.finding import Fault, Finding, skipped
from rondo.proof.phrases import many, number

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from rondo.proof.case import Case
    from rondo.proof.evidence import Upstream

KEY, TITLE = "sticky", "Not sticky"
EXPECTED = "one user's requests are spread over the slots like everybody's"


@dataclass(frozen=True, slots=True)
class Users:
    """How the users of one upstream fared."""

    upstream: Upstream
    users: int
    judged: int
    """Users with enough requests to be judged one by one."""
    enough: int
    stuck: int
    """Of these, users that met a single slot though the turns would have led them on."""
    pairs: int
    """Requests of one user, one after the other, where the turns led to another slot."""
    stayed: int
    """Of these, those that came back to the same slot."""
    met: int
    """Slots that any user met."""
    counters: int
    """Nginx workers that count turns on their own."""

    @property
    def where(self) -> str:
        """How it is called in sentences."""
        return f"{self.upstream.server} {self.upstream.service}"

    @property
    def usual(self) -> float:
        """How often chance alone would bring a user back to the same slot."""
        weights = np.array(list(self.upstream.slots.values()), np.float64)
        return float(((weights / weights.sum()) ** 2).sum())


def judge(case: Case) -> Finding:
    """Follow each user from request to request."""
    every = [each for each in _all(case) if each.users]
    if not every:
        why = "No service was loaded whose policy spreads one user over several slots."
        return skipped(KEY, TITLE, EXPECTED, why)
    faults = [fault for each in every for fault in _faults(each)]
    users = max(each.users for each in every)
    stayed, pairs = sum(each.stayed for each in every), sum(each.pairs for each in every)
    return Finding(
        KEY,
        TITLE,
        f"Users met every slot: {many(users, 'user')} on one server, none held by one slot.",
        EXPECTED,
        f"{number(stayed)} of {number(pairs)} next requests came back to the same slot,"
        f" {number(sum(each.stuck for each in every))} users never left one",
        f"no user with {every[0].enough} requests may meet one slot alone, and not more than"
        f" {phrases.share(_limit(every[0]))} of next requests may come back to the same slot",
        _power(every),
        tuple(faults),
        (*(_line(each) for each in every), *case.reshaped),
    )


def _all(case: Case) -> Iterator[Users]:
    place = case.place
    for index, upstream in enumerate(case.expected.upstreams):
        if upstream.policy == "ip_hash" or len(upstream.slots) < 2:
            continue
        numbers = np.array([p.upstream == index for p in case.places] + [False, False])
        settled = case.rows["start"] > case.since(upstream)
        yield _users(case, upstream, np.flatnonzero(numbers[place] & settled))


def _users(case: Case, upstream: Upstream, here: NDArray[np.int64]) -> Users:
    rows = case.rows
    here = here[np.argsort(rows["start"][here], kind="stable")]
    slot, user = case.place[here], rows["user"][here]
    met = len(np.unique(slot))
    order = np.argsort(user, kind="stable")  # by user, each in the order of time
    slot, user = slot[order], user[order]
    same = user[1:] == user[:-1]
    stay = same & (slot[1:] == slot[:-1])
    led = same & (np.diff(order) % _period(upstream) != 0)
    _, first, sizes = np.unique(user, return_index=True, return_counts=True)
    enough = _enough(upstream, max(1, len(sizes)))
    left = _per_user(same & ~stay, first, sizes)
    away = _per_user(led, first, sizes)
    judged = sizes >= enough
    # A user in step with the turns meets one slot in a healthy round robin, too: its requests are
    # a whole number of turns apart. So only those count that the turns would have led on.
    stuck = judged & (left == 0) & (away >= (sizes - 1) / 2)
    return Users(
        upstream=upstream,
        users=len(sizes),
        judged=int(judged.sum()),
        enough=enough,
        stuck=int(stuck.sum()),
        pairs=int(led.sum()),
        stayed=int((stay & led).sum()),
        met=met,
        counters=case.counters(upstream),
    )


def _period(upstream: Upstream) -> int:
    """Return after how many requests the turns begin anew."""
    weights = list(upstream.slots.values())
    return sum(weights) // math.gcd(*weights)


def _per_user(
    pairs: NDArray[np.bool_], first: NDArray[np.int64], sizes: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Count pairs of neighbours by the user of both."""
    running = np.concatenate([[0], np.cumsum(pairs)])
    counted: NDArray[np.int64] = running[first + sizes - 1] - running[first]
    return counted


def _enough(upstream: Upstream, users: int) -> int:
    """Return how many requests chance alone does not leave on one slot, in any of the users."""
    weights = list(upstream.slots.values())
    largest = max(weights) / sum(weights)
    return max(8, 1 + math.ceil(math.log(statistics.ALPHA / users) / math.log(largest)))


def _limit(found: Users) -> float:
    """Return how many next requests may come back: half-way from chance to always."""
    return (1 + found.usual) / 2


def _faults(found: Users) -> Iterator[Fault]:
    if found.met == 1 and found.judged:
        yield Fault(
            f"{found.where}: all users met a single slot; either users are held by it or the"
            " others take no part (see Everyone there)."
        )
        return
    if _held(found):
        yield Fault(
            f"{found.where}: {number(found.stuck)} of {many(found.judged, 'user')} met a single"
            f" slot in all of their requests, {found.enough} or more."
        )
    elif statistics.share_interval(found.stayed, found.pairs).low > _limit(found):
        yield Fault(
            f"{found.where}: users came back to the slot they had before in"
            f" {number(found.stayed)} of {number(found.pairs)} requests where it was not its turn."
        )


def _held(found: Users) -> bool:
    """Tell users held by a slot from users that keep step with the turns of one Nginx worker.

    Without a zone each worker takes turns of its own, which the order of all requests does not
    show; some users then keep step by accident, but not all of them.
    """
    return bool(found.stuck) and (found.counters == 1 or found.stuck == found.judged >= 8)


def _power(every: list[Users]) -> str:
    judged, users = min(each.judged for each in every), min(each.users for each in every)
    if judged == users:
        return "A single user held by one slot would have been seen."
    return (
        f"{number(judged)} of {many(users, 'user')} made enough requests to be judged one by one;"
        " of the others it would have been seen if most were held."
    )


def _line(found: Users) -> str:
    return (
        f"{found.where}: {many(found.users, 'user')} met {found.met} of"
        f" {many(len(found.upstream.slots), 'slot')}; {number(found.stayed)} of"
        f" {number(found.pairs)} next requests came back to the same slot"
    )
