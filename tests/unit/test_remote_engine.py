"""What the scripts on a server do when its Docker Engine does not answer, hangs or refuses."""

from __future__ import annotations

import os
import subprocess
import time
from typing import TYPE_CHECKING

import pytest

from rondo.scripts import changing

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

RUNNING = '{"State":{"Running":true}}'
IMAGE = '{"Id":"sha256:1","ContainerConfig":{"User":"1"},"Config":{"User":"1234:5"}}'


def tools_in(folder: Path, tools: Mapping[str, str]) -> str:
    """Put tools there that note how they are called; return the search path with them first."""
    folder.mkdir()
    for tool, text in tools.items():
        (folder / tool).write_text(f'#!/bin/sh\necho "{tool} $*" >>{folder}/noted\n{text}\n')
        (folder / tool).chmod(0o755)
    return f"{folder}:{os.environ['PATH']}"


def run(script: str, path: str, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ("sh", "-c", script, "rondo", *words),
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
        env={"PATH": path},
    )


def start_accessory(
    folder: Path, docker: str, *, deadline: str = "30"
) -> subprocess.CompletedProcess[str]:
    tools = {"curl": f"""case $* in *networks*) echo '"Id"' ;; *) echo '{RUNNING}' ;; esac"""}
    path = tools_in(folder / "tools", {**tools, "docker": docker})
    names = ("shop", "db", "shop-db-2", "postgres", str(folder / "none"), "rondo-shop")
    words = (*names, deadline, "2", "pg_isready", "-q", str(folder), "--", "postgres")
    return run(changing("accessory"), path, *words)


def called(folder: Path, tool: str) -> list[str]:
    noted = (folder / "tools/noted").read_text().splitlines()
    return [line for line in noted if line.startswith(f"{tool} ")]


def test_an_accessory_replaces_every_container_that_was_there_before(tmp_path: Path) -> None:
    assert start_accessory(tmp_path, '[ "$1" != ps ] || printf "1\\n2\\n"').returncode == 0
    assert [" ".join(line.split()[:2]) for line in called(tmp_path, "docker")] == [
        "docker ps",
        *("docker stop", "docker rm") * 2,
        "docker run",
        "docker exec",
    ]
    assert called(tmp_path, "docker")[-1] == "docker exec shop-db-2 pg_isready -q"


@pytest.mark.parametrize(
    "docker",
    [
        pytest.param('[ "$1" != ps ]', id="not listed"),
        pytest.param('case $1 in ps) echo 1; echo 2 ;; stop) [ "$4" = 2 ] ;; esac', id="runs on"),
    ],
)
def test_no_second_accessory_starts_on_the_volume_of_one_that_may_be_there(
    tmp_path: Path, docker: str
) -> None:
    assert start_accessory(tmp_path, docker).returncode != 0
    assert not [line for line in called(tmp_path, "docker") if line.startswith("docker run")]


def test_an_accessory_whose_ready_command_hangs_fails_at_its_deadline(tmp_path: Path) -> None:
    # A timeout of a second here, so that the test need not wait ten.
    begun = time.monotonic()
    hanging = '[ "$1" != exec ] || exec sleep 40'
    (tmp_path / "quick").mkdir()
    (tmp_path / "quick/timeout").write_text(
        '#!/bin/sh\n[ "$3" = 10 ] && shift 3 && exec /usr/bin/timeout 1 "$@"\n'
    )
    (tmp_path / "quick/timeout").chmod(0o755)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", f"{tmp_path}/quick:{os.environ['PATH']}")
        done = start_accessory(tmp_path, hanging, deadline="0")
    assert done.returncode == 10
    assert "shop-db-2 was not ready within 0s" in done.stderr
    assert time.monotonic() - begun < 30


@pytest.fixture
def environment(tmp_path: Path) -> Path:
    folder = tmp_path / "environment"
    (folder / "secrets").mkdir(parents=True)
    (folder / "secrets/key").write_text("secret")
    return folder


def own(folder: Path, curl: str) -> subprocess.CompletedProcess[str]:
    path = tools_in(folder.parent / "tools", {"curl": curl, "chown": ":"})
    return run(f'{changing()}\nown_secrets "$1" "$2"', path, "shop:1", str(folder))


@pytest.mark.parametrize(
    ("answer", "owner"),
    [(IMAGE, "1234:5"), ('{"Id":"sha256:1","Config":{"User":""}}', "0")],
)
def test_secrets_belong_to_the_user_that_the_image_names(
    environment: Path, answer: str, owner: str
) -> None:
    assert own(environment, f"echo '{answer}'").returncode == 0
    assert called(environment.parent, "chown") == [f"chown -R {owner} {environment}/secrets"]


@pytest.mark.parametrize("curl", ["exit 7", """echo '{"message":"server error"}'""", ":"])
def test_secrets_that_containers_read_do_not_become_roots_because_the_engine_is_silent(
    environment: Path, curl: str
) -> None:
    done = own(environment, curl)
    assert (done.returncode, done.stderr) == (12, "the Docker Engine did not tell of shop:1\n")
    assert called(environment.parent, "chown") == []
