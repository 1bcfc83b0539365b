"""The operator's files that an inventory names: whether each is there and can be read."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING
from zoneinfo import TZPATH

from rondo.inventory import StaticService, UwsgiService
from rondo.problems import Problem

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rondo import problems
    from rondo.inventory import Inventory, ServiceBase, Site


def check(inventory: Inventory, root: Path) -> Iterator[Problem]:
    """Yield every file that is missing; relative paths begin at the root."""
    for name, service in inventory.services.items():
        if service.context:
            yield from _context(("services", name), service, root / _expanded(service.context))
    for path, file in _named(inventory):
        yield from _readable(path, root / _expanded(file))
    yield from _time_zone(inventory.settings.time_zone)


def _expanded(file: str) -> Path:
    return Path(file).expanduser()


def _named(inventory: Inventory) -> Iterator[tuple[problems.Path, str]]:
    for name, server in inventory.servers.items():
        if server.key:
            yield ("servers", name, "key"), server.key
    for name, site in inventory.sites.items():
        yield from _of_site(name, site)
    for section, owners in (
        ("services", inventory.services),
        ("accessories", inventory.accessories),
    ):
        for name, owner in owners.items():
            for key, secret in owner.secrets.items():
                if secret.file:
                    yield (section, name, "secrets", key, "file"), secret.file


def _of_site(name: str, site: Site) -> Iterator[tuple[problems.Path, str]]:
    path = ("sites", name)
    if site.tls:
        yield (*path, "tls", "certificate"), site.tls.certificate
        yield (*path, "tls", "key"), site.tls.key
        if site.tls.authority:
            yield (*path, "tls", "authority"), site.tls.authority
    if site.maintenance:
        yield (*path, "maintenance"), site.maintenance


def _readable(path: problems.Path, file: Path) -> Iterator[Problem]:
    if not file.exists():
        yield Problem(path, f"{file} is not there; mend the path or make the file")
    elif not file.is_file():
        yield Problem(path, f"{file} is no file; give one")
    elif not os.access(file, os.R_OK):
        yield Problem(path, f"{file} cannot be read by you; change its owner or mode")


def _context(path: problems.Path, service: ServiceBase, folder: Path) -> Iterator[Problem]:
    if not folder.is_dir():
        yield Problem((*path, "context"), f"{folder} is no folder; give the one with the source")
        return
    for key, file in _needed(service):
        if not (folder / file).is_file():
            where = (*path, key) if key in service.model_fields_set else (*path, "context")
            yield Problem(where, f"{file} is not in {folder}; add it, or set {key}")


def _needed(service: ServiceBase) -> Iterator[tuple[str, str]]:
    """Name what a build needs: the user's Dockerfile, or what Rondo's template copies."""
    if service.dockerfile:
        yield "dockerfile", service.dockerfile
    elif isinstance(service, UwsgiService):
        yield "requirements", service.requirements
    elif isinstance(service, StaticService):
        yield "dockerfile", "package.json"
    else:
        yield "dockerfile", "Dockerfile"


def _time_zone(name: str) -> Iterator[Problem]:
    folders = [Path(folder) for folder in TZPATH if Path(folder).is_dir()]
    if folders and not any((folder / name).is_file() for folder in folders):
        message = f"{name} is no time zone known here; give one like Europe/Berlin"
        yield Problem(("settings", "time_zone"), message)
