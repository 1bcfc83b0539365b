"""What goes with every change of the cluster: the operator's hooks, and the servers' audit log."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from rondo import hooks
from rondo.audit import audited, result_of
from rondo.errors import PreflightError, RondoError
from rondo.events import Emit, Event

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rondo.audit import Account
    from rondo.fleet import Fleet
    from rondo.inventory import Inventory


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
        _lament(inventory, _after(occasion, told, result_of(error)), fleet, emit)
        raise
    ended = _after(occasion, account.release, "done")
    try:
        hooks.run(inventory.hooks, "after_deploy", ended, fleet.root, emit)
    except hooks.HookError as error:
        raise RondoError(f"{error}; the {command} itself is done") from None


def _after(occasion: hooks.Occasion, release: str, outcome: str) -> hooks.Occasion:
    return hooks.Occasion(occasion.project, occasion.command, occasion.servers, release, outcome)


def _lament(inventory: Inventory, occasion: hooks.Occasion, fleet: Fleet, emit: Emit) -> None:
    """Run the hook for failures; what goes wrong with it must not hide the failure itself."""
    try:
        hooks.run(inventory.hooks, "on_failure", occasion, fleet.root, emit)
    except hooks.HookError as error:
        emit(Event("note", str(error)))
