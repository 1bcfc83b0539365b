"""What benchmarks/zero_loss.py makes of a load: its counts decide what the documents claim."""

from __future__ import annotations

import importlib
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from rondo.objectives import Proof
from rondo.proof.brief import make_brief
from rondo.proof.records import REQUEST, Outcome, Requests

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import ModuleType

FOLDER = Path(__file__).parents[2] / "benchmarks"
BEGAN = 1000.0
LOST = 1


@pytest.fixture
def modules(monkeypatch: pytest.MonkeyPatch) -> dict[str, ModuleType]:
    monkeypatch.syspath_prepend(FOLDER)
    return {name: importlib.import_module(name) for name in ("_losses", "_ways", "zero_loss")}


@pytest.fixture
def losses(modules: dict[str, ModuleType]) -> ModuleType:
    return modules["_losses"]


@pytest.fixture
def bench(modules: dict[str, ModuleType]) -> ModuleType:
    return modules["zero_loss"]


def steadily(seconds: float, rate: float = 100) -> np.ndarray:
    """Return requests at a steady pace, alternately to two servers, each answered in 10 ms."""
    rows = np.zeros(round(seconds * rate), REQUEST)
    rows["intended"] = rows["start"] = BEGAN + np.arange(len(rows)) / rate
    rows["end"] = rows["intended"] + 0.010
    rows["user"] = np.arange(len(rows)) % 2
    rows["step"] = 1
    return rows


def seen(losses: ModuleType, rows: np.ndarray, marks: Sequence[Any], **more: Any) -> Any:  # noqa: ANN401
    steps = [{"get": "/"}, {"post": "/orders/"}]
    proof = Proof.model_validate({"scenario": {"visit": {"steps": steps}}})
    brief = make_brief(
        proof,
        None,
        run="0123456789ab",
        host="https://shop.example.com",
        addresses=("192.0.2.1:443", "192.0.2.2:443"),
        duration=10,
    )
    return losses.Seen(Requests(rows, ("", "502 instead of 201")), brief, BEGAN, marks, **more)


def lose(rows: np.ndarray, number: int) -> None:
    rows["outcome"][number], rows["error"][number] = Outcome.WRONG, LOST


def test_a_request_is_charged_to_the_change_that_began_last_before_it_ended(
    losses: ModuleType,
) -> None:
    rows = steadily(10)
    for number in (100, 350, 620):
        lose(rows, number)
    marks = [losses.Mark("deploy", BEGAN + 3, BEGAN + 4), losses.Mark("restart", BEGAN + 6, 1007)]
    before, deploy, restart = seen(losses, rows, marks, twice=[BEGAN + 6.5]).tolls()
    assert [each.lost for each in (before, deploy, restart)] == [1, 1, 1]
    assert [each.lost_posts for each in (before, deploy, restart)] == [1, 1, 1]
    assert [each.twice for each in (before, deploy, restart)] == [0, 0, 1]
    assert before.requests + deploy.requests + restart.requests == len(rows)
    assert restart.how == {"502 instead of 201": 1}


def test_a_request_in_flight_when_a_change_begins_is_that_change_s_loss(losses: ModuleType) -> None:
    rows = steadily(10)
    rows["end"][299] = BEGAN + 3.5
    lose(rows, 299)
    before, deploy = seen(losses, rows, [losses.Mark("deploy", BEGAN + 3, BEGAN + 4)]).tolls()
    assert (before.lost, deploy.lost) == (0, 1)


def test_the_gap_of_one_server_shows_though_the_other_answers(losses: ModuleType) -> None:
    rows = steadily(10)
    silent = (rows["user"] == 1) & (rows["intended"] >= BEGAN + 4) & (rows["intended"] < BEGAN + 5)
    rows["outcome"][silent] = Outcome.WRONG
    (_, change) = seen(losses, rows, [losses.Mark("restart", BEGAN + 3, BEGAN + 6)]).tolls()
    assert change.gap == pytest.approx(0.020)
    assert change.server_gap == pytest.approx(1.020)


def test_a_site_that_never_answers_again_is_a_gap_up_to_the_end(losses: ModuleType) -> None:
    rows = steadily(10)
    rows["outcome"][rows["intended"] >= BEGAN + 5] = Outcome.TRANSPORT
    (_, change) = seen(losses, rows, [losses.Mark("restart", BEGAN + 3, BEGAN + 6)]).tolls()
    assert change.gap == pytest.approx(5.0, abs=0.03)


def test_the_steady_p99_leaves_out_changes_and_the_warm_up(losses: ModuleType) -> None:
    rows = steadily(10)
    rows["end"][:150] += 5
    rows["end"][300:500] += 5
    marks = [losses.Mark("deploy", BEGAN + 3, BEGAN + 4)]
    assert seen(losses, rows, marks).steady() == pytest.approx(0.010)
    assert seen(losses, rows, marks).tolls()[1].p99 == pytest.approx(5.010)


def load(losses: ModuleType, rows: np.ndarray, marks: Sequence[Any]) -> Any:  # noqa: ANN401
    found = seen(losses, rows, marks)
    before, *tolls = found.tolls()
    return losses.Load(
        way="rondo",
        at="2026-01-01 12:00",
        rate=100.0,
        closed=None,
        steady_p99=found.steady(),
        before=before,
        tolls=tuple(tolls),
        answered=found.answered,
        orders=found.answered,
        lag=0.001,
        busy=0.5,
        versions={"Nginx": "1.22.1"},
    )


