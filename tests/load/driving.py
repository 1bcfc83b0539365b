"""Runs Locust with our locustfile as a child, as users and `inv prove` do, and reads its rows."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from rondo.objectives import Proof
from rondo.proof.brief import Brief, make_brief
from rondo.proof.records import REQUEST

if TYPE_CHECKING:
    from numpy.typing import NDArray

ROOT = Path(__file__).parents[2]
LOCUST = (
    sys.executable,
    "-m",
    "locust",
    "-f",
    str(ROOT / "loadtests"),
    "--only-summary",
    "--skip-log-setup",
)
PATIENCE = 120


@dataclass(frozen=True, slots=True)
class Driven:
    """What a run left behind."""

    code: int
    said: str
    brief: Brief
    rows: NDArray[np.void]
    """Of the scheduled requests."""
    probes: NDArray[np.void]
    errors: list[str]
    """Text of each row, "" for a right one."""
    backends: list[str]
    reports: list[dict[str, Any]]
    began: float
    ended: float


def brief_of(host: str, **wanted: Any) -> Brief:  # noqa: ANN401 - as in the inventory
    """Make the brief of a short run; scenario and the rest as in the inventory's proof section."""
    chosen = {
        each: wanted.pop(each)
        for each in ("addresses", "authority", "ramp", "closed")
        if each in wanted
    }
    secret = wanted.pop("secret", "")
    data = {"rate": 50, "duration": 2, "timeout": 5, **wanted}
    proof = Proof.model_validate(data)
    return make_brief(proof, None, run="0123456789ab", secret=secret, host=host, **chosen)


def environment(folder: Path) -> dict[str, str]:
    """Keep the operator's settings away, and name the run."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("RONDO_")}
    return {**kept, "RONDO_RUN": str(folder), "PYTHONWARNINGS": "default"}


def start(folder: Path, brief: Brief, *options: str) -> subprocess.Popen[str]:
    """Start a run whose brief is written."""
    folder.mkdir(exist_ok=True)
    brief.write(folder / "brief.json")
    return subprocess.Popen(
        [*LOCUST, *options],
        cwd=folder,
        env=environment(folder),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def drive(folder: Path, brief: Brief, *options: str) -> Driven:
    """Run to the end."""
    child = start(folder, brief, "--headless", *options)
    return finished(folder, brief, child)


def finished(folder: Path, brief: Brief, child: subprocess.Popen[str]) -> Driven:
    """Wait for the end and read what there is."""
    said, _ = child.communicate(timeout=PATIENCE)
    return read(folder, brief, child.returncode, said)


def read(folder: Path, brief: Brief, code: int, said: str) -> Driven:
    """Read the rows of all generators."""
    tables, errors, backends, notes = [], [], [], []
    for path in sorted((folder / "clients").glob("*.json")):
        notes.append(json.loads(path.read_text()))
        rows = np.frombuffer(path.with_suffix(".rows").read_bytes(), REQUEST)
        tables.append(rows)
        errors += [notes[-1]["texts"][number] for number in rows["error"]]
        backends += [notes[-1]["texts"][number] for number in rows["seen"]]
    assert tables, said
    rows = np.concatenate(tables)
    probe = rows["step"] == brief.probe
    return Driven(
        code,
        said,
        brief,
        rows[~probe],
        rows[probe],
        errors,
        backends,
        [each["report"] for each in notes],
        notes[0]["began"],
        max(each["ended"] for each in notes),
    )
