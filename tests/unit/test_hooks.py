"""Hooks: what they are told, what they say, and what happens when they fail or hang."""

from __future__ import annotations

import os
import sys
import time
from typing import TYPE_CHECKING

import pytest
from inventories import ONE_NAME

from rondo import hooks
from rondo.attendance import Ending
from rondo.errors import Interrupted, LockedError, RondoError
from rondo.inventory import Hooks, Inventory

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from rondo.events import Event

OCCASION = hooks.Occasion("shop", "deploy", ("web-1", "web-2"), "abc.1", "done")


def run(root: Path, *command: str, deadline: float = 30) -> list[str]:
    """Run a hook before a deploy; return what was shown."""
    shown: list[Event] = []
    declared = Hooks.model_validate({"before_deploy": command, "deadline": deadline})
    hooks.run(declared, "before_deploy", OCCASION, root, shown.append)
    return [event.text for event in shown if event.kind == "line"]


def test_a_hook_is_told_what_it_belongs_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RONDO_LAB", raising=False)
    said = run(tmp_path, "sh", "-c", "env | grep ^RONDO_ | sort; pwd")
    assert said == [
        "RONDO_COMMAND=deploy",
        "RONDO_OUTCOME=done",
        "RONDO_PROJECT=shop",
        "RONDO_PROOF=",
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


class TestUnderLoad:
    """The hook after a change that is proved hears of the verdict, and of nothing before it."""

    def ending(self, root: Path, after: str = "true") -> Ending:
        tell = "echo $0 $RONDO_OUTCOME $RONDO_PROOF $RONDO_RELEASE >>told"
        declared = {
            "after_deploy": ["sh", "-c", f"{tell}; {after}", "after"],
            "on_failure": ["sh", "-c", tell, "failure"],
        }
        inventory = Inventory.model_validate(ONE_NAME | {"hooks": declared})
        return Ending(inventory, "deploy", root)

    def told(self, root: Path) -> list[str]:
        path = root / "told"
        return path.read_text().splitlines() if path.exists() else []

    def made(self, root: Path, prove: Callable[[], int]) -> list[str]:
        ending = self.ending(root)
        ending.note(["web-1"], "abc.1")
        ending.await_verdict(prove, lambda _: None)
        return self.told(root)

    @pytest.mark.parametrize(
        ("code", "line"),
        [
            (0, "after done PASS abc.1"),
            (1, "failure failed FAIL abc.1"),
            (3, "after done INVALID abc.1"),
        ],
    )
    def test_the_verdict_decides_which_hook_runs(
        self, tmp_path: Path, code: int, line: str
    ) -> None:
        def prove() -> int:
            assert not self.told(tmp_path), "a hook ran before the verdict"
            return code

        assert self.made(tmp_path, prove) == [line]

    @pytest.mark.parametrize(
        ("error", "outcome"),
        [
            (Interrupted("Ctrl-C"), "interrupted"),
            (RondoError("the way back failed"), "failed"),
            (LockedError("somebody else holds the lock, so nothing went back"), "failed"),
        ],
    )
    def test_a_proof_without_a_verdict_is_told_as_a_failure(
        self, tmp_path: Path, error: Exception, outcome: str
    ) -> None:
        def prove() -> int:
            raise error

        with pytest.raises(type(error)):
            self.made(tmp_path, prove)
        assert self.told(tmp_path) == [f"failure {outcome} abc.1"]

    def test_a_change_that_was_not_made_has_told_its_hook_itself(self, tmp_path: Path) -> None:
        ending = self.ending(tmp_path)
        assert ending.await_verdict(lambda: 1, lambda _: None) == 1
        assert not self.told(tmp_path)

    def test_the_change_itself_tells_failures_alone(self, tmp_path: Path) -> None:
        meanwhile = self.ending(tmp_path).meanwhile.hooks
        assert meanwhile.after_deploy is None
        assert meanwhile.on_failure

    def test_a_hook_that_fails_after_the_verdict_fails_the_command(self, tmp_path: Path) -> None:
        ending = self.ending(tmp_path, after="exit 4")
        ending.note(["web-1"], "abc.1")
        with pytest.raises(RondoError, match=r"ended with code 4.*the deploy itself is done"):
            ending.await_verdict(lambda: 0, lambda _: None)
