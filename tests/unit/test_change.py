"""A change that fails: what it says was done, what is back, and what nobody can take back."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import replace
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from house import Simulation, bare, deployed, inventory, release

from rondo import change, cluster
from rondo.change import USUAL, Change, Manner
from rondo.course import Failure
from rondo.errors import AccessError, Interrupted, LockedError, RemoteError, RondoError
from rondo.events import Event, fan_out
from rondo.fleet import Result
from rondo.interruption import Interruption
from rondo.plan import Policy, make_plan
from rondo.recorded_plan import make_restart_plan
from rondo.steps import BuildImage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from rondo.release import Release
    from rondo.state import ServerState
    from rondo.steps import Step

NEWER = inventory(accessories={"database": {"image": "postgres:16"}})
NOTHING = "Nothing was switched: every slot serves what it did before."


class Servers:
    """Servers that take steps at once, but for the one that fails."""

    closed = False

    def __init__(self, wanted: Release, before: dict[str, ServerState], failing: str = "") -> None:
        self.simulation = Simulation(wanted, before)
        self.failing = failing
        self.error: RondoError | None = None

    def __getitem__(self, name: str) -> Any:  # noqa: ANN401
        return type("Named", (), {"name": name})()

    def each(self, action: Callable[[Any], Any], names: Iterable[str]) -> dict[str, Result[Any]]:
        return {name: Result(action(self[name])) for name in names}

    def take(self, step: Step, _: object) -> None:
        if f"{step.server} {step.title}" == self.failing:
            raise self.error or RemoteError(f"{self.failing} failed")
        states = self.simulation.states
        states[step.server] = self.simulation.take(step, states[step.server])


def fail(
    monkeypatch: pytest.MonkeyPatch,
    failing: str,
    wanted: Release,
    before: dict[str, ServerState],
    manner: Manner = USUAL,
) -> str:
    """Deploy a release whose step fails; return what is said."""
    servers = Servers(wanted, before, failing)
    attempt = attempt_of(monkeypatch, servers, before, manner)
    with pytest.raises(RemoteError) as raised:
        attempt.make(make_plan(wanted, before, Policy()))
    return str(raised.value)


def attempt_of(
    monkeypatch: pytest.MonkeyPatch,
    servers: Servers,
    before: dict[str, ServerState],
    manner: Manner = USUAL,
) -> change._Attempt:
    monkeypatch.setattr(cluster, "settled", lambda *_: (servers.simulation.states, {}))
    monkeypatch.setattr(change, "Applier", lambda **_: servers.take)
    monkeypatch.setattr(change, "tidy", lambda _, *, went_back: None)
    fleet: Any = servers
    locks: Any = SimpleNamespace(keep=lambda _: None)
    shown: list[Event] = []
    made = Change(NEWER, "fab deploy", "a deploy", plan=unused, material=unused, manner=manner)
    return change._Attempt(
        made, fleet, before, change._Hearing(shown.append), Interruption(shown.append), locks
    )


def unused(_: object) -> Any:  # noqa: ANN401
    return None


def test_a_failure_before_the_first_switch_tells_what_was_done_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    told = fail(monkeypatch, "web-1 fill frontend-1", release("2", NEWER), deployed(release()))
    assert "Not undone: accessory database was replaced (web-1); " in told
    assert "the release command of backend has run (web-1)." in told


def test_a_release_command_that_failed_may_have_done_a_part(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    failing = "web-1 run `python manage.py migrate` of backend"
    told = fail(monkeypatch, failing, release("2"), deployed(release()))
    assert f"{NOTHING} Not undone: the release command of backend was begun (web-1). Mend" in told


def test_a_failure_before_anything_was_done_tells_of_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    wanted, before = release("2", NEWER), deployed(release())
    step = next(
        each for each in make_plan(wanted, before, Policy()).steps if isinstance(each, BuildImage)
    )
    told = fail(monkeypatch, f"{step.server} {step.title}", wanted, before)
    assert f"{NOTHING} Mend the cause" in told


def test_a_restart_that_failed_on_its_way_names_the_fresh_containers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before = deployed(release())
    servers = Servers(release(), before, "web-2 fill backend-1")
    attempt = attempt_of(monkeypatch, servers, before)
    with pytest.raises(RemoteError) as raised:
        attempt.make(make_restart_plan("shop", before))
    assert (
        "Fresh containers of the same release serve in web-1 frontend-1, backend-1, backend-2, "
        "backend-3; web-2 frontend-1: nothing is to be put back. Mend" in str(raised.value)
    )


def test_a_sound_way_back_is_called_so_though_an_accessory_was_replaced(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    told = fail(monkeypatch, "web-1 fill backend-2", release("2", NEWER), deployed(release()))
    assert "Everything that had moved is back (web-1 frontend-1, backend-1)" in told
    assert "accessory database was replaced (web-1)" in told
    assert "mixed" not in told


def test_a_server_that_is_out_of_reach_and_was_not_touched_makes_no_cluster_mixed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before, wanted = deployed(release()), release("2")
    servers = Servers(wanted, before, "web-2 fill frontend-1")
    servers.error = AccessError("web-2 did not answer")
    attempt = attempt_of(monkeypatch, servers, before)

    def settled(_: object, names: tuple[str, ...], *_more: object) -> Any:  # noqa: ANN401
        assert names == ("web-1",)
        return {name: servers.simulation.states[name] for name in names}, {}

    monkeypatch.setattr(cluster, "settled", settled)
    with pytest.raises(AccessError) as raised:
        attempt.make(make_plan(wanted, before, Policy()))
    assert "Everything that had moved is back (web-1 frontend-1, backend-1" in str(raised.value)
    assert "mixed" not in str(raised.value)


def test_what_was_left_as_asked_tells_what_was_done_too(monkeypatch: pytest.MonkeyPatch) -> None:
    told = fail(
        monkeypatch,
        "web-1 fill backend-2",
        release("2", NEWER),
        deployed(release()),
        Manner(revert=False),
    )
    assert "Left so, as asked. Not undone: accessory database was replaced (web-1); " in told


def test_a_way_back_that_was_hindered_is_still_called_mixed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before, wanted = deployed(release()), release("2")
    servers = Servers(wanted, before)
    states = servers.simulation.apply(make_plan(wanted, before, Policy()))
    kept = {key: each for key, each in states["web-1"].images.items() if "frontend:1" not in key}
    states["web-1"] = replace(states["web-1"], images=kept)
    back = attempt_of(monkeypatch, servers, before).go_back()
    assert not back.sound
    assert "NOT everything could be put back; the cluster is mixed:" in back.told
    assert "web-1 frontend-1: cannot be put back" in back.told


def test_a_way_back_on_which_nothing_can_go_back_is_not_called_sound(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    wanted = release()
    before = bare(wanted)
    servers = Servers(wanted, before)
    servers.simulation.apply(make_plan(wanted, before, Policy()))
    back = attempt_of(monkeypatch, servers, before).go_back()
    assert not back.sound
    assert (
        "Nothing was put back: web-1: nothing ran there before; it is left as it is; " in back.told
    )


def made_then(monkeypatch: pytest.MonkeyPatch, now: dict[str, ServerState]) -> None:
    """Put a deploy back whose servers are found like this under the lock."""
    before = deployed(release())
    made = change.Outcome(make_plan(release("2"), before, Policy()), before)
    monkeypatch.setattr(change, "audited", lambda *_: nullcontext())
    monkeypatch.setattr(cluster, "locked", lambda *_, **__: nullcontext())
    monkeypatch.setattr(cluster, "look", lambda *_: (now, None))
    fleet: Any = Servers(release("2"), before)
    returning = Change(NEWER, "fab rollback", "revert", plan=unused, material=unused)
    change.put_back(returning, fleet, made, lambda _: None)


def test_what_somebody_else_has_deployed_since_is_not_put_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with pytest.raises(RondoError, match=r"^web-1, web-2: release \S+ is no longer in force, .*"):
        made_then(monkeypatch, deployed(release("3")))


def test_what_somebody_else_is_changing_is_not_put_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(change, "audited", lambda *_: nullcontext())

    def refuse(*_: object, **__: object) -> Any:  # noqa: ANN401
        raise LockedError("web-1: the cluster is being changed by ann; nothing was touched, try")

    monkeypatch.setattr(cluster, "locked", refuse)
    before = deployed(release())
    made = change.Outcome(make_plan(release("2"), before, Policy()), before)
    fleet: Any = Servers(release("2"), before)
    returning = Change(NEWER, "fab rollback", "revert", plan=unused, material=unused)
    with pytest.raises(
        RondoError, match=r"changed by ann; nothing was put back\. `fab h"
    ) as raised:
        change.put_back(returning, fleet, made, lambda _: None)
    assert raised.value.exit_code == RondoError.exit_code


def test_an_end_while_the_servers_are_asked_tells_what_had_moved_and_where_to_go(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before = deployed(release())
    old = before["web-1"].current
    servers = Servers(release("2"), before, "web-1 fill backend-2")
    attempt = attempt_of(monkeypatch, servers, before)

    def stop(*_: object) -> Any:  # noqa: ANN401
        raise Interrupted("interrupted; the connections are closed")

    monkeypatch.setattr(cluster, "settled", stop)
    with pytest.raises(RemoteError) as raised:
        attempt.make(make_plan(release("2"), before, Policy()))
    told = str(raised.value)
    assert "web-1 fill backend-2 failed" in told
    assert "NOT put back: interrupted" in told
    assert "Moved by then: web-1 frontend-1, backend-1." in told
    assert f"`fab rollback {old}` goes back everywhere" in told


def test_an_end_while_it_is_swept_up_hides_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    before = deployed(release())
    servers = Servers(release("2"), before, "web-1 fill backend-2")
    attempt = attempt_of(monkeypatch, servers, before)

    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(change, "tidy", stop)
    with pytest.raises(RemoteError, match=r"fill backend-2 failed(?s:.*)serves as before"):
        attempt.make(make_plan(release("2"), before, Policy()))


def test_what_the_failed_container_said_is_told_though_another_slot_begins() -> None:
    hearing = change._Hearing(lambda _: None)
    for event in (
        Event("start", "fill backend-1", "web-1"),
        Event("line", "no such database", "web-1"),
        Event("failed", "fill backend-1 failed", "web-1"),
        Event("start", "fill backend-7", "web-1"),
        Event("line", "started", "web-1"),
    ):
        hearing(event)
    (fill,) = (
        step
        for step in make_plan(release("2"), deployed(release()), Policy()).steps
        if (step.server, step.place) == ("web-1", "backend-1")
    )
    told = hearing.last_lines([Failure(fill, RemoteError("failed"))])
    assert told == "  web-1 | no such database\n"


@pytest.mark.parametrize(
    ("names", "words", "line"),
    [
        (("web-1", "web-2"), ("deploy",), "fab deploy"),
        (("web-2",), ("rollback", "1.abc"), "fab -H web-2 rollback 1.abc"),
        (("web-1", "web-2"), ("restart", ""), "fab restart"),
    ],
)
def test_what_is_to_be_run_again_names_what_was_chosen(
    names: tuple[str, ...], words: tuple[str, ...], line: str
) -> None:
    assert change.command_line(inventory(), names, *words) == line


@pytest.mark.parametrize("error", [BrokenPipeError(), OSError(28, "full"), UnicodeError()])
def test_nobody_to_read_and_no_room_to_write_stop_no_change(error: Exception) -> None:
    """`fab deploy | tee log`: Ctrl-C ends tee first."""
    kept: list[Event] = []

    def broken(_: Event) -> None:
        raise error

    fan_out(broken, kept.append)(Event("note", "here"))
    assert [event.text for event in kept] == ["here"]
