"""The engine itself decides what `.dockerignore` leaves out, over the table of the unit tests."""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import tarfile
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

TABLE = json.loads((Path(__file__).parents[1] / "data" / "dockerignore.json").read_text("utf-8"))
ADDED_BY_THE_ENGINE = {
    *(".dockerenv", "dev", "dev/console", "dev/pts", "dev/shm", "etc", "etc/hostname"),
    *("etc/hosts", "etc/mtab", "etc/resolv.conf", "proc", "sys"),
}

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(shutil.which("docker") is None, reason="there is no docker command"),
]


def docker(*arguments: str) -> bytes:
    environment = {**os.environ, "DOCKER_BUILDKIT": "1" if BUILDKIT else "0"}
    return subprocess.run(
        ("docker", *arguments), env=environment, capture_output=True, check=True
    ).stdout


def has_buildx() -> bool:
    return subprocess.run(("docker", "buildx", "version"), capture_output=True).returncode == 0  # noqa: PLW1510


BUILDKIT = shutil.which("docker") is not None and has_buildx()


@pytest.fixture(scope="module")
def client() -> int:
    version = docker("version", "--format", "{{.Client.Version}}").decode()
    return int(version.split(".")[0])


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("tree")
    for name in TABLE["files"]:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if name.endswith("/"):
            path.mkdir()
        else:
            path.write_text(name)
    (root / "Dockerfile").write_text("FROM scratch\nCOPY . /\n")
    return root


@pytest.fixture
def image() -> Iterator[str]:
    name = f"rondo-test-{uuid.uuid4().hex}"
    yield name
    docker("image", "rm", "--force", name)


def copied(tree: Path, image: str) -> set[str]:
    """Build an image of nothing but the context, and list what is in it."""
    docker("build", "--quiet", "--tag", image, str(tree))
    container = docker("create", image, "none").decode().strip()
    try:
        exported = docker("export", container)
    finally:
        docker("rm", container)
    with tarfile.open(fileobj=io.BytesIO(exported)) as archive:
        return {member.name.rstrip("/") for member in archive} - ADDED_BY_THE_ENGINE


@pytest.mark.parametrize("case", TABLE["cases"], ids=lambda case: case["name"])
def test_docker_leaves_out_what_the_table_says(
    tree: Path, image: str, client: int, case: dict[str, Any]
) -> None:
    if case.get("only") == "buildkit" and not BUILDKIT:
        pytest.skip("the classic builder does not look into folders that are left out")
    if case.get("since", 0) > client:
        pytest.skip(f"Docker's client behaves so since {case['since']}")
    (tree / ".dockerignore").write_bytes(case["rules"].encode())
    everything = {name.rstrip("/") for name in TABLE["files"]}
    assert everything - copied(tree, image) == set(case["left_out"])
