"""A change made under load: judged by what its visitors saw, and put back if that was wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rondo import operations
from rondo.attendance import Ending
from rondo.errors import EXIT_DONE

if TYPE_CHECKING:
    from collections.abc import Callable

    from rondo.change import Outcome
    from rondo.events import Emit
    from rondo.inventory import Inventory
    from rondo.session import Session


def make_proved(
    session: Session,
    command: str,
    make: Callable[[Inventory, Emit], Outcome],
    show: Emit,
    *,
    returns: bool,
) -> int:
    """Make a change under load; return 0 if it was made and the site held.

    One whose proof fails `returns`: everything that it moved is put back. Raises RondoError of a
    change that failed, or of a way back that did.
    """
    from rondo.proof.change import proving  # noqa: PLC0415 - half a second: only when needed

    made: list[Outcome] = []
    inventory = session.loaded.inventory
    ending = Ending(inventory, command, session.loaded.root)

    def change(emit: Emit) -> int:
        outcome = make(ending.meanwhile, emit)
        if outcome.plan:
            made.append(outcome)
            ending.note(tuple(outcome.states), outcome.plan.release)
        return EXIT_DONE

    def back(emit: Emit, reason: str) -> bool:
        for outcome in made:
            operations.revert(inventory, session.fleet, outcome.states, emit, reason)
        return bool(made)

    return proving(session, change, show, ending, back if returns else None)
