"""What witnesses left in a folder is read back as it was, also where one of them broke off."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import proofs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rondo.proof import collect
from rondo.proof.matching import UNLOGGED, match
from rondo.proof.records import REQUEST

if TYPE_CHECKING:
    from pathlib import Path

LINE = {
    "time": 1750000000.123,
    "id": "000000000000002a",
    "run": proofs.RUN,
    "client": "192.0.2.9",
    "host": "shop.example.com",
    "method": "GET",
    "path": "/",
    "status": "200",
    "bytes": 901,
    "seconds": 0.012,
    "backend": "unix:/a.sock, unix:/b.sock",
    "backend_status": "502, 200",
    "backend_seconds": "0.000, 0.012",
    "release": "25677641",
    "cache": "",
}


def log(folder: Path, *lines: dict[str, object] | str) -> Path:
    path = folder / "web-1.log"
    texts = (
        each if isinstance(each, str) else json.dumps(each, separators=(",", ":")) for each in lines
    )
    path.write_text("\n".join(texts))
    return path


def test_a_run_is_read_back_as_it_was(tmp_path: Path) -> None:
    found = proofs.evidence(killed={"backend-2": 0.5}, wrong=0.01)
    proofs.leave(tmp_path, found)
    requests, reports = collect.read_requests(tmp_path)
    assert reports == found.workers
    assert np.array_equal(requests.rows["id"], found.requests.rows["id"])
    for column in ("seen", "error"):
        back = [requests.texts[n] for n in requests.rows[column]]
        assert back == [found.requests.texts[n] for n in found.requests.rows[column]]
    for witness in found.witnesses:
        lines = collect.read_log(tmp_path / "servers" / f"{witness.server}.log", found.run)
        for column in ("id", "time", "seconds", "status", "bytes"):
            assert np.array_equal(lines.rows[column], witness.lines.rows[column]), column
        for column in ("method", "path", "backend", "backend_status", "release"):
            back = [lines.texts[n] for n in lines.rows[column]]
            assert back == [witness.lines.texts[n] for n in witness.lines.rows[column]], column


def test_workers_keep_their_texts_apart_though_their_numbers_are_the_same(tmp_path: Path) -> None:
    (tmp_path / "clients").mkdir()
    for name in ("a", "b"):
        rows = np.zeros(2, REQUEST)
        rows["seen"] = [1, 2]
        rows.tofile(tmp_path / "clients" / f"{name}.rows")
        said = {"texts": ["", "shared", name], "report": {"name": name, "planned": 2, "sent": 2}}
        (tmp_path / "clients" / f"{name}.json").write_text(json.dumps(said))
    requests, _ = collect.read_requests(tmp_path)
    assert [requests.texts[n] for n in requests.rows["seen"]] == ["shared", "a", "shared", "b"]


def test_a_worker_that_was_killed_is_lost_and_its_whole_rows_are_kept(tmp_path: Path) -> None:
    (tmp_path / "clients").mkdir()
    rows = np.zeros(3, REQUEST)
    rows["seen"] = 9
    (tmp_path / "clients" / "w.rows").write_bytes(rows.tobytes() + b"half a row")
    requests, (report,) = collect.read_requests(tmp_path)
    assert report.lost
    assert len(requests.rows) == 3
    assert [requests.texts[n] for n in requests.rows["seen"]] == [""] * 3


def test_a_run_without_clients_has_no_requests(tmp_path: Path) -> None:
    requests, reports = collect.read_requests(tmp_path)
    assert len(requests.rows) == 0
    assert reports == ()


def test_each_field_of_a_line_is_read(tmp_path: Path) -> None:
    lines = collect.read_log(log(tmp_path, LINE), proofs.RUN)
    (row,) = lines.rows
    assert (row["id"], row["status"], row["bytes"]) == (42, 200, 901)
    assert row["time"] == 1750000000.123
    assert row["seconds"] == np.float32(0.012)
    texts = [lines.texts[row[n]] for n in ("method", "path", "backend", "backend_status")]
    assert texts == ["GET", "/", "unix:/a.sock, unix:/b.sock", "502, 200"]
    assert lines.texts[row["release"]] == "25677641"


@pytest.mark.parametrize(
    "change",
    [
        {"path": '/a"b\\c/ü'},
        {"path": ""},
        {"backend": "", "backend_status": "", "release": ""},
        {"more": "of a template of one's own"},
        {"time": 1750000000},
        {"seconds": 31.5},
        {"id": "f" * 32},
        {"status": "000"},
    ],
    ids=str,
)
def test_lines_of_another_form_among_the_usual_are_read_as_well(
    change: dict[str, object], tmp_path: Path
) -> None:
    odd = LINE | change
    lines = collect.read_log(log(tmp_path, LINE, odd, LINE), proofs.RUN)
    assert len(lines.rows) == 3
    row = lines.rows[1]
    assert lines.texts[row["path"]] == odd["path"]
    assert lines.texts[row["release"]] == odd["release"]
    assert row["time"] == odd["time"]
    assert row["seconds"] == np.float32(odd["seconds"])  # type: ignore[arg-type]
    assert row["id"] == (42 if odd["id"] == LINE["id"] else 0)


def test_lines_of_others_and_broken_lines_are_left_out(tmp_path: Path) -> None:
    foreign = LINE | {"run": "0123456789ab"}
    path = log(tmp_path, LINE, foreign, '{"time":17', "", LINE | {"id": "000000000000002b"})
    lines = collect.read_log(path, proofs.RUN)
    assert lines.rows["id"].tolist() == [42, 43]


def test_an_empty_log_has_no_lines(tmp_path: Path) -> None:
    assert len(collect.read_log(log(tmp_path), proofs.RUN).rows) == 0


@pytest.mark.parametrize("size", [64, 1000, 4096])
def test_a_line_may_lie_across_the_edge_of_what_is_read_at_once(
    size: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(collect, "CHUNK", size)
    path = log(tmp_path, *(LINE | {"id": f"{n:016x}"} for n in range(1, 40)))
    assert collect.read_log(path, proofs.RUN).rows["id"].tolist() == list(range(1, 40))


IDS = st.lists(st.integers(1, 60), max_size=40)


@given(st.sets(st.integers(1, 60), max_size=40), st.lists(IDS, max_size=3))
def test_requests_and_lines_are_joined_one_to_one(sent: set[int], logs: list[list[int]]) -> None:
    ids = np.array(sorted(sent), np.uint64)
    found = match(ids, [np.array(each, np.uint64) for each in logs])
    for index, number in enumerate(sorted(sent)):
        if found.log[index] == UNLOGGED:
            assert all(number not in each for each in logs)
        else:
            assert logs[found.log[index]][found.line[index]] == number
    for each, unsent in zip(logs, found.unsent, strict=True):
        assert unsent.tolist() == [n for n, number in enumerate(each) if number not in sent]
    every = [number for each in logs for number in each]
    assert sum(map(len, found.doubled)) == len(every) - len(set(every))
