"""The release record: what ran together, told so that it can be shown and restored. Pure."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

from rondo.layout import Layout
from rondo.state import text_digest

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rondo.release import Release, ServerRelease
    from rondo.state import ServerState

VERSION = 1


def config_texts(project: str, server: ServerRelease) -> dict[str, str]:
    """Return the text of each configuration file of a server, by its path there."""
    layout = Layout(project)
    both = {layout.gate_file: server.gate_config, layout.site_file: server.site_config}
    return {path: text for path, text in both.items() if text}


def make_record(  # noqa: PLR0913 - what a record tells
    release: Release,
    name: str,
    image_ids: Mapping[str, str],
    *,
    created: str,
    author: str,
    before: str = "",
) -> dict[str, object]:
    """Return the record of a release on one server, as JSON can hold it."""
    server = release.servers[name]
    references = {container.image for container in server.containers}
    return {
        "version": VERSION,
        "id": release.id,
        "content": release.content,
        "created": created,
        "by": author,
        "before": before,
        "source": asdict(release.source),
        "images": {
            reference: image_ids.get(reference, "")
            for reference in sorted(references | {a.container.image for a in server.accessories})
        },
        "server": asdict(server),
        "environments": sorted(server.environments),
        "configs": {
            path: text_digest(text) for path, text in config_texts(release.project, server).items()
        },
    }


def before(state: ServerState, release: str) -> str:
    """Return the release from which another takes over on a server; empty for the first one."""
    if state.current != release:
        return state.current
    return str(state.record.get("before", ""))
