"""What a prune may take away, and in which order, by the script that servers run."""

from __future__ import annotations

import json
import os
import subprocess
from typing import TYPE_CHECKING

import pytest

from rondo.scripts import changing

if TYPE_CHECKING:
    from pathlib import Path

TOOLS = {
    "curl": '[ -s "$ANSWER" ] || exit 7; cat "$ANSWER"',
    "docker": ":",
    "sync": ":",
    # Killed when it has removed half of a folder, as far as one can tell from outside of it.
    "rm": 'case "$*" in "-rf $DYING") kill -s KILL "$PPID" ;; *) exec /bin/rm "$@" ;; esac',
}


def put(root: Path, *paths: str) -> None:
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text("there")


def prune(root: Path, answer: str, dying: str = "") -> subprocess.CompletedProcess[str]:
    """Run the script, which is to keep nothing; the engine answers so when asked for containers."""
    tools = root.parent / "tools"
    for tool, text in TOOLS.items():
        put(tools, tool)
        (tools / tool).write_text(f"#!/bin/sh\n{text}\n")
        (tools / tool).chmod(0o755)
    (tools / "answer").write_text(answer)
    return subprocess.run(
        ("sh", "-c", changing("prune", "prune_engine"), "rondo", "shop", str(root), *[""] * 7),
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
        env={
            "PATH": f"{tools}:{os.environ['PATH']}",
            "ANSWER": str(tools / "answer"),
            "DYING": f"{root}/{dying}",
        },
    )


def left(root: Path, folder: str) -> set[str]:
    return {
        str(path.relative_to(root / folder))
        for path in (root / folder).rglob("*")
        if path.is_file()
    }


def mounting(root: Path, environment: str) -> str:
    source = f"{root}/environments/{environment}/secrets/key"
    mount = {"Type": "bind", "Source": source, "Destination": "/run/secrets/key"}
    return json.dumps([{"Id": "a", "ImageID": "sha256:1", "Labels": {}, "Mounts": [mount]}])


def test_what_nothing_needs_goes(tmp_path: Path) -> None:
    root = tmp_path / "shop"
    put(root, "environments/backend.1/env", "contexts/backend/f", "contexts/backend.manifest")
    put(root, "contexts/backend.new/f", "releases/r1/record.json", "tls/shop.pem", "tls/shop.key")
    done = prune(root, "[]")
    assert (done.returncode, done.stderr) == (0, "")
    for folder in ("environments", "contexts", "releases", "tls"):
        assert list((root / folder).iterdir()) == []


def test_an_environment_that_a_container_has_mounted_stays_though_no_release_names_it(
    tmp_path: Path,
) -> None:
    root = tmp_path / "shop"
    for name in ("backend.1", "backend.11"):
        put(root, f"environments/{name}/env", f"environments/{name}/secrets/key")
    assert prune(root, mounting(root, "backend.11")).returncode == 0
    assert left(root, "environments") == {"backend.11/env", "backend.11/secrets/key"}


@pytest.mark.parametrize("answer", ["", '{"message":"server error"}'])
def test_an_engine_that_does_not_answer_ends_a_prune_before_anything_is_removed(
    tmp_path: Path, answer: str
) -> None:
    root = tmp_path / "shop"
    put(root, "environments/backend.1/env", "contexts/backend/f", "releases/r1/record.json")
    done = prune(root, answer)
    assert done.returncode == 12
    assert "the Docker Engine does not answer" in done.stderr
    assert left(root, "environments") == {"backend.1/env"}
    assert left(root, "contexts") == {"backend/f"}
    assert left(root, "releases") == {"r1/record.json"}


@pytest.mark.parametrize(
    ("folder", "tells"),
    [
        ("environments/backend.1", "environments/backend.1/env"),
        ("contexts/backend", "contexts/backend.manifest"),
    ],
)
def test_a_folder_that_is_half_removed_is_not_read_as_a_whole_one(
    tmp_path: Path, folder: str, tells: str
) -> None:
    root = tmp_path / "shop"
    put(root, f"{folder}/secrets/key", tells)
    assert prune(root, "[]", dying=folder).returncode != 0
    assert (root / folder / "secrets/key").exists()
    assert not (root / tells).exists()
