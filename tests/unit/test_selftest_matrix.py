from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rondo.errors import InputError
from rondo.proof.selftest import matrix, table
from rondo.proof.selftest.faults import FAULTS
from rondo.proof.selftest.ledger import Entry, Ledger
from rondo.proof.selftest.rows import BY_NAME, ROWS
from rondo.proof.verdict import Status

if TYPE_CHECKING:
    from pathlib import Path

    from rondo.proof.selftest.rows import Row

DOWN = BY_NAME["marked-down"]
HEALTHY = BY_NAME["healthy-zone-2w"]
RELOADS = BY_NAME["reloads"]
SLOW_CLIENT = BY_NAME["client-too-slow"]
ENTRY = Entry(
    row="marked-down",
    number=1,
    verdict="FAIL",
    failing=("everyone", "round_robin"),
    noisy=False,
    seconds=10.0,
    load=8.0,
    at="2030-01-02T03:04:05+00:00",
    versions={"rondo": "0.1.0", "locust": "2.47.0"},
)
NOISY = replace(ENTRY, verdict="INVALID", failing=("sound",), noisy=True)


def test_every_row_has_its_fault_and_every_fault_its_row() -> None:
    assert set(FAULTS) == set(BY_NAME) == {row.name for row in ROWS}
    assert len(ROWS) == len(BY_NAME)


def test_every_row_names_who_must_speak_unless_it_is_healthy() -> None:
    assert all(bool(row.keys) is not row.healthy for row in ROWS)


def test_the_short_form_has_faults_of_each_kind_and_healthy_runs() -> None:
    short = matrix.choose([], short=True)
    assert sum(row.healthy for row in short) == 2
    assert {row.verdict for row in short} == {Status.PASS, Status.FAIL, Status.INVALID}


def test_a_row_that_is_not_there_is_an_error_that_names_those_that_are() -> None:
    with pytest.raises(InputError, match=r"no row dwon; there are: .*marked-down"):
        matrix.choose(["dwon"], short=False)


@pytest.mark.parametrize(
    ("row", "entry", "right"),
    [
        (DOWN, ENTRY, True),
        (DOWN, replace(ENTRY, failing=("round_robin",)), False),
        (DOWN, replace(ENTRY, verdict="PASS", failing=()), False),
        (DOWN, replace(ENTRY, verdict="INVALID", failing=("everyone", "sound")), False),
        (HEALTHY, replace(ENTRY, verdict="PASS", failing=()), True),
        (HEALTHY, ENTRY, False),
        (RELOADS, replace(ENTRY, failing=("lost",)), True),
        (RELOADS, replace(ENTRY, failing=("lost", "round_robin")), False),
        (SLOW_CLIENT, NOISY, True),
    ],
    ids=[
        "by its check",
        "by another check only",
        "not at all",
        "with the wrong verdict",
        "healthy",
        "false alarm",
        "the lost ones",
        "with a check that is wrong to speak",
        "slow client",
    ],
)
def test_a_run_is_right_if_the_right_check_gave_the_right_verdict(
    row: Row,
    entry: Entry,
    right: bool,  # noqa: FBT001 - a column
) -> None:
    assert matrix.caught(row, entry) is right


def test_a_run_on_a_busy_machine_is_made_again_twice_and_then_counts() -> None:
    jobs = [matrix.due([DOWN], {"marked-down": 1}, [NOISY] * count) for count in range(4)]
    assert [len(each) for each in jobs] == [1, 1, 1, 0]
    tally = matrix.tally(DOWN, 1, [NOISY] * 3)
    assert (tally.runs, tally.caught, tally.repeated, tally.enough) == (1, 0, 2, False)


def test_the_sound_repetition_counts_and_the_busy_runs_are_shown_beside_it() -> None:
    tally = matrix.tally(DOWN, 1, [NOISY, ENTRY])
    assert (tally.runs, tally.caught, tally.repeated, tally.enough) == (1, 1, 1, True)


def test_a_client_that_is_too_slow_on_purpose_is_never_taken_for_a_busy_machine() -> None:
    entry = replace(NOISY, row="client-too-slow")
    assert matrix.due([SLOW_CLIENT], {"client-too-slow": 1}, [entry]) == ()


