"""Edges: what they balance over, what stays out of their rotation, and what is refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from house import bare, deployed, inventory, release

from rondo import checks, edges, plan, render, trial
from rondo.errors import InputError, PreflightError
from rondo.layout import Layout
from rondo.marks import alone, balanced, marked, unmarked
from rondo.rotation import _refuse_last, edges_for
from rondo.state import ServerState
from rondo.steps import InstallConfig, SendFiles

EDGE = {
    "edge-1": {"address": "192.0.2.9", "private_address": "10.0.0.9", "edge": True},
}
TEXT = """\
upstream shop_servers {
    zone shop_servers 64k;
    server 10.0.0.1:443 weight=1 max_fails=5;  # web-1
    server 10.0.0.2:443 weight=1 max_fails=5;  # web-2
    keepalive 64;
}
upstream other {
    server unix:/a/slot.sock weight=1;  # backend-1
}
"""
SITE_FILE = Layout("shop").site_file


def test_an_edge_balances_over_the_private_addresses_of_servers() -> None:
    declared = inventory(servers=EDGE)
    (site,) = edges.site_views(declared)
    (location,) = site.locations
    assert location.path == "/"
    assert location.upstream
    assert location.upstream.scheme == "https"
    assert [each.address for each in location.upstream.members] == ["10.0.0.1:443", "10.0.0.2:443"]
    assert site.authority == edges.SYSTEM_AUTHORITIES


def test_the_servers_behind_give_up_before_the_edge_does() -> None:
    """So that the client hears the answer of the one that knows."""
    declared = inventory(servers=EDGE, sites={"shop": {"timeouts": {"read": 7}}})
    (site,) = edges.site_views(declared)
    assert site.timeouts.read > 7


def test_a_site_without_tls_goes_on_without_it_behind_the_edge() -> None:
    declared = inventory(servers=EDGE, sites={"shop": {"tls": None}})
    (site,) = edges.site_views(declared)
    assert site.locations[0].upstream
    assert site.locations[0].upstream.scheme == "http"
    assert site.locations[0].upstream.members[0].address == "10.0.0.1:80"
    assert not site.authority


def test_servers_without_a_private_address_are_told() -> None:
    changes = {"web-2": {"private_address": None}, "edge-1": {"private_address": None}}
    declared = inventory(servers={**EDGE, "web-2": changes["web-2"]})
    found = {problem.path: str(problem.message) for problem in checks.check(declared)}
    assert "edge-1 is an edge" in found["servers", "web-2", "private_address"]
    alone_ = inventory(servers={"edge-1": {"address": "192.0.2.9", "edge": True}})
    assert ("servers", "edge-1", "private_address") in {each.path for each in checks.check(alone_)}


def test_an_edge_gets_certificates_and_its_file_and_no_gate() -> None:
    gates = {"web-1": "gate", "web-2": "gate"}
    wanted = release(declared=inventory(servers=EDGE), gate_configs=gates)
    made = plan.make_plan(wanted, bare(wanted), plan.Policy())
    steps = [step for step in made.steps if step.server == "edge-1"]
    assert any(isinstance(step, SendFiles) and step.certificates for step in steps)
    assert [step.path for step in steps if isinstance(step, InstallConfig)] == [SITE_FILE]
    assert not [step for step in steps if "fill" in step.title or "build" in step.title]


def test_a_second_deploy_with_an_edge_does_nothing() -> None:
    wanted = release(declared=inventory(servers=EDGE))
    assert not plan.make_plan(wanted, deployed(wanted), plan.Policy())


def test_a_new_release_does_not_touch_the_file_of_an_edge() -> None:
    declared = inventory(servers=EDGE)
    states = deployed(release(declared=declared))
    made = plan.make_plan(release("2", declared), states, plan.Policy())
    on_edge = [step for step in made.steps if step.server == "edge-1"]
    assert not [step for step in on_edge if isinstance(step, (InstallConfig, SendFiles))]


def test_marks_are_made_and_taken_back() -> None:
    out = {"web-2": "since"}
    text = marked(TEXT, out)
    assert "server 10.0.0.2:443 weight=1 max_fails=5 down;  # web-2" in text
    assert text.count(" down;") == 1
    assert marked(text, out) == text
    assert unmarked(text, out) == TEXT
    assert unmarked(TEXT, out) == TEXT


def test_marks_of_others_stay() -> None:
    """A slot on TCP marks itself while it changes."""
    text = TEXT.replace("weight=1;", "weight=1 down;")
    assert marked(text, {}) == text
    assert unmarked(text, {}) == text


def test_the_last_server_of_a_rotation_is_known() -> None:
    assert alone(TEXT, "web-2", {}) == ()
    assert alone(TEXT, "web-2", {"web-1": ""}) == ("shop_servers",)
    assert balanced(TEXT, "web-1")
    assert not balanced(TEXT, "web-3")


def test_the_last_server_of_a_rotation_is_not_taken_out() -> None:
    facts = next(iter(bare(release()).values())).facts
    state = ServerState(facts=facts, drained={"web-1": "since"})
    with pytest.raises(PreflightError, match="web-2 is the last one in the rotation"):
        _refuse_last({"edge-1": TEXT}, {"edge-1": state}, "web-2")
    _refuse_last({"edge-1": TEXT}, {"edge-1": replace(state, drained={})}, "web-2")


def test_what_is_out_of_rotation_stays_out_when_an_edge_gets_a_new_file() -> None:
    declared = inventory(servers=EDGE)
    sites = dict.fromkeys(declared.servers, TEXT)
    states = deployed(release(declared=declared, site_configs=sites))
    out = {"web-2": "since"}
    drained = replace(
        states["edge-1"],
        drained=out,
        files={**states["edge-1"].files, SITE_FILE: marked(TEXT, out)},
    )
    states["edge-1"] = drained
    same = release(declared=declared, site_configs=sites)
    assert not plan.make_plan(same, states, plan.Policy())
    changed = {**sites, "edge-1": TEXT.replace("keepalive 64", "keepalive 32")}
    made = plan.make_plan(release(declared=declared, site_configs=changed), states, plan.Policy())
    (step,) = [each for each in made.steps if isinstance(each, InstallConfig)]
    assert "max_fails=5 down;  # web-2" in step.text
    assert step.reason == "the rendered configuration changed"


@pytest.mark.parametrize(
    ("servers", "server", "message"),
    [
        ({}, "web-3", "web-3 is no server of the inventory"),
        ({}, "web-2", "no server of the inventory is an edge"),
        (EDGE, "edge-1", "edge-1 is an edge itself"),
    ],
    ids=["no server", "no edge", "an edge"],
)
def test_what_no_edge_can_do_is_said(servers: object, server: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        edges_for(inventory(servers=servers), server)


def test_the_file_of_an_edge_is_proved_like_those_of_the_others() -> None:
    declared = inventory(servers=EDGE, sites={"shop": {"tls": {"authority": "ca.pem"}}})
    files = render.render_all(declared, Path(__file__).parents[2] / "templates")
    cases = {case.name: case for case in trial.cases(declared, files)}
    trusted = Layout("shop").certificate("shop.authority")
    assert trusted.encode() in files["servers/edge-1/rondo-shop.conf"]
    assert trusted in cases["server-edge-1"].files
