"""Who meets whom in a comparison, and what its report and that of a search say."""

from __future__ import annotations

import json
import math
import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import house
import numpy as np
import pytest
from house import BARE
from inventories import ONE_NAME

from rondo import cluster
from rondo.errors import InputError
from rondo.fleet import Fleet
from rondo.inventory import Inventory
from rondo.objectives import ProofLimits
from rondo.plan import Policy, make_plan
from rondo.proof import contest, knee, versus, windows
from rondo.proof.aim import Aim
from rondo.proof.knee import Search
from rondo.proof.records import REQUEST, Requests
from rondo.proof.report import windowed
from rondo.proof.runs import new_run
from rondo.proof.versus import CLOSED, PACED, Pair
from rondo.proof.windowing import Setting
from rondo.proof.windows import Window
from rondo.source import Loaded

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rondo.server import Remote
    from rondo.state import ServerState

SERVERS = {
    "web-1": {"address": "192.0.2.1", "groups": ["blue", "web"]},
    "web-2": {"address": "192.0.2.2", "groups": ["green", "web"]},
    "web-3": {"address": "192.0.2.3", "groups": ["green"]},
}
INVENTORY = Inventory.model_validate({**ONE_NAME, "servers": SERVERS})
AIM = Aim(
    Loaded(INVENTORY, Path("inventory.yaml"), {}),
    "https://shop.example.com",
    "shop",
    ("web-1", "web-2", "web-3"),
)


def states(*releases: str) -> Mapping[str, ServerState]:
    one = replace(BARE, records={each: {} for each in releases}, current=releases[-1])
    return dict.fromkeys(SERVERS, one)


def test_two_servers_or_two_groups_are_sides_by_their_names() -> None:
    a, b = contest.contenders(INVENTORY, AIM, "web-1:web-3", None)
    assert (a.servers, b.servers) == (("web-1",), ("web-3",))
    a, b = contest.contenders(INVENTORY, AIM, "blue:green", None)
    assert (a.name, a.servers, b.servers) == ("blue", ("web-1",), ("web-2", "web-3"))
    assert not a.release


def test_two_releases_are_sides_by_any_part_of_their_names_on_all_servers() -> None:
    there = states("git.25677641", "git.9c41f7d0")
    a, b = contest.contenders(INVENTORY, AIM, "2567:9c41", there)
    assert (a.release, b.release) == ("git.25677641", "git.9c41f7d0")
    assert a.servers == b.servers == AIM.servers


