"""What takes longer than a restart: slow answers, big uploads, slow readers, WebSockets."""

from __future__ import annotations

import contextlib
import hashlib
import re
import socket
import ssl
import struct
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
from clients import Answer, Site
from shop import DATA, Machine, Operator, until

from rondo import lab

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from shop import Declared

pytestmark = pytest.mark.e2e

BACKENDS = ("backend-1", "backend-2", "backend-3")
SECONDS = 25
SIZE = 50_000_000
PIECE = 500_000
ALL_AT_ONCE = {"settings": {"roll": {"parallel": "100%", "servers_at_once": "100%"}}}

# The example has slow answers and uploads; a large answer that takes its time is made for this.
LARGE = '''

def large(request):
    """Answer 50 MB, within `seconds`."""
    pause = float(request.GET.get("seconds", "0")) / 100
    response = StreamingHttpResponse(piece for piece in (bytes([n]) * 500_000
        for n in range(100)) if not time.sleep(pause))
    response["Content-Length"] = "50000000"
    return response
'''
WHOLE = hashlib.sha256(b"".join(bytes([n]) * PIECE for n in range(100))).hexdigest()


@dataclass(frozen=True)
class Told:
    """What a client was told in the end, and when."""

    status: int
    text: str
    backend: str
    began: float
    ended: float


def timed(do: Callable[[], Answer]) -> Told:
    began = time.time()
    answer = do()
    digest = hashlib.sha256(answer.body).hexdigest()
    text = digest if len(answer.body) == SIZE else answer.body.decode()
    return Told(answer.status, text, answer.headers["X-Shop-Backend"] or "", began, time.time())


def slow(site: Site) -> Told:
    """Post something that takes its time."""
    return timed(lambda: site.ask(f"/api/slow/?seconds={SECONDS}", "POST"))


def paced(seconds: float) -> Iterator[bytes]:
    """Give 50 MB, as a slow line would."""
    for number in range(100):
        yield bytes([number]) * PIECE
        time.sleep(seconds / 100)


def upload(site: Site) -> Told:
    """Send 50 MB slowly."""

    def do() -> Answer:
        with site.connection() as connection:
            length = {"Content-Length": str(SIZE)}
            body = paced(SECONDS)
            connection.request("POST", "/api/upload/", body, length, encode_chunked=False)
            answer = connection.getresponse()
            return Answer(answer.status, answer.headers, answer.read())

    return timed(do)


def read(site: Site, seconds: float) -> Told:
    """Take 50 MB, which the application gives within some seconds and we read within as many."""

    def do() -> Answer:
        with site.connection() as connection:
            connection.request("GET", f"/api/large/?seconds={seconds}")
            answer = connection.getresponse()
            pieces = []
            while piece := answer.read(PIECE):
                pieces.append(piece)
                time.sleep(SECONDS / 100)
            return Answer(answer.status, answer.headers, b"".join(pieces))

    return timed(do)


def busy(machine: Machine) -> set[str]:
    """Give the slots of a server in which a request is being worked on."""
    look = f"for s in {' '.join(BACKENDS)}; do p=$(readlink -f {DATA}/sockets/$s/slot.sock); "
    said = machine.run(f'{look} echo "$s $(ss -xH state connected src $p | wc -l)"; done')
    return {line.split()[0] for line in said.splitlines() if line.split()[1] != "0"}


def switches(shop: Operator) -> dict[tuple[str, str], float]:
    """Give the time at which each slot was switched in the last run."""
    found = {}
    for event in shop.events():
        if match := re.fullmatch(r"switched shop-(backend-\d)-\w+", event["text"]):
            found[event["server"], match[1]] = event["at"]
    return found


@pytest.fixture
def patient(shop: Operator) -> Operator:
    """Give a shop that has large answers, whose slots all move at the same time."""
    drills, urls = (f"examples/shop/backend/shop/{name}.py" for name in ("drills", "urls"))
    shop.edit(drills, (shop.folder / drills).read_text() + LARGE)
    shop.replace(drills, "JsonResponse\n", "JsonResponse, StreamingHttpResponse\n")
    route = '    path("api/slow/", drills.slow),\n'
    shop.replace(urls, route, f'{route}    path("api/large/", drills.large),\n')
    # A drain that gives up finds no mercy in the time that uWSGI has to end.
    impatient = {"stop_grace": 2, "threads": 4}
    shop.declare({**ALL_AT_ONCE, "services": {"backend": impatient}})
    shop.fab("deploy")
    return shop


