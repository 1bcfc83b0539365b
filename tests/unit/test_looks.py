"""Looks at a cluster of which a server is gone: the others are shown, and it is named."""

from __future__ import annotations

import io
import json
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from house import inventory

from rondo import cluster, console, console_audit, console_maintenance, live
from rondo.errors import AccessError
from rondo.fleet import Fleet
from rondo.server import Output, Remote
from rondo.source import Loaded
from rondo.status import ServerStatus
from rondo.ui import Ui

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

SERVERS = ("web-1", "web-2")
ANSWERS = {
    "observe": "record\tr1\te30=\ncurrent\trelease\tr1\nend\n",
    "lock": "\nalice@desk, a deploy\n",
    "read the audit log": '{"time":"2026-11-23T03:00:00Z","id":"1","command":"deploy of abc"}\n',
}


@pytest.fixture
def session(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:  # noqa: ANN401
    """Give a session on two servers, of which the second does not answer."""

    def run(self: Remote, *_: object, step: str, **__: object) -> Output:
        if self.name == "web-2":
            raise AccessError("web-2: it did not answer; check that it is up")
        return Output(ANSWERS.get(step, ""), "", 0)

    monkeypatch.setattr(Remote, "run", run)
    declared = inventory()
    loaded = Loaded(declared, tmp_path / "inventory.yaml", {})
    fleet = Fleet(declared, tmp_path, SERVERS)
    shown = io.StringIO()
    return SimpleNamespace(loaded=loaded, fleet=fleet, names=SERVERS, ui=Ui(shown), shown=shown)


@pytest.mark.parametrize(
    ("look", "shown"),
    [
        (console.run_status, "web-1: release r1 in force"),
        (console.run_history, "in force"),
        (live.run_lock, "alice@desk, a deploy"),
        (console_audit.run_audit, "deploy of abc"),
        (console_maintenance.run_maintenance, "open"),
    ],
    ids=["status", "history", "lock", "audit", "maintenance"],
)
def test_what_answers_is_shown_before_the_command_fails_for_what_does_not(
    session: Any,  # noqa: ANN401
    look: Callable[..., int],
    shown: str,
) -> None:
    with pytest.raises(AccessError, match="web-2: it did not answer"):
        look(session)
    assert shown in session.shown.getvalue()
    assert "web-1" in session.shown.getvalue()


def test_when_nobody_answers_all_are_named_at_once(session: Any) -> None:  # noqa: ANN401
    session.names = ("web-2",)
    with pytest.raises(AccessError, match="web-2"):
        live.run_lock(session)


def test_what_changes_the_cluster_still_needs_all_of_it(session: Any) -> None:  # noqa: ANN401
    with pytest.raises(AccessError, match="web-2"):
        cluster.observe(session.fleet, SERVERS, "shop")


def test_a_command_runs_on_a_server_that_is_there(
    session: Any,  # noqa: ANN401
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    labels = {"rondo.service": "backend", "rondo.slot": "backend-1", "rondo.instance": "aa"}
    there = json.dumps([{"Id": "c1", "Names": ["/c1"], "State": "running", "Labels": labels}])
    monkeypatch.setitem(
        ANSWERS, "observe", f"docker\tcontainers\t{there}\nslot\tbackend-1\taa\nend\n"
    )
    ran: list[tuple[str, ...]] = []

    def interactive(self: Remote, *words: str) -> int:
        ran.append((self.name, *words[-2:]))
        return 7

    monkeypatch.setattr(Remote, "interactive", interactive)
    session.words = ("uptime",)
    assert console.run_exec(session, service="backend") == 7
    assert ran == [("web-1", "c1", "uptime")]


@pytest.mark.parametrize(
    ("releases", "code"), [(("r1", "r1"), 0), (("r1", "r2"), 1), (("r1", ""), 0)]
)
def test_servers_of_different_releases_are_not_called_sound(
    session: Any,  # noqa: ANN401
    monkeypatch: pytest.MonkeyPatch,
    releases: tuple[str, str],
    code: int,
) -> None:
    """One on which nothing was deployed yet tells that itself."""
    found = [ServerStatus(*pair, rows=()) for pair in zip(SERVERS, releases, strict=True)]
    monkeypatch.setattr(console, "observe_status", lambda _: (found, None))
    assert console.run_status(session) == code
