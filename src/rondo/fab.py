"""The executor that makes the stock `fab` work on an inventory, and the class of its tasks.

`fabric.yaml` names it. Nothing heavy is imported here, so that `fab --list` answers at once.
"""

from __future__ import annotations

import os
import shlex
import sys
import traceback
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import fabric
from invoke.exceptions import Exit, UnexpectedExit
from invoke.tasks import Call

from rondo.errors import EXIT_FAILED, EXIT_FAULT, InputError, Interrupted, RondoError
from rondo.positional import ProofWordTask, WordTask
from rondo.session import Run, Session
from rondo.target import Flags
from rondo.ui import Ui

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

__all__ = ["ClusterTask", "Executor", "ProofTask", "Session", "command"]

EXIT_PIPE: Final = 141
_VARIABLE: Final = "RONDO_INVENTORY"


def command(name: str, module: str = "console") -> Callable[..., int]:
    """Find what a task does, in a module of Rondo, only when it is about to be done."""
    found: Callable[..., int] = getattr(import_module(f"rondo.{module}"), f"run_{name}")
    return found


class ClusterTask(WordTask):
    """A task that is called once, with a Session for all chosen servers.

    A number that it returns is the exit code of `fab`; the tasks after it are not run unless it
    is 0. Its parameter `inventory`, if it has one, selects the inventory.
    """

    def __call__(self, *arguments: Any, **options: Any) -> Any:  # noqa: ANN401
        """Do the task."""
        result = super().__call__(*arguments, **options)
        if isinstance(result, int) and result:
            raise Exit(code=int(result))
        return result


class ProofTask(ProofWordTask, ClusterTask):
    """A task of the same kind that is a proof: a value that cannot be used ends it with 2."""


class _ClusterCall(Call):
    """A call that gets a Session, or the connection to one server."""

    def __init__(self, *arguments: Any, context: Callable[[Any], Any], **options: Any) -> None:  # noqa: ANN401
        super().__init__(*arguments, **options)
        self._context = context

    def clone_data(self) -> dict[str, Any]:
        return {**super().clone_data(), "context": self._context}

    def make_context(self, config: Any) -> Any:  # noqa: ANN401
        return self._context(config)


class Executor(fabric.Executor):  # type: ignore[misc]  # Fabric has no types
    """Runs tasks on the servers of the inventory that -H names, or on all; never on this machine.

    Tasks of the class ClusterTask are called once with a Session. All other tasks are called once
    for each server with a Fabric connection to it, one server after the other.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:  # noqa: ANN401
        super().__init__(*arguments, **options)
        self.ui = Ui()
        self._runs: dict[str, Run] = {}

    def execute(self, *tasks: Any) -> Any:  # noqa: ANN401
        """Run tasks; whatever happens becomes one message and an exit code."""
        try:
            self._refuse_dry()
            return super().execute(*tasks)
        except BaseException as error:  # noqa: BLE001 - none may leave as a bare traceback
            self._close()
            raise self._told(error) from None
        finally:
            self._close()

    def expand_calls(self, calls: Sequence[Any], apply_hosts: bool = True) -> list[Any]:  # noqa: ARG002, FBT001, FBT002
        """Give each task, and what goes before and after it, its context."""
        return [ready for call in calls for ready in self._expand(call)]

    def _expand(self, call: Any) -> Iterator[Any]:  # noqa: ANN401
        # Invoke lets raw tasks stand in `pre` and `post`.
        made = call if isinstance(call, Call) else Call(call)
        run = self._run(made.kwargs.get("inventory"))
        yield from self.expand_calls(made.pre)
        if isinstance(made.task, ClusterTask):
            yield made.clone(_ClusterCall, {"context": lambda c: Session(c, run, self._words())})
        else:
            yield from (
                made.clone(_ClusterCall, {"context": _connection(run, name)})
                for name in run.fleet.names
            )
        yield from self.expand_calls(made.post)

    def _run(self, selection: str | None) -> Run:
        key = selection or ""
        if key not in self._runs:
            hosts = self.core[0].args.hosts.value
            start = self._start(selection)
            self._runs[key] = Run(selection or None, hosts, start, self.ui, self._flags())
        return self._runs[key]

    def _flags(self) -> Flags:
        given = self.core[0].args
        prompted = self.config.connect_kwargs
        return Flags(
            ssh_config=given["ssh-config"].value,
            keys=tuple(given["identity"].value or ()),
            connect_timeout=given["connect-timeout"].value,
            password=prompted.get("password"),
            passphrase=prompted.get("passphrase"),
        )

    def _start(self, selection: str | None) -> Path:
        """Look for inventories beside the fabfile; a path is meant from where we are."""
        chosen = selection or os.environ.get(_VARIABLE, "")
        is_path = "/" in chosen or chosen.endswith((".yaml", ".yml"))
        beside = self.collection.loaded_from
        return Path.cwd() if is_path or not beside else Path(beside)

    def _words(self) -> tuple[str, ...]:
        """Give what stands behind -- on the command line, word by word."""
        text = self.core.remainder or ""
        words = sys.argv[sys.argv.index("--") + 1 :] if "--" in sys.argv else []
        # Invoke joins the words with spaces, which would cut quoted ones in two.
        return tuple(words if " ".join(words) == text else shlex.split(text))

    def _refuse_dry(self) -> None:
        if self.config.run.dry:
            raise InputError("--dry does not reach the servers; use: fab plan")

    def _close(self) -> None:
        self.ui.close()
        for run in self._runs.values():
            run.close()

    def _told(self, error: BaseException) -> BaseException:
        """Tell the operator what happened, and give the exception that ends `fab` with its code."""
        if isinstance(error, (SystemExit, Exit)):
            return error
        if isinstance(error, BrokenPipeError):
            # Whoever read our output has gone, as in `fab logs | head`.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return Exit(code=EXIT_PIPE)
        code, message = _judged(error)
        # The terminal may be gone; the code is told all the same.
        with suppress(OSError, ValueError):
            if code == EXIT_FAULT and not isinstance(error, RondoError):
                self.ui.error("".join(traceback.format_exception(error)).rstrip())
            self.ui.error(message)
        return Exit(code=code)


def _judged(error: BaseException) -> tuple[int, str]:
    if isinstance(error, RondoError):
        return error.exit_code, str(error)
    if isinstance(error, KeyboardInterrupt):
        return Interrupted.exit_code, "interrupted; the connections are closed"
    if isinstance(error, UnexpectedExit):
        return EXIT_FAILED, f"a command of the task ended with code {error.result.exited}"
    return EXIT_FAULT, "this is a fault of Rondo or of the task, told in the lines above"


def _connection(run: Run, name: str) -> Callable[[Any], Any]:
    return lambda _: run.fleet.connection(name)