def test_slow_requests_uploads_and_readers_outlast_a_restart(
    patient: Operator, sites: tuple[Site, ...]
) -> None:
    before = [machine.containers() for machine in patient.machines]
    with ThreadPoolExecutor(32) as pool:
        # One for each backend of each server, as requests go round; then what only Nginx may hold.
        posts = [pool.submit(slow, site) for site in sites for _ in BACKENDS]
        until(lambda: all(busy(each) == {*BACKENDS} for each in patient.machines), "all are busy")
        uploads = [pool.submit(upload, site) for site in sites]
        readers = [pool.submit(read, site, pace) for site in sites for pace in (0, SECONDS - 5)]
        patient.fab("restart", "backend")
        answers = [[each.result() for each in kind] for kind in (posts, uploads, readers)]
    switched = switches(patient)
    assert len(switched) == 6, "every slot of both servers was moved"
    for machine, old in zip(patient.machines, before, strict=True):
        assert not {old[slot] for slot in BACKENDS} & {*machine.containers().values()}
    assert {each.status for kind in answers for each in kind} == {200}
    slowly, uploaded, fetched = answers
    assert {each.text for each in slowly} == {f'{{"slept": {SECONDS:.1f}}}'}
    assert sorted(each.backend for each in slowly) == sorted(BACKENDS * 2)
    assert {each.text for each in uploaded} == {f'{{"bytes": {SIZE}, "sha256": "{WHOLE}"}}'}
    assert {each.text for each in fetched} == {WHOLE}
    first, last = min(switched.values()), max(switched.values())
    for each in (*slowly, *uploaded, *fetched):
        assert each.began < first, "it was there before anything moved"
        assert each.ended > last, "and still there when everything had"


def test_requests_that_no_worker_has_taken_yet_are_waited_for(
    shop: Operator, sites: tuple[Site, ...]
) -> None:
    machine, site = shop.machines[0], sites[0]
    old = machine.containers()["backend-1"]
    link = f"readlink {DATA}/sockets/backend-1/slot.sock"
    paused = contextlib.ExitStack()
    with ThreadPoolExecutor(12) as pool, paused:
        machine.run(f"docker pause {old}")
        # However it ends: a paused container could not be stopped.
        paused.callback(machine.run, f"docker unpause {old}")
        posts = [pool.submit(site.ask, "/api/slow/?seconds=0", "POST") for _ in range(12)]
        until(lambda: sum(each.done() for each in posts) == 8, "the other two have answered")
        before = machine.run(link)
        restart = pool.submit(shop.fab, "-H", "web-1", "restart", "backend")
        until(lambda: machine.run(link) != before, "the slot was switched", 120)
        time.sleep(2)  # as long as a worker may be busy with something else
        assert sum(each.done() for each in posts) == 8
        paused.close()
        restart.result()
        assert {each.result().status for each in posts} == {200}
    assert machine.containers()["backend-1"] != old


NAME = "talk.example.com"
PROJECT = "talk"
DOCKERFILE = """\
FROM python:3.11-slim
COPY app.py /app.py
CMD ["python", "-u", "/app.py"]
"""
# It answers a WebSocket and leaves it open; told to end, it says goodbye by a close frame.
APP = r"""
import base64, hashlib, http.server, os, signal, socketserver, threading

SALUTE = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
there, ended = set(), threading.Event()

class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        key = self.headers.get("Sec-WebSocket-Key")
        if not key:
            self.send_response(200)
            self.send_header("Content-Length", "0")
            return self.end_headers()
        self.send_response(101)
        self.send_header("Upgrade", "websocket")
        self.send_header("Connection", "Upgrade")
        accept = base64.b64encode(hashlib.sha1((key + SALUTE).encode()).digest())
        self.send_header("Sec-WebSocket-Accept", accept.decode())
        self.end_headers()
        self.close_connection = True
        there.add(self.connection)
        while self.rfile.read(1):
            pass
        there.discard(self.connection)

    def log_message(self, *_):
        pass

class OnSocket(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True
    request_queue_size = 128

    def get_request(self):
        return super().get_request()[0], ("unix", 0)

def say_goodbye(*_):
    for each in list(there):
        each.sendall(b"\x88\x02\x03\xe9")
    ended.set()

if path := os.environ.get("RONDO_SOCKET"):
    server = OnSocket(path, Handler)
else:
    server = http.server.ThreadingHTTPServer(("0.0.0.0", int(os.environ["RONDO_PORT"])), Handler)
signal.signal(signal.SIGTERM, say_goodbye)
threading.Thread(target=server.serve_forever, daemon=True).start()
ended.wait()
"""
GOODBYE = b"\x88\x02" + struct.pack(">H", 1001)


