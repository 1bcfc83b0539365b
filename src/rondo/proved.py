"""A change made under load: judged by what its visitors saw, and put back if that was wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rondo import operations
from rondo.attendance import Ending
from rondo.change import USUAL

if TYPE_CHECKING:
    from collections.abc import Callable

    from rondo.change import Manner, Outcome
    from rondo.events import Emit
    from rondo.inventory import Inventory
    from rondo.session import Session


def make_proved(
    session: Session,
    command: str,
    make: Callable[[Inventory, Emit], Outcome],
    show: Emit,
    returning: Manner | None = None,
) -> int:
    """Make a change under load; return 0 if it was made and the site held.

    One whose proof fails is put back in the manner of `returning`, and stays without it. Raises
    RondoError of a change that failed, or of a way back that did.
    """
    from rondo.proof.change import proving  # noqa: PLC0415 - half a second: only when needed

    made: list[Outcome] = []
    inventory = session.loaded.inventory
    ending = Ending(inventory, command, session.loaded.root)

    def change(emit: Emit) -> bool:
        outcome = make(ending.meanwhile, emit)
        if outcome.plan:
            made.append(outcome)
            ending.note(tuple(outcome.states), outcome.plan.release)
        return bool(made)

    def back(emit: Emit, reason: str) -> bool:
        for outcome in made:
            operations.revert(inventory, session.fleet, outcome, emit, reason, returning or USUAL)
        return bool(made)

    return proving(session, change, show, ending, back if returning else None)
