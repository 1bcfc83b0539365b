"""Hooks: what they are told, what they say, and what happens when they fail or hang."""

from __future__ import annotations

import os
import sys
import time
from typing import TYPE_CHECKING

import pytest

from rondo import hooks
from rondo.inventory import Hooks

if TYPE_CHECKING:
    from pathlib import Path

    from rondo.events import Event

OCCASION = hooks.Occasion("shop", "deploy", ("web-1", "web-2"), "abc.1", "done")


def run(root: Path, *command: str, deadline: float = 30) -> list[str]:
    """Run a hook before a deploy; return what was shown."""
    shown: list[Event] = []
    declared = Hooks.model_validate({"before_deploy": command, "deadline": deadline})
    hooks.run(declared, "before_deploy", OCCASION, root, shown.append)
    return [event.text for event in shown if event.kind == "line"]


def test_a_hook_is_told_what_it_belongs_to(tmp_path: Path) -> None:
    said = run(tmp_path, "sh", "-c", "env | grep ^RONDO_ | sort; pwd")
    assert said == [
        "RONDO_COMMAND=deploy",
        "RONDO_OUTCOME=done",
        "RONDO_PROJECT=shop",
        "RONDO_RELEASE=abc.1",
        "RONDO_SERVERS=web-1,web-2",
        str(tmp_path),
    ]


def test_a_hook_is_looked_for_beside_the_inventory(tmp_path: Path) -> None:
    script = tmp_path / "announce"
    script.write_text("#!/bin/sh\necho announced; echo aloud >&2\n")
    script.chmod(0o755)
    assert run(tmp_path, "./announce") == ["announced", "aloud"]


def test_a_hook_that_fails_is_told_with_its_code(tmp_path: Path) -> None:
    with pytest.raises(hooks.HookError, match=r"hooks\.before_deploy ended with code 7"):
        run(tmp_path, "sh", "-c", "exit 7")


def test_a_hook_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(hooks.HookError, match=r"\./nowhere cannot be run .*No such file"):
        run(tmp_path, "./nowhere")


def test_a_hook_that_hangs_is_ended_with_all_that_it_started(tmp_path: Path) -> None:
    script = "sleep 300 & echo $! >child; wait"
    with pytest.raises(hooks.HookError, match="longer than 1 s and was ended"):
        run(tmp_path, "sh", "-c", script, deadline=1)
    child = int((tmp_path / "child").read_text())
    end = time.monotonic() + 10
    while _runs(child):
        assert time.monotonic() < end, "what the hook started still runs"
        time.sleep(0.02)


def _runs(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    with open(f"/proc/{process}/stat", encoding="utf-8") as stat:  # noqa: PTH123 - not a file
        return stat.read().rpartition(")")[2].split()[0] != "Z"


def test_what_a_hook_leaves_in_the_background_goes_on(tmp_path: Path) -> None:
    """A notification may take its time; the command does not wait for it."""
    said = run(tmp_path, "sh", "-c", "{ sleep 0.2; touch told; } >/dev/null 2>&1 & echo begun")
    assert said == ["begun"]
    end = time.monotonic() + 10
    while not (tmp_path / "told").exists():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_hooks_of_two_commands_at_once_do_not_meet(tmp_path: Path) -> None:
    """Each has variables of its own; this process's environment is not touched."""
    run(tmp_path, sys.executable, "-c", "import os; os.environ['RONDO_RELEASE'] = 'other'")
    assert "RONDO_RELEASE" not in os.environ


def test_without_hooks_nothing_is_run_or_said(tmp_path: Path) -> None:
    shown: list[Event] = []
    hooks.run(Hooks(), "on_failure", OCCASION, tmp_path, shown.append)
    assert not shown