def talking(server: Machine, key: str, certificate: lab.Certificate, folder: str) -> Declared:
    chat = {"kind": "http", "context": "app", "replicas": 2, "drain": "2s", "stop_grace": 5}
    chat["health"] = {"path": "/", "interval": "50ms"}
    return {
        "project": PROJECT,
        "servers": {server.name: {"address": server.address, "key": key}},
        "services": {"chat": chat, "phone": {**chat, "listen": "tcp"}},
        "sites": {
            "talk": {
                "server_names": [NAME],
                "tls": {"certificate": str(certificate.chain), "key": str(certificate.key)},
                "routes": {"/": "chat", "/phone/": "phone"},
            }
        },
        "settings": {"ssh": {"known_hosts": f"{folder}/known_hosts"}},
    }


@pytest.fixture
def talk(deployed: Operator, tmp_path: Path) -> Iterator[Operator]:
    """Give a project whose visitors stay, on one of the shop's servers."""
    for name in ("templates", "fabfile", "fabric.yaml"):
        (tmp_path / name).symlink_to(deployed.folder / name)
    server = deployed.machines[1]
    folder, key = deployed.lab.folder, str(deployed.lab.key)
    usual = talking(server, key, lab.certificate([NAME]), str(folder))
    operator = Operator(tmp_path, deployed.lab, usual)
    operator.edit("app/app.py", APP)
    operator.edit("app/Dockerfile", DOCKERFILE)
    operator.declare()
    operator.fab("deploy")
    yield operator
    server.run(
        f"docker ps --all --quiet --filter label=rondo.project={PROJECT} |"
        " xargs docker rm --force\n"
        f"rm -rf /var/lib/rondo/{PROJECT} /etc/nginx/conf.d/rondo-{PROJECT}*\n"
        f"systemctl reload nginx\ndocker network rm rondo-{PROJECT}\n"
        f"docker image ls --quiet --filter label=rondo.project={PROJECT} | sort -u |"
        " xargs docker image rm --force"
    )


class Visitor:
    """Somebody with a WebSocket open."""

    def __init__(self, site: Site, path: str) -> None:
        context = ssl.create_default_context(cafile=str(site.authority))
        plain = socket.create_connection((site.address, 443), 30)
        self._socket = context.wrap_socket(plain, server_hostname=site.host)
        self._socket.sendall(
            f"GET {path} HTTP/1.1\r\nHost: {site.host}\r\nUpgrade: websocket\r\n"
            "Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
            "Sec-WebSocket-Version: 13\r\n\r\n".encode()
        )
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += self._socket.recv(1)
        assert head.startswith(b"HTTP/1.1 101 "), head

    def rest(self) -> bytes:
        """Listen to the end."""
        heard = b""
        with contextlib.closing(self._socket), contextlib.suppress(ConnectionError):
            while piece := self._socket.recv(100):
                heard += piece
        return heard


def told_open(said: str) -> dict[str, int]:
    """Give what the output tells of each slot's connections at the deadline of its drain."""
    told = r"drain deadline of 2s passed with (\d+) connections of ([\w-]+) open: they are cut"
    return {slot: int(number) for number, slot in re.findall(told, said)}


def test_websockets_have_the_drain_then_a_close_frame_and_are_counted(talk: Operator) -> None:
    server = talk.machines[1]
    site = Site(server.address, talk.lab.authority, NAME)
    for path, service in (("/", "chat"), ("/phone/", "phone")):
        visitors = [Visitor(site, path) for _ in range(4)]
        done = talk.fab("restart", service)
        assert told_open(done.said) == {f"{service}-1": 2, f"{service}-2": 2}
        assert [each.rest() for each in visitors] == [GOODBYE] * 4, "they heard why"
        assert site.ask(path).status == 200
    quiet = talk.fab("restart")
    assert told_open(quiet.said) == {}
    assert "drain deadline" not in quiet.said
