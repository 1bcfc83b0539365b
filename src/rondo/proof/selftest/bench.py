"""One server of the lab as faults are made on it, and how the run that it is loaded by is met."""

from __future__ import annotations

import os
import signal
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar

from rondo.errors import RondoError
from rondo.layout import Layout
from rondo.scripts import changing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rondo.proof.selftest.forger import Forger
    from rondo.server import Hold, Remote
    from rondo.state import ServerState

SCRIPT: Final = "selftest"
STEP_DEADLINE: Final = 180.0
LOAD_DEADLINE: Final = 60.0
_LOOK: Final = 0.02
VARIABLE: Final = "RONDO_RUN"
"""Variable by which a load generator knows its run's folder."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Bench:
    """All that a fault needs to be made."""

    remote: Remote
    project: str
    service: str
    """The backend."""
    site: str
    """Name of the site."""
    state: ServerState
    """The server, as it is when all is well."""
    folder: Path
    """The lane's project folder: load generators of this lane have their runs below it."""
    certificates: Forger
    number: int = 1
    """Of the run: each takes another slot as its victim."""
    service_time: float = 0.0
    """Median time of an answer as clients see it when all is well, in seconds; 0 until measured."""
    over: threading.Event = field(default_factory=threading.Event)
    """Whether the run has ended."""
    known: frozenset[Path] = frozenset()
    """Folders of the runs before."""

    @property
    def slots(self) -> tuple[str, ...]:
        """Slots of the backend."""
        return tuple(slot for slot in self.state.slots if slot.startswith(f"{self.service}-"))

    @property
    def victim(self) -> str:
        """The one slot that a fault is made on."""
        return self.slots[self.number % len(self.slots)]

    @property
    def configuration(self) -> str:
        """The site's configuration, as it is when all is well."""
        return self.state.files[Layout(self.project).site_file]

    def new(self, number: int) -> Bench:
        """Give the same for another run."""
        known = frozenset(runs_below(self.folder))
        return replace(self, number=number, over=threading.Event(), known=known)

    def do(self, action: str, *arguments: str, data: bytes = b"") -> str:
        """Make a fault, or a step of one, by the script on the server."""
        script = changing(SCRIPT)
        done = self.remote.run(
            *(script, action, self.project, *arguments),
            step=f"self-test: {action}",
            deadline=STEP_DEADLINE,
            stdin=data,
        )
        return done.stdout

    def hold(self, action: str, *arguments: str) -> Hold:
        """Make a fault that lasts until it is closed."""
        script = changing(SCRIPT)
        return self.remote.hold(
            *(script, action, self.project, *arguments),
            step=f"self-test: {action}",
            deadline=STEP_DEADLINE,
        )

    def configure(self, edit: Callable[[str], str]) -> None:
        """Give the server another site configuration, and see it in use."""
        self.do("configure", data=edit(self.configuration).encode())

    def heal(self) -> None:
        """Put everything back, and see that the site is whole."""
        self.do("heal")

    def load(self) -> tuple[int, ...]:
        """Give the load generators of this lane, the first one started first."""
        mark = f"{VARIABLE}={self.folder}".encode()
        found = [int(entry.name) for entry in Path("/proc").iterdir() if _carries(entry, mark)]
        return tuple(sorted(found, key=_started))

    def end_load(self) -> None:
        """Let the load generators of this lane end."""
        for process in self.load():
            with suppress(ProcessLookupError):
                os.kill(process, signal.SIGTERM)

    def await_load(self) -> Path:
        """Wait until clients have asked for something; give the run's folder."""
        return self._await(self._asking, "the load did not start")

    def await_generator(self) -> int:
        """Wait until a load generator is there; give its process."""
        return self._await(lambda: next(iter(self.load()), None), "no load generator was started")

    def elapse(self, seconds: float) -> None:
        """Let time pass, unless the run is over before."""
        self.over.wait(seconds)

    def _await(self, look: Callable[[], T | None], otherwise: str) -> T:
        end = time.monotonic() + LOAD_DEADLINE
        while (found := look()) is None:
            if time.monotonic() > end or self.over.wait(_LOOK):
                raise RondoError(f"the fault could not be made: {otherwise}")
        return found

    def _asking(self) -> Path | None:
        """Find the run of which rows are there already."""
        for run in runs_below(self.folder):
            rows = run.glob("clients/*.rows")
            if run not in self.known and any(file.stat().st_size for file in rows):
                return run
        return None


def runs_below(folder: Path) -> Iterator[Path]:
    """Yield the folders of a project's runs."""
    yield from (folder / ".rondo" / "runs").glob("*")


def _carries(process: Path, mark: bytes) -> bool:
    """Whether a process was started with a variable of this beginning."""
    with suppress(OSError):
        variables = (process / "environ").read_bytes().split(b"\0")
        return any(variable.startswith(mark) for variable in variables)
    return False


def _started(process: int) -> int:
    """Give when a process was started, by the kernel's clock; processes that are gone are last."""
    with suppress(OSError):
        return int(Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[19])
    return 1 << 62