def cycle(losses: ModuleType, rows: np.ndarray) -> Any:  # noqa: ANN401
    kinds = ("deploy", "restart", "rollback", "control")
    marks = [losses.Mark(kind, BEGAN + at, BEGAN + at + 1) for at, kind in enumerate(kinds, 3)]
    return load(losses, rows, marks)


def test_what_the_ledger_was_told_it_tells_again(losses: ModuleType, tmp_path: Path) -> None:
    ledger = losses.Ledger(tmp_path / "folder" / "ledger.jsonl")
    one = cycle(losses, steadily(10))
    ledger.append(one)
    with ledger.path.open("a") as file:
        file.write('{"way": "rondo", "at": "2026')
    assert ledger.read() == (one,)
    ledger.append(one)
    assert ledger.read() == (one, one)


def test_all_done_and_nothing_lost_is_sound(losses: ModuleType, bench: ModuleType) -> None:
    wanted = bench.Wanted(times=1, paced=0, saturated=0, others=0, at_once=1)
    assert bench.sound([cycle(losses, steadily(10))], wanted)


@pytest.mark.parametrize(
    "spoil",
    [
        pytest.param({"orders": 1}, id="orders that nobody was told of"),
        pytest.param({"tolls": ()}, id="nothing done"),
    ],
)
def test_a_run_is_not_sound_with(
    spoil: dict[str, Any], losses: ModuleType, bench: ModuleType
) -> None:
    wanted = bench.Wanted(times=1, paced=0, saturated=0, others=0, at_once=1)
    assert not bench.sound([replace(cycle(losses, steadily(10)), **spoil)], wanted)


@pytest.mark.parametrize("number", [100, 350, 420, 520])
def test_one_lost_request_is_enough_to_fail(
    number: int, losses: ModuleType, bench: ModuleType
) -> None:
    rows = steadily(10)
    lose(rows, number)
    wanted = bench.Wanted(times=1, paced=0, saturated=0, others=0, at_once=1)
    assert not bench.sound([cycle(losses, rows)], wanted)


def test_a_change_that_failed_is_not_sound(losses: ModuleType, bench: ModuleType) -> None:
    rows = steadily(10)
    failed = load(losses, rows, [losses.Mark("restart", BEGAN + 3, BEGAN + 4, 10, "no way")])
    whole = cycle(losses, rows)
    wanted = bench.Wanted(times=1, paced=0, saturated=0, others=0, at_once=1)
    assert not bench.sound([whole, failed], wanted)
    assert "ended with 10: no way" in "\n".join(bench.report([failed], wanted, ""))


def test_what_is_behind_most_comes_next_until_all_is_done(
    losses: ModuleType, bench: ModuleType
) -> None:
    wanted = bench.Wanted(times=3, paced=0, saturated=1, others=0, at_once=2)
    done: list[Any] = []
    order = []
    while job := wanted.next(done):
        order.append((job.way, job.count))
        one = cycle(losses, steadily(10))
        if job.way == "saturated":
            one = replace(one, way="saturated", tolls=one.tolls[1:2])
        done += [one] * job.count
    assert order == [("rondo", 2), ("saturated", 1), ("rondo", 1)]


def test_the_table_says_what_is_missing_and_what_was_lost(
    losses: ModuleType, bench: ModuleType
) -> None:
    rows = steadily(10)
    lose(rows, 350)
    wanted = bench.Wanted(times=2, paced=0, saturated=0, others=0, at_once=1)
    text = "\n".join(bench.report([cycle(losses, rows)], wanted, "two servers"))
    deploy = next(line for line in text.splitlines() if line.startswith("| `fab deploy`"))
    assert deploy.startswith("| `fab deploy` | 1 of 2 | 100 | 100 | 1 (in 1) | 1 (in 1) | 0 |")
    assert "- `fab deploy`: 1 x 502 instead of 201" in text
    assert "Nginx 1.22.1" in text


def test_measured_figures_replace_the_ones_before_and_nothing_else(losses: ModuleType) -> None:
    text = losses.put(
        "# Title\n\nabove\n\n<!-- measured -->\nold\n<!-- /measured -->\nbelow\n", "new"
    )
    assert text == "# Title\n\nabove\n\n<!-- measured -->\nnew\n<!-- /measured -->\nbelow\n"
    assert losses.put(text, "new") == text


def test_the_ways_of_others_are_sound_shell(modules: dict[str, ModuleType]) -> None:
    ways = modules["_ways"]
    words = "--env=A='a b' image"
    scripts = [ways.WATCH]
    for way in ways.WAYS:
        scripts += [ways.set_up(way, words), ways.change(way, words)]
    # Lists of ids are split on purpose, and not every script uses each of the common functions.
    program = Path(sys.executable).with_name("shellcheck")
    for script in scripts:
        done = subprocess.run(
            (program, "--shell=sh", "--exclude=SC2086,SC2317,SC2329", "-"),
            input=script,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout
