"""What goes with every change of the cluster: the operator's hooks, and the servers' audit log."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from rondo import hooks
from rondo.audit import audited, result_of
from rondo.errors import PreflightError, RondoError
from rondo.events import Emit, Event

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from rondo.audit import Account
    from rondo.fleet import Fleet
    from rondo.inventory import Inventory

_VERDICTS = {0: "PASS", 1: "FAIL", 3: "INVALID"}


@contextmanager
def attended(
    inventory: Inventory, purpose: str, fleet: Fleet, names: Sequence[str], emit: Emit
) -> Iterator[Account]:
    """Run the hooks around a change and have the servers write a line about it.

    `purpose` begins with the command. Raises PreflightError if a hook before it fails, as nothing
    was touched by then, and RondoError if one after it does.
    """
    command, _, rest = purpose.partition(" ")
    release = rest.rpartition(" ")[2] if command != "restart" else ""
    occasion = hooks.Occasion(inventory.project, command, tuple(names), release)
    try:
        hooks.run(inventory.hooks, "before_deploy", occasion, fleet.root, emit)
    except hooks.HookError as error:
        raise PreflightError(f"{error}; nothing was touched") from None
    account: Account | None = None
    try:
        with audited(fleet, names, inventory.project, purpose) as account:
            account.release = release
            yield account
    except BaseException as error:
        told = account.release if account else release
        ended = replace(occasion, release=told, outcome=result_of(error))
        _lament(inventory, ended, fleet.root, emit)
        raise
    ended = replace(occasion, release=account.release, outcome="done")
    _rejoice(inventory, ended, fleet.root, emit)


def _rejoice(inventory: Inventory, occasion: hooks.Occasion, root: Path, emit: Emit) -> None:
    """Run the hook for what is done; raises RondoError if it fails."""
    try:
        hooks.run(inventory.hooks, "after_deploy", occasion, root, emit)
    except hooks.HookError as error:
        raise RondoError(f"{error}; the {occasion.command} itself is done") from None


def _lament(inventory: Inventory, occasion: hooks.Occasion, root: Path, emit: Emit) -> None:
    """Run the hook for failures; what goes wrong with it must not hide the failure itself."""
    try:
        hooks.run(inventory.hooks, "on_failure", occasion, root, emit)
    except hooks.HookError as error:
        emit(Event("note", str(error)))


@dataclass(slots=True)
class Ending:
    """The hook after a change that is made under load: it waits for the verdict."""

    inventory: Inventory
    command: str
    root: Path
    made: hooks.Occasion | None = None
    """The change, once it is made; one that fails before has told its hook already."""

    @property
    def meanwhile(self) -> Inventory:
        """The inventory to make the change with: nobody hears yet that all went well."""
        quiet = self.inventory.hooks.model_copy(update={"after_deploy": None})
        return self.inventory.model_copy(update={"hooks": quiet})

    def note(self, servers: Sequence[str], release: str) -> None:
        """Take down that the change is made."""
        project = self.inventory.project
        self.made = hooks.Occasion(project, self.command, tuple(servers), release)

    def await_verdict(self, prove: Callable[[], int], emit: Emit) -> int:
        """Prove, then run the hook that the verdict calls for, and return the verdict's code.

        A run that was not sound says nothing against the change, which stays.
        """
        try:
            code = prove()
        except BaseException as error:
            # Nothing was refused or locked: the change is made, only its verdict is missing.
            ended = "interrupted" if result_of(error) == "interrupted" else "failed"
            self._tell(ended, "", emit)
            raise
        verdict = _VERDICTS[code]
        self._tell("failed" if verdict == "FAIL" else "done", verdict, emit)
        return code

    def _tell(self, outcome: str, proof: str, emit: Emit) -> None:
        if self.made:
            occasion = replace(self.made, outcome=outcome, proof=proof)
            run = _rejoice if outcome == "done" else _lament
            run(self.inventory, occasion, self.root, emit)
