"""What an operator is told when a deploy is cut short."""

from __future__ import annotations

from house import deployed, release

from rondo.cluster import standing
from rondo.plan import Policy, make_plan
from rondo.steps import FillSlot


def test_failure_before_the_first_switch_says_that_nothing_moved() -> None:
    made = make_plan(release("2"), deployed(release()), Policy())
    assert standing(made, [], []) == "Nothing was switched: every slot serves what it did before."


def test_failure_in_the_middle_names_what_moved_and_what_did_not() -> None:
    made = make_plan(release("2"), deployed(release()), Policy())
    fills = [step for step in made.steps if isinstance(step, FillSlot)]
    told = standing(made, fills[:3], fills[:2])
    assert f"On release {made.release} are: web-1 frontend-1, web-1 backend-1." in told
    assert "Undone, or finished by the server itself: web-1 backend-2." in told
    assert "Not moved: web-1 backend-3, web-2 frontend-1," in told
