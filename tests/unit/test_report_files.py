"""The files of a run's report say what the evidence and the verdict say, and no more."""

from __future__ import annotations

import functools
import json
import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

import numpy as np
import proofs
import pytest
import reports
from jsonschema import Draft202012Validator

from rondo import desk
from rondo.errors import InputError
from rondo.proof import report
from rondo.proof.case import Case
from rondo.proof.judge import judge
from rondo.proof.records import Outcome
from rondo.proof.report import compare, origins, runfile, runs, series, terminal
from rondo.proof.verdict import Status
from rondo.ui import Ui

if TYPE_CHECKING:
    from pathlib import Path

    from rondo.proof.report import Run

PAIRS = {"slow", "killed"}
CASES: dict[str, dict[str, Any]] = {
    "healthy": {},
    "deploy": {"change": True, "wrong": 0.01, "dropped": 0.01},
    "dead backend": {"dead": ("backend-2",), "zone": False},
    "without secret or logs": {"secret": False, "witnessed": False},
    "logs only": {"secret": False},
    "nothing sent": {"rate": 0, "duration": 5},
    "short and slow": {"duration": 3, "rate": 7, "stall": 1.0},
    "weights": {"weights": (3, 2, 1)},
}


@functools.cache
def described(**knobs: Any) -> Run:  # noqa: ANN401 - the fields of proofs.Knobs
    """Describe a made-up run; dictionaries come as pairs, as they cannot be hashed."""
    knobs = {key: dict(value) if key in PAIRS else value for key, value in knobs.items()}
    evidence = proofs.evidence(**knobs)
    return report.describe(evidence, judge(evidence))


@pytest.fixture(params=CASES.values(), ids=CASES)
def run(request: pytest.FixtureRequest) -> Run:
    return described(**request.param)


def test_run_json_is_as_its_schema_says(run: Run) -> None:
    Draft202012Validator(runfile.json_schema()).validate(json.loads(run.text()))


def test_run_json_is_read_back_as_it_was_written(run: Run, tmp_path: Path) -> None:
    (tmp_path / report.RUN_FILE).write_text(run.text())
    assert report.read(tmp_path) == run


def test_the_same_evidence_gives_the_same_bytes(tmp_path: Path) -> None:
    written = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        evidence = proofs.evidence(change=True, wrong=0.01)
        report.write(tmp_path / name, evidence, judge(evidence))
        written.append({each.name: each.read_bytes() for each in (tmp_path / name).iterdir()})
    assert written[0] == written[1]
    assert sorted(written[0]) == ["junit.xml", "report.html", "run.json"]


def test_every_paced_request_is_in_the_series_once() -> None:
    paced = int(series.paced(proofs.evidence()).sum())
    told = described()
    counted = told.series
    assert sum(counted.sent) == paced
    assert sum(counted.right) + sum(counted.wrong) + sum(counted.lost) == paced
    assert sum(told.histogram.intended) == sum(told.histogram.service) == paced


def test_percentiles_are_those_of_the_interval() -> None:
    chance = np.random.default_rng(7)
    interval, values = chance.integers(0, 5, 900), chance.exponential(1, 900)
    found = series.percentiles(interval, values, 6)
    for number in range(5):
        mine = np.sort(values[interval == number])
        for level, each in zip((0.5, 0.95, 0.99), found, strict=True):
            exact = mine[int(np.ceil(level * len(mine))) - 1]
            assert each[number] == pytest.approx(exact, rel=1e-3)
    assert [each[5] for each in found] == [None, None, None]


def test_buckets_hold_what_they_say() -> None:
    evidence = proofs.evidence()
    found = series.histogram(evidence)
    rows = evidence.requests.rows[series.paced(evidence)]
    waited = series.waited(rows)
    for index, count in enumerate(found.intended):
        low, high = (10 ** ((found.first + index + i) / found.per_decade) for i in (0, 1))
        assert count == np.count_nonzero((waited >= low) & (waited < high))


def test_long_runs_are_cut_into_few_intervals() -> None:
    told = described(duration=1500, rate=4)
    assert told.series.width == 5
    assert len(told.series.sent) == 300
    assert sum(told.series.sent) == 6000


def test_answers_after_the_end_get_intervals_of_their_own_only_when_late() -> None:
    assert len(described(duration=10).series.sent) == 10
    evidence = proofs.evidence(duration=10)
    evidence.requests.rows["end"][-1] += 7
    told = report.describe(evidence, judge(evidence))
    assert len(told.series.sent) >= 17


def test_errors_are_counted_where_they_happened() -> None:
    evidence = proofs.evidence(wrong=0.02, dropped=0.02)
    told = report.describe(evidence, judge(evidence))
    rows = evidence.requests.rows[series.paced(evidence)]
    assert sum(told.series.wrong) == np.count_nonzero(rows["outcome"] == Outcome.WRONG) > 0
    assert sum(told.series.lost) == np.count_nonzero(rows["outcome"] == Outcome.TRANSPORT) > 0


