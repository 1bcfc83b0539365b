"""Many servers: observe them, wait for what goes on there, hold the lock."""

from __future__ import annotations

import datetime
import getpass
import os
import re
import socket
import threading
import time
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from rondo.errors import LockedError, RondoError
from rondo.events import Emit, Event
from rondo.layout import Layout
from rondo.scripts import observing, script
from rondo.state import ServerState, parse

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from rondo.fleet import Fleet
    from rondo.server import Hold, Remote

T = TypeVar("T")

OBSERVE_DEADLINE = 30.0
# As long as the lock script waits for a transaction that a lost client left behind.
LOCK_DEADLINE = 630.0
HELD = "held"
# Somebody who only looks at the lock holds it for an instant.
AT_ONCE = 0.5
# As long as a server may need to find out that a connection which was cut off has no other end.
VANISHED = 60
_PROCESS = re.compile(r"\(process (\d+)\)$")


def author() -> str:
    """Return who is at it, as the lock and the record tell: user@machine."""
    return f"{getpass.getuser()}@{socket.gethostname()}"


def now() -> str:
    """Return the time in UTC, to the second, as ISO 8601."""
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")


def _together(failures: Sequence[RondoError]) -> RondoError | None:
    """Return one error that tells what failed on each server; its kind is the first one's."""
    return type(failures[0])("\n".join(map(str, failures))) if failures else None


def wherever(
    fleet: Fleet, names: Sequence[str], action: Callable[[Remote], T]
) -> tuple[dict[str, T], RondoError | None]:
    """Ask several servers at the same time; return what answered, and what kept the others.

    That is for those who look: they raise it in the end. Raises it at once if nobody answered.
    """
    results = fleet.each(action, names)
    failure = _together([result.error for result in results.values() if result.error])
    answers = {name: result.get() for name, result in results.items() if result}
    if failure and not answers:
        raise failure
    return answers, failure


def everywhere(fleet: Fleet, names: Sequence[str], action: Callable[[Remote], T]) -> dict[str, T]:
    """Do something on several servers at the same time; raise what failed, for all of them."""
    answers, failure = wherever(fleet, names, action)
    if failure:
        raise failure
    return answers


def _observe(project: str) -> Callable[[Remote], ServerState]:
    layout = Layout(project)

    def ask(remote: Remote) -> ServerState:
        answer = remote.run(
            observing(),
            project,
            layout.root,
            layout.gate_file,
            layout.site_file,
            step="observe",
            deadline=OBSERVE_DEADLINE,
        )
        return parse(remote.name, answer.stdout)

    return ask


def observe(fleet: Fleet, names: Sequence[str], project: str) -> dict[str, ServerState]:
    """Ask each server, in one round trip, what it is and what runs there."""
    return everywhere(fleet, names, _observe(project))


def look(
    fleet: Fleet, names: Sequence[str], project: str
) -> tuple[dict[str, ServerState], RondoError | None]:
    """Observe the servers that answer; the error tells of the others, to be raised in the end."""
    return wherever(fleet, names, _observe(project))


def settled(
    fleet: Fleet, names: Sequence[str], project: str
) -> tuple[dict[str, ServerState], dict[str, RondoError]]:
    """Wait until no server is in the middle of anything, and observe it.

    Returns the servers that answer, and why the others do not.
    """
    ask, lock = _observe(project), Layout(project).transactions

    def wait(remote: Remote) -> ServerState:
        words = ('[ ! -e "$1" ] || flock -w 600 "$1" true', lock)
        remote.run(*words, step="wait for what it does", deadline=LOCK_DEADLINE)
        return ask(remote)

    results = fleet.each(wait, names)
    found = {name: result.get() for name, result in results.items() if result}
    return found, {name: each.error for name, each in results.items() if each.error}


@dataclass(frozen=True, slots=True)
class Holder:
    """Who changes a server."""

    owner: str
    """Who, since when and for what; empty when nobody does."""
    busy: bool
    """Whether something is being changed there, maybe for a client that is gone."""

    @property
    def told(self) -> str:
        """For people."""
        return "yes" if self.busy else "no"


