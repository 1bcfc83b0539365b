"""What the templates promise, asked of a real Nginx and real containers."""

from __future__ import annotations

import base64
import contextlib
import gzip
import json
import os
import re
import socket
import ssl
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from front import HOST, TEMPLATES, Front, docker, published_images, until
from hypothesis import HealthCheck, given, settings

from rondo import lint, render, trial
from rondo.inventory import Inventory

sys.path.append(str(Path(__file__).parents[1] / "unit"))
import inventories

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.e2e

SLOTS = ("backend-1", "backend-2", "backend-3")


@pytest.fixture(scope="module")
def front(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Front]:
    made = Front(tmp_path_factory.mktemp("front"))
    made.data.mkdir()
    (made.data / "seen").touch()
    (made.data / "seen").chmod(0o666)
    with published_images(), contextlib.closing(made):
        made.close_containers()
        with ThreadPoolExecutor() as pool:
            list(pool.map(made.build, made.inventory.services))
        made.start_nginx()
        for slot in ("frontend-1", *SLOTS):
            made.fill(slot)
        made.start_live()
        yield made


def test_a_line_of_the_log_says_which_slot_answered_and_when(front: Front) -> None:
    before = time.time()
    assert front.ask("/api/line?token=secret").status == 200
    line = front.logged("/api/line")
    assert before - 1 < line["time"] < time.time() + 1
    assert re.search(r"/sockets/backend-[123]/slot\.sock$", line["backend"])
    assert line["backend_status"] == line["status"] == "200"
    assert float(line["backend_seconds"]) <= line["seconds"] + 0.002
    assert line["release"] == "r1"
    assert (line["method"], line["host"], line["run"]) == ("GET", HOST, "")
    assert re.fullmatch(r"[0-9a-f]{32}", line["id"])


def test_whatever_a_client_sends_the_log_stays_json(front: Front) -> None:
    strange = '/api/%22%0a%ff\\"x'
    assert front.ask("/api/quoted%22%5c?x=1").status == 200
    with front.connect() as stream:
        stream.sendall(
            f"GET {strange} HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n\r\n".encode()
        )
        while stream.recv(4096):
            pass
    assert front.logged(strange)
    assert front.logged("/api/quoted%22%5c")


def test_the_slots_are_asked_in_turn(front: Front) -> None:
    answered = [front.ask("/api/turn").json["slot"] for _ in range(30)]
    assert {slot: answered.count(slot) for slot in SLOTS} == dict.fromkeys(SLOTS, 10)


def test_the_application_learns_of_the_client_from_nginx_alone(front: Front) -> None:
    lies = {
        "X-Forwarded-For": "6.6.6.6",
        "X-Forwarded-Proto": "http",
        "X-Forwarded-Host": "evil.example",
        "X-Forwarded-Port": "1",
        "X-Real-IP": "6.6.6.6",
        "X-Request-ID": "mine",
        "Forwarded": "for=6.6.6.6",
        "Proxy": "http://evil.example",
    }
    told = front.ask("/api/told?a=b%20c", headers=lies).json["environ"]
    assert told["HTTP_X_FORWARDED_FOR"] == told["HTTP_X_REAL_IP"] == told["REMOTE_ADDR"]
    assert told["REMOTE_ADDR"] not in {"6.6.6.6", ""}
    assert (told["HTTP_X_FORWARDED_PROTO"], told["HTTPS"]) == ("https", "on")
    assert told["HTTP_X_FORWARDED_HOST"] == told["HTTP_HOST"] == HOST
    assert told["PATH_INFO"] == "/api/told"
    assert told["QUERY_STRING"] == "a=b%20c"
    assert len(told["HTTP_X_REQUEST_ID"]) == 32
    assert not {"HTTP_FORWARDED", "HTTP_PROXY"} & told.keys()
    headers = front.ask("/live/told", headers=lies).json["headers"]
    assert headers["X-Forwarded-For"] == told["REMOTE_ADDR"]
    assert headers["X-Forwarded-Proto"] == "https"
    assert not {"Forwarded", "Proxy"} & headers.keys()


def test_the_port_of_the_host_is_kept(front: Front) -> None:
    told = front.ask("/api/port", headers={"Host": f"{HOST}:8443"}).json["environ"]
    assert told["HTTP_HOST"] == f"{HOST}:8443"


