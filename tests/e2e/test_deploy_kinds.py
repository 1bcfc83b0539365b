"""Services of every kind: HTTP on sockets and on TCP, workers; images built once."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
import yaml
from clients import Site, Watch, shares
from shop import Operator, until

from rondo import lab

if TYPE_CHECKING:
    from collections.abc import Iterator

    from shop import Declared

pytestmark = pytest.mark.e2e

NAME = "bits.example.com"
PROJECT = "bits"
DOCKERFILE = """\
FROM python:3.11-slim
COPY app.py /app.py
CMD ["python", "-u", "/app.py"]
"""
# Nothing but Python's own library, on whatever it is told to listen.
APP = """\
import http.server, os, signal, socketserver, sys, threading, time

class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self):
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        time.sleep(0.2 if "slow" in self.path else 0)
        body = os.environ.get("MARK", "-").encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("X-Slot", os.environ["RONDO_SLOT"])
        self.send_header("X-Proto", self.headers.get("X-Forwarded-Proto", "?"))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST = answer

    def log_message(self, *_):
        pass

class OnSocket(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = False
    request_queue_size = 128

    def get_request(self):
        return super().get_request()[0], ("unix", 0)

def make():
    if path := os.environ.get("RONDO_SOCKET"):
        if os.path.exists(path):
            os.unlink(path)
        return OnSocket(path, Handler)
    return http.server.ThreadingHTTPServer(("0.0.0.0", int(os.environ["RONDO_PORT"])), Handler)

if "--work" in sys.argv:
    signal.signal(signal.SIGTERM, lambda *_: (print("the work is laid down"), sys.exit()))
    print("the work begins:", os.environ.get("MARK", "-"), flush=True)
    while True:
        time.sleep(1)
if after := os.environ.get("DIES_AFTER"):
    threading.Timer(float(after), os._exit, [3]).start()
server = make()
signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown).start())
server.serve_forever(poll_interval=0.05)
server.server_close()
"""


def inventory(servers: Declared, certificate: lab.Certificate, folder: str) -> Declared:
    common = {"context": "app", "stop_grace": 5}
    web = {"kind": "http", "replicas": 3, "health": {"path": "/", "interval": "50ms"}}
    return {
        "project": PROJECT,
        "servers": servers,
        "services": {
            "web": {**common, **web},
            "old": {**common, **web, "listen": "tcp"},
            "job": {**common, "kind": "worker", "command": ["python", "-u", "/app.py", "--work"]},
        },
        "sites": {
            "bits": {
                "server_names": [NAME],
                "tls": {"certificate": str(certificate.chain), "key": str(certificate.key)},
                "routes": {"/": "web", "/old/": "old"},
            }
        },
        "settings": {"ssh": {"known_hosts": f"{folder}/known_hosts"}, "build": {"mode": "once"}},
    }


@pytest.fixture(scope="module")
def bits(deployed: Operator, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Operator]:
    """Give a second project, on the servers where the shop is."""
    folder = tmp_path_factory.mktemp("bits")
    for name in ("templates", "fabfile", "fabric.yaml"):
        (folder / name).symlink_to(deployed.folder / name)
    servers = {
        machine.name: {"address": machine.address, "key": str(deployed.lab.key)}
        for machine in deployed.machines
    }
    usual = inventory(servers, lab.certificate([NAME]), str(deployed.lab.folder))
    operator = Operator(folder, deployed.lab, usual)
    operator.edit("app/app.py", APP)
    operator.edit("app/Dockerfile", DOCKERFILE)
    operator.declare()
    operator.first.append(operator.fab("deploy"))
    yield operator
    for machine in operator.machines:
        machine.run(
            "docker ps --all --quiet --filter label=rondo.project=bits | xargs docker rm --force\n"
            "rm -rf /var/lib/rondo/bits /etc/nginx/conf.d/rondo-bits*\nsystemctl reload nginx\n"
            "docker network rm rondo-bits\n"
            "docker image ls --quiet --filter label=rondo.project=bits | sort -u |"
            " xargs docker image rm --force"
        )


@pytest.fixture(scope="module")
def bits_sites(bits: Operator) -> tuple[Site, ...]:
    return tuple(Site(each.address, bits.lab.authority, NAME) for each in bits.machines)


@pytest.fixture(scope="module", autouse=True)
def neighbour(bits: Operator) -> None:
    """Have both projects there."""


def test_an_image_built_once_is_the_same_everywhere(bits: Operator) -> None:
    first, second = (machine.images(PROJECT) for machine in bits.machines)
    assert len(first) == 3
    assert first == second
    said = bits.first[0].out
    assert re.search(r"web-1 .*build rondo/bits/web", said)
    assert not re.search(r"web-2 .*build rondo/bits", said)
    assert re.search(r"web-2 .*carry rondo/bits/web\S+ over from web-1", said)


def test_http_services_answer_on_sockets_and_on_tcp_in_turn(
    bits: Operator, bits_sites: tuple[Site, ...]
) -> None:
    for site in bits_sites:
        assert site.ask("/").headers["X-Proto"] == "https"
        assert shares(site, "/", "X-Slot", 30) == {"web-1": 10, "web-2": 10, "web-3": 10}
        assert shares(site, "/old/", "X-Slot", 30) == {"old-1": 10, "old-2": 10, "old-3": 10}


def test_tcp_is_on_loopback_from_the_first_port_on(bits: Operator) -> None:
    for machine in bits.machines:
        listening = {line.split()[3] for line in machine.run("ss -ltnH").splitlines()}
        ours = {address for address in listening if re.search(r":800\d$", address)}
        assert ours == {"127.0.0.1:8001", "127.0.0.1:8002", "127.0.0.1:8003"}


def test_two_projects_on_a_server_do_not_know_each_other(
    bits: Operator, bits_sites: tuple[Site, ...], sites: tuple[Site, ...]
) -> None:
    for site in sites:
        assert site.ask("/health").json["status"] == "ok"
    assert "nothing to do" in bits.fab("deploy").out
    assert "shop" not in bits.fab("history").out


SOCKETS = (("GET", "/"), ("POST", "/?slow"))
TCP = (("GET", "/old/"), ("POST", "/old/?slow"))


def test_every_kind_is_replaced_in_place_and_visitors_do_not_notice(
    bits: Operator, bits_sites: tuple[Site, ...]
) -> None:
    before = [machine.containers(PROJECT) for machine in bits.machines]
    change = {"environment": {"MARK": "second"}}
    bits.declare({"services": dict.fromkeys(("web", "old", "job"), change)})
    with Watch(bits_sites, SOCKETS + TCP) as visitors:
        bits.fab("deploy")
    assert visitors.wrong == []
    assert visitors.asked >= 20
    for machine, old, site in zip(bits.machines, before, bits_sites, strict=True):
        after = machine.containers(PROJECT)
        assert set(after) == set(old)
        assert not set(after.values()) & set(old.values())
        assert site.ask("/").body == site.ask("/old/").body == b"second"
        assert shares(site, "/old/", "X-Slot", 30) == {"old-1": 10, "old-2": 10, "old-3": 10}
    assert "nothing to do" in bits.fab("deploy").out


def test_a_tcp_slot_that_dies_soon_after_its_switch_leaves_the_rotation_and_all_goes_back(
    bits: Operator, bits_sites: tuple[Site, ...]
) -> None:
    specs = (
        "docker ps --filter label=rondo.project=bits --format '{{.Label \"rondo.spec\"}}' | sort"
    )
    before, declared = [machine.run(specs) for machine in bits.machines], bits.declared
    bits.declare(
        {
            "services": {"old": {"environment": {"DIES_AFTER": "4"}}},
            "settings": {"roll": {"min_healthy": "10s"}},
        }
    )
    # A POST that a dying container has already begun is nobody's to send again.
    with Watch(bits_sites, (("GET", "/old/"), *SOCKETS)) as visitors:
        done = bits.fab("deploy", code=1)
    bits.declared = declared
    bits.inventory.write_text(yaml.safe_dump(declared))
    assert visitors.wrong == []
    assert visitors.asked >= 20
    assert "the container ended by itself within 10s of the switch" in done.err
    assert "the slot stays out of the rotation, the others serve" in done.err
    assert "Everything that had moved is back (web-1 old-1" in done.err
    assert [machine.run(specs) for machine in bits.machines] == before
    for site in bits_sites:
        assert shares(site, "/old/", "X-Slot", 30) == {"old-1": 10, "old-2": 10, "old-3": 10}


def test_a_worker_is_ended_gently_before_the_new_one_starts(bits: Operator) -> None:
    machine = bits.machine("web-2")
    old = machine.containers(PROJECT)["job-1"]
    machine.run(f"nohup docker logs --follow {old} >/tmp/job.log 2>&1 &")
    bits.declare({"services": {"job": {"environment": {"MARK": "third"}}}})
    bits.fab("-H", "web-2", "deploy")
    until(lambda: "laid down" in machine.run("cat /tmp/job.log"), "the old worker had its time")
    said = bits.fab("-H", "web-2", "logs", "job").out
    assert "the work begins: third" in said
    assert machine.run(f"docker ps --all --quiet --no-trunc --filter id={old}") == ""


def test_a_service_that_is_no_longer_declared_is_drained_and_gone(
    bits: Operator, bits_sites: tuple[Site, ...]
) -> None:
    bits.edit(
        "inventory.less.yaml",
        "extends: inventory.yaml\nservices: {old: null}\nsites: {bits: {routes: {/old/: null}}}\n",
    )
    with Watch(bits_sites, SOCKETS) as visitors:
        bits.fab("deploy", "--inventory", "less")
    assert visitors.wrong == []
    for machine in bits.machines:
        assert set(machine.containers(PROJECT)) == {"web-1", "web-2", "web-3", "job-1"}
        assert ":800" not in machine.run("ss -ltn")
        assert "old" not in machine.run("ls /var/lib/rondo/bits/sockets /var/lib/rondo/bits/slots")
    assert "nothing to do" in bits.fab("deploy", "--inventory", "less").out
