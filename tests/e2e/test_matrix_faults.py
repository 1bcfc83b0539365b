"""Faults in the middle of a deploy: `benchmarks/faults.py` tries all of them, this a few."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from fault_cases import CASES
from faulting import Trial

if TYPE_CHECKING:
    from shop import Operator

pytestmark = pytest.mark.e2e


@pytest.mark.parametrize(
    "name",
    [
        "Docker stopped on web-2: fill backend-2",
        "Nginx stopped on web-2: fill backend-2",
    ],
)
def test_a_fault_is_told_where_it_was_and_leaves_nothing_to_be_done_by_hand(
    shop: Operator, name: str
) -> None:
    outcome = Trial(shop, CASES[name], mark=name).run()
    assert outcome.wrong == ()
    assert outcome.code == 1
    assert not outcome.mixed
