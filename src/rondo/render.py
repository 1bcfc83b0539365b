"""Templates to files: Nginx's configuration, and what a build context is given. Pure."""

from __future__ import annotations

import difflib
import math
import os
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from rondo import edges, nginx, views
from rondo.context import ContextFile
from rondo.errors import InputError
from rondo.inventory import StaticService
from rondo.layout import Layout

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from jinja2 import BytecodeCache, Environment

    from rondo.inventory import AnyService, Inventory

FOLDER = ".rondo"
OWN_DOCKERFILE = "Dockerfile"
_MODES = {"start": 0o755}
FILES = {
    "static": ("Dockerfile", "nginx.conf", "start"),
    "uwsgi": ("Dockerfile", "at_exit.py", "start", "uwsgi.ini"),
}
"""What each kind with templates of ours is given."""


def _compiled() -> BytecodeCache | None:
    """Return where compiled templates are kept: compiling them takes longer than all the rest."""
    import jinja2  # noqa: PLC0415

    folder = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "rondo/templates"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError:
        return None
    return jinja2.FileSystemBytecodeCache(str(folder)) if os.access(folder, os.W_OK) else None


@lru_cache(maxsize=8)
def _environment(templates: Path) -> Environment:
    """Return the templates of a folder; Jinja2 is imported only where something is rendered."""
    import jinja2  # noqa: PLC0415 - half of the time of a command that renders nothing

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(templates),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        bytecode_cache=_compiled(),
        autoescape=False,  # noqa: S701 - not HTML: values are checked by rondo.words and quoted by `nginx`
    )
    environment.filters.update(nginx=nginx.quote, nginx_time=nginx.time, regex=nginx.pattern)
    return environment


def _render(templates: Path, name: str, values: Mapping[str, object]) -> str:
    import jinja2  # noqa: PLC0415

    try:
        return _environment(templates).get_template(name).render(values)
    except jinja2.TemplateSyntaxError as error:
        where = f"{templates / (error.name or name)}, line {error.lineno}"
        raise InputError(f"{where}: the template cannot be read: {error.message}") from error
    except jinja2.TemplateNotFound as error:
        raise InputError(
            f"the template {templates / str(error.name)} is missing: restore it from Rondo's own"
        ) from error
    except jinja2.TemplateError as error:
        raise InputError(f"{templates / name}: the template failed: {error}") from error


def _since(version: str) -> Callable[[str], bool]:
    """Return a test of whether the oldest Nginx among the servers has what a version brought."""

    def numbers(text: str) -> tuple[int, ...]:
        return tuple(map(int, text.split(".")))

    return lambda wanted: numbers(version) >= numbers(wanted)


def _common(inventory: Inventory) -> dict[str, object]:
    return {
        "project": inventory.project,
        "layout": Layout(inventory.project),
        "settings": inventory.settings,
        "since": _since(inventory.settings.nginx.version),
        "v": nginx.prefix(inventory),
    }


def site_config(inventory: Inventory, server: str, templates: Path) -> str:
    """Return the Nginx file of the project's sites on a server."""
    edge = inventory.servers[server].edge
    sites = edges.site_views(inventory) if edge else views.site_views(inventory, server)
    upstreams = {each.name: each for site in sites for each in site.upstreams.values() if each}
    locations = [location for site in sites for location in site.locations]
    values = _common(inventory) | {
        "server": server,
        "allow": nginx.networks(inventory.proof.allow),
        "sites": sites,
        "upstreams": [upstreams[name] for name in sorted(upstreams)],
        "websocket": any(location.websocket for location in locations),
        "cache": any(each.action == "assets" and each.site.caches for each in locations),
        "safe_headers": views.SAFE_HEADERS,
        "closed": views.CLOSED,
        "edge": edge,
        "edges": () if edge else edges.addresses(inventory),
        "certificate": views.default_certificate(sites),
    }
    return _render(templates, "nginx/site.conf.j2", values)


def gate_config(inventory: Inventory, server: str, templates: Path) -> str:
    """Return the Nginx file through which a server asks new containers for their health."""
    values = _common(inventory) | {"gates": tuple(views.gate_views(inventory, server))}
    return _render(templates, "nginx/gate.conf.j2", values)


def overlay(inventory: Inventory, service: str, templates: Path) -> dict[str, ContextFile]:
    """Return the files that a service's build context is given besides its own."""
    declared = inventory.services[service]
    if isinstance(declared, StaticService):
        views.assets_folder(declared, service)
    values = _common(inventory) | {"name": service, "service": declared, "ceil": math.ceil}
    return {
        f"{FOLDER}/{file}": ContextFile(
            _render(templates, f"{declared.kind}/{file}.j2", values).encode(),
            _MODES.get(file, 0o644),
        )
        for file in FILES.get(declared.kind, ())
    }


def dockerfile_path(service: AnyService) -> str:
    """Return the Dockerfile, inside the context, that builds a service."""
    if service.dockerfile:
        return service.dockerfile
    return f"{FOLDER}/Dockerfile" if service.kind in FILES else OWN_DOCKERFILE


def build_arguments(inventory: Inventory, service: str) -> dict[str, str]:
    """Return the build arguments of a service: mirrors, time zone, then the user's own."""
    mirrors = inventory.settings.build.mirrors
    given = {
        "PYPI_MIRROR": mirrors.pypi,
        "NPM_MIRROR": mirrors.npm,
        "DEBIAN_MIRROR": mirrors.debian,
        "TIME_ZONE": inventory.settings.time_zone,
    }
    kept = {name: value for name, value in given.items() if value is not None}
    return kept | inventory.services[service].build.args


def render_all(inventory: Inventory, templates: Path) -> dict[str, bytes]:
    """Return every rendered file by its path below the output folder."""
    layout = Layout(inventory.project)
    files = {}
    for name, server in inventory.servers.items():
        folder = f"servers/{name}"
        site, gate = (Path(path).name for path in (layout.site_file, layout.gate_file))
        files[f"{folder}/{site}"] = site_config(inventory, name, templates).encode()
        if not server.edge:
            files[f"{folder}/{gate}"] = gate_config(inventory, name, templates).encode()
    for name, service in inventory.services.items():
        if service.context is not None:
            for path, file in overlay(inventory, name, templates).items():
                files[f"services/{name}/{path}"] = file.content
    return dict(sorted(files.items()))


def _there(folder: Path) -> dict[str, bytes]:
    """Return the files that an earlier render wrote."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for part in ("servers", "services")
        for path in sorted((folder / part).rglob("*"))
        if path.is_file()
    }


def write(files: Mapping[str, bytes], folder: Path) -> tuple[str, ...]:
    """Make a folder hold exactly these files; return the paths that changed."""
    there = _there(folder)
    changed = [path for path, content in files.items() if there.get(path) != content]
    for path in changed:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(files[path])
        (folder / path).chmod(_MODES.get(Path(path).name, 0o644))
    gone = sorted(there.keys() - files.keys())
    for path in gone:
        (folder / path).unlink()
    return (*changed, *gone)


def check(files: Mapping[str, bytes], folder: Path) -> str:
    """Return the difference between a folder and these files as a unified diff; empty if none."""
    there = _there(folder)
    return "".join(
        _diff(path, there.get(path), files.get(path)) for path in sorted(there.keys() | files)
    )


def _diff(path: str, old: bytes | None, new: bytes | None) -> str:
    before, after = (
        (each or b"").decode(errors="replace").splitlines(keepends=True) for each in (old, new)
    )
    old_name, new_name = ("/dev/null" if each is None else path for each in (old, new))
    return "".join(difflib.unified_diff(before, after, old_name, new_name))
