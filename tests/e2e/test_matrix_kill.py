"""A deploy killed (-9) on its way: `benchmarks/faults.py` does it at every step, this at some."""

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
        "killed: started shop-backend-1 on web-1",
        "killed: install the site on web-2",
    ],
)
def test_the_command_after_a_killed_deploy_finishes_it_and_no_request_is_lost(
    shop: Operator, name: str
) -> None:
    outcome = Trial(shop, CASES[name], mark=name).run()
    assert outcome.wrong == ()
    assert (outcome.lost, outcome.mixed) == (0, False)
