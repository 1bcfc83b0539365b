"""Secrets in what servers say: taken out by every command that shows it, and none fails for it."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import pytest
from house import Simulation, deployed, inventory, release

from rondo import cluster, looking, operations
from rondo.blotting import Blotter
from rondo.change import Outcome
from rondo.errors import RemoteError
from rondo.events import Event
from rondo.fleet import Fleet, Result
from rondo.plan import Plan, Policy, make_plan

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from rondo.change import Change
    from rondo.events import Emit
    from rondo.inventory import Inventory
    from rondo.state import ServerState

VALUE = "planted-5ecret"
COUNTING = "open('asked', 'a').write('x'); print('planted-5ecret')"
FAILING = "import sys; sys.exit('no password agent here')"


def python(code: str) -> dict[str, object]:
    return {"command": [sys.executable, "-S", "-c", code]}


def declared(**secrets: object) -> Inventory:
    return inventory(services={"backend": {"secrets": secrets}})


def test_secrets_of_services_and_accessories_are_taken_out(tmp_path: Path) -> None:
    (tmp_path / "password").write_text("of-the-database\n")
    whole = inventory(
        services={"backend": {"secrets": {"key": python(f"print('{VALUE}')")}}},
        accessories={"database": {"secrets": {"password": {"file": "password"}}}},
    )
    redact = Blotter(whole, tmp_path)
    assert redact(f"{VALUE} and of-the-database") == "*** and ***"


def test_a_secret_that_cannot_be_had_does_not_hinder_the_others(tmp_path: Path) -> None:
    whole = declared(
        gone={"file": "gone"},
        unset={"env": "SURELY_NOT_SET_ANYWHERE"},
        failing=python(FAILING),
        key=python(f"print('{VALUE}')"),
    )
    assert Blotter(whole, tmp_path)(f"a {VALUE}") == "a ***"


def test_secrets_are_asked_for_once_and_only_when_there_is_text(tmp_path: Path) -> None:
    whole = inventory(
        services={
            "backend": {"secrets": {"key": python(COUNTING)}},
            "frontend": {"secrets": {"other": python(COUNTING)}},
        }
    )
    redact = Blotter(whole, tmp_path)
    assert not (tmp_path / "asked").exists()
    assert [redact(VALUE), redact(VALUE)] == ["***", "***"]
    assert (tmp_path / "asked").read_text() == "x"


def twice_deployed() -> dict[str, ServerState]:
    """Return servers on which one release took over from another."""
    before, wanted = deployed(release()), release("2")
    return Simulation(wanted, before).apply(make_plan(wanted, before, Policy()))


def leaking(_: Change, __: Fleet, ___: object, emit: Emit) -> None:
    """Fail as a change does whose container says what it was given."""
    emit(Event("line", f"I was given {VALUE}", "web-1"))
    raise RemoteError(f"web-1: it said {VALUE}")


def restart(whole: Inventory, fleet: Fleet, emit: Emit) -> object:
    return operations.restart(whole, fleet, ("web-1",), emit)


def rollback(whole: Inventory, fleet: Fleet, emit: Emit) -> object:
    return operations.rollback(whole, fleet, ("web-1", "web-2"), emit)


def revert(whole: Inventory, fleet: Fleet, emit: Emit) -> object:
    return operations.revert(whole, fleet, Outcome(Plan("1", ()), {}), emit, "the proof failed")


@pytest.mark.parametrize("command", [restart, rollback, revert])
def test_a_change_from_records_shows_no_secret(
    command: Callable[..., object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = declared(key=python(f"print('{VALUE}')"))
    monkeypatch.setattr(operations, "carry_out", leaking)
    monkeypatch.setattr(operations, "put_back", leaking)
    monkeypatch.setattr(cluster, "observe", lambda *_: twice_deployed())
    shown: list[Event] = []
    fleet = Fleet(whole, tmp_path, ("web-1", "web-2"))
    with pytest.raises(RemoteError) as raised:
        command(whole, fleet, shown.append)
    assert [event.text for event in shown] == ["I was given ***"]
    assert str(raised.value) == "web-1: it said ***"
    assert raised.value.__suppress_context__


def test_logs_show_no_secret(tmp_path: Path) -> None:
    whole = declared(key=python(f"print('{VALUE}')"))
    shown: list[str] = []

    class Server:
        name = "web-1"

        def stream(self, *_: str, step: str, on_line: Callable[[str], None]) -> None:
            assert step == "logs"
            on_line(f"backend-1\tGET /?key={VALUE}")

    class Servers(Fleet):
        def each(self, action: Callable[[Any], Any], names: Any = None) -> Any:  # noqa: ANN401
            return {name: Result(action(Server())) for name in names}

    looking.read_logs(
        Servers(whole, tmp_path, ("web-1",)),
        {"web-1": deployed(release())["web-1"]},
        "backend",
        lambda server, slot, text: shown.append(f"{server} {slot} {text}"),
        tail=1,
        flags=(),
    )
    assert shown == ["web-1 backend-1 GET /?key=***"]
