"""The load generator of a run: Locust as a child process, watched while it works."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

import numpy as np

from rondo.errors import RondoError
from rondo.proof.records import REQUEST, Outcome

if TYPE_CHECKING:
    from collections.abc import Sequence

VARIABLE: Final = "RONDO_RUN"
"""Variable by which a load generator finds its run's folder."""
LOG: Final = "locust.log"
_TOLD_LINES: Final = 12
_PARTING: Final = 5.0
# Ends the generator when we are gone, however: its standard input is a pipe that only we hold. The
# variable is for the generator alone, so that nobody takes this shell for one.
_TETHER: Final = """
exec 3<&0
env "RONDO_RUN=$0" "$@" </dev/null 3<&- &
child=$!
{ cat <&3 >/dev/null; kill -s TERM "$child"; } 2>/dev/null &
watcher=$!
exec 3<&-
wait "$child"
code=$?
kill "$watcher" 2>/dev/null
exit "$code"
"""


@dataclass(slots=True)
class Count:
    """Requests that clients have told of so far."""

    requests: int = 0
    wrong: int = 0


class Generator:
    """One load generator at work. A context manager: leaving it ends what still runs."""

    def __init__(self, folder: Path, loadtests: Path, options: Sequence[str] = ()) -> None:
        self._folder = folder
        self._read: dict[Path, int] = {}
        self._count = Count()
        command = (sys.executable, "-m", "locust", "-f", str(loadtests), "--headless", *options)
        with (folder / LOG).open("wb") as log:
            self._child = subprocess.Popen(
                ("sh", "-c", _TETHER, str(folder), *command),
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                # Ctrl-C is for us: we end it, and what it has begun may finish.
                start_new_session=True,
                env={key: value for key, value in os.environ.items() if key != VARIABLE},
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def wait(self, seconds: float) -> bool:
        """Wait for its end, at most so long; tell whether it has come."""
        with suppress(subprocess.TimeoutExpired):
            self._child.wait(seconds)
        return self._child.returncode is not None

    def stop(self) -> None:
        """Let the load end; what is under way may finish."""
        if self._child.stdin:
            with suppress(OSError):
                self._child.stdin.close()

    def kill(self) -> None:
        """End it at once."""
        self.stop()
        if not self.wait(_PARTING):
            with suppress(ProcessLookupError):
                os.killpg(self._child.pid, 9)
            self._child.wait()

    @property
    def code(self) -> int | None:
        """How it ended; None while it runs."""
        return self._child.returncode

    def count(self) -> Count:
        """Count what clients have written since the last time, and give the sum."""
        for path in sorted((self._folder / "clients").glob("*.rows")):
            with path.open("rb") as file:
                file.seek(self._read.get(path, 0))
                data = file.read()
            whole = len(data) - len(data) % REQUEST.itemsize
            self._read[path] = self._read.get(path, 0) + whole
            outcomes = np.frombuffer(data[:whole], REQUEST)["outcome"]
            self._count.requests += len(outcomes)
            self._count.wrong += int(np.count_nonzero(outcomes != Outcome.RIGHT))
        return self._count

    def last_words(self) -> str:
        """Give the end of what it printed."""
        text = (self._folder / LOG).read_text(errors="replace").strip()
        return "\n  ".join(text.splitlines()[-_TOLD_LINES:])

    def demand(self) -> None:
        """Raise a RondoError with its last words if it ended without having asked for anything."""
        if self.code and not self.count().requests:
            raise RondoError(
                f"the load generator ended with code {self.code} before its first request; its "
                f"last words (all of them are in {self._folder / LOG}):\n  {self.last_words()}"
            )


def loadtests_of(root: Path) -> Path:
    """Return the folder of the locustfiles: the project's own, or Rondo's."""
    own = root / "loadtests"
    return own if own.is_dir() else Path(__file__).parents[3] / "loadtests"
