"""What a load run records, seen from the server that it loads. Locust is a real child process."""

from __future__ import annotations

import json
import signal
import socket
import ssl
import subprocess
import threading
import urllib.request
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np
import psutil
import pytest
from driving import LOCUST, PATIENCE, brief_of, drive, environment, finished, read, start
from origin import Reply, Seen, serving

from rondo.lab import authority
from rondo.lab.places import Place
from rondo.proof.brief import Brief
from rondo.proof.load.pace import Schedule
from rondo.proof.records import Outcome, Wire

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from driving import Driven
    from origin import Origin

PLAIN = {"visit": {"steps": [{"get": "/"}]}}


def _loaded(origin: Origin) -> list[Seen]:
    """Leave out the probe, which asks on a fresh connection each time."""
    return [seen for seen in origin.seen if seen.headers.get("connection") != "close"]


def _agree(driven: Driven, origin: Origin) -> None:
    """Every request is in the rows once, and arrived once."""
    ids = [f"{row['id']:016x}" for row in (*driven.rows, *driven.probes)]
    assert sorted(ids) == sorted(seen.headers["x-request-id"] for seen in origin.seen)
    assert len(set(ids)) == len(ids)


def test_every_connection_dropped_in_mid_request_is_reported_and_nothing_is_sent_twice(
    tmp_path: Path,
) -> None:
    dropped = []

    def drop_a_tenth(seen: Seen) -> Reply | None:
        if seen.reused and len(origin.seen) % 10 == 0:
            dropped.append(seen.headers["x-request-id"])
            return None
        return Reply()

    with serving(drop_a_tenth) as origin:
        driven = drive(tmp_path / "run", brief_of(origin.url, rate=200, scenario=PLAIN))
    lost = driven.rows[driven.rows["outcome"] == Outcome.TRANSPORT]
    assert len(dropped) > 20
    assert sorted(f"{each:016x}" for each in lost["id"]) == sorted(dropped)
    assert set(lost["wire"]) == {Wire.REUSED}
    _agree(driven, origin)


def test_the_schedule_is_kept_to_and_client_and_server_count_the_same(tmp_path: Path) -> None:
    with serving() as origin:
        driven = drive(tmp_path / "run", brief_of(origin.url, rate=100, scenario=PLAIN))
    due = np.sort(driven.rows["intended"]) - driven.began
    assert due == pytest.approx(np.arange(200) / 100, abs=1e-5)
    assert driven.code == 0, driven.said
    assert set(driven.rows["outcome"]) == {Outcome.RIGHT}
    assert [report["planned"] for report in driven.reports] == [200]
    assert [report["sent"] for report in driven.reports] == [200]
    _agree(driven, origin)


def test_users_keep_their_connection_and_the_probe_has_a_fresh_one_each_time(
    tmp_path: Path,
) -> None:
    with serving() as origin:
        driven = drive(tmp_path / "run", brief_of(origin.url, rate=100, users=10, scenario=PLAIN))
    assert np.count_nonzero(driven.rows["wire"] == Wire.FRESH) == 10
    assert set(driven.probes["wire"]) == {Wire.FRESH}
    assert origin.connections == 10 + len(driven.probes)
    assert len(driven.probes) > 5


def test_a_server_that_stalls_is_slow_by_the_intended_start_not_by_its_service_time(
    tmp_path: Path,
) -> None:
    def stall(_: Seen) -> Reply:
        """Hang for the first second of every five."""
        return Reply(pause=max(0.0, 1 - origin.now % 5))

    with serving(stall) as origin:
        brief = brief_of(origin.url, rate=100, users=4, duration=10, scenario=PLAIN)
        driven = drive(tmp_path / "run", brief)
    latency = np.quantile(driven.rows["end"] - driven.rows["intended"], 0.95)
    service = np.quantile(driven.rows["end"] - driven.rows["start"], 0.95)
    assert latency > 10 * service
    assert len(driven.rows) == Schedule.of(brief).total  # late, and none left out
    late = driven.rows["start"] - driven.rows["intended"]
    own_lateness = driven.reports[0]["lag"][2]
    assert np.quantile(late, 0.99) > 5 * own_lateness  # the server's stalls are not the client's


