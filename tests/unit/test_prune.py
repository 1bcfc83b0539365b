"""What a prune is told to keep, and what a way back needs."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from house import Simulation, deployed, inventory, release

from rondo.apply import Applier
from rondo.errors import PreflightError
from rondo.gather import Material
from rondo.inventory import BuildSettings
from rondo.plan import Policy, make_plan
from rondo.recorded_plan import make_rollback_plan
from rondo.steps import Prune
from rondo.tidying import _prunes

BLOG = {
    "sites": {
        "blog": {
            "server_names": ["blog.example.com"],
            "tls": {"certificate": "blog.pem", "key": "blog.key"},
            "routes": {"/": "backend"},
        }
    }
}


class Server:
    """Notes what a script is given."""

    name = "web-1"

    def __init__(self) -> None:
        self.given: tuple[str, ...] = ()

    def run(self, _: str, *given: str, **__: object) -> None:
        self.given = given


def pruned(kept: tuple[str, ...], states: Any, wanted: Any) -> tuple[str, ...]:  # noqa: ANN401
    """Prune a server; return what the script is told."""
    sent: Any = {"shop": None}
    material = Material(wanted, contexts={}, environments={}, certificates=sent)
    applier = Applier(material, states, BuildSettings(), lambda _: None, "ann", "now")
    server: Any = Server()
    applier(Prune("web-1", "for room", kept), server)
    return tuple(server.given)


def test_certificates_that_a_kept_release_names_are_kept() -> None:
    """Without them its Nginx file could not be loaded: by no reload, and not after a reboot."""
    old = release(declared=inventory(**BLOG))
    states = deployed(old)
    given = pruned((old.id,), states, release("2"))
    assert "blog\nshop" in given
    assert "shop" in pruned((), states, release("2"))


def test_a_rollback_without_its_certificate_is_refused_before_anything_is_touched() -> None:
    old, new = release(declared=inventory(**BLOG)), release("2")
    states = deployed(old)
    states = Simulation(new, states).apply(make_plan(new, states, Policy()))
    assert make_rollback_plan("shop", states, old.id, Policy())
    states["web-2"] = replace(states["web-2"], certificates={"shop": "pair-1"})
    with pytest.raises(PreflightError, match="web-2: the certificate of the site blog is gone"):
        make_rollback_plan("shop", states, old.id, Policy())


def test_the_release_in_force_is_kept_however_few_are_wanted() -> None:
    old, new = release(), release("2")
    states = deployed(old)
    made = make_plan(new, states, Policy(keep_releases=1))
    kept = {step.releases for step in made.steps if isinstance(step, Prune)}
    assert kept == {(new.id, old.id)}


def test_nothing_is_pruned_after_a_failed_rollback() -> None:
    """It is made from records, and does not know which contexts are wanted now."""
    wanted = release()
    without = replace(wanted, servers={})
    for made, count in ((wanted, 2), (without, 0)):
        material = SimpleNamespace(release=made)
        applier = SimpleNamespace(states=deployed(wanted), material=material)
        plan = make_plan(release("2"), deployed(wanted), Policy())
        course: Any = SimpleNamespace(plan=plan, applier=applier)
        assert len(list(_prunes(course))) == count
