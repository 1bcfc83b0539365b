"""What users ask for next, and what they make of the answer."""

from __future__ import annotations

import json
import struct
from typing import Any

import numpy as np
import pytest

from rondo.objectives import Proof
from rondo.proof.brief import Brief, StepPlan, make_brief
from rondo.proof.load.live import Shares
from rondo.proof.load.pages import assets_of
from rondo.proof.load.recorder import LONGEST_ERROR, MOST_TEXTS, ROW, Recorder, Tally
from rondo.proof.load.scenario import (
    Ask,
    Journey,
    MissingError,
    Values,
    filled,
    filled_json,
    in_header,
    in_path,
    picked,
    wrong,
)
from rondo.proof.load.wording import Wording
from rondo.proof.records import REQUEST, Outcome

RUN = "0123456789ab"
PRODUCTS = {"products": [{"slug": "bell"}, {"slug": "wheel"}], "count": 2}


def _values(user: int = 3) -> Values:
    return Values(RUN, user)


def _brief(*steps: dict[str, Any], secret: str = "") -> Brief:
    proof = Proof.model_validate({"scenario": {"only": {"steps": steps}}})
    return make_brief(proof, None, run=RUN, host="https://shop.example.com:8443", secret=secret)


def test_built_in_names_are_filled() -> None:
    assert filled("/{user}/{run}", _values()) == f"/3/{RUN}"
    assert filled_json({"n": "{number:7:7}", "t": "x{number:7:7}"}, _values()) == {
        "n": 7,
        "t": "x7",
    }


def test_an_identifier_is_the_same_within_a_request_and_fresh_in_the_next() -> None:
    values = _values()
    first = filled("{uuid} {uuid}", values).split()
    assert first[0] == first[1]
    values.next_request()
    assert filled("{uuid}", values) != first[0]


def test_a_run_can_be_repeated_value_by_value() -> None:
    wanted = "{uuid} {number:1:1000000}"
    assert filled(wanted, _values()) == filled(wanted, _values())
    assert filled(wanted, _values(3)) != filled(wanted, _values(4))


def test_a_value_cannot_leave_its_place_in_a_path_or_a_header() -> None:
    values = _values()
    values.saved["name"] = "a/b?c d\r\nX: y"
    assert filled("/{name}/", values, in_path) == "/a%2Fb%3Fc%20d%0D%0AX%3A%20y/"
    assert filled("{name}", values, in_header) == "a/b?c dX: y"


def test_text_that_only_looks_like_braces_is_left_alone() -> None:
    assert filled('{"a": {}, "B": "{Name}"}', _values()) == '{"a": {}, "B": "{Name}"}'


@pytest.mark.parametrize(
    ("path", "found"),
    [("count", [2]), ("products.1.slug", ["wheel"]), ("products.*.slug", ["bell", "wheel"])],
)
def test_a_dotted_path_leads_into_an_answer(path: str, found: list[object]) -> None:
    assert picked(PRODUCTS, path, _values().random) in found


@pytest.mark.parametrize("path", ["missing", "products.9", "products.*.price", "count.*", "x.*"])
def test_a_path_that_leads_nowhere_is_said(path: str) -> None:
    with pytest.raises(MissingError, match="the answer has no"):
        picked(PRODUCTS, path, _values().random)


@pytest.mark.parametrize(
    ("plan", "status", "body", "said"),
    [
        ({}, 204, b"", ""),
        ({}, 302, b"", "GET /x: 302 instead of 2xx"),
        ({"status": 404}, 404, b"", ""),
        ({"status": 200}, 503, b"", "GET /x: 503 instead of 200"),
        ({"contains": "Wheel"}, 200, b"a Wheel", ""),
        ({"contains": "Wheel"}, 200, b"a bell", "GET /x: the answer does not contain 'Wheel'"),
    ],
)
def test_an_answer_is_right_or_its_fault_is_said(
    plan: dict[str, Any], status: int, body: bytes, said: str
) -> None:
    step = StepPlan(name="GET /x", method="GET", path="/x", **plan)
    assert wrong(step, status, lambda: body) == said


