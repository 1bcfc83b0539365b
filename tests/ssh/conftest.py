"""Fixtures: throwaway sshds, and projects whose servers they are."""

from __future__ import annotations

import os
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest
from throwaway import SSHD, Project, Sshd, server_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@pytest.fixture(autouse=True)
def _own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the tests away from the operator's own keys, agent and known hosts."""
    home = tmp_path / "home"
    (home / ".ssh").mkdir(parents=True, mode=0o700)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    monkeypatch.delenv("RONDO_INVENTORY", raising=False)
    monkeypatch.setenv("NO_COLOR", "1")


@pytest.fixture(autouse=True)
def _can_be_root() -> None:
    """Scripts run as root: skip where this user has no way to it."""
    if os.geteuid() and subprocess.run(["sudo", "-n", "true"], check=False).returncode:
        pytest.skip("needs root, or sudo without a password")


@pytest.fixture
def make_sshd(tmp_path: Path) -> Iterator[Callable[..., Sshd]]:
    """Start further sshds."""
    if not SSHD:
        pytest.fail("needs /usr/sbin/sshd: apt-get install openssh-server")
    made: list[Sshd] = []

    def make(*options: str, key: Path | None = None, start: bool = True) -> Sshd:
        sshd = Sshd(tmp_path / f"sshd{len(made)}", options)
        made.append(sshd)
        sshd.folder.mkdir()
        if key:
            shutil.copy(key, sshd.key)
            shutil.copy(f"{key}.pub", f"{sshd.key}.pub")
        sshd.prepare()
        return sshd.start() if start else sshd

    yield make
    for sshd in made:
        sshd.stop()


@pytest.fixture
def sshd(make_sshd: Callable[..., Sshd]) -> Sshd:
    """One sshd."""
    return make_sshd()


@pytest.fixture
def make_project(tmp_path: Path) -> Callable[..., Project]:
    """Make a project with the given servers, pinned."""

    def make(**sshds: Sshd) -> Project:
        named = {name.replace("_", "-"): sshd for name, sshd in sshds.items()}
        root = tmp_path / "project"
        root.mkdir()
        servers = {name: server_of(sshd) for name, sshd in named.items()}
        project = Project(root, named, servers, {})
        project.pin()
        return project

    return make


@pytest.fixture
def project(make_project: Callable[..., Project], sshd: Sshd) -> Project:
    """Make a project with one server, web-1."""
    return make_project(web_1=sshd)
