from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import proofs
import pytest

from rondo.errors import RondoError
from rondo.proof.judge import judge
from rondo.proof.selftest import matrix, run
from rondo.proof.selftest.lane import failing, noisy, service_time
from rondo.proof.selftest.ledger import Entry, Ledger
from rondo.proof.selftest.rows import BY_NAME, Row

if TYPE_CHECKING:
    from pathlib import Path

DOWN, MISSING = BY_NAME["marked-down"], BY_NAME["server-missing"]


def judged(**knobs: Any) -> tuple[bool, tuple[str, ...]]:  # noqa: ANN401 - the knobs of proofs
    found = proofs.evidence(rate=100, duration=8, servers=1, **knobs)
    verdict = judge(found)
    return noisy(found, verdict), failing(verdict)


@pytest.mark.parametrize(
    ("knobs", "expected"),
    [
        ({}, (False, ())),
        ({"lag": 0.05}, (True, ("sound",))),
        ({"cpu": 0.95}, (True, ("sound",))),
        ({"complete": False}, (False, ("sound",))),
        ({"lag": 0.05, "complete": False}, (False, ("sound",))),
        ({"dead": ("backend-2",)}, (False, ("everyone", "round_robin"))),
    ],
    ids=["sound", "late", "busy", "log cut off", "late and log cut off", "a fault"],
)
def test_only_a_late_or_busy_load_generator_makes_a_run_that_is_made_again(
    knobs: dict[str, Any], expected: tuple[bool, tuple[str, ...]]
) -> None:
    assert judged(**knobs) == expected


def test_a_run_without_requests_says_nothing_of_a_busy_machine() -> None:
    found = proofs.without_rows(proofs.evidence(lag=0.05))
    assert not noisy(found, judge(found))


def test_what_is_usual_is_the_time_of_answers_that_a_backend_gave() -> None:
    found = proofs.evidence(rate=100, duration=8, servers=1)
    rows, texts = found.requests.rows, found.requests.texts
    slower = rows.copy()
    behind = ["backend" in texts[number] for number in rows["seen"]]
    slower["end"][behind] += 0.1
    twice = replace(found, requests=replace(found.requests, rows=slower))
    assert service_time(twice) == pytest.approx(service_time(found) + 0.1, abs=1e-6)


def entry(row: Row, number: int, verdict: str = "FAIL", *keys: str) -> Entry:
    noise = verdict == "INVALID"
    return Entry(row.name, number, verdict, keys or row.keys, noise, 10.0, 9.0, "2030-01-02")


def course(tmp_path: Path, said: list[str], *rows: Row, runs: int = 2) -> run.Course:
    ledger = Ledger(tmp_path / "ledger.jsonl")
    made = run.Course(run.Wanted(rows, runs, runs, 2), ledger, said.append)
    made.begin()
    return made


def test_a_course_goes_on_where_the_ledger_ends(tmp_path: Path) -> None:
    first = course(tmp_path, [], DOWN)
    job = first.take(wide=False)
    assert job is not None
    first.give(job, entry(DOWN, job.number))
    second = course(tmp_path, [], DOWN)
    assert [each.number for each in second.jobs] == [2]


def test_a_run_on_a_busy_machine_is_due_again_and_told_so(tmp_path: Path) -> None:
    said: list[str] = []
    made = course(tmp_path, said, DOWN, runs=1)
    job = made.take(wide=False)
    assert job is not None
    made.give(job, entry(DOWN, 1, "INVALID", "sound"))
    assert list(made.jobs) == [job]
    assert "too busy, made again" in said[0]


def test_a_wrong_verdict_is_told_with_its_sentence_and_counted(tmp_path: Path) -> None:
    said: list[str] = []
    made = course(tmp_path, said, DOWN, runs=1)
    job = made.take(wide=False)
    assert job is not None
    made.give(job, replace(entry(DOWN, 1, "PASS"), failing=(), sentence="The site held."))
    assert said[0].startswith("[1/1] marked-down 1/1: PASS - WRONG: The site held.")
    assert not made.tallies()[0].enough


def test_rows_of_the_whole_cluster_are_kept_for_the_lane_that_has_it(tmp_path: Path) -> None:
    made = course(tmp_path, [], DOWN, MISSING, runs=1)
    assert made.take(wide=False) == matrix.Job(DOWN, 1)
    assert made.take(wide=False) is None
    assert made.take(wide=True) == matrix.Job(MISSING, 1)


def test_no_lane_begins_a_run_after_a_fault_could_not_be_taken_away(tmp_path: Path) -> None:
    made = course(tmp_path, [], DOWN)
    made.fail(RondoError("the site is not whole again"))
    assert made.take(wide=False) is None
    assert len(made.jobs) == 2


def test_the_documentation_gets_the_table_of_all_rows_whichever_were_run(tmp_path: Path) -> None:
    path = run.write(tmp_path, 20, 100, [entry(DOWN, 1), entry(DOWN, 2)])
    text = path.read_text()
    assert text.count("\n| `") == len(BY_NAME)
    assert "| 2 of 20 | **2** |" in text
    assert "| 0 of 25 | **0** |" in text