@pytest.mark.parametrize(
    "path", ["/", "/assets/index-AbC123.js", "/assets/none.js", "/api/x", "/live/"]
)
def test_every_answer_has_the_security_headers_once(front: Front, path: str) -> None:
    headers = front.ask(path).every
    once = [name for name, _ in headers]
    for name, value in (
        ("strict-transport-security", "max-age=31536000"),
        ("x-content-type-options", "nosniff"),
        ("x-frame-options", "SAMEORIGIN"),
        ("referrer-policy", "strict-origin-when-cross-origin"),
        ("permissions-policy", 'camera=(self "https://a.example.com"); x=1'),
    ):
        assert dict(headers)[name] == value
        assert once.count(name) == 1
    assert dict(headers)["server"] == "nginx"
    assert not [name for name in once if name.startswith("x-rondo")]


def test_what_the_application_says_of_frames_wins(front: Front) -> None:
    every = front.ask("/api/own?own=1").every
    assert [value for name, value in every if name == "x-frame-options"] == ["DENY"]


def test_errors_have_the_security_headers_too(front: Front) -> None:
    answer = front.ask("/api/error?status=500%20Oops")
    assert answer.status == 500
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_plain_http_is_sent_to_tls_with_path_and_method(front: Front) -> None:
    answer = front.ask("/api/order?x=1", "POST", body=b"a=b", port=80)
    assert answer.status == 308
    assert answer.headers["location"] == f"https://{HOST}/api/order?x=1"


def test_the_place_of_acme_challenges_is_answered_on_both_ports(front: Front) -> None:
    (front.data / "acme/.well-known/acme-challenge/token").write_text("proof")
    for port in (80, 443):
        answer = front.ask("/.well-known/acme-challenge/token", port=port)
        assert (answer.status, answer.body) == (200, b"proof")
        assert front.ask("/.well-known/acme-challenge/none", port=port).status == 404


@pytest.mark.parametrize("port", [80, 443])
def test_a_name_that_is_nobodys_is_not_the_first_sites(front: Front, port: int) -> None:
    assert front.ask("/", host="other.example.com", port=port).status == 421


def test_tls_offers_http2_and_nothing_old(front: Front) -> None:
    with front.connect(HOST, 443, "h2", "http/1.1") as stream:
        assert isinstance(stream, ssl.SSLSocket)
        assert (stream.selected_alpn_protocol(), stream.version()) == ("h2", "TLSv1.3")
    old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    old.check_hostname = False
    old.verify_mode = ssl.CERT_NONE
    old.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        old.minimum_version = old.maximum_version = ssl.TLSVersion.TLSv1_1
    raw = socket.create_connection(("127.0.0.1", front.ports[443]), timeout=10)
    with raw, pytest.raises(ssl.SSLError):
        old.wrap_socket(raw, server_hostname=HOST)


def test_an_unknown_path_is_the_single_pages(front: Front) -> None:
    answer = front.ask("/cart/step-2")
    assert answer.status == 200
    assert answer.body.startswith(b"<!doctype html>")
    assert answer.headers["cache-control"] == "no-cache"
    again = front.ask("/", headers={"If-None-Match": answer.headers["etag"]})
    assert again.status == 304


def test_a_missing_asset_is_not_found_and_never_the_page(front: Front) -> None:
    answer = front.ask("/assets/old-123.js")
    assert answer.status == 404
    assert "immutable" not in answer.headers.get("cache-control", "")
    assert b"doctype html>" + b"<title>Shop" not in answer.body


def test_a_page_and_an_asset_come_compressed_to_who_can_read_that(front: Front) -> None:
    for path in ("/", "/assets/index-AbC123.js"):
        plain, packed = front.ask(path), front.ask(path, headers={"Accept-Encoding": "br, gzip"})
        assert packed.headers["content-encoding"] == "gzip"
        assert gzip.decompress(packed.body) == plain.body
        assert "content-encoding" not in plain.headers
        assert {plain.headers["vary"], packed.headers["vary"]} == {"Accept-Encoding"}


def test_a_frontend_below_a_path_sees_its_own_root(front: Front) -> None:
    assert front.ask("/help").headers["location"] == f"https://{HOST}/help/"
    assert front.ask("/help/").body == front.ask("/").body
    assert front.ask("/help/assets/index-AbC123.js").body.startswith(b"console.log")
    assert front.ask("/help/assets/none.js").status == 404


def test_the_final_slash_is_added_without_losing_the_request(front: Front) -> None:
    answer = front.ask("/api?x=1", "POST", body=b"x")
    assert (answer.status, answer.headers["location"]) == (308, f"https://{HOST}/api/?x=1")