def holders(
    fleet: Fleet, names: Sequence[str], project: str
) -> tuple[dict[str, Holder], RondoError | None]:
    """Ask each server who holds its lock; the error tells of those that do not answer."""
    layout = Layout(project)

    def ask(remote: Remote) -> Holder:
        said = remote.run(script("holder"), layout.lock, layout.transactions, step="lock").stdout
        busy, _, owner = said.partition("\n")
        return Holder(owner.strip(), busy == "busy")

    return wherever(fleet, names, ask)


class Locks:
    """The lock of the cluster, held on each server by a process there; thread-safe."""

    def __init__(self, fleet: Fleet, project: str, purpose: str, emit: Emit) -> None:
        self._fleet = fleet
        self._lock = Layout(project).lock
        self._purpose = purpose
        self._emit = emit
        self._holds: dict[str, Hold] = {}
        self._keeping: dict[str, threading.Lock] = {}

    def take(self, name: str, wait: float) -> None:
        """Take a server's lock.

        Raises LockedError saying who holds it, since when and for what, after so many seconds.
        """
        self._keeping[name] = threading.Lock()
        if owner := self._hold(name, wait):
            raise LockedError(
                f"{name}: the cluster is being changed by {owner}; nothing was touched, "
                "try again when that is done, or wait for it with --wait 5m"
            )

    def keep(self, name: str) -> None:
        """See that a server's lock is still ours, and take it again if its connection broke.

        The kernel frees a lock with its connection, and a step would find a new one by itself.
        Raises LockedError if somebody else has it by now.
        """
        with self._keeping[name]:
            if not self._holds[name].lost:
                return
            self._holds[name].close()
            self._emit(Event("note", "the connection broke, and with it the lock", name))
            if owner := self._hold(name, VANISHED):
                raise LockedError(
                    f"{name}: the lock was lost with the connection, and the cluster is being "
                    f"changed by {owner} now; nothing more is done there"
                )

    def close(self) -> None:
        """Free all that is held."""
        for hold in self._holds.values():
            hold.close()

    def _hold(self, name: str, wait: float) -> str:
        """Take a lock, and return nothing; or who has it, after so many seconds."""
        remote, end = self._fleet[name], time.monotonic() + wait
        owner = f"{author()} since {now()}: {self._purpose} (process {os.getpid()})"
        hold = _try(remote, self._lock, owner, AT_ONCE)
        left = round(end - time.monotonic())
        if hold.line != HELD and has_vanished(hold.line):
            left = max(left, VANISHED)
        if hold.line != HELD and left > 0:
            hold.close()
            self._emit(Event("note", f"waiting up to {left} s for {hold.line}", name))
            hold = _try(remote, self._lock, owner, left)
        if hold.line != HELD:
            hold.close()
            return hold.line or "somebody"
        self._holds[name] = hold
        return ""


@contextmanager
def locked(  # noqa: PLR0913 - what a lock is about
    fleet: Fleet,
    names: Sequence[str],
    project: str,
    purpose: str,
    *,
    wait: float = 0.0,
    emit: Emit = lambda _: None,
) -> Iterator[Locks]:
    """Hold the lock of the cluster; the kernel frees it when this process dies.

    Locks are taken in name order, so that two operators can never hold one half each.
    Raises LockedError saying who holds it, since when and for what, after having waited so long.
    """
    end = time.monotonic() + wait
    with closing(Locks(fleet, project, purpose, emit)) as locks:
        for name in sorted(names):
            locks.take(name, end - time.monotonic())
        yield locks


def has_vanished(owner: str) -> bool:
    """Tell whether a lock's owner was a command of ours, on this machine, that has ended."""
    process = _PROCESS.search(owner)
    if not process or not owner.startswith(f"{author()} since "):
        return False
    try:
        os.kill(int(process[1]), 0)
    except ProcessLookupError:
        return True
    except OSError:
        return False
    return False


def _try(remote: Remote, lock: str, owner: str, wait: float) -> Hold:
    return remote.hold(
        script("lock"), lock, owner, str(wait), step="lock", deadline=LOCK_DEADLINE + wait
    )