@pytest.fixture
def certified(tmp_path: Path) -> tuple[str, Callable[[str], ssl.SSLContext]]:
    """Return the path of an authority, and a maker of servers' contexts by it."""
    place = Place(tmp_path / "ca", "load")
    authority.make(place)

    def context(name: str) -> ssl.SSLContext:
        files = authority.issue(place, [name])
        made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        made.load_cert_chain(files.chain, files.key)
        return made

    return str(place.folder / "ca.pem"), context


def _verified(origin: Origin, authority: str | None, folder: Path) -> Driven:
    brief = brief_of(
        "https://shop.example.com",
        rate=20,
        addresses=[f"127.0.0.1:{origin.port}"],
        authority=authority,
        scenario=PLAIN,
    )
    return drive(folder, brief)


def test_a_site_is_loaded_by_its_name_at_the_address_of_a_server(
    tmp_path: Path, certified: tuple[str, Callable[[str], ssl.SSLContext]]
) -> None:
    trusted, context = certified
    tls = context("shop.example.com")
    asked: set[str | None] = set()
    tls.sni_callback = lambda _socket, name, _context: asked.add(name)
    with serving(tls=tls) as origin:
        driven = _verified(origin, trusted, tmp_path / "run")
    assert set(driven.rows["outcome"]) == {Outcome.RIGHT}, driven.errors
    assert {seen.headers["host"] for seen in origin.seen} == {"shop.example.com"}
    assert asked == {"shop.example.com"}


def test_a_certificate_of_an_unknown_authority_is_refused(
    tmp_path: Path, certified: tuple[str, Callable[[str], ssl.SSLContext]]
) -> None:
    _, context = certified
    with serving(tls=context("shop.example.com")) as origin:
        driven = _verified(origin, None, tmp_path / "run")
    assert set(driven.rows["outcome"]) == {Outcome.TRANSPORT}
    assert "certificate not accepted" in driven.errors[0]
    assert origin.seen == []


def test_a_certificate_for_another_name_is_refused(
    tmp_path: Path, certified: tuple[str, Callable[[str], ssl.SSLContext]]
) -> None:
    trusted, context = certified
    with serving(tls=context("other.example.com")) as origin:
        driven = _verified(origin, trusted, tmp_path / "run")
    assert set(driven.rows["outcome"]) == {Outcome.TRANSPORT}
    assert "shop.example.com" in driven.errors[0]
    assert origin.seen == []


def test_workers_share_one_exact_schedule_and_the_master_writes_what_each_saw(
    tmp_path: Path,
) -> None:
    brief = brief_of("", rate=100, users=13, scenario=PLAIN)
    with serving(lambda _: Reply(headers={"X-Rondo-Backend": "web-1;unix:/a;b"})) as origin:
        brief = brief_of(origin.url, rate=100, users=13, scenario=PLAIN, secret="ab" * 16)
        driven = drive(tmp_path / "run", brief, "--processes", "3")
    due = np.sort(driven.rows["intended"]) - driven.began
    assert due == pytest.approx(np.arange(200) / 100, abs=1e-5)
    assert set(driven.rows["user"]) == set(range(13))
    assert len(driven.reports) == 3
    assert [report["lost"] for report in driven.reports] == [False] * 3
    assert sum(report["planned"] for report in driven.reports) == 200
    assert sum(report["sent"] for report in driven.reports) == 200
    assert set(driven.backends) == {"web-1;unix:/a;b"}
    assert {seen.headers["x-rondo-proof"] for seen in origin.seen} == {"ab" * 16}
    assert driven.code == 0, driven.said
    _agree(driven, origin)


def test_a_worker_that_is_killed_is_reported_as_lost(tmp_path: Path) -> None:
    enough = threading.Event()

    def answer(_: Seen) -> Reply:
        if len(origin.seen) > 50:
            enough.set()
        return Reply()

    with serving(answer) as origin:
        brief = brief_of(origin.url, rate=50, duration=8, scenario=PLAIN)
        child = start(tmp_path / "run", brief, "--headless", "--processes", "2")
        assert enough.wait(60)
        psutil.Process(child.pid).children()[0].kill()
        driven = finished(tmp_path / "run", brief, child)
    assert sorted(report["lost"] for report in driven.reports) == [False, True]
    assert driven.code == 3


