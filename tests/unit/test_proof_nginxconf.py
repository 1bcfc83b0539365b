"""The upstreams of a server's Nginx file, however it was edited."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from inventories import EXAMPLES, inventories

from rondo import render, views
from rondo.inventory import Inventory
from rondo.proof import nginxconf
from rondo.proof.evidence import Installed, Member, Policy

TEMPLATES = Path(__file__).parents[2] / "templates"


def only(text: str) -> Installed:
    (found,) = nginxconf.upstreams(text)
    return found


def test_weights_and_marks_of_each_server_are_read() -> None:
    found = only(
        """upstream shop {
            zone shop 64k;
            server unix:/one.sock weight=3 max_fails=5;  # backend-1
            server 127.0.0.1:8002 down;
            server three backup weight=2;
        }"""
    )
    assert found == Installed(
        name="shop",
        policy="round_robin",
        members=(
            Member("unix:/one.sock", 3),
            Member("127.0.0.1:8002", 1, down=True),
            Member("three", 2, backup=True),
        ),
        zone=True,
    )


@pytest.mark.parametrize(
    ("line", "policy"),
    [
        ("least_conn;", "least_conn"),
        ("ip_hash;", "ip_hash"),
        ("random two least_conn;", "random"),
        ("# ip_hash;", "round_robin"),
        ("", "round_robin"),
    ],
)
def test_the_policy_is_the_one_that_is_in_force(line: str, policy: Policy) -> None:
    assert only(f"upstream a {{ {line}\n server b; }}").policy == policy


@pytest.mark.parametrize(
    ("text", "addresses"),
    [
        ("upstream a { #server one;\n server two; }", ["two"]),
        ("# upstream a {\nupstream b{server one;}", ["one"]),
        ("upstream a { server 'one two'; server \"th#ree\"; }", ["one two", "th#ree"]),
        ("map ${x}:$y $z { default ''; } upstream a { server one; }", ["one"]),
        ("upstream a {\n}", []),
        ("server { location / { return 200; } } upstream a { server one; }", ["one"]),
        ("upstream a { server one", []),
    ],
    ids=["comment", "commented block", "quotes", "braces", "empty", "other blocks", "cut short"],
)
def test_only_what_nginx_would_read_is_read(text: str, addresses: list[str]) -> None:
    found = [member.address for each in nginxconf.upstreams(text) for member in each.members]
    assert found == addresses


def test_upstreams_without_a_zone_are_told_from_those_with_one() -> None:
    assert not only("upstream a { server b; }").zone


@given(text=st.text(alphabet="upstream server{};#\"'\\\n$ab="))
def test_no_text_makes_it_stumble(text: str) -> None:
    nginxconf.upstreams(text)


@given(inventory=inventories())
@settings(max_examples=10, deadline=None)
def test_what_rondo_renders_is_read_as_it_was_declared(inventory: Inventory) -> None:
    _same(inventory)


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_reviewed_files_are_read_as_they_were_declared(name: str) -> None:
    _same(Inventory.model_validate(EXAMPLES[name]))


def _same(inventory: Inventory) -> None:
    server = next(iter(inventory.servers))
    read = {
        each.name: each
        for each in nginxconf.upstreams(render.site_config(inventory, server, TEMPLATES))
    }
    sites = views.site_views(inventory, server)
    declared = {each.name: each for site in sites for each in site.upstreams.values() if each}
    assert read.keys() == declared.keys()
    for name, upstream in declared.items():
        assert (read[name].policy, read[name].zone) == (upstream.balance, True)
        assert [(each.address, each.weight) for each in read[name].members] == [
            (each.address, each.weight) for each in upstream.members
        ]