def test_shares_over_time_add_up_to_the_totals() -> None:
    told = described()
    totals = {(each.server, each.slot): each.requests for each in told.backends}
    for shares in told.shares:
        for slot, counts in shares.counts.items():
            assert sum(counts) == totals[shares.server, slot]


def test_a_dead_backend_has_an_expectation_and_no_requests() -> None:
    told = described(dead=("backend-2",), zone=False)
    dead = [each for each in told.backends if each.slot == "backend-2"]
    assert [each.requests for each in dead] == [0, 0]
    assert all(each.bound and each.expected > each.bound for each in dead)


def test_nothing_bounds_shares_that_no_policy_promises() -> None:
    told = described(policy="least_conn")
    assert {each.bound for each in told.backends} == {None}


def test_an_address_that_the_inventory_does_not_have_is_named() -> None:
    evidence = proofs.evidence()
    old = evidence.witnesses[0].lines
    texts = tuple(each.replace("backend-2", "backend-9") for each in old.texts)
    object.__setattr__(old, "texts", texts)
    found = origins.strangers(Case(evidence))
    assert [(each.server, "backend-9" in each.address) for each in found] == [("web-1", True)]
    assert found[0].requests > 100


@pytest.mark.parametrize("secret", [True, False], ids=["told to clients", "read from logs"])
def test_a_slot_shows_the_old_release_until_its_switch_and_the_new_one_after(secret: bool) -> None:  # noqa: FBT001
    told = described(change=True, secret=secret)
    switched = {(m.server, m.slot): m.at for m in told.marks if m.kind == "switched"}
    for slot in (each for each in told.releases if each.slot.startswith("backend")):
        first, *_, last = slot.spans
        assert first.releases == (proofs.OLD,)
        assert last.releases == (proofs.NEW,)
        assert first.begin < 1
        assert abs(last.begin - switched[slot.server, slot.slot]) < 1
        assert last.end == pytest.approx(told.load.duration, abs=1)


def test_a_slot_that_falls_silent_has_a_hole() -> None:
    told = described(killed=(("backend-3", 0.5),), duration=20)
    spans = next(each.spans for each in told.releases if each.slot == "backend-3")
    assert spans[-1].end == pytest.approx(10, abs=1)


def test_the_two_witnesses_are_set_against_each_other() -> None:
    told = described(unlogged=3, doubled=2)
    first, second = told.reconciled
    assert (first.missing, first.twice, second.missing, second.twice) == (3, 2, 0, 0)
    assert first.sent == first.logged + first.missing
    assert told.unlogged == 3


def test_a_figure_that_json_cannot_say_is_null() -> None:
    evidence = proofs.evidence()
    told = report.describe(evidence, reports.verdict(evidence.began))
    assert told.figures["change_p99"] is None


def test_the_command_makes_such_a_run_again() -> None:
    assert described(duration=90).command == (
        "inv prove --host https://shop.example.com --rate 200 --duration 90s"
    )
    assert described(change=True).command == "fab deploy --prove"
    evidence = replace(proofs.evidence(change=True), command="fab -H web-1 restart --prove")
    told = report.describe(evidence, judge(evidence))
    assert told.command == "fab -H web-1 restart --prove"


# -- junit.xml


def test_junit_says_each_outcome_in_its_own_way(tmp_path: Path) -> None:
    evidence = proofs.evidence()
    report.write(tmp_path, evidence, reports.verdict(evidence.began))
    suite = ElementTree.parse(tmp_path / "junit.xml").getroot()  # noqa: S314 - our own file
    found = {case.get("name"): [each.tag for each in case] for case in suite.iter("testcase")}
    assert found == {"pass": [], "fail": ["failure"], "invalid": ["error"], "skipped": ["skipped"]}
    counts = {key: suite.get(key) for key in ("tests", "failures", "errors", "skipped")}
    assert counts == {"tests": "4", "failures": "1", "errors": "1", "skipped": "1"}


def test_junit_can_be_read_whatever_a_server_said(tmp_path: Path) -> None:
    evidence = proofs.evidence(duration=5)
    verdict = reports.verdict(evidence.began, sentence="\x00\x1b[31m\ud800 <&> \U0001f6b2")
    report.write(tmp_path, evidence, verdict)
    assert ElementTree.parse(tmp_path / "junit.xml").getroot() is not None  # noqa: S314


# -- report.html


def test_the_page_is_made_from_what_run_json_holds(run: Run, tmp_path: Path) -> None:
    page = report.write_run(tmp_path, run)
    first = page.read_text()
    page.unlink()
    assert report.write_run(tmp_path, report.read(tmp_path)).read_text() == first


def test_the_page_asks_for_nothing_else(run: Run, tmp_path: Path) -> None:
    html = report.write_run(tmp_path, run).read_text()
    assert not re.search(r"""(?:src|href)=["'](?!#|data:)""", html)
    assert not re.search(r"url\((?!#)|@import", html)


def test_what_servers_say_cannot_become_markup(tmp_path: Path) -> None:
    evidence = proofs.evidence(duration=5)
    html = report.write(tmp_path, evidence, reports.verdict(evidence.began)).read_text()
    assert "<script>alert" not in html
    assert "&lt;script&gt;alert" in html


