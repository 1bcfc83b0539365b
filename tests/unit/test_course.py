"""A plan carried out: what stops it, what it says then, and what it does all the same."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING, Any, cast

import pytest
from house import deployed, inventory, release

from rondo.course import Course, lasting, standing
from rondo.errors import FaultError, Interrupted, LockedError, RemoteError
from rondo.fleet import Result
from rondo.interruption import Interruption
from rondo.plan import Plan, Policy, make_plan
from rondo.roll import Pace
from rondo.steps import BuildImage, FillSlot, RunReleaseCommand, Step

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from rondo.events import Event


class Servers:
    """A fleet of names: what would be done on it is only noted."""

    def __getitem__(self, name: str) -> Any:  # noqa: ANN401
        return type("Named", (), {"name": name})()

    def each(self, action: Callable[[Any], Any], names: Iterable[str]) -> dict[str, Result[Any]]:
        return {name: Result(action(self[name])) for name in names}


def course(
    made: Plan, does: Callable[[Step], None] = lambda _: None, *, to_the_end: bool = False
) -> Course:
    """Return a way through a plan on which each step does this."""
    events: list[object] = []
    servers: Any = Servers()
    applier: Any = lambda step, _: does(step)  # noqa: E731
    return Course(made, servers, applier, events.append, Interruption(events.append), to_the_end)


def failing(*titles: str) -> Callable[[Step], None]:
    def do(step: Step) -> None:
        if f"{step.server} {step.title}" in titles:
            raise RemoteError(f"{step.server}: {step.title} failed")

    return do


def rolling() -> Plan:
    return make_plan(release("2"), deployed(release()), Policy())


def test_a_whole_plan_is_done_in_its_order() -> None:
    made = rolling()
    carried_out: list[Step] = []
    way = course(made, carried_out.append)
    way.run()
    assert carried_out == list(made.steps)
    assert not way.left


def test_what_was_done_is_told_in_the_plans_order_whichever_server_was_the_first() -> None:
    class Backwards(Servers):
        def each(
            self, action: Callable[[Any], Any], names: Iterable[str]
        ) -> dict[str, Result[Any]]:
            return super().each(action, reversed(list(names)))

    carried_out: list[Step] = []
    way = course(rolling(), carried_out.append)
    way.fleet = cast("Any", Backwards())
    way.run()
    assert carried_out != list(way.plan.steps)
    assert way.done == tuple(way.plan.steps)


def test_failure_before_the_first_switch_says_that_nothing_moved() -> None:
    way = course(rolling(), failing("web-1 run `python manage.py migrate` of backend"))
    with pytest.raises(RemoteError):
        way.run()
    assert not way.begun
    assert standing(way) == "Nothing was switched: every slot serves what it did before."


def test_nothing_is_begun_on_a_server_whose_lock_was_lost() -> None:
    def keep(server: str) -> None:
        if server == "web-2":
            raise LockedError("web-2: the cluster is being changed by somebody else")

    way = course(rolling())
    way.keep = keep
    with pytest.raises(LockedError, match="somebody else"):
        way.run()
    assert {step.server for step in way.begun} <= {"web-1"}
    assert all(step.server != "web-2" for step in way.done)


def test_failure_in_the_middle_names_what_moved_and_what_did_not() -> None:
    way = course(rolling(), failing("web-1 fill backend-2"))
    with pytest.raises(RemoteError, match="web-1: fill backend-2 failed"):
        way.run()
    told = standing(way)
    assert f"On release {way.plan.release} are: web-1 frontend-1, backend-1." in told
    assert "Undone, or finished by the server itself: web-1 backend-2." in told
    assert "Not moved: web-1 backend-3; web-2 frontend-1, backend-1," in told


def test_failures_of_several_servers_are_all_told() -> None:
    way = course(
        rolling(),
        failing("web-1 build rondo/shop/backend:2", "web-2 build rondo/shop/frontend:2"),
    )
    # The servers of this fleet come one after the other: the second one is not begun.
    with pytest.raises(RemoteError) as raised:
        way.run()
    assert "web-1: build" in str(raised.value)
    assert not any(isinstance(step, RunReleaseCommand) for step in way.done)


def test_a_way_back_does_what_it_can_and_tells_what_it_could_not() -> None:
    way = course(
        rolling(), failing("web-1 fill backend-2", "web-2 fill frontend-1"), to_the_end=True
    )
    with pytest.raises(RemoteError) as raised:
        way.run()
    assert str(raised.value).splitlines() == [
        "web-1: fill backend-2 failed",
        "web-2: fill frontend-1 failed",
    ]
    assert len(way.done) == len(list(way.plan.steps)) - 2


def test_ctrl_c_in_a_slot_finishes_it_and_begins_no_other() -> None:
    way: Course

    def press(step: Step) -> None:
        if step.title == "fill backend-1":
            way.interruption._pressed(2, None)

    way = course(rolling(), press)
    with pytest.raises(Interrupted):
        way.run()
    fills = [step.place for step in way.done if isinstance(step, FillSlot)]
    assert fills == ["frontend-1", "backend-1"]


def test_ctrl_c_twice_or_before_anything_changes_ends_at_once() -> None:
    def press(step: Step) -> None:
        if isinstance(step, BuildImage):
            way.interruption._pressed(2, None)

    way = course(rolling(), press)
    with pytest.raises(KeyboardInterrupt):
        way.run()
    guarded = course(rolling()).interruption
    guarded.guard()
    guarded._pressed(2, None)
    with pytest.raises(KeyboardInterrupt):
        guarded._pressed(2, None)


def test_a_first_sigterm_is_an_end_as_sound_as_ctrl_c() -> None:
    """CI and `timeout` end commands by it."""
    told: list[Event] = []
    with Interruption(told.append) as interruption:
        interruption.guard()
        os.kill(os.getpid(), signal.SIGTERM)
        interruption.wait(10)
        assert interruption.asked
        assert "SIGTERM: what is in hand is finished first" in told[0].text
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGHUP)
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_a_hangup_that_nohup_ignores_stays_ignored() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with Interruption(lambda _: None) as interruption:
            interruption.guard()
            os.kill(os.getpid(), signal.SIGHUP)
            assert not interruption.asked
    finally:
        signal.signal(signal.SIGHUP, before)


def test_an_error_that_nobody_foresaw_ends_its_step_like_any_other() -> None:
    def fault(step: Step) -> None:
        if step.title == "fill backend-2":
            raise ZeroDivisionError("by a fault")

    way = course(rolling(), fault)
    with pytest.raises(FaultError, match=r"by a fault of Rondo:(?s:.*)ZeroDivisionError"):
        way.run()
    assert [failure.step.title for failure in way.failures] == ["fill backend-2"]
    assert "Undone, or finished by the server itself: web-1 backend-2." in standing(way)


def test_of_many_slots_at_once_none_is_begun_after_a_failure() -> None:
    wide = inventory(services={"backend": {"replicas": 12}})
    before = deployed(release(declared=wide))
    made = make_plan(release("2", wide), before, Policy(pace=Pace(parallel="100%")))
    way = course(made, failing("web-1 fill backend-1"))
    with pytest.raises(RemoteError):
        way.run()
    begun = {step.place for step in way.begun if isinstance(step, FillSlot)}
    assert "backend-1" in begun
    assert "backend-12" not in begun


def test_a_site_file_that_moved_alone_is_told() -> None:
    wanted = release("1", site_configs={"web-1": "site-2", "web-2": "site-2"})
    before = deployed(release())
    way = course(
        make_plan(wanted, before, Policy()),
        failing("web-2 install /etc/nginx/conf.d/rondo-shop.conf and reload Nginx"),
    )
    with pytest.raises(RemoteError):
        way.run()
    assert "Nothing was switched" not in standing(way)


def test_a_release_command_that_was_broken_off_is_told() -> None:
    def press(step: Step) -> None:
        if isinstance(step, RunReleaseCommand):
            raise KeyboardInterrupt

    before = deployed(release())
    way = course(make_plan(release("2"), before, Policy()), press)
    with pytest.raises(KeyboardInterrupt):
        way.run()
    assert "the release command of backend was begun (web-1)" in lasting(way, before)
