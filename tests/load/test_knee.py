"""`inv prove --knee` against a server whose limit is known, and `--versus` told wrongly."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from origin import Origin, Reply, Seen, serving

ROOT = Path(__file__).parents[2]
INVENTORY = {
    "project": "queue",
    "servers": {
        "web-1": {"address": "192.0.2.1", "groups": ["web", "odd"]},
        "web-2": {"address": "192.0.2.2", "groups": ["web"]},
    },
    "services": {"front": {"kind": "static", "context": "."}},
    "sites": {"queue": {"server_names": ["queue.example.com"], "routes": {"/": "front"}}},
    "proof": {
        "rate": 120,
        "timeout": 5,
        "limits": {"p95": "150ms"},
        "scenario": {"visit": {"steps": [{"get": "/"}]}},
    },
}


class Till:
    """One cashier: customers are served one after the other, each as long as the other."""

    def __init__(self, each: float) -> None:
        self.each = each
        self.free = 0.0
        self.origin: Origin | None = None

    def __call__(self, _: Seen) -> Reply:
        assert self.origin is not None
        self.free = max(self.free, self.origin.now) + self.each
        return Reply(pause=max(1e-4, self.free - self.origin.now))


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "inventory.yaml").write_text(yaml.safe_dump(INVENTORY))
    return tmp_path


def prove(project: Path, *words: str) -> subprocess.CompletedProcess[str]:
    tasks = (str(Path(sys.executable).with_name("inv")), "-r", str(ROOT), "prove")
    inventory = ("--inventory", str(project / "inventory.yaml"))
    return subprocess.run(
        (*tasks, *inventory, *words), capture_output=True, text=True, timeout=500, check=False
    )


def test_the_rate_that_a_server_holds_is_found_or_the_client_is_said_to_be_the_limit(
    project: Path,
) -> None:
    till = Till(1 / 150)
    with serving(till) as origin:
        till.origin = origin
        done = prove(project, "--knee", "--host", origin.url, "--duration", "2", "--rate", "60")
    (folder,) = (project / ".rondo" / "runs").iterdir()
    found = json.loads((folder / "knee.json").read_text())
    assert found["exit_code"] == done.returncode, done.stdout + done.stderr
    assert found["sentence"] in done.stdout
    # A backlog of 150 ms may build up in a stage: 2 s of 162 a second.
    assert found["low"] <= 175
    if done.returncode == 0 and not found["client_was_the_limit"]:
        assert found["high"] / found["low"] <= 1.1001
        assert "The site takes" in done.stdout
    else:
        assert found["client_was_the_limit"] or done.returncode == 1
    for stage in found["stages"]:
        assert stage["held"] == "held" or stage["why"]
    page = (folder / "report.html").read_text()
    assert found["status"] in page
    assert "95th percentile of latency by rate" in page


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--versus", "web-1"), "give two servers, groups or releases"),
        (("--versus", "web-1:web-1"), "nothing to compare"),
        (("--versus", "web-1:web"), "web-1 is on both sides"),
        (("--versus", "web-1:r1234"), "web-1 is of the inventory's servers and r1234 is not"),
        (("--versus", "web-1:web-2", "--pairs", "3"), "at least 8"),
        (("--versus", "web-1:web-2", "--connections", "0"), "at least 1"),
        (("--versus", "web-1:web-2", "--knee"), "give one of them"),
        (("--knee", "--duration", "1"), "a window takes at least 2 s"),
        (("--versus", "a:b", "--host", "https://other.example.org"), "needs a site"),
    ],
    ids=["one", "same", "overlap", "mixed", "few", "none", "both", "short", "elsewhere"],
)
def test_what_cannot_be_measured_is_refused_before_anything_is_loaded(
    project: Path, words: tuple[str, ...], told: str
) -> None:
    done = prove(project, *words)
    assert done.returncode == 2
    assert told in done.stderr
    assert not (project / ".rondo").exists() or not list(project.glob(".rondo/runs/*/windows"))
