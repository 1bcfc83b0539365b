"""Who changed what, when, from where and with which result: one line on every server it concerned.

The line is begun when the command begins and written when it has ended, or when its client is gone:
a script on the server waits for that, so it costs no round trip and nothing can be left unsaid.
"""

from __future__ import annotations

import json
import queue
import secrets
import threading
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from rondo import cluster
from rondo.errors import InputError, Interrupted, LockedError, PreflightError
from rondo.layout import Layout
from rondo.scripts import changing, script

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from rondo.errors import RondoError
    from rondo.fleet import Fleet
    from rondo.server import Remote

LARGEST: Final = 1024**2
"""Bytes of the log before it is rotated: some 3,000 commands."""
KEPT: Final = 4
"""Rotated logs that are kept."""
LONGEST: Final = 7 * 86400.0
PARTING: Final = 5.0
"""Longest wait for the servers to write their line; the command itself never fails for it."""


@dataclass(slots=True)
class Account:
    """What is told about a command when it has ended."""

    command: str
    release: str = ""


@dataclass(frozen=True, slots=True)
class Entry:
    """A command as the servers' logs tell it."""

    time: str
    by: str
    origin: str
    command: str
    release: str
    result: str
    seconds: float
    servers: tuple[str, ...]


def result_of(error: BaseException | None) -> str:
    """Name the result of a command by what it raised."""
    kinds: tuple[tuple[tuple[type[BaseException], ...], str], ...] = (
        ((Interrupted, KeyboardInterrupt), "interrupted"),
        ((LockedError,), "locked"),
        ((PreflightError, InputError), "refused"),
    )
    if error is None:
        return "done"
    return next((word for kind, word in kinds if isinstance(error, kind)), "failed")


def _members(values: Mapping[str, object]) -> str:
    return json.dumps(values, separators=(",", ":"))[1:-1]


class _Line:
    """One server's line, which a script there keeps until it is told how the command ended."""

    def __init__(self, remote: Remote, project: str, known: str) -> None:
        self._end: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        arguments = (Layout(project).audit_log, str(LARGEST), str(KEPT), known)
        self._thread = threading.Thread(target=self._keep, args=(remote, arguments), daemon=True)
        self._thread.start()

    def _keep(self, remote: Remote, arguments: Sequence[str]) -> None:
        # What is wrong with the server is told by the command itself, or does not concern it.
        with suppress(Exception):
            remote.run(
                changing("audit"),
                *arguments,
                step="write the audit log",
                deadline=LONGEST,
                stdin=self._ending(),
                survive=True,
            )

    def _ending(self) -> Iterator[bytes]:
        yield self._end.get()

    def finish(self, ended: str) -> None:
        """Say how the command ended."""
        self._end.put(f"{ended}\n".encode())

    def wait(self, seconds: float) -> None:
        """Wait until the line is written."""
        self._thread.join(max(0.0, seconds))


@contextmanager
def audited(fleet: Fleet, names: Iterable[str], project: str, command: str) -> Iterator[Account]:
    """Have the servers write one line about what is done in here, however it ends."""
    account = Account(command)
    chosen = tuple(names)
    known = {
        "id": secrets.token_hex(4),
        "by": cluster.author(),
        "command": command,
        "servers": ",".join(chosen),
    }
    lines = [_Line(fleet[name], project, _members(known)) for name in chosen]
    began = time.monotonic()
    error: BaseException | None = None
    try:
        yield account
    except BaseException as raised:
        error = raised
        raise
    finally:
        seconds = round(time.monotonic() - began, 1)
        ended = {"result": result_of(error), "seconds": seconds, "release": account.release}
        _finish(lines, _members(ended))


def _finish(lines: Sequence[_Line], ended: str) -> None:
    for line in lines:
        line.finish(ended)
    limit = time.monotonic() + PARTING
    for line in lines:
        line.wait(limit - time.monotonic())


def read(
    fleet: Fleet, names: Sequence[str], project: str, tail: int
) -> tuple[tuple[Entry, ...], RondoError | None]:
    """Return the last commands that the servers tell of, the newest last.

    The error tells of servers that do not answer.
    """

    def ask(remote: Remote) -> str:
        log = Layout(project).audit_log
        return remote.run(script("audit_read"), log, str(tail), step="read the audit log").stdout

    logs, failure = cluster.wherever(fleet, names, ask)
    return merged(logs)[-tail:], failure


def merged(logs: Mapping[str, str]) -> tuple[Entry, ...]:
    """Return the commands of several servers' logs; one that several tell of is one entry."""
    found: dict[str, dict[str, dict[str, Any]]] = {}
    for server, text in logs.items():
        for told in filter(None, map(_parsed, text.splitlines())):
            found.setdefault(str(told.get("id", "")), {})[server] = told
    return tuple(sorted(map(_entry, found.values()), key=lambda entry: entry.time))


def _parsed(line: str) -> dict[str, Any] | None:
    """Read one line; what is none of ours is left out."""
    try:
        told = json.loads(line)
    except ValueError:
        return None
    return told if isinstance(told, dict) else None


def _entry(told: Mapping[str, Mapping[str, Any]]) -> Entry:
    first = next(iter(told.values()))

    def text(key: str) -> str:
        return next((str(each[key]) for each in told.values() if each.get(key)), "")

    return Entry(
        time=min(str(each.get("time", "")) for each in told.values()),
        by=text("by"),
        origin=text("from"),
        command=text("command"),
        release=text("release"),
        result=_result(told),
        seconds=float(first.get("seconds", 0)),
        servers=tuple(told),
    )


def _result(told: Mapping[str, Mapping[str, Any]]) -> str:
    results = {server: str(each.get("result", "")) for server, each in told.items()}
    if len(set(results.values())) == 1:
        return next(iter(results.values()))
    return ", ".join(f"{server} {result}" for server, result in results.items())
