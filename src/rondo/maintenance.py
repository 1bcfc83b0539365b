"""Close a site for maintenance with a page of the user's, and open it again."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from rondo import cluster
from rondo.apply import File, pack
from rondo.errors import InputError
from rondo.layout import Layout
from rondo.scripts import changing

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rondo.fleet import Fleet
    from rondo.inventory import Inventory
    from rondo.server import Remote
    from rondo.source import Loaded

PAGE = "maintenance.html"
LARGEST_PAGE = 4 * 1024**2


def chosen_sites(inventory: Inventory, site: str) -> tuple[str, ...]:
    """Return the sites that are meant: the one that was named, or all.

    Raises InputError for one that is not declared.
    """
    if site and site not in inventory.sites:
        known = ", ".join(inventory.sites) or "none"
        raise InputError(f"--site {site}: the inventory has no such site; there are: {known}")
    return (site,) if site else tuple(inventory.sites)


def page_of(loaded: Loaded, site: str, templates: Path) -> bytes:
    """Read a site's page: the user's, else the one beside the templates, else Rondo's own."""
    declared = loaded.inventory.sites[site].maintenance
    own = Path(__file__).parents[2] / "templates" / PAGE
    if declared:
        path = loaded.root / Path(declared).expanduser()
    else:
        path = templates / PAGE if (templates / PAGE).is_file() else own
    try:
        page = path.read_bytes()
    except OSError as error:
        raise InputError(f"sites.{site}.maintenance: {path} cannot be read: {error}") from error
    if len(page) > LARGEST_PAGE:
        raise InputError(f"sites.{site}.maintenance: {path} is larger than 4 MiB; make it smaller")
    return page


def close(
    loaded: Loaded, fleet: Fleet, names: Sequence[str], sites: Sequence[str], templates: Path
) -> dict[str, tuple[str, ...]]:
    """Close sites on servers; return those that were open before, by server.

    Raises InputError for a page that cannot be read, RemoteError for a server that cannot do it.
    """
    pages = [
        File(f"maintenance/{site}.html", page_of(loaded, site, templates), 0o644) for site in sites
    ]
    return _set(loaded.inventory, fleet, names, sites, pack(pages))


def open_again(
    inventory: Inventory, fleet: Fleet, names: Sequence[str], sites: Sequence[str]
) -> dict[str, tuple[str, ...]]:
    """Open sites on servers; return those that were closed before, by server."""
    return _set(inventory, fleet, names, sites, b"")


def _set(
    inventory: Inventory,
    fleet: Fleet,
    names: Sequence[str],
    sites: Sequence[str],
    pages: bytes,
) -> dict[str, tuple[str, ...]]:
    layout = Layout(inventory.project)
    scripts = ("files", "maintenance") if pages else ("maintenance",)
    state = "on" if pages else "off"

    def act(remote: Remote) -> tuple[str, ...]:
        answer = remote.run(
            changing(*scripts),
            layout.root,
            state,
            layout.maintenance,
            layout.site_file,
            f"since {cluster.now()} by {cluster.author()}",
            *sites,
            step=f"maintenance {state}",
            stdin=pages,
            survive=True,
        )
        return tuple(answer.stdout.split())

    return cluster.everywhere(fleet, names, act)
