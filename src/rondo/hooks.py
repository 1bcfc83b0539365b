"""The operator's own commands before and after a change: run here, shown as they go."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rondo.errors import RondoError
from rondo.events import Emit, Event

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from rondo.inventory import Hooks

PARTING = 2.0


class HookError(RondoError):
    """A hook ended with a code that is not zero, took too long, or could not be started."""


@dataclass(frozen=True, slots=True)
class Occasion:
    """What a hook is told about the command that it belongs to."""

    project: str
    command: str
    servers: tuple[str, ...]
    release: str = ""
    outcome: str = ""
    proof: str = ""
    """Verdict of the proof under which it was done; empty without one."""

    @property
    def environment(self) -> Mapping[str, str]:
        """The variables of the hook; never a secret of the inventory."""
        return {
            "RONDO_PROJECT": self.project,
            "RONDO_COMMAND": self.command,
            "RONDO_SERVERS": ",".join(self.servers),
            "RONDO_RELEASE": self.release,
            "RONDO_OUTCOME": self.outcome,
            "RONDO_PROOF": self.proof,
        }


def run(hooks: Hooks, name: str, occasion: Occasion, root: Path, emit: Emit) -> None:
    """Run one of the hooks if it is declared; raises HookError unless it ends well in time."""
    command: tuple[str, ...] | None = getattr(hooks, name)
    if not command:
        return
    emit(Event("phase", f"hook {name}"))
    environment = {**os.environ, **occasion.environment}
    try:
        # A session of its own: what it starts can be ended with it.
        child = subprocess.Popen(
            command,
            cwd=root,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            text=True,
            errors="replace",
        )
    except OSError as error:
        raise HookError(
            f"hooks.{name}: {command[0]} cannot be run in {root} ({error.strerror})"
        ) from None
    _follow(child, name, hooks.deadline, emit)


def _follow(child: subprocess.Popen[str], name: str, deadline: float, emit: Emit) -> None:
    reader = threading.Thread(target=_show, args=(child, emit), daemon=True)
    reader.start()
    try:
        code = child.wait(deadline)
    except BaseException as error:
        _end(child)
        if isinstance(error, subprocess.TimeoutExpired):
            message = f"hooks.{name} took longer than {deadline:g} s and was ended"
            raise HookError(message) from None
        raise
    finally:
        # What it left in the background may hold our pipe open for ever.
        reader.join(PARTING)
    if code:
        raise HookError(f"hooks.{name} ended with code {code}; what it said is above")


def _end(child: subprocess.Popen[str]) -> None:
    with suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)
    child.wait()


def _show(child: subprocess.Popen[str], emit: Emit) -> None:
    assert child.stdout  # noqa: S101 - a pipe, as asked for
    with child.stdout as lines:
        for line in lines:
            emit(Event("line", line.rstrip("\n"), "hook"))
