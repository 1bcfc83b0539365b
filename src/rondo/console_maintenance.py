"""`fab maintenance` as the operator sees it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rondo import cluster, maintenance
from rondo.audit import audited
from rondo.deploy import templates_of
from rondo.errors import EXIT_DONE, InputError

if TYPE_CHECKING:
    from rondo.session import Session

STATES = ("on", "off", "")


def run_maintenance(session: Session, *, state: str = "", site: str = "") -> int:
    """Close the chosen sites, open them, or tell which are closed."""
    if state not in STATES:
        raise InputError(f"maintenance is on or off, not {state!r}: fab maintenance on")
    inventory = session.loaded.inventory
    sites = maintenance.chosen_sites(inventory, site)
    if not state:
        return _show(session, sites)
    purpose = f"maintenance {state} of {', '.join(sites)}"
    with audited(session.fleet, session.names, inventory.project, purpose):
        changed = _set(session, state, sites)
    word = "closed" if state == "on" else "open"
    for server, found in changed.items():
        for each in sites:
            already = "" if each in found else " already"
            session.ui.note(f"{server}: {each} is {word}{already}; nothing was reloaded")
    return EXIT_DONE


def _set(session: Session, state: str, sites: tuple[str, ...]) -> dict[str, tuple[str, ...]]:
    if state == "on":
        templates = templates_of(session.loaded.root)
        return maintenance.close(session.loaded, session.fleet, session.names, sites, templates)
    inventory = session.loaded.inventory
    return maintenance.open_again(inventory, session.fleet, session.names, sites)


def _show(session: Session, sites: tuple[str, ...]) -> int:
    project = session.loaded.inventory.project
    states, failure = cluster.look(session.fleet, session.names, project)
    rows = [("server", "site", "")]
    for server, state in states.items():
        for site in sites:
            said = state.closed.get(site)
            rows.append((server, site, f"closed {said.strip()}" if said else "open"))
    session.ui.table(rows)
    if failure:
        raise failure
    return EXIT_DONE
