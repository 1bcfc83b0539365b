"""`fab drain` and `fab fill` as the operator sees them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rondo import rotation
from rondo.audit import audited
from rondo.errors import EXIT_DONE

if TYPE_CHECKING:
    from rondo.session import Session


def run_drain(session: Session, *, server: str, deadline: int = 60) -> int:
    """Take a server out of the rotation of every edge; done when nothing goes to it any more."""
    return _set(session, server, out=True, deadline=deadline)


def run_fill(session: Session, *, server: str, deadline: int = 60) -> int:
    """Put a server back into the rotation of every edge."""
    return _set(session, server, out=False, deadline=deadline)


def _set(session: Session, server: str, *, out: bool, deadline: int) -> int:
    inventory = session.loaded.inventory
    edges = rotation.edges_for(inventory, server)
    purpose = f"{'drain' if out else 'fill'} of {server}"
    with audited(session.fleet, edges, inventory.project, purpose):
        changed = rotation.set_rotation(
            inventory, session.fleet, server, out=out, deadline=deadline
        )
    nothing = "nothing is in flight to it any more" if out else "nothing was done"
    where = "out of the rotation" if out else "in the rotation"
    for edge, really in changed.items():
        how = ": old workers of Nginx are gone" if really else f" already; {nothing}"
        session.ui.note(f"{edge}: {server} is {where}{how}")
    return EXIT_DONE
