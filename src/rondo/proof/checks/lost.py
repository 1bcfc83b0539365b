"""Tell whether every request was answered as expected, and executed once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from rondo.proof import phrases, statistics
from rondo.proof.finding import Fault, Finding
from rondo.proof.phrases import many, number
from rondo.proof.records import Outcome, Wire
from rondo.proof.sightings import Sightings, sight
from rondo.proof.turns import split

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from rondo.proof.case import Case, Log

KEY, TITLE = "lost", "Nothing lost"
# By RFC 9110, 9.2.2 these are the methods that may not be sent twice by whoever did not mean it.
_ONCE = ("POST", "PATCH")
_KINDS = {
    Outcome.WRONG: "wrong answer",
    Outcome.TRANSPORT: "connection lost",
    Outcome.TIMEOUT: "no answer in time",
    Outcome.UNFINISHED: "unfinished at the end",
}


def judge(case: Case) -> Finding:
    """Count what was not answered as expected, and what was done twice."""
    bad = int(case.count - np.count_nonzero(case.right))
    allowed = budget(case.limits.errors, case.count)
    retried = sum(int(np.count_nonzero(log.tries > 1)) for log in case.logs)
    twice = [list(_executed_twice(log)) for log in case.logs]
    faults = [*_over(case, bad, allowed), *_twice(case, twice)]
    return Finding(
        KEY,
        TITLE,
        _good(case, bad, retried),
        f"every request answered with the status and text of the scenario; {_budget(case)}",
        f"{number(bad)} of {many(case.count, 'request')} not answered as expected",
        f"{number(allowed)} (proof.limits.errors is {case.limits.errors})",
        _power(case, bad),
        tuple(faults),
        (*_kinds(case), *_retries(case, retried)),
        sightings=tuple(_sightings(case)),
    )


def budget(text: str, count: int) -> float:
    """Return how many errors are allowed: a number, or a share of all requests."""
    if text.endswith("%"):
        return float(text[:-1]) / 100 * count
    return float(text)


def _budget(case: Case) -> str:
    return "none may fail" if case.limits.errors == "0" else f"{case.limits.errors} may fail"


def _good(case: Case, bad: int, retried: int) -> str:
    lost = "none" if not bad else number(bad)
    again = f"; Nginx asked a second backend for {number(retried)} of them" if retried else ""
    return f"Of {many(case.count, 'request')} {lost} failed{again}."


def _over(case: Case, bad: int, allowed: float) -> Iterator[Fault]:
    if bad > allowed:
        why = phrases.listed(_kinds(case), 3)
        yield Fault(f"{number(bad)} of {many(case.count, 'request')} failed: {why}.")


def _kinds(case: Case) -> Iterator[str]:
    """Say how many failed in which way, with the commonest reason of each."""
    rows = case.rows
    for outcome, name in _KINDS.items():
        of_kind = rows["outcome"] == outcome
        if not of_kind.any():
            continue
        if outcome is Outcome.WRONG:
            yield _reason(case, name, of_kind)
            continue
        for wire, words in ((Wire.FRESH, "a fresh"), (Wire.REUSED, "a reused")):
            over = of_kind & (rows["wire"] == wire)
            if over.any():
                yield _reason(case, f"{name} on {words} connection", over)


def _reason(case: Case, name: str, which: NDArray[np.bool_]) -> str:
    """Name the commonest text, the step and the backend that had most of them."""
    rows = case.rows[which]
    text = case.texts[int(np.bincount(rows["error"]).argmax())]
    step = case.step(int(np.bincount(rows["step"]).argmax()))
    said = f" (mostly {text!r}" if text else " (mostly"
    return f"{number(len(rows))} x {name}{said} at {step}{_where(case, which)})"


def _where(case: Case, which: NDArray[np.bool_]) -> str:
    places = case.place[which]
    places = places[places >= 0]
    if not len(places):
        return ""
    counts = np.bincount(places)
    worst = int(counts.argmax())
    return f", {number(counts[worst])} from {case.places[worst].name}"


def _executed_twice(log: Log) -> Iterator[int]:
    """Yield rows of requests that a backend had begun to execute when another was given them.

    A backend that refused the connection (502) has executed nothing. One that answered anything
    else has; so has one on a Unix socket that ran into the read timeout (504): connecting to such
    a socket takes no time.
    """
    told = [_had_begun(log.texts[int(n)]) for n in range(len(log.texts))]
    local = np.array([all(x.startswith("unix:") for x in split(text)) for text in log.texts])
    begun = np.array([code or 0 for code in told])[log.rows["backend_status"]]
    once = np.array([text in _ONCE for text in log.texts])[log.rows["method"]]
    sure = (begun == 1) | ((begun == 2) & local[log.rows["backend"]])
    yield from map(int, np.flatnonzero(sure & once & (log.tries > 1)))


def _had_begun(statuses: str) -> int:
    """Tell from the statuses of earlier tries: 1 surely executed, 2 timed out, 0 not known."""
    earlier = split(statuses)[:-1]
    if any(each.isdigit() and each not in {"502", "504"} for each in earlier):
        return 1
    return 2 if "504" in earlier else 0


def _twice(case: Case, twice: list[list[int]]) -> Iterator[Fault]:
    for log, rows in zip(case.logs, twice, strict=True):
        if rows:
            yield Fault(
                f"{log.server}: {many(len(rows), 'request')} that must not be repeated"
                f" ({', '.join(_ONCE)}) went to a second backend after the first had begun with"
                " them. Remove non_idempotent from proxy_next_upstream or uwsgi_next_upstream."
            )


def _retries(case: Case, retried: int) -> Iterator[str]:
    if not case.logs:
        yield "The servers' logs were not read: retries inside Nginx are not known."
    elif retried:
        for log in case.logs:
            count = int(np.count_nonzero(log.tries > 1))
            if count:
                yield f"{log.server}: Nginx gave {many(count, 'request')} to a second backend."


def _power(case: Case, bad: int) -> str:
    if bad or not case.count:
        return "Every single failure counts; there is none that would not have been seen."
    rate = statistics.provable_rate(case.count)
    outages = phrases.listed(_outages(case))
    return (
        f"An error rate over {phrases.share(rate)} would have shown but for one run in 10,000."
        f" The shortest outage that is sure to hit a request: {outages}."
    )


def _outages(case: Case) -> Iterator[str]:
    """Give the length of the shortest outage that evenly paced requests cannot miss."""
    rate = case.planned.rate
    yield f"{phrases.time(1 / rate)} of the whole site"
    counts = np.bincount(case.place[case.place >= 0], minlength=len(case.places))
    for service in dict.fromkeys(place.service for place in case.places):
        mine = [n for n, place in enumerate(case.places) if place.service == service]
        total = int(counts[mine].sum())
        if total and len(mine) > 1:
            gap = len(mine) * case.planned.duration / total
            yield f"{phrases.time(gap)} of one of the {len(mine)} slots of {service}"


def _sightings(case: Case) -> Iterator[Sightings]:
    for outcome, name in _KINDS.items():
        rows = np.flatnonzero(case.rows["outcome"] == outcome)
        yield sight(name, rows, lambda n: float(case.rows["end"][n]), lambda n: _row(case, n))
    for log in case.logs:
        again = np.flatnonzero(log.tries > 1)
        yield sight(
            "retried",
            again,
            lambda n, log=log: float(log.rows["time"][n]),  # type: ignore[misc]
            lambda n, log=log: _retry(log, n),  # type: ignore[misc]
        )


def _row(case: Case, index: int) -> str:
    row = case.rows[index]
    place = int(case.place[index])
    where = f" from {case.places[place].name}" if place >= 0 else ""
    wire = "reused" if row["wire"] else "fresh"
    took = phrases.time(float(row["end"] - row["start"]))
    return (
        f"{case.step(int(row['step']))}{where}: status {row['status']} after {took} on a {wire}"
        f" connection: {case.texts[row['error']] or 'no reason given'} (id {row['id']:016x})"
    )


def _retry(log: Log, index: int) -> str:
    row = log.rows[index]
    return (
        f"{log.server}: {log.texts[row['method']]} {log.texts[row['path']]} to"
        f" {log.texts[row['backend']]}, answered {log.texts[row['backend_status']]}"
        f" (id {row['id']:016x})"
    )
