from __future__ import annotations

import signal
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from shop import ROOT, ended, until

from rondo.proof.selftest import matrix, run
from rondo.proof.selftest.ledger import Ledger

if TYPE_CHECKING:
    from collections.abc import Iterator

    from shop import Operator

pytestmark = pytest.mark.e2e

ROWS = matrix.choose([], short=True)
MARK = "/var/lib/rondo-selftest/touched"


@pytest.fixture
def tester(deployed: Operator) -> Iterator[Operator]:
    """Give somebody at the repository, where the self-test brings its own shop to the servers."""
    yield replace(deployed, folder=ROOT, environment={})
    deployed.fab("deploy")


def test_a_self_test_killed_amid_a_fault_is_mended_by_the_next_which_calls_every_fault_by_its_name(
    tester: Operator,
) -> None:
    with ended(tester.start("inv", "prove.selftest", "--short")) as child:
        for machine in tester.machines:
            until(lambda at=machine: at.run(f"ls {MARK}", check=False), "a fault is made", 300)
        child.send_signal(signal.SIGKILL)
    done = tester.run("inv", "prove.selftest", "--short")
    entries = Ledger(ROOT / run.SHORT_LEDGER).read()
    assert {entry.row for entry in entries} == {row.name for row in ROWS}
    assert all(matrix.tally(row, 1, entries).enough for row in ROWS), done.said
    for machine in tester.machines:
        assert not machine.run(f"ls {MARK}", check=False)