def test_a_page_names_its_scripts_styles_and_preloaded_modules_of_its_own_host() -> None:
    page = b"""<script src="app.js?v=1"></script><script>1</script><img src="/x.png">
    <link rel="stylesheet" href="/a.css"><link rel=modulepreload href=../b.js>
    <link rel="icon" href="/icon.png"><script src="https://cdn.example.com/c.js"></script>
    <script src="//cdn.example.com/d.js"></script><script src="app.js?v=1"></script>
    <link rel="stylesheet" href="data:text/css,"><link rel="stylesheet">"""
    assert assets_of("/shop/list", page) == ("/shop/app.js?v=1", "/a.css", "/b.js")


def _walk(journey: Journey, answers: dict[str, bytes], count: int) -> list[str]:
    """Ask so often; a path without an answer fails."""
    asked = []
    for _ in range(count):
        ask, _ = journey.ask()
        plan = journey.brief.steps[ask.step]
        path = ask.path or filled(plan.path, journey.values, in_path)
        asked.append(path)
        if path in answers:
            assert not journey.learn(ask, lambda path=path: answers[path])
    return asked


def test_a_user_walks_through_its_steps_and_a_page_s_assets_follow_it() -> None:
    brief = _brief({"get": "/", "assets": True}, {"get": "/list"})
    journey = Journey(brief, brief.scenarios[0].steps, _values())
    page = b"<script src=/a.js></script><link rel=stylesheet href=/a.css>"
    asked = _walk(journey, {"/": page}, 20)
    begin = asked.index("/")
    assert asked[begin : begin + 8] == ["/", "/a.js", "/a.css", "/list"] * 2


def test_what_an_answer_did_not_bring_is_asked_for_again() -> None:
    brief = _brief(
        {"get": "/list", "save": {"item": "*.id"}},
        {"get": "/item/{item}", "save": {"part": "part"}},
        {"get": "/part/{part}"},
    )
    journey = Journey(brief, brief.scenarios[0].steps, _values())
    assert set(_walk(journey, {}, 10)) == {"/list"}
    assert _walk(journey, {"/list": b'[{"id": 5}]'}, 4)[-2:] == ["/item/5", "/item/5"]


def test_every_journey_is_that_of_a_new_visitor() -> None:
    brief = _brief({"get": "/list", "save": {"item": "*.id"}}, {"get": "/item/{item}"})
    journey = Journey(brief, brief.scenarios[0].steps, _values())
    answers = {"/list": b"[]"}
    journey.values.saved["item"] = "old"
    begins = [journey.ask()[1] for _ in range(5)]
    assert any(begins)
    assert "item" not in journey.values.saved
    assert journey.learn(Ask(0), lambda: answers["/list"]) == "GET /list: the answer has no *.id"
    assert journey.learn(Ask(0), lambda: b"<html>") == "GET /list: the answer is no JSON"


def test_a_request_says_whose_it_is() -> None:
    brief = _brief({"get": "/list?a={user}", "headers": {"accept": "text/html"}}, secret="s" * 32)
    words = Wording(brief).request(Ask(0), _values(), {"sessionid": "1"}, 0xAB).decode()
    first, *headers = words.removesuffix("\r\n\r\n").split("\r\n")
    assert first == "GET /list?a=3 HTTP/1.1"
    assert set(headers) == {
        "Host: shop.example.com:8443",
        "User-Agent: rondo-proof",
        "accept: text/html",
        "Accept-Encoding: gzip",
        f"X-Rondo-Run: {RUN}",
        f"X-Rondo-Proof: {'s' * 32}",
        "X-Request-ID: 00000000000000ab",
        "Cookie: sessionid=1",
    }