def test_a_long_wide_run_with_many_anomalies_stays_a_small_page(tmp_path: Path) -> None:
    # As many intervals, slots and errors in each as ten minutes at 1,000/s have.
    knobs = {"duration": 600, "rate": 250, "replicas": 6, "change": True}
    evidence = proofs.evidence(**knobs, wrong=0.01, dropped=0.01)
    page = report.write(tmp_path, evidence, judge(evidence))
    assert page.stat().st_size < 150_000


# -- two runs, and finding them


def test_two_runs_are_set_side_by_side_with_the_ratio() -> None:
    first, second = described(), described(slow=(("backend-1", 2),))
    by_name = {row.name: row for row in compare.rows(first, second)}
    assert by_name["requests"].ratio == "1"
    assert float(by_name["p95"].ratio) > 1
    html = compare.render(first, second)
    assert "inv prove --versus" in html
    assert len(html) < 150_000


@pytest.mark.parametrize(
    ("first", "second", "text"), [(2, 3, "1.5"), (0, 3, ""), (None, 1, ""), (1, None, "")]
)
def test_a_ratio_to_nothing_is_not_told(
    first: float | None, second: float | None, text: str
) -> None:
    assert compare.ratio(first, second) == text


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name in ("20250101T000000Z-aaa1", "20250102T000000Z-aab2", "20250103T000000Z"):
        (tmp_path / runs.RUNS / name).mkdir(parents=True)
    for name in ("20250101T000000Z-aaa1", "20250102T000000Z-aab2"):
        (tmp_path / runs.RUNS / name / report.RUN_FILE).write_text("{}")
    return tmp_path


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ("last", "20250102T000000Z-aab2"),
        ("aaa", "20250101T000000Z-aaa1"),
        ("20250101T000000Z-aaa1", "20250101T000000Z-aaa1"),
        ("20250102T000000Z", "20250102T000000Z-aab2"),
    ],
)
def test_a_run_is_found_by_any_of_its_names(root: Path, wanted: str, found: str) -> None:
    assert runs.find(root, wanted).name == found


def test_a_run_is_found_by_its_folder(root: Path) -> None:
    folder = root / runs.RUNS / "20250101T000000Z-aaa1"
    assert runs.find(root.parent, str(folder)) == folder


@pytest.mark.parametrize(
    ("wanted", "said"),
    [("aa", "may be any of"), ("zzz", "the newest are 20250102T000000Z-aab2"), ("", "no run ''")],
)
def test_a_run_that_is_not_there_is_told_with_those_that_are(
    root: Path, wanted: str, said: str
) -> None:
    with pytest.raises(InputError, match=said):
        runs.find(root, wanted)


def test_without_any_run_the_way_to_make_one_is_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="inv prove"):
        runs.find(tmp_path, "last")


@pytest.mark.parametrize("content", ["", "{}", '{"schema": 2}'], ids=["cut", "empty", "newer"])
def test_a_file_that_is_no_run_is_refused_in_one_sentence(content: str, tmp_path: Path) -> None:
    (tmp_path / report.RUN_FILE).write_text(content)
    with pytest.raises(InputError, match="no run of this version"):
        report.read(tmp_path)


# -- the terminal


def test_the_terminal_gets_a_sentence_for_each_check_and_what_failed_in_full(
    capsys: pytest.CaptureFixture[str],
) -> None:
    verdict = reports.verdict(proofs.BEGAN)
    terminal.show(Ui(), verdict)
    told = capsys.readouterr().out
    for check in verdict.checks:
        assert f"{check.status.value:<8}{check.title}:" in told
    assert told.count("expected:") == 2, "of FAIL and of INVALID"
    assert told.splitlines()[-1].strip().endswith("restarted.") or "FAIL" in told.splitlines()[-1]


def test_a_past_run_is_told_like_the_verdict_was(capsys: pytest.CaptureFixture[str]) -> None:
    evidence = proofs.evidence(duration=5)
    verdict = judge(evidence)
    terminal.show(Ui(), verdict)
    first = capsys.readouterr().out
    terminal.show_run(Ui(), report.describe(evidence, verdict))
    assert capsys.readouterr().out == first
    assert verdict.status is not Status.SKIPPED


def test_inv_report_shows_a_run_or_two_and_draws_a_page_that_was_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folders = [tmp_path / runs.RUNS / name for name in ("20250101T000000Z-a", "20250102T000000Z-b")]
    for folder in folders:
        folder.mkdir(parents=True)
        report.write_run(folder, described())
    page = folders[1] / report.PAGE
    page.unlink()
    monkeypatch.chdir(tmp_path)
    assert desk.report(Ui(), "last", "") == 0
    assert page.exists()
    assert f"report: {page}" in capsys.readouterr().out
    assert desk.report(Ui(), "a", "b") == 0
    told = capsys.readouterr()
    assert "B to A" in told.out
    assert "inv prove --versus" in told.err
    assert (folders[1] / compare.PAGE).exists()