def test_a_wrong_verdict_is_never_made_again() -> None:
    missed = replace(ENTRY, verdict="PASS", failing=())
    assert matrix.due([DOWN], {"marked-down": 1}, [missed]) == ()
    assert not matrix.tally(DOWN, 1, [missed, ENTRY]).enough


def test_the_healthy_rows_share_their_runs() -> None:
    wanted = matrix.wanted(ROWS, 20, 100)
    assert sum(wanted[row.name] for row in ROWS if row.healthy) == 100
    assert {wanted[row.name] for row in ROWS if not row.healthy} == {20}


@given(st.lists(st.tuples(st.sampled_from(ROWS), st.integers(1, 3)), max_size=200))
def test_what_was_run_and_what_is_due_are_all_runs_and_none_twice(
    done: list[tuple[Row, int]],
) -> None:
    wanted = matrix.wanted(ROWS, 3, 12)
    entries = [replace(ENTRY, row=row.name, number=number) for row, number in done]
    jobs = [(job.row.name, job.number) for job in matrix.due(ROWS, wanted, entries)]
    ran = {(entry.row, entry.number) for entry in entries}
    assert not ran & set(jobs)
    assert len(jobs) == len(set(jobs))
    assert len(jobs) + len(ran) == sum(wanted.values())


def test_each_row_is_run_once_before_any_is_run_twice_and_the_whole_cluster_last() -> None:
    jobs = matrix.due(ROWS, matrix.wanted(ROWS, 2, 8), [])
    assert [job.number for job in jobs if not job.row.wide] == sorted(
        job.number for job in jobs if not job.row.wide
    )
    assert [job.row.wide for job in jobs] == sorted(job.row.wide for job in jobs)


def test_the_time_left_goes_by_what_runs_took_beside_their_load() -> None:
    jobs = matrix.due([DOWN], {"marked-down": 11}, [ENTRY])
    beside = ENTRY.seconds - DOWN.seconds
    assert matrix.seconds_left(jobs, [ENTRY], 2) == pytest.approx(10 * (DOWN.seconds + beside) / 2)


def test_the_ledger_gives_back_what_was_written(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "selftest" / "ledger.jsonl")
    assert ledger.read() == ()
    ledger.append(ENTRY)
    ledger.append(NOISY)
    assert ledger.read() == (ENTRY, NOISY)


def test_a_line_that_a_kill_left_half_written_costs_that_run_and_no_other(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger.jsonl")
    ledger.append(ENTRY)
    with ledger.path.open("a") as file:
        file.write('{"row": "marked-d')
    ledger.append(NOISY)
    assert ledger.read() == (ENTRY, NOISY)


def test_the_table_says_who_spoke_how_often_and_with_which_versions() -> None:
    tallies = [matrix.tally(DOWN, 2, [ENTRY, replace(ENTRY, number=2, failing=("everyone",))])]
    text = table.markdown(tallies, [ENTRY])
    assert "| `marked-down` | a backend is `down` in the upstream | FAIL: `everyone` |" in text
    assert "| 2 of 2 | 2 | 0 | `everyone` 2, `round_robin` 1 |" in text
    assert text.endswith("rondo 0.1.0; locust 2.47.0")


def test_the_table_marks_a_row_that_has_less_than_its_share() -> None:
    missed = replace(ENTRY, verdict="PASS", failing=())
    assert "| 1 of 1 | **0** |" in table.markdown([matrix.tally(DOWN, 1, [missed])], [missed])


def test_the_table_replaces_the_one_before_and_nothing_around_it() -> None:
    document = table.put(
        "# The proof\n\nBefore.\n\n<!-- selftest -->\nold\n<!-- /selftest -->\nAfter.\n", "new"
    )
    assert document == (
        "# The proof\n\nBefore.\n\n<!-- selftest -->\nnew\n<!-- /selftest -->\nAfter.\n"
    )
    assert table.put(document, "new") == document


@pytest.mark.parametrize("document", ["", "# The proof\n\nWords.\n"], ids=["empty", "no markers"])
def test_a_document_without_markers_gets_them(document: str) -> None:
    written = table.put(document, "rows")
    assert written.endswith("<!-- selftest -->\nrows\n<!-- /selftest -->\n")
    assert written.startswith("# The proof\n")
