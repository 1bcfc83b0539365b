"""Read from the operator's machine what a release is made of: contexts, secrets, certificates."""

from __future__ import annotations

import datetime
import subprocess
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rondo import certificates, context, edges, render, secrets
from rondo.release import (
    BuiltImage,
    Parts,
    Release,
    Source,
    image_reference,
    make_release,
)

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from rondo.certificates import Certificate
    from rondo.context import Context
    from rondo.inventory import Inventory
    from rondo.secrets import Environment, SecretValue
    from rondo.source import Loaded


@dataclass(frozen=True, slots=True)
class Material:
    """A release and everything that must be sent for it."""

    release: Release
    contexts: Mapping[str, Context]
    """By service."""
    environments: Mapping[str, Environment]
    """By the name of their folder on a server."""
    certificates: Mapping[str, Certificate]
    """By site."""
    secret_values: tuple[SecretValue, ...] = ()
    """What must never be shown."""

    @property
    def warnings(self) -> tuple[str, ...]:
        """What an operator should know though it stops nothing."""
        return tuple(text for each in self.certificates.values() for text in each.warnings)


def source_of(loaded: Loaded) -> Source:
    """Return the version, the git commit and whether its tree is clean; no commit outside git."""
    root = loaded.root
    commit = _git(root, "rev-parse", "HEAD")
    dirty = bool(commit and _git(root, "status", "--porcelain", "--", "."))
    return Source(commit, dirty=dirty, version=loaded.inventory.version or "")


def _git(root: Path, *arguments: str) -> str:
    try:
        done = subprocess.run(
            ("git", "-C", str(root), *arguments), capture_output=True, text=True, check=False
        )
    except OSError:
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def _contexts(loaded: Loaded, templates: Path) -> dict[str, Context]:
    return {
        name: context.read(
            loaded.root / service.context,
            render.overlay(loaded.inventory, name, templates),
            dockerfile=render.dockerfile_path(service),
        )
        for name, service in loaded.inventory.services.items()
        if service.context is not None
    }


def _images(inventory: Inventory, contexts: Mapping[str, Context]) -> dict[str, BuiltImage]:
    images = {}
    for name, read in contexts.items():
        service = inventory.services[name]
        dockerfile = render.dockerfile_path(service)
        arguments = render.build_arguments(inventory, name)
        target = service.build.target
        tag = context.image_digest(read, dockerfile, arguments, target)
        images[name] = BuiltImage(
            service=name,
            reference=image_reference(inventory, name, tag),
            context=read.digest,
            dockerfile=dockerfile,
            arguments=tuple(sorted(arguments.items())),
            target=target,
        )
    return images


@dataclass(frozen=True, slots=True)
class _Given:
    """What a service or accessory is given, and the secret values in it."""

    environment: Environment
    values: tuple[SecretValue, ...]


def _given(loaded: Loaded) -> dict[str, _Given]:
    """Return what each service and accessory is given; secrets are asked for side by side."""
    owners = {**loaded.inventory.services, **loaded.inventory.accessories}

    def make(name: str) -> _Given:
        owner = owners[name]
        values = secrets.resolve(owner.secrets, loaded.root)
        environment = secrets.environment_files(owner.environment, owner.secrets, values)
        return _Given(environment, tuple(values.values()))

    with ThreadPoolExecutor(max_workers=8) as pool:
        return dict(zip(owners, pool.map(make, owners), strict=True))


def _folder(owner: str, environment: Environment) -> str:
    """Name an environment's folder: its owner's alone, as its files belong to one user."""
    return f"{owner}.{environment.digest[:16]}"


def _served(checked: Mapping[str, Certificate]) -> str:
    """Name the certificates in the site's file: a renewed one is another file, and a reload."""
    return "".join(
        f"# certificate of {site}: {each.fingerprint}\n" for site, each in checked.items()
    )


def _certificates(loaded: Loaded) -> dict[str, Certificate]:
    now = datetime.datetime.now(datetime.UTC)
    return {
        name: certificates.check(
            loaded.root / site.tls.certificate, loaded.root / site.tls.key, site.server_names, now
        )
        for name, site in loaded.inventory.sites.items()
        if site.tls is not None
    }


def _authorities(loaded: Loaded) -> dict[str, Certificate]:
    """Return what edges verify the servers behind by, where it is not what their system trusts."""
    if not edges.edges_of(loaded.inventory):
        return {}
    now = datetime.datetime.now(datetime.UTC)
    return {
        edges.entry_of(name): certificates.authority(loaded.root / site.tls.authority, now)
        for name, site in loaded.inventory.sites.items()
        if site.tls and site.tls.authority
    }


def gather(loaded: Loaded, templates: Path) -> Material:
    """Read all that a release of an inventory is made of.

    Raises InputError for a context, secret or certificate that cannot be used.
    """
    inventory = loaded.inventory
    with ThreadPoolExecutor(max_workers=2) as pool:
        source = pool.submit(source_of, loaded)
        asked = pool.submit(_given, loaded)
        contexts = _contexts(loaded, templates)
        checked = _certificates(loaded) | _authorities(loaded)
        gated = [name for name, server in inventory.servers.items() if not server.edge]
        given = asked.result()
        made = {name: each.environment for name, each in given.items()}
        parts = Parts(
            images=_images(inventory, contexts),
            environments={name: _folder(name, each) for name, each in made.items()},
            site_configs={
                name: render.site_config(inventory, name, templates) + _served(checked)
                for name in inventory.servers
            },
            gate_configs={name: render.gate_config(inventory, name, templates) for name in gated},
            certificates={name: each.digest for name, each in checked.items()},
            source=source.result(),
        )
    return Material(
        release=make_release(inventory, parts),
        contexts=contexts,
        environments={_folder(name, each): each for name, each in made.items()},
        certificates=checked,
        secret_values=tuple(value for each in given.values() for value in each.values),
    )
