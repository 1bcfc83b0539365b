"""Tell whether clients and servers tell the same story, request by request."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from rondo.proof import phrases
from rondo.proof.finding import ON_BOTH, Fault, Finding, skipped
from rondo.proof.matching import UNLOGGED
from rondo.proof.phrases import many, number
from rondo.proof.sightings import Sightings, sight

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from rondo.proof.case import Case, Log

KEY, TITLE = "reconcile", "Client equals server"
EXPECTED = "each request that a client sent is logged once, with the status that the client saw"


def judge(case: Case) -> Finding:
    """Join the witnesses by request and name each difference."""
    if not case.logs:
        return skipped(KEY, TITLE, EXPECTED, "The servers' logs were not read.")
    missing, differing = _missing(case), _differing(case)
    logged = sum(len(log.rows) for log in case.logs)
    faults = [*_unlogged(missing), *_surplus(case), *_different(case, differing), *_short(case)]
    return Finding(
        KEY,
        TITLE,
        f"All {many(case.count, 'request')} of the clients and {number(logged)} lines of the"
        " servers are the same ones.",
        EXPECTED,
        f"{many(case.count, 'request')} sent, {number(logged)} logged",
        "no difference; only a request that got no answer may be missing in the log",
        "A single request that is missing, repeated or answered otherwise would have been seen.",
        tuple(faults),
        tuple(_details(case)),
        sightings=tuple(_sightings(case, missing, differing)),
    )


def _missing(case: Case) -> NDArray[np.int64]:
    """Return requests that were answered, yet are in no log."""
    return np.flatnonzero((case.match.log == UNLOGGED) & (case.rows["status"] != 0))


def _matched(case: Case) -> Iterator[tuple[Log, NDArray[np.int64], NDArray[np.int64]]]:
    """Yield each log with the requests that it has, and their rows in it."""
    for index, log in enumerate(case.logs):
        mine = np.flatnonzero(case.match.log == index)
        yield log, mine, case.match.line[mine]


def _differing(case: Case) -> NDArray[np.int64]:
    """Return requests that client and server give different statuses."""
    found = [np.empty(0, np.int64)]
    for log, mine, line in _matched(case):
        client, server = case.rows["status"][mine], log.rows["status"][line]
        found.append(mine[(client != 0) & (client != server)])
    return np.concatenate(found)


def _unlogged(missing: NDArray[np.int64]) -> Iterator[Fault]:
    if len(missing):
        yield Fault(
            f"{many(len(missing), 'request')} got an answer but no server logged them: something"
            " between the client and Nginx answered, or a log is not whole.",
            ON_BOTH,
        )


def _surplus(case: Case) -> Iterator[Fault]:
    for log, unsent, doubled in zip(case.logs, case.match.unsent, case.match.doubled, strict=True):
        if len(doubled):
            yield Fault(
                f"{log.server} logged {many(len(doubled), 'request')} once more than sent: they"
                " were resent on the way."
            )
        if len(unsent):
            yield Fault(
                f"{log.server} logged {many(len(unsent), 'request')} of this run that no client"
                " says it sent.",
                ON_BOTH,
            )


def _different(case: Case, differing: NDArray[np.int64]) -> Iterator[Fault]:
    if len(differing):
        yield Fault(
            f"{many(len(differing), 'answer')} had another status for the client than for the"
            f" server, the first: {_both(case, int(differing[0]))}."
        )


# Nginx counts the frames of a chunked answer with the body: some bytes for each buffer's worth.
_FRAME = 16
_LEAST_CHUNK = 512


def _short(case: Case) -> Iterator[Fault]:
    """Answers of which the client got less than the server sent, though it called them right."""
    for log, mine, line in _matched(case):
        sent = log.rows["bytes"][line].astype(np.int64)
        got = case.rows["bytes"][mine].astype(np.int64)
        frames = _FRAME * (2 + sent // _LEAST_CHUNK)
        short = case.right[mine] & (got + frames < sent)
        if short.any():
            lost = int((sent - got)[short].sum())
            yield Fault(
                f"{log.server}: clients got {number(lost)} bytes less than Nginx sent, in"
                f" {many(int(short.sum()), 'answer')} that they called right."
            )


def _details(case: Case) -> Iterator[str]:
    for log, mine, _ in _matched(case):
        yield f"{log.server}: {number(len(log.rows))} logged, {number(len(mine))} of them sent"
    silent = int(((case.match.log == UNLOGGED) & (case.rows["status"] == 0)).sum())
    if silent:
        yield f"{many(silent, 'request')} without an answer never reached a log"
    broken = sum(
        int(((case.rows["status"][mine] == 0) & (log.rows["status"][line] < 400)).sum())
        for log, mine, line in _matched(case)
    )
    if broken:
        yield f"{many(broken, 'answer')} that Nginx sent did not reach the client whole"


def _both(case: Case, index: int) -> str:
    log = case.logs[case.match.log[index]]
    row, line = case.rows[index], log.rows[case.match.line[index]]
    return (
        f"{log.server} logged {line['status']} and the client saw {row['status']} for"
        f" {case.step(int(row['step']))} (id {row['id']:016x})"
    )


def _sightings(
    case: Case, missing: NDArray[np.int64], differing: NDArray[np.int64]
) -> Iterator[Sightings]:
    ends = case.rows["end"]
    yield sight("missing in log", missing, lambda n: float(ends[n]), lambda n: _unheard(case, n))
    yield sight("status differs", differing, lambda n: float(ends[n]), lambda n: _both(case, n))
    for number_, log in enumerate(case.logs):
        at = log.rows["time"]
        for kind, rows in (
            ("not sent", case.match.unsent[number_]),
            ("twice in log", case.match.doubled[number_]),
        ):
            yield sight(
                kind,
                rows,
                lambda n, at=at: float(at[n]),  # type: ignore[misc]
                lambda n, log=log: _line(log, n),  # type: ignore[misc]
            )


def _unheard(case: Case, index: int) -> str:
    row = case.rows[index]
    return (
        f"{case.step(int(row['step']))}: status {row['status']} at {phrases.clock(row['end'])}, in"
        f" no log (id {row['id']:016x})"
    )


def _line(log: Log, index: int) -> str:
    row = log.rows[index]
    return (
        f"{log.server}: {log.texts[row['method']]} {log.texts[row['path']]}, status"
        f" {row['status']} (id {row['id']:016x})"
    )