def test_a_body_is_json_unless_it_is_text() -> None:
    brief = _brief({"post": "/a", "body": {"ü": "{user}"}}, {"post": "/b", "body": "{user}"})
    wording = Wording(brief)
    words = wording.request(Ask(0), _values(), {}, 1)
    head, _, body = words.partition(b"\r\n\r\n")
    assert json.loads(body) == {"ü": 3}
    assert b"Content-Type: application/json\r\n" in head
    assert f"Content-Length: {len(body)}".encode() in head
    assert wording.request(Ask(1), _values(), {}, 1).endswith(b"\r\n\r\n3")


def test_a_row_is_packed_as_the_judge_reads_it() -> None:
    assert ROW.size == REQUEST.itemsize
    recorder = Recorder()
    seen, error = recorder.backend("web-1;a;b"), recorder.error("x" * 999)
    recorder.add(1 << 41 | 5, 1.5, 2.5, 3.5, 4, 5, 200, 1, 1, seen, error, 7)
    rows, texts = recorder.take()
    row = np.frombuffer(rows, REQUEST)[0]
    assert row.tolist() == (1 << 41 | 5, 1.5, 2.5, 3.5, 4, 5, 200, 1, 1, seen, error, 7)
    assert texts[seen] == "web-1;a;b"
    assert texts[error] == "x" * LONGEST_ERROR
    assert recorder.take() == (b"", [])
    assert recorder.backend("web-1;a;b") == seen


def test_a_flood_of_different_errors_leaves_room_for_the_backends() -> None:
    recorder = Recorder()
    numbers = {recorder.error(f"error {number}") for number in range(MOST_TEXTS + 10)}
    assert 1 in numbers
    _, texts = recorder.take()
    assert len(texts) < MOST_TEXTS
    assert recorder.backend("web-1;a;b") == len(texts)


def _rows(*rows: tuple[int, float, float, float]) -> bytes:
    """Make rows of user, intended, start and end."""
    return b"".join(
        struct.pack(ROW.format, 1, due, start, end, 0, user, 200, 0, 1, 0, 0, 0)
        for user, due, start, end in rows
    )


def test_a_user_that_waited_for_its_own_answer_was_not_late_by_the_generator_s_fault() -> None:
    tally = Tally(users=2, probe=9)
    tally.count(_rows((1, 2.0, 6.0, 7.0), (0, 1.0, 1.5, 2.0), (1, 1.0, 1.0, 5.5)))
    tally.count(_rows((1, 3.0, 7.25, 8.0)))
    assert tally.sent == 4
    assert tally.ended == 8
    assert tally.lag()[3] == pytest.approx(0.5)
    assert tally.lag()[0] == pytest.approx((0.25 + 0.5) / 2)


def test_the_probe_is_not_part_of_what_a_generator_reports() -> None:
    tally = Tally(users=2, probe=0)
    tally.count(_rows((2, 1.0, 9.0, 9.5)))
    assert (tally.sent, tally.lag(), tally.ended) == (0, (), 9.5)


def test_shares_are_of_the_requests_that_a_service_had_on_its_server() -> None:
    shares = Shares()
    texts = [
        "",
        "web-1;unix:/var/lib/rondo/shop/sockets/backend-1/slot.sock;r1",
        "web-1;unix:/d/backend-1/slot.sock, unix:/var/lib/rondo/shop/sockets/backend-2/slot.sock;r",
        "web-1;unix:/var/lib/rondo/shop/sockets/frontend-1/slot.sock;r1",
    ]
    for seen in (1, 1, 1, 2, 3, 0):
        outcome = Outcome.WRONG if seen == 2 else Outcome.RIGHT
        row = (1, 0.0, 0.0, 0.002, 0, 0, 200, outcome, 1, seen, 0, 0)
        shares.add(struct.pack(ROW.format, *row), texts)
    found = {each.backend: each for each in shares.table()}
    assert list(found) == ["web-1 backend-1", "web-1 backend-2", "web-1 frontend-1", "not said"]
    assert found["web-1 backend-1"].share == pytest.approx(0.75)
    assert found["web-1 backend-2"].errors == 1
    assert found["web-1 frontend-1"].share == 1
    assert found["web-1 backend-1"].median == pytest.approx(0.002, rel=0.05)
