"""What load generators are told of a run."""

from __future__ import annotations

import json
import stat
from typing import TYPE_CHECKING, Any

import pytest
from inventories import ONE_NAME

from rondo.inventory import Inventory
from rondo.objectives import Proof
from rondo.proof.brief import PROBE, Brief, kinds, make_brief

if TYPE_CHECKING:
    from pathlib import Path

SCENARIO = {
    "browse": {
        "weight": 2,
        "steps": [
            {"get": "/", "assets": True},
            {"get": "/list", "save": {"item": "*.id"}},
            {"get": "/list/{item}"},
        ],
    },
    "order": {"steps": [{"post": "/orders", "body": {"item": 1}, "status": 201}]},
}


def _brief(data: dict[str, Any] | None = None, **more: Any) -> Brief:  # noqa: ANN401 - options
    proof = Proof.model_validate({"scenario": SCENARIO} if data is None else data)
    return make_brief(proof, None, run="0123456789ab", host="https://shop.example.com/", **more)


def test_a_brief_is_read_as_it_was_written(tmp_path: Path) -> None:
    brief = _brief(secret="ab" * 16, addresses=["192.0.2.1:443"], ramp=((5, 1.0), (9, 2.5)))
    path = tmp_path / "brief.json"
    path.write_text("something longer that stood there before" * 1000)
    path.chmod(0o644)
    brief.write(path)
    assert Brief.read(path) == brief
    assert Brief.from_plain(json.loads(json.dumps(brief.plain()))) == brief
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_steps_are_numbered_with_the_assets_after_their_page_and_the_probe_last() -> None:
    brief = _brief()
    assert [step.name for step in brief.steps] == [
        "GET /",
        "assets of GET /",
        "GET /list",
        "GET /list/{item}",
        "POST /orders",
        PROBE,
    ]
    assert [each.steps for each in brief.scenarios] == [(0, 2, 3), (4,)]
    assert brief.steps[0].assets == 1
    assert brief.steps[brief.probe].path == "/"


def test_steps_of_the_same_name_are_told_apart() -> None:
    twice = {"a": {"steps": [{"get": "/"}]}, "b": {"steps": [{"get": "/"}]}}
    assert [step.name for step in _brief({"scenario": twice}).steps] == ["GET /", "GET / #2", PROBE]


def test_shares_follow_the_weights_and_sum_to_one() -> None:
    brief = _brief({"scenario": SCENARIO, "users": 300})
    shares = {step.name: step.share for step in brief.steps}
    assert sum(shares.values()) == pytest.approx(1)
    assert shares["POST /orders"] == pytest.approx(1 / 3)
    assert shares["GET /"] == pytest.approx(2 / 3 / 5)
    assert shares[PROBE] == 0


def test_scenarios_are_spread_evenly_over_the_servers() -> None:
    halves = {"a": {"steps": [{"get": "/a"}]}, "b": {"steps": [{"get": "/b"}]}}
    brief = _brief({"scenario": halves, "users": 100}, addresses=["192.0.2.1:1", "192.0.2.2:1"])
    chosen = kinds(brief)
    for server in (0, 1):
        assert sum(chosen[server::2]) == 25


def test_users_come_from_the_rate_and_the_warm_up_from_the_duration() -> None:
    assert _brief({"rate": 301}).users == 151
    assert _brief({"rate": 3}).users == 12
    assert _brief({"rate": 3, "users": 5}).users == 5
    assert _brief(closed=7).users == 7
    assert _brief({"duration": 60}).warm_up == 2
    assert _brief(duration=5).warm_up == 1
    assert _brief(rate=8).rate == 8


def test_without_a_scenario_pages_and_health_checks_are_asked_for() -> None:
    inventory = Inventory.model_validate(ONE_NAME)
    brief = make_brief(Proof(), inventory, run="0123456789ab", host="https://shop.example.com")
    assert [(step.name, step.status) for step in brief.steps] == [
        ("GET /", None),
        ("assets of GET /", None),
        ("GET /health", 200),
        (PROBE, None),
    ]


def test_a_health_check_that_the_site_sends_elsewhere_is_not_asked_for() -> None:
    routes = {"/": "frontend", "/api/": "backend"}
    site = {**ONE_NAME["sites"]["shop"], "routes": routes}
    inventory = Inventory.model_validate({**ONE_NAME, "sites": {"shop": site}})
    brief = make_brief(Proof(), inventory, run="0123456789ab", host="https://shop.example.com")
    assert [step.name for step in brief.steps] == ["GET /", "assets of GET /", PROBE]


def test_without_an_inventory_the_first_page_is_asked_for() -> None:
    assert [step.name for step in _brief({}).steps] == ["GET /", "assets of GET /", PROBE]


def test_the_probe_asks_for_something_that_needs_nothing_known() -> None:
    only = {
        "a": {"steps": [{"post": "/x"}, {"get": "/u/{user}"}, {"get": "/plain", "status": 204}]}
    }
    brief = _brief({"scenario": only})
    assert brief.steps[brief.probe].path == "/plain"
    assert brief.steps[brief.probe].status == 204


def test_what_was_planned_is_told_to_the_judge() -> None:
    planned = _brief().planned(workers=3, server="web-1")
    assert planned.workers == 3
    assert planned.steps[0] == "GET /"
    assert planned.methods[4] == "POST"
    assert planned.host == "https://shop.example.com"