@pytest.mark.parametrize(
    ("rate", "pause"), [pytest.param(50, 0.3, id="waiting"), pytest.param(2000, 0, id="at work")]
)
def test_a_run_that_is_interrupted_still_writes_every_request_that_arrived(
    tmp_path: Path, rate: float, pause: float
) -> None:
    """The signal may find every user waiting for an answer, or one of them at work."""
    enough = threading.Event()

    def answer(_: Seen) -> Reply:
        if len(origin.seen) > rate:
            enough.set()
        return Reply(pause=pause)

    with serving(answer) as origin:
        brief = brief_of(origin.url, rate=rate, duration=60, scenario=PLAIN)
        child = start(tmp_path / "run", brief, "--headless")
        assert enough.wait(60)
        child.send_signal(signal.SIGINT)
        driven = finished(tmp_path / "run", brief, child)
    _agree(driven, origin)
    assert driven.reports[0]["sent"] < driven.reports[0]["planned"]
    assert not driven.reports[0]["lost"]
    # Raised in whichever greenlet runs, it would end a user, and its row would be missing.
    assert "KeyboardInterrupt" not in driven.said


def test_an_answer_that_takes_too_long_is_a_timeout(tmp_path: Path) -> None:
    with serving(lambda seen: Reply(pause=9 if seen.path == "/slow" else 0)) as origin:
        scenario = {"visit": {"steps": [{"get": "/slow"}, {"get": "/"}]}}
        brief = brief_of(origin.url, rate=10, users=20, duration=2, timeout=1, scenario=scenario)
        driven = drive(tmp_path / "run", brief)
    slow = driven.rows[driven.rows["step"] == 0]
    assert set(slow["outcome"]) == {Outcome.TIMEOUT}
    assert set(driven.rows[driven.rows["step"] == 1]["outcome"]) == {Outcome.RIGHT}
    assert "GET /slow: no whole answer in 1 s" in driven.errors


SHOP = {
    "browse": {
        "weight": 2,
        "steps": [
            {"get": "/", "contains": "Freewheel", "assets": True},
            {"get": "/api/products/", "save": {"product": "products.*.slug"}},
            {"get": "/api/products/{product}/"},
        ],
    },
    "order": {
        "steps": [
            {
                "post": "/api/orders/",
                "status": 201,
                "headers": {"Idempotency-Key": "{uuid}"},
                "body": {"key": "{uuid}", "lines": [{"quantity": "{number:1:3}"}], "by": "u{user}"},
            }
        ]
    },
}
PAGE = b"""<html><head><script type="module" src="/assets/main.js"></script>
<link rel="stylesheet" href="/assets/main.css"></head><body>Freewheel</body></html>"""


def _shop(seen: Seen) -> Reply:
    if seen.path == "/":
        return Reply(body=PAGE)
    if seen.path == "/api/products/":
        return Reply(body=b'{"products": [{"slug": "a wheel"}, {"slug": "bell"}]}')
    if seen.path == "/api/orders/":
        return Reply(status=201)
    known = ("/assets/main.js", "/assets/main.css", "/api/products/a%20wheel/")
    return Reply(status=200 if seen.path in (*known, "/api/products/bell/") else 404)


def test_users_browse_with_assets_and_what_answers_named_and_order_with_fresh_values(
    tmp_path: Path,
) -> None:
    with serving(_shop) as origin:
        driven = drive(tmp_path / "run", brief_of(origin.url, rate=150, duration=3, scenario=SHOP))
    assert set(driven.errors) == {""}
    assert {seen.path for seen in origin.seen} == {
        "/",
        "/assets/main.js",
        "/assets/main.css",
        "/api/products/",
        "/api/products/a%20wheel/",
        "/api/products/bell/",
        "/api/orders/",
    }
    orders = [seen for seen in origin.seen if seen.method == "POST"]
    bodies = [json.loads(seen.body) for seen in orders]
    assert len(orders) > len(_loaded(origin)) / 4
    assert {body["lines"][0]["quantity"] for body in bodies} == {1, 2, 3}
    assert len({body["key"] for body in bodies}) == len(orders)
    assert [seen.headers["idempotency-key"] for seen in orders] == [b["key"] for b in bodies]
    assert orders[0].headers["content-type"] == "application/json"
    shares = np.bincount(driven.rows["step"], minlength=len(driven.brief.steps)) / len(driven.rows)
    assert shares == pytest.approx([step.share for step in driven.brief.steps], abs=0.08)


