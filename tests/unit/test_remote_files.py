"""The script that takes files on a server, run here by sh as a server would run it."""

from __future__ import annotations

import io
import os
import subprocess
import tarfile
from typing import TYPE_CHECKING

import pytest

from rondo.scripts import changing

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

ENVIRONMENT = {
    "environments/backend.1/secrets/key": b"of the application",
    "environments/backend.1/secrets/password": b"of the database",
    "environments/backend.1/env": b"A=1\n",
}


def packed(files: Mapping[str, bytes]) -> bytes:
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as archive:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return data.getvalue()


def receive(root: Path, sent: bytes, path: str = "") -> int:
    """Have the files received; return the script's exit code."""
    return subprocess.run(
        ("sh", "-euc", changing("files"), "rondo", str(root)),
        input=sent,
        check=False,
        start_new_session=True,
        env={"PATH": f"{path}{os.environ['PATH']}"},
    ).returncode


def there(root: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()
    }


def test_files_arrive_and_nothing_else_is_left(tmp_path: Path) -> None:
    files = {**ENVIRONMENT, "tls/shop.pem": b"chain", "tls/shop.key": b"key"}
    assert receive(tmp_path / "shop", packed(files)) == 0
    assert there(tmp_path / "shop") == files


def test_what_did_not_arrive_whole_changes_nothing(tmp_path: Path) -> None:
    assert receive(tmp_path / "shop", packed(ENVIRONMENT)[:600]) != 0
    assert there(tmp_path / "shop") == {}


@pytest.mark.parametrize("tool", ["mv", "mkdir", "sync"])
def test_an_environment_is_there_whole_though_the_client_is_killed_meanwhile(
    tmp_path: Path, tool: str
) -> None:
    """Whatever is done first, the script's whole group is told to end by it."""
    tools = tmp_path / "tools"
    tools.mkdir()
    (tools / tool).write_text(
        f'#!/bin/sh\n[ ! -d "{tmp_path}/shop"/incoming.* ] || kill -s TERM 0\n'
        f'PATH={os.environ["PATH"]} exec {tool} "$@"\n'
    )
    (tools / tool).chmod(0o755)
    files = {**ENVIRONMENT, "tls/shop.pem": b"chain", "tls/shop.key": b"key"}
    receive(tmp_path / "shop", packed(files), f"{tools}:")
    assert there(tmp_path / "shop") == files


RENEWED = {"tls/shop.pem": b"new chain", "tls/shop.key": b"new key"}


def spied(tools: Path, dying: int = 0) -> Path:
    """Put tools there that note each call, and of which one kills all that runs, after its work."""
    tools.mkdir()
    noted = tools / "noted"
    for tool in ("find", "mkdir", "mv", "rm", "sync"):
        (tools / tool).write_text(
            f"#!/bin/sh\necho {tool} >>{noted}\nnumber=$(wc -l <{noted})\n"
            f'PATH={os.environ["PATH"]} {tool} "$@" || exit\n'
            f'[ "$number" != {dying} ] || kill -s KILL 0\n'
        )
        (tools / tool).chmod(0o755)
    return noted


def test_key_and_certificate_match_wherever_the_server_kills_the_script(tmp_path: Path) -> None:
    old = {"tls/shop.pem": b"chain", "tls/shop.key": b"key"}
    seen = []
    for number in range(1, 30):
        root, tools = tmp_path / f"{number}/shop", tmp_path / f"{number}/tools"
        assert receive(root, packed(old)) == 0
        spied(tools, number)
        ended = receive(root, packed(RENEWED), f"{tools}:") == 0
        seen.append({name: (root / name).read_bytes() for name in old})
        if ended:
            break
    assert ended, "it was tried at every tool"
    assert [pair for pair in seen if pair not in (old, RENEWED)] == []
    assert old in seen


def test_nothing_waits_for_the_disk_between_the_first_file_put_in_place_and_the_last(
    tmp_path: Path,
) -> None:
    noted = spied(tmp_path / "tools")
    assert receive(tmp_path / "shop", packed({**ENVIRONMENT, **RENEWED}), f"{tmp_path}/tools:") == 0
    called = [tool for tool in noted.read_text().split() if tool in {"mv", "sync"}]
    assert called[0] == called[-1] == "sync"
    assert set(called[1:-1]) == {"mv"}


def test_an_environment_without_its_end_is_replaced_and_a_whole_one_is_left_alone(
    tmp_path: Path,
) -> None:
    root = tmp_path / "shop"
    half = root / "environments/backend.1/secrets"
    # What Docker makes of a file that is missing.
    (half / "key").mkdir(parents=True)
    assert receive(root, packed(ENVIRONMENT)) == 0
    assert there(root) == ENVIRONMENT
    mounted = (half / "key").stat().st_ino
    assert receive(root, packed(ENVIRONMENT)) == 0
    assert (half / "key").stat().st_ino == mounted
    assert there(root) == ENVIRONMENT