def test_an_asset_is_fetched_once_and_outlives_its_release(front: Front) -> None:
    path = "/assets/logo-AbC123.png"
    first, second = front.ask(path), front.ask(path)
    assert first.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert second.body == first.body
    until(lambda: [x["cache"] for x in front.log() if x["path"] == path] == ["MISS", "HIT"])
    docker("exec", "--user", "0", front.name("frontend-1-one"), "rm", "-r", "/srv/www/assets")
    assert front.ask(path).body == first.body


def test_compressible_answers_are_compressed_and_others_left(front: Front) -> None:
    answer = front.ask("/api/zip?pad=" + "x" * 3000, headers={"Accept-Encoding": "gzip"})
    assert answer.headers["content-encoding"] == "gzip"
    assert json.loads(gzip.decompress(answer.body))["slot"] in SLOTS


def test_a_websocket_goes_through_and_other_upgrades_do_not(front: Front) -> None:
    with front.connect() as stream:
        key = base64.b64encode(os.urandom(16)).decode()
        stream.sendall(
            f"GET /live/chat HTTP/1.1\r\nHost: {HOST}\r\nUpgrade: websocket\r\n"
            f"Connection: Upgrade\r\nSec-WebSocket-Key: {key}\r\n"
            "Sec-WebSocket-Version: 13\r\n\r\n".encode()
        )
        assert b" 101 " in stream.recv(4096)
        stream.sendall(b"\x81\x85\x00\x00\x00\x00hello")
        assert stream.recv(100) == b"\x81\x05HELLO"
    headers = {"Upgrade": "h2c", "Connection": "Upgrade, HTTP2-Settings", "HTTP2-Settings": "AA"}
    assert "Upgrade" not in front.ask("/live/x", headers=headers).json["headers"]


def test_who_knows_the_secret_of_a_run_sees_the_slot_as_long_as_it_lasts(front: Front) -> None:
    secret = "0123456789abcdef" * 2
    known = {"X-Rondo-Proof": secret, "X-Rondo-Run": "run-7", "X-Request-ID": "request-1"}
    assert "x-rondo-backend" not in front.ask("/api/early", headers=known).headers
    folder = front.data / "proof"
    folder.mkdir(mode=0o711)
    (folder / secret).touch(mode=0o600)
    seen = front.ask("/api/proved", headers=known).headers["x-rondo-backend"]
    assert re.fullmatch(r"web-1;unix:/\S+/backend-[123]/slot\.sock;r1", seen)
    assert {key: front.logged("/api/proved")[key] for key in ("run", "id")} == {
        "run": "run-7",
        "id": "request-1",
    }
    (folder / secret).unlink()
    assert "x-rondo-backend" not in front.ask("/api/late", headers=known).headers


@pytest.mark.parametrize(
    "guess", ["", "f" * 32, "known", "../tls/shop.pem", "/etc/passwd", "." * 32, "0" * 33]
)
def test_who_does_not_know_the_secret_is_told_nothing_and_writes_no_name(
    front: Front, guess: str
) -> None:
    (front.data / "proof").mkdir(mode=0o711, exist_ok=True)
    (front.data / "proof/known").touch()
    path = f"/api/guessed/{guess.encode().hex()}"
    forged = {"X-Rondo-Proof": guess, "X-Rondo-Run": "run-7", "X-Request-ID": "request-1"}
    assert "x-rondo-backend" not in front.ask(path, headers=forged).headers
    line = front.logged(path)
    assert line["run"] == ""
    assert re.fullmatch(r"[0-9a-f]{32}", line["id"])


def test_a_large_upload_arrives_and_a_larger_one_is_refused(front: Front) -> None:
    assert front.ask("/api/upload", "POST", body=b"x" * 25_000_000).json["body"] == 25_000_000
    with contextlib.suppress(OSError):  # Nginx answers before it has read all of it
        assert front.ask("/api/upload", "POST", body=b"x" * 32_000_000).status == 413


def test_containers_run_without_root_and_mend_what_windows_broke(front: Front) -> None:
    for name in ("frontend-1-one", "backend-1-one"):
        users = docker("top", front.name(name), "-o", "pid,uid").splitlines()[1:]
        assert {line.split()[1] for line in users} == {"10001"}
    assert docker("exec", front.name("backend-1-one"), "/app/tool.sh") == "mended"


