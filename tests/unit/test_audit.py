"""The audit log: one line a command whatever happens, within bounds, merged over the servers."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from rondo import audit
from rondo.errors import Interrupted, LockedError, PreflightError, RemoteError
from rondo.scripts import changing, script

if TYPE_CHECKING:
    from collections.abc import Iterator

KNOWN = '"id":"1","by":"me@desk","command":"deploy of abc"'
DONE = '"result":"done","seconds":1.5,"release":"abc"'


def start(log: Path, limit: int = 10**6) -> subprocess.Popen[str]:
    """Start the script as a server does, in a session of its own."""
    return subprocess.Popen(
        ("sh", "-c", changing("audit"), "rondo", str(log), str(limit), "2", KNOWN),
        stdin=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env={**os.environ, "SSH_CONNECTION": "203.0.113.9 50000 192.0.2.1 22"},
    )


def write(log: Path, ended: str = f"{DONE}\n", limit: int = 10**6) -> None:
    child = start(log, limit)
    child.communicate(ended, timeout=20)
    assert child.returncode == 0


def lines(log: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in log.read_text().splitlines()]


def test_a_line_tells_who_did_what_from_where_and_how_it_ended(tmp_path: Path) -> None:
    log = tmp_path / "shop/audit.log"
    write(log)
    (told,) = lines(log)
    assert told.pop("time").endswith("Z")
    assert told == {
        "from": "203.0.113.9",
        "id": "1",
        "by": "me@desk",
        "command": "deploy of abc",
        "result": "done",
        "seconds": 1.5,
        "release": "abc",
    }
    assert log.stat().st_mode & 0o007 == 0


def test_a_client_that_is_gone_leaves_a_line_all_the_same(tmp_path: Path) -> None:
    log = tmp_path / "audit.log"
    write(log, "")
    assert lines(log)[0]["result"] == "interrupted"


def test_a_script_that_is_ended_writes_its_line_first(tmp_path: Path) -> None:
    log = tmp_path / "audit.log"
    child = start(log)
    with child:
        until_it_waits(child)
        os.killpg(child.pid, signal.SIGTERM)
    assert [each["result"] for each in lines(log)] == ["interrupted"]


def until_it_waits(child: subprocess.Popen[str]) -> None:
    """Wait until the shell reads its input, with no command of its own to wait for."""
    process = Path(f"/proc/{child.pid}")
    children = process / f"task/{child.pid}/children"
    while "pipe" not in (process / "wchan").read_text() or children.read_text().strip():
        pass


def test_the_log_has_bounds(tmp_path: Path) -> None:
    """A full file is renamed, and the oldest goes."""
    log = tmp_path / "audit.log"
    for _ in range(12):
        write(log, limit=300)
    assert sorted(file.name for file in tmp_path.iterdir()) == [
        "audit.log",
        "audit.log.1",
        "audit.log.2",
    ]
    assert all(file.stat().st_size < 700 for file in tmp_path.iterdir())


def test_the_last_lines_reach_back_over_a_rotation(tmp_path: Path) -> None:
    log = tmp_path / "audit.log"
    for _ in range(3):
        write(log, limit=300)
    done = subprocess.run(
        ("sh", "-c", script("audit_read"), "rondo", str(log), "3"),
        capture_output=True,
        text=True,
        check=True,
    )
    assert len(done.stdout.splitlines()) == 3


@pytest.mark.parametrize(
    ("error", "word"),
    [
        (None, "done"),
        (RemoteError("x"), "failed"),
        (Interrupted("x"), "interrupted"),
        (KeyboardInterrupt(), "interrupted"),
        (LockedError("x"), "locked"),
        (PreflightError("x"), "refused"),
        (ZeroDivisionError(), "failed"),
    ],
)
def test_every_end_has_its_word(error: BaseException | None, word: str) -> None:
    assert audit.result_of(error) == word


def told(**changes: object) -> str:
    values = {
        "time": "2026-01-01T00:00:00Z",
        "from": "203.0.113.9",
        "id": "1",
        "by": "me@desk",
        "command": "deploy",
        "result": "done",
        "seconds": 2.0,
        "release": "abc",
    }
    return json.dumps(values | changes) + "\n"


def test_a_command_on_two_servers_is_one_entry() -> None:
    logs = {"web-1": told(), "web-2": told() + told(id="2", time="2026-01-02T00:00:00Z")}
    first, second = audit.merged(logs)
    assert first.servers == ("web-1", "web-2")
    assert first.result == "done"
    assert second.servers == ("web-2",)


def test_servers_that_saw_different_ends_are_told_apart() -> None:
    logs = {"web-1": told(), "web-2": told(result="interrupted", release="")}
    (entry,) = audit.merged(logs)
    assert entry.result == "web-1 done, web-2 interrupted"
    assert entry.release == "abc"


@pytest.fixture(params=["", "\n", "no json\n", "[1]\n", '{"id": "3"'])
def rubbish(request: pytest.FixtureRequest) -> Iterator[str]:
    return request.param  # type: ignore[no-any-return]


def test_what_is_no_line_of_ours_is_left_out(rubbish: str) -> None:
    assert audit.merged({"web-1": rubbish}) == ()
