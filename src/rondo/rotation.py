"""Take a server out of the rotation of every edge, and put it back.

It is marked `down` in Nginx's file, and listed in a file beside it so that it stays so.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rondo import cluster
from rondo.edges import edges_of
from rondo.errors import InputError, PreflightError
from rondo.layout import Layout
from rondo.marks import alone, balanced, marked, unmarked
from rondo.problems import close_to
from rondo.scripts import changing

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rondo.fleet import Fleet
    from rondo.inventory import Inventory
    from rondo.server import Remote
    from rondo.state import ServerState

RELOAD = 120.0


def edges_for(inventory: Inventory, server: str) -> tuple[str, ...]:
    """Return the edges that balance over a server.

    Raises InputError for what is no server behind an edge.
    """
    if server not in inventory.servers:
        hint = close_to(server, inventory.servers)
        raise InputError(f"{server} is no server of the inventory; {hint}")
    found = edges_of(inventory)
    if not found:
        raise InputError(
            f"no server of the inventory is an edge, so nothing here decides where clients go: "
            f"take {server} out of your DNS or your balancer, wait until its time to live has "
            f"passed, and look with `fab status` that nothing is in flight"
        )
    if server in found:
        raise InputError(
            f"{server} is an edge itself: take it out of your DNS or your balancer; "
            f"`fab drain` takes out servers behind edges"
        )
    return found


def set_rotation(
    inventory: Inventory, fleet: Fleet, server: str, *, out: bool, deadline: float
) -> dict[str, bool]:
    """Take a server out of the rotation of every edge, or put it back; tell which edges changed.

    Returns when the old workers of each edge's Nginx are gone, so that nothing is in flight to the
    server any more, also if an earlier call took it out and did not wait so long. Raises
    RemoteError for an edge where that took too long.
    """
    edges = edges_for(inventory, server)
    purpose = f"{'drain' if out else 'fill'} of {server}"
    with cluster.locked(fleet, edges, inventory.project, purpose):
        states = cluster.observe(fleet, edges, inventory.project)
        texts = {name: _text(inventory, name, state, server) for name, state in states.items()}
        if out:
            _refuse_last(texts, states, server)

        def act(remote: Remote) -> bool:
            return _act(inventory, remote, states[remote.name], server, out=out, deadline=deadline)

        return cluster.everywhere(fleet, edges, act)


def _text(inventory: Inventory, edge: str, state: ServerState, server: str) -> str:
    text = state.files.get(Layout(inventory.project).site_file, "")
    if not balanced(text, server):
        raise PreflightError(
            f"{edge}: what is deployed there does not balance over {server}; run: fab deploy"
        )
    return text


def _refuse_last(texts: Mapping[str, str], states: Mapping[str, ServerState], server: str) -> None:
    for edge, text in texts.items():
        lone = alone(text, server, states[edge].drained)
        if lone and server not in states[edge].drained:
            raise PreflightError(
                f"{edge}: {server} is the last one in the rotation of {', '.join(lone)}; "
                f"put another one back first: fab fill"
            )


def _act(  # noqa: PLR0913 - what is done, where, and for how long
    inventory: Inventory,
    remote: Remote,
    state: ServerState,
    server: str,
    *,
    out: bool,
    deadline: float,
) -> bool:
    layout = Layout(inventory.project)
    wanted = {name: said for name, said in state.drained.items() if name != server}
    if out:
        said = state.drained.get(server, f"since {cluster.now()} by {cluster.author()}")
        wanted[server] = said
    there = state.files[layout.site_file]
    text = marked(unmarked(there, {**state.drained, server: ""}), wanted)
    done = text == there and wanted == dict(state.drained)
    if done and not out:
        return False
    # An earlier drain may not have waited to the end: what it left in flight is waited for now.
    scripts = ("workers_ending", "rotation") if done else ("workers", "site", "rotation")
    remote.run(
        changing(*scripts),
        layout.site_file,
        layout.asset_cache,
        state.facts.nginx_user or "www-data",
        layout.drained,
        "".join(f"{name}\t{said}\n" for name, said in wanted.items()),
        str(round(deadline)),
        step=f"take {server} {'out of' if out else 'into'} the rotation",
        stdin=b"" if done else text.encode(),
        deadline=deadline + RELOAD,
        survive=True,
    )
    return not done