def test_where_an_answer_is_missing_users_ask_for_it_again_and_never_send_a_brace(
    tmp_path: Path,
) -> None:
    def broken_list(seen: Seen) -> Reply:
        return Reply(status=500) if seen.path == "/api/products/" else _shop(seen)

    with serving(broken_list) as origin:
        driven = drive(tmp_path / "run", brief_of(origin.url, rate=50, scenario=SHOP))
    assert not [seen for seen in origin.seen if "{" in seen.path or "%7B" in seen.path]
    assert "GET /api/products/: 500 instead of 2xx" in driven.errors
    assert not any(seen.path.startswith("/api/products/a") for seen in origin.seen)


def test_closed_connections_ask_as_fast_as_they_are_answered(tmp_path: Path) -> None:
    with serving(lambda _: Reply(pause=0.05)) as origin:
        brief = brief_of(origin.url, closed=7, duration=2, scenario=PLAIN)
        driven = drive(tmp_path / "run", brief)
    assert set(driven.rows["user"]) == set(range(7))
    gaps = [
        np.diff(np.sort(driven.rows["start"][driven.rows["user"] == user])) for user in range(7)
    ]
    assert min(gap.min() for gap in gaps) >= 0.05
    assert len(driven.rows) > 7 * 10
    _agree(driven, origin)


def test_a_ramp_drives_each_stage_at_its_rate(tmp_path: Path) -> None:
    with serving() as origin:
        brief = brief_of(origin.url, ramp=((20, 1.0), (80, 1.0), (160, 0.5)), scenario=PLAIN)
        driven = drive(tmp_path / "run", brief)
    due = driven.rows["intended"] - driven.began
    assert np.histogram(due, [-0.001, 0.9999, 1.9999, 2.5])[0].tolist() == [20, 80, 80]


def test_the_web_page_starts_runs_and_has_a_tab_with_the_share_of_each_backend(
    tmp_path: Path,
) -> None:
    def answer(seen: Seen) -> Reply:
        slot = 1 + len(origin.seen) % 2
        return Reply(headers={"X-Rondo-Backend": f"web-1;unix:/s/backend-{slot}/slot.sock;r1"})

    with serving(answer) as origin, _page(tmp_path / "run", origin) as (child, page):
        assert "Backends" in _get(f"{page}/")
        started = json.loads(_get(f"{page}/swarm", b"user_count=1&spawn_rate=1"))
        assert started["success"], started
        while len(found := json.loads(_get(f"{page}/backends"))) < 2:
            assert child.poll() is None
        assert {each["backend"] for each in found} == {"web-1 backend-1", "web-1 backend-2"}
        assert sum(each["share"] for each in found) == pytest.approx(100, abs=0.02)
        statistics = json.loads(_get(f"{page}/stats/requests"))
        assert statistics["extended_stats"][0]["key"] == "backends"
        _get(f"{page}/stop", b"")
        child.send_signal(signal.SIGINT)
        driven = finished(tmp_path / "run", brief_of(origin.url), child)
    _agree(driven, origin)


def _get(url: str, form: bytes | None = None) -> str:
    with urllib.request.urlopen(url, form, timeout=20) as answer:  # noqa: S310 - our own page
        text: str = answer.read().decode()
    return text


@contextmanager
def _page(folder: Path, origin: Origin) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Start Locust with its web page and wait until it answers."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    brief = brief_of(origin.url, duration=600, scenario=PLAIN, secret="ab" * 16)
    child = start(folder, brief, "--web-host", "127.0.0.1", "--web-port", str(port))
    try:
        while not _listens(port):
            assert child.poll() is None
        yield child, f"http://127.0.0.1:{port}"
    finally:
        child.kill()
        child.wait()