UNCOMPILED = """
import email, http.server, importlib.util, json, logging.config, os, sys
files = [module.__file__ for module in list(sys.modules.values()) if hasattr(module, "__file__")]
sources = [file for file in files if file.endswith(".py")]
print(len(sources) > 50, [file for file in sources
    if not os.path.exists(importlib.util.cache_from_source(file))])
"""


def test_no_start_of_a_container_compiles_what_python_brings(front: Front) -> None:
    image = docker("inspect", "--format", "{{.Image}}", front.name("backend-1-one"))
    assert docker("run", "--rm", image, "python", "-c", UNCOMPILED) == "True []"


def test_processes_follow_the_cores_and_the_limit(front: Front) -> None:
    cores, three = os.cpu_count() or 1, 3
    count = "ls -d /proc/[0-9]* | while read -r p; do cat $p/comm; done | grep -c uwsgi"
    running = int(docker("exec", front.name("backend-1-one"), "sh", "-c", count))
    assert running == 1 + max(2, -(-cores // three))


def test_the_gate_asks_a_candidate_with_the_real_host_and_https(front: Front) -> None:
    front.link("backend-2", "candidate.sock", "one")
    status, body = front.gate("backend-2", "/api/gate?deep=1")
    told = json.loads(body)["environ"]
    assert status == 200
    assert (told["HTTP_HOST"], told["HTTPS"]) == (HOST, "on")
    assert (told["PATH_INFO"], told["QUERY_STRING"]) == ("/api/gate", "deep=1")
    assert told["REQUEST_URI"] == "/api/gate?deep=1"
    assert told["REMOTE_ADDR"] == "127.0.0.1"
    front.switch("backend-2")
    assert front.gate("backend-2", "/api/gate")[0] == 502
    assert front.gate("nothing-1", "/")[0] == 404


def test_a_post_passes_over_a_dead_slot_and_is_executed_once(front: Front) -> None:
    docker("kill", front.name("backend-3-one"))
    with ThreadPoolExecutor(8) as pool:
        answers = list(
            pool.map(lambda n: front.ask(f"/api/dead?mark=dead-{n}", "POST", body=b"x"), range(60))
        )
    assert {answer.status for answer in answers} == {200}
    marks = [mark for mark in front.seen() if mark.startswith("dead-")]
    assert sorted(marks) == sorted(f"dead-{n}" for n in range(60))
    docker("start", front.name("backend-3-one"))
    until(lambda: "backend-3" in {front.ask("/api/back").json["slot"] for _ in range(3)})


def test_a_crashed_container_starts_again_over_its_stale_socket(front: Front) -> None:
    for slot, path in (("backend-1", "/api/health"), ("frontend-1", "/")):
        name = front.name(f"{slot}-one")
        docker("kill", name)
        assert (front.data / "sockets" / slot / "one/app.sock").is_socket()
        docker("start", name)
        front.link(slot, "candidate.sock", "one")
        until(lambda slot=slot, path=path: front.gate(slot, path)[0] == 200)
        front.switch(slot)


def test_a_post_is_never_sent_to_a_second_backend_after_a_timeout(front: Front) -> None:
    for method in ("POST", "GET"):
        answer = front.ask(f"/api/late?sleep=4&mark=late-{method}", method)
        assert answer.status == 504
    until(lambda: len([mark for mark in front.seen() if mark.startswith("late-")]) == 2)
    time_out = [x for x in front.log() if x["path"] == "/api/late"]
    assert all(re.fullmatch(r"\S+slot\.sock", line["backend"]) for line in time_out)


def test_a_post_in_a_backend_that_dies_is_not_repeated(front: Front) -> None:
    front.fill("backend-1", "dies")
    answers = []

    def post(number: int) -> None:
        answers.append(front.ask(f"/api/dies?sleep=2&mark=dies-{number}", "POST").status)

    threads = [threading.Thread(target=post, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    until(lambda: len([mark for mark in front.seen() if mark.startswith("dies-")]) == 3)
    docker("kill", front.name("backend-1-dies"))
    for thread in threads:
        thread.join()
    assert sorted(answers) == [200, 200, 502]
    assert len([mark for mark in front.seen() if mark.startswith("dies-")]) == 3
    front.switch("backend-1")
    front.remove("backend-1-dies")


def test_requests_in_flight_are_answered_before_a_stopped_container_ends(front: Front) -> None:
    front.fill("backend-2", "stops")
    with ThreadPoolExecutor(3) as pool:
        flying = [
            pool.submit(front.ask, f"/api/flying?sleep=2&mark=fly-{n}", "POST") for n in range(3)
        ]
        until(lambda: len([mark for mark in front.seen() if mark.startswith("fly-")]) == 3)
        front.switch("backend-2")
        docker("stop", "--time", "15", front.name("backend-2-stops"))
        assert {each.result().status for each in flying} == {200}
    code = docker("inspect", "--format", "{{.State.ExitCode}}", front.name("backend-2-stops"))
    assert code == "0"
    front.remove("backend-2-stops")


def test_an_idle_container_stops_without_being_killed(front: Front) -> None:
    for slot in ("backend-1", "frontend-1"):
        front.start(slot, "idle")
        name = front.name(f"{slot}-idle")
        docker("stop", "--time", "15", name)
        assert docker("inspect", "--format", "{{.State.ExitCode}}", name) == "0"
        if slot == "backend-1":
            # Both workers call what the application registered, and look for no garbage.
            logged = subprocess.run(("docker", "logs", name), check=True, capture_output=True)
            words = (logged.stdout + logged.stderr).split()
            assert (words.count(b"flushed"), words.count(b"collected")) == (2, 0)
        front.remove(f"{slot}-idle")
        (front.data / "sockets" / slot / "candidate.sock").unlink()


def test_a_switch_under_load_loses_nothing(front: Front) -> None:
    for slot in SLOTS:
        front.start(slot, "new", "r2")
    stop, answers = threading.Event(), []

    def load() -> None:
        while not stop.is_set():
            answers.append(front.ask("/api/load", "POST", body=b"x").status)

    threads = [threading.Thread(target=load) for _ in range(4)]
    for thread in threads:
        thread.start()
    for slot in SLOTS:
        seen = len(answers)
        front.switch(slot, "new")
        until(lambda seen=seen: len(answers) > seen + 50)
        docker("stop", front.name(f"{slot}-one"))
    stop.set()
    for thread in threads:
        thread.join()
    assert set(answers) == {200}
    until(lambda: front.log()[-1]["release"] == "r2")


def test_nginx_has_nothing_to_say_about_the_configuration(front: Front) -> None:
    done = subprocess.run(
        ("docker", "exec", front.name("nginx"), "nginx", "-t"), capture_output=True, check=False
    )
    assert done.returncode == 0
    assert b"warn" not in done.stderr


@pytest.fixture(scope="module")
def nginx_image() -> Iterator[str]:
    with published_images():
        yield "nginx:stable"


@pytest.mark.parametrize("name", inventories.EXAMPLES)
def test_what_was_reviewed_is_what_nginx_and_the_linters_take(name: str, nginx_image: str) -> None:
    raw = inventories.EXAMPLES[name]
    # The published image is older than the newest Nginx that an inventory may name.
    raw = raw | {"settings": {"nginx": {"version": "1.22"}}}
    said: list[str] = []
    found = lint.lint(
        Inventory.model_validate(raw), TEMPLATES, Path(), said.append, nginx_image=nginx_image
    )
    assert found == []
    assert len(said) == 5


def test_nginx_takes_the_files_of_any_valid_inventory(nginx_image: str) -> None:
    drawn: list[Inventory] = []

    @given(inventory=inventories.inventories("1.22"))
    @settings(
        max_examples=40, deadline=None, database=None, suppress_health_check=list(HealthCheck)
    )
    def draw(inventory: Inventory) -> None:
        drawn.append(inventory)

    draw()
    tried = [
        replace(case, name=f"{number}-{case.name}")
        for number, inventory in enumerate(drawn)
        for case in trial.cases(inventory, render.render_all(inventory, TEMPLATES))
    ]
    assert len(tried) >= 60
    assert trial.try_cases(tried, nginx_image) == []


def test_any_nginx_that_is_here_will_do(nginx_image: str) -> None:
    found = trial.find_image("localhost:1/none:none")
    assert isinstance(found, str)
    assert "nginx" in docker("run", "--rm", "--entrypoint", "nginx", found, "-V", stderr=True)


def test_a_configuration_that_nginx_refuses_is_a_finding(nginx_image: str) -> None:
    inventory = Inventory.model_validate(inventories.ONE_NAME)
    files = render.render_all(inventory, TEMPLATES)
    path = "servers/web-1/rondo-shop.conf"
    broken = files | {path: files[path].replace(b"return 421;", b"retrun 421;")}
    found = trial.check(inventory, broken, nginx_image)
    assert [(each.file, each.message) for each in found] == [
        (path, 'emerg: unknown directive "retrun"')
    ]
    assert found[0].line == broken[path].decode().splitlines().index("    retrun 421;") + 1
