"""One lab for all tests of real servers, beside that of `make demo`, and one shop on it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from clients import Site
from shop import ROOT, settle

from rondo import lab
from rondo.lab import places

if TYPE_CHECKING:
    from collections.abc import Iterator

    from shop import Done, Operator

    from rondo.lab import Lab

# RONDO_TEST_LAB=keep leaves servers and shop for the next run, which is then faster: nothing is
# deployed for the first time.
KEEP = os.environ.get("RONDO_TEST_LAB") == "keep"
USUAL = {
    "services": {
        "backend": {
            "environment": {"SHOP_DRILLS": "1", "SHOP_UNLIMITED_STOCK": "1"},
            "processes": 1,
            "stop_grace": 10,
            "health": {"interval": "50ms", "deadline": 20},
        },
        "frontend": {"health": {"interval": "50ms"}},
    }
}


@pytest.fixture(scope="session", autouse=True)
def apart() -> Iterator[None]:
    """Let the tests have a lab of their own: what `make demo` deployed stays as it is.

    Its servers are gone in the end, its images are kept for the next time.
    """
    with pytest.MonkeyPatch.context() as patch:
        name = os.environ.get("RONDO_LAB") or f"{places.default_name(ROOT)}-test"
        patch.setenv("RONDO_LAB", name)
        patch.chdir(ROOT)
        if not KEEP:
            lab.down()
        yield
        if not KEEP:
            lab.down()


@pytest.fixture(scope="session")
def servers(apart: None) -> Lab:
    """Give two servers that nobody has used."""
    return lab.up(2, report=print)


@pytest.fixture(scope="session")
def deployed(servers: Lab, tmp_path_factory: pytest.TempPathFactory) -> Operator:
    """Give an operator who has deployed the shop for the first time."""
    operator = settle(tmp_path_factory.mktemp("operator"), servers, USUAL)
    operator.fab("bootstrap", "--apply")
    operator.fresh = not operator.machines[0].current()
    operator.first.append(operator.fab("deploy"))
    return operator


@pytest.fixture
def first(deployed: Operator) -> Done:
    """Give what the first deploy said."""
    if not deployed.fresh:
        pytest.skip("the shop was there already, by RONDO_TEST_LAB=keep")
    return deployed.first[0]


@pytest.fixture
def shop(deployed: Operator) -> Iterator[Operator]:
    """Give the shop as it usually is, whatever the test before has left."""
    yield deployed
    if deployed.changed:
        deployed.restore()
        if deployed.fab("plan", code=None).code:
            deployed.fab("deploy")
        deployed.changed = False


@pytest.fixture
def sites(deployed: Operator) -> tuple[Site, ...]:
    """Give the shop as each of its servers serves it."""
    return tuple(Site(each.address, deployed.lab.authority) for each in deployed.machines)
