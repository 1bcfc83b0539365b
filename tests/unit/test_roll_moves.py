"""A slot that changes how Nginx asks it: no way is without an outage, and the plan says so."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from house import deployed, inventory, release

from rondo.change import refuse_outages
from rondo.errors import PreflightError
from rondo.plan import Policy, make_plan

if TYPE_CHECKING:
    from rondo.plan import Plan

HTTP = {"kind": "http", "context": "backend"}


def planned(before: dict[str, object], after: dict[str, object]) -> Plan:
    """Plan the second release of a backend that is declared otherwise than the first was."""
    states = deployed(release("1", inventory(services={"backend": before})))
    return make_plan(release("2", inventory(services={"backend": after})), states, Policy())


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({}, {"listen": "tcp"}),
        ({"listen": "tcp"}, {}),
        ({"listen": "tcp"}, {"listen": "tcp", "first_port": 8100}),
        ({}, HTTP),
    ],
    ids=["to a port", "to a socket", "to another port", "to another protocol"],
)
def test_a_change_of_address_or_protocol_is_refused_as_an_outage(
    before: dict[str, object], after: dict[str, object]
) -> None:
    with pytest.raises(PreflightError) as caught:
        refuse_outages(planned(before, after))
    for server in ("web-1", "web-2"):
        assert (
            f"  {server}: backend changes its address or protocol, which Nginx learns only after "
            "the roll; declare it under another name, or bear it with --outage"
        ) in str(caught.value).splitlines()


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({"listen": "tcp", "replicas": 2}, {"listen": "tcp", "replicas": 3}),
        (HTTP, {**HTTP, "drain": 7}),
    ],
    ids=["more of them", "another setting"],
)
def test_what_stays_where_nginx_asks_it_is_no_outage(
    before: dict[str, object], after: dict[str, object]
) -> None:
    refuse_outages(planned(before, after))
