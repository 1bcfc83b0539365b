"""The lab that faults are made on: the example shop, deployed twice, and what whole means there."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import yaml

from rondo import cluster, demonstration, lab
from rondo.errors import RondoError
from rondo.lab import places
from rondo.proof.selftest.bench import SCRIPT, STEP_DEADLINE, Bench
from rondo.proof.selftest.forger import Forger
from rondo.scripts import changing
from rondo.source import load

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from rondo.fleet import Fleet
    from rondo.lab import Lab
    from rondo.lab.places import Place
    from rondo.server import Remote
    from rondo.source import Loaded

    Note = Callable[[str], None]

SERVERS: Final = 2
SERVICE: Final = "backend"
SITE: Final = "shop"
_DEADLINE: Final = 300.0
_LINKS: Final = ("examples", "templates", "fabfile", "fabric.yaml")
# A disk that others use too would stop both lanes for a second at a time: what is proved here is
# the proof, and the orders of a lab may be lost.
_DATABASE: Final = ("postgres", "-c", "fsync=off", "-c", "full_page_writes=off")
_PROOF: Final[Mapping[str, Any]] = {
    # A hung backend costs a request no longer than this, so that runs end soon.
    "timeout": "5s",
    # A stall of 1 s in every 5 makes a p95 of 750 ms; two lanes on one machine less than this.
    "limits": {"errors": 0, "p95": "500ms", "p99": "2s"},
}


@dataclass(frozen=True, slots=True)
class Stage:
    """A lab with the shop on it."""

    lab: Lab
    place: Place

    def project(self, name: str) -> Path:
        """Give the folder of a lane's own project: its runs are apart from those of others."""
        return self.place.root / ".rondo" / "selftest" / name

    def loaded(self, name: str) -> Loaded:
        """Read the inventory of a lane's project."""
        return load(str(self.project(name) / "inventory.yaml"))

    def bench(self, lane: str, loaded: Loaded, fleet: Fleet, server: str) -> Bench:
        """Look at a server, and give what faults are made with there."""
        project = loaded.inventory.project
        state = cluster.observe(fleet, [server], project)[server]
        return Bench(
            remote=fleet[server],
            project=project,
            service=SERVICE,
            site=SITE,
            state=state,
            folder=self.project(lane),
            certificates=Forger(self.place, demonstration.NAME),
        )


def find() -> Place:
    """Find the place of the lab: one of the self-test's own, unless RONDO_LAB names another."""
    root = places.find().root
    os.environ.setdefault("RONDO_LAB", f"{places.default_name(root)}-selftest")
    return places.find()


def prepare(lanes: tuple[str, ...], fleet_of: Callable[[Loaded], Fleet], note: Note) -> Stage:
    """Bring up the lab and the shop; what a run before has left broken is mended first."""
    place = find()
    stage = Stage(lab.up(SERVERS, report=note), place)
    demonstration.furnish(stage.lab.folder)
    for name in lanes:
        _furnish(stage, name, "newer")
    loaded = stage.loaded(lanes[0])
    with fleet_of(loaded) as fleet:
        project, names = loaded.inventory.project, tuple(loaded.inventory.servers)
        _on_all(fleet, names, project, "mend")
        states = cluster.observe(fleet, names, project)
        if not all(state.current for state in states.values()):
            _fab(stage, lanes[0], "bootstrap", "--apply", note=note)
        if not all(len(state.records) > 1 for state in states.values()):
            _deploy(stage, lanes[0], "older", note)
        _deploy(stage, lanes[0], "newer", note)
        for action in ("prepare", "keep", "heal"):
            _on_all(fleet, names, project, action)
    return stage


def _on_all(fleet: Fleet, names: tuple[str, ...], project: str, action: str) -> None:
    def act(remote: Remote) -> None:
        remote.run(
            *(changing(SCRIPT), action, project),
            step=f"self-test: {action}",
            deadline=max(STEP_DEADLINE, _DEADLINE),
        )

    cluster.everywhere(fleet, names, act)


def _deploy(stage: Stage, lane: str, content: str, note: Note) -> None:
    """Deploy one of two releases: the older is only there to be run where it must not."""
    _furnish(stage, lane, content)
    _fab(stage, lane, "deploy", note=note)


def _furnish(stage: Stage, lane: str, content: str) -> None:
    folder, root = stage.project(lane), stage.place.root
    (folder / ".rondo").mkdir(parents=True, exist_ok=True)
    links = {folder / name: root / name for name in _LINKS}
    links |= {folder / "example.yaml": root / "inventory.yaml"}
    links |= {folder / ".rondo" / "lab": stage.lab.folder}
    for link, target in links.items():
        # The lab may be another one than the last time.
        if not link.is_symlink() or link.readlink() != target:
            link.unlink(missing_ok=True)
            link.symlink_to(target)
    servers = {
        each.name: {"address": each.address, "private_address": each.private_address}
        for each in stage.lab.servers[:SERVERS]
    }
    backend = {"processes": 1, "environment": {"SELFTEST": content}}
    text = yaml.safe_dump(
        {
            "extends": "example.yaml",
            "servers": servers,
            "services": {SERVICE: backend},
            "accessories": {"database": {"command": list(_DATABASE)}},
            "proof": dict(_PROOF),
        }
    )
    (folder / "inventory.yaml").write_text(text, encoding="utf-8")


def _fab(stage: Stage, lane: str, *words: str, note: Note) -> None:
    """Run one of our own commands as a user would; what it said matters only if it fails."""
    note(f"fab {shlex.join(words)}")
    program = str(Path(sys.executable).with_name("fab"))
    done = subprocess.run(
        (program, *words), cwd=stage.project(lane), capture_output=True, text=True, check=False
    )
    if done.returncode:
        told = "\n".join((done.stdout + done.stderr).splitlines()[-20:])
        raise RondoError(f"`fab {shlex.join(words)}` ended with {done.returncode}:\n{told}")