def _listens(port: int) -> bool:
    with socket.socket() as attempt:
        attempt.settimeout(1)
        return attempt.connect_ex(("127.0.0.1", port)) == 0


def _by_hand(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """Start Locust as a person does, in a folder without an inventory."""
    return subprocess.run(
        [*LOCUST, "--headless", *options],
        cwd=folder,
        env={name: value for name, value in environment(folder).items() if name != "RONDO_RUN"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=PATIENCE,
        check=False,
    )


def test_started_by_hand_it_makes_a_run_of_its_own_and_ends_with_the_verdict(
    tmp_path: Path,
) -> None:
    with serving() as origin:
        ran = _by_hand(tmp_path, "--host", origin.url, "--rate", "60", "--duration", "3s")
    [folder] = (tmp_path / ".rondo" / "runs").iterdir()
    verdict = json.loads((folder / "run.json").read_text())["status"]
    assert ran.returncode == {"PASS": 0, "FAIL": 1, "INVALID": 3}[verdict]
    assert "Nothing lost" in ran.stdout
    driven = read(folder, Brief.read(folder / "brief.json"), ran.returncode, ran.stdout)
    assert len(driven.rows) == 180
    _agree(driven, origin)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ((), "There is no host to load; give one with --host"),
        (("--host", "http://127.0.0.1:9", "--rate", "many"), "--rate many is no number above 0"),
        (("--host", "http://127.0.0.1:9", "--duration", "5y"), "--duration 5y is not a duration"),
        (("--host", "http://127.0.0.1:9", "--inventory", "no.yaml"), "no.yaml is not there"),
    ],
)
def test_what_is_wrong_with_the_command_line_is_said_in_a_sentence(
    tmp_path: Path, options: tuple[str, ...], said: str
) -> None:
    ran = _by_hand(tmp_path, *options)
    assert said in ran.stdout
    assert "Traceback" not in ran.stdout
    assert ran.returncode == 2
    assert not (tmp_path / ".rondo").exists()


def test_a_distributed_run_that_is_interrupted_loses_no_request_either(tmp_path: Path) -> None:
    enough = threading.Event()

    def answer(_: Seen) -> Reply:
        if len(origin.seen) > 60:
            enough.set()
        return Reply(pause=0.3)

    with serving(answer) as origin:
        brief = brief_of(origin.url, rate=40, duration=600, scenario=PLAIN)
        child = start(tmp_path / "run", brief, "--headless", "--processes", "2")
        assert enough.wait(60)
        child.send_signal(signal.SIGINT)
        driven = finished(tmp_path / "run", brief, child)
    _agree(driven, origin)
    assert [report["lost"] for report in driven.reports] == [False, False]


OWN = """
import locust

class Mine(locust.FastHttpUser):
    wait_time = locust.constant(0.2)

    @locust.task
    def look(self):
        self.client.get("/mine")
"""


def test_users_of_a_locustfile_beside_ours_come_on_top(tmp_path: Path) -> None:
    own = tmp_path / "mine.py"
    own.write_text(OWN)
    with serving() as origin:
        brief = brief_of(origin.url, rate=50, duration=3, scenario=PLAIN)
        options = ("-f", f"{LOCUST[4]},{own}", "--host", origin.url, "--users", "3")
        driven = drive(tmp_path / "run", brief, *options)
    mine = [seen for seen in origin.seen if seen.path == "/mine"]
    assert len(mine) > 10
    assert "x-rondo-run" not in mine[0].headers
    assert len(driven.rows) == 150
    assert len(set(driven.rows["user"])) == brief.users


def test_a_host_without_an_address_is_said_in_a_sentence(tmp_path: Path) -> None:
    child = start(tmp_path / "run", brief_of("https://nowhere.invalid"), "--headless")
    said, _ = child.communicate(timeout=PATIENCE)
    assert "nowhere.invalid has no address that this machine knows" in said
    assert "Traceback" not in said
    assert child.returncode == 2