def test_releases_are_switched_without_hooks_as_nothing_is_released(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The switch goes as far as the servers, which cannot be asked for anything here."""
    first, second = house.release("1"), house.release("2")
    there = house.deployed(first)
    there = house.Simulation(second, there).apply(make_plan(second, there, Policy()))
    monkeypatch.setattr(cluster, "observe", lambda *_: there)
    declared = house.inventory(hooks={"before_deploy": ["touch", "ran"], "on_failure": ["ls", "x"]})

    class Unasked(Fleet):
        def __getitem__(self, name: str) -> Remote:
            raise AssertionError(f"{name} was asked for something")

    said: list[str] = []
    fleet = Unasked(declared, tmp_path, ("web-1", "web-2"))
    setting = Setting(Loaded(declared, tmp_path / "i.yaml", {}), AIM, fleet, said.append)
    run = new_run(tmp_path)
    switch = contest.Switch(setting, ("web-1", "web-2"), run, second.id)
    with pytest.raises(AssertionError, match="was asked for something"):
        switch.to(first.id)
    assert said == [f"switching web-1, web-2 to release {first.id}"]
    assert not (tmp_path / "ran").exists()
    assert "hook" not in (run.events.read_text() if run.events.exists() else "")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("web-1", "give two servers, groups or releases"),
        ("a:b:c", "give two servers, groups or releases"),
        ("web-1:web-1", "nothing to compare"),
        ("web:green", "web-2 is on both sides"),
        ("web-1:git.1", "web-1 is of the inventory's servers and git.1 is not"),
        ("git.1:2567", "no release is called 'git.1'"),
        ("2567:git.2567", "both are the release git.25677641"),
    ],
    ids=["one", "three", "same", "overlap", "mixed", "unknown", "same release"],
)
def test_sides_that_are_none_are_refused(text: str, told: str) -> None:
    with pytest.raises(InputError, match=re.escape(told)):
        contest.contenders(INVENTORY, AIM, text, states("git.25677641", "git.9c41f7d0"))


@pytest.mark.parametrize(
    ("servers", "releases", "told"),
    [
        ({"web-1"}, {"r1"}, ""),
        ({"web-2"}, set(), "web-1 answered as well"),
        (set(), {"r2"}, "release r1 answered as well"),
        (set(), set(), ""),
    ],
    ids=["as expected", "another server", "another release", "nobody expected"],
)
def test_who_else_answered_a_window_is_named(
    servers: set[str], releases: set[str], told: str
) -> None:
    rows = np.zeros(4, REQUEST)
    rows["seen"] = (0, 1, 1, 2)
    texts = ("", "web-1;unix:/a/slot.sock;r1", "web-1;;cached", "web-9;x;r9")
    seen = Requests(rows, texts)
    assert windows.strangers(seen, frozenset(servers), frozenset(releases)) == told


def window(rate: float) -> Window:
    return Window(rate, 400, 400, 0, 1 / rate, 3 / rate, math.inf, 0.2, 0.001)


ROUNDS = [
    (kind, [Pair("AB"[n % 2], window(100 + n), window(120 + n % 3)) for n in range(8)])
    for kind in (CLOSED, PACED)
]


def test_a_comparison_is_written_as_json_and_as_one_page(tmp_path: Path) -> None:
    judged = versus.judge(("web-1", "<b>web-2</b>"), ROUNDS, "0")
    page = windowed.write_contest(tmp_path, judged, ROUNDS, "inv prove --versus web-1:web-2")
    data = json.loads((tmp_path / "versus.json").read_text())
    assert (data["status"], data["exit_code"], data["a"]) == ("PASS", 0, "web-1")
    assert [each["measure"] for each in data["comparisons"]] == ["throughput", "p50", "p95"]
    assert len(data["pairs"]) == 16
    # JSON knows no infinity.
    assert data["pairs"][0]["a"]["p99"] is None
    text = page.read_text()
    assert "&lt;b&gt;web-2&lt;/b&gt;" in text
    assert "<b>web-2" not in text
    assert text.count("<figure") == 3
    assert "http:" not in text
    assert len(text) < 150_000


def test_a_search_is_written_as_json_and_as_one_page(tmp_path: Path) -> None:
    limits = ProofLimits(p95=0.3)
    good = window(100)
    stages = [
        knee.judge(100, good, limits, 10),
        *[knee.judge(200, replace(good, p95=0.9), limits, 10)] * 2,
    ]
    found = knee.conclude(Search(100), stages, limits)
    page = windowed.write_knee(tmp_path, found, limits, "inv prove --knee")
    data = json.loads((tmp_path / "knee.json").read_text())
    assert (data["low"], data["high"], data["client_was_the_limit"]) == (100, 200, False)
    assert [each["held"] for each in data["stages"]] == ["held", "did not hold", "did not hold"]
    assert data["stages"][1]["why"] == "p95 900 ms, the limit is 300 ms"
    text = page.read_text()
    assert "did not hold" in text
    assert "limit of p95" in text


def test_a_search_in_which_nothing_was_answered_still_has_a_page(tmp_path: Path) -> None:
    limits = ProofLimits()
    dead = Window(0, 100, 100, 100, math.inf, math.inf, math.inf, complaint="GET /: refused")
    found = knee.conclude(Search(1), [knee.judge(1, dead, limits, 10)] * 2, limits)
    page = windowed.write_knee(tmp_path, found, limits, "inv prove --knee")
    assert "GET /: refused" in page.read_text()
