"""Requests a second through the site's Nginx with TLS, against the article's setup.

    .venv/bin/python benchmarks/requests.py [--rounds 5] [--seconds 6] [--keep]

Both run on one server of a lab of this benchmark's own, with the very same images, and take turns:

* the article: backends with ports published on loopback (Docker's userland proxy), uWSGI with 8
  processes of 4 threads, an upstream without a zone, the frontend's Nginx behind the server's, both
  speaking TCP, gzip on the fly, the usual access log, a certificate with an RSA key of 2048 bits;
* Rondo: what `fab deploy` makes of the example's inventory and the templates.

wrk sends over kept-alive TLS connections from this machine, so it shares the processors with the
server: the last column, processor time of the server for each request, leaves wrk out.
Ratios are medians over rounds in which both were measured. Exits 1 if a target is missed.
"""

from __future__ import annotations

import argparse
import http.client
import json
import random
import re
import shlex
import shutil
import socket
import ssl
import subprocess
import sys
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from _common import (
    HOST,
    ROOT,
    Sample,
    common_options,
    interleaved,
    machine,
    note,
    project,
    ratio,
    run,
    verdict,
    wait_until_quiet,
)

from rondo import source
from rondo.deploy import templates_of
from rondo.docker import Instance, run_options
from rondo.gather import gather

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from rondo.release import Container, Release

ARTICLE = "/var/lib/article"
ARTICLE_PORT, PORT = 8443, 443
CONNECTIONS, THREADS = 48, 2
SMALL, SCRIPT, PAGE = "/assets/small-1f2e3d4c.css", "/assets/script-5b6a7988.js", "/small.txt"
HELLO = """
def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "5")])
    return [b"hello"]
"""
CHANGE = {
    "services": {
        "hello": {
            "kind": "uwsgi",
            "context": "examples/hello",
            "replicas": 3,
            "health": {"path": "/hello/"},
        }
    },
    "sites": {"shop": {"routes": {"/hello/": "hello"}}},
}
# What each of the article's ports leads to.
BACKENDS = {"backend": ("shop.wsgi:application", 8001), "hello": ("app:application", 8011)}
FRONTEND_PORT = 8080

CONTAINER_NGINX = """
user nginx;
worker_processes auto;
events { worker_connections 1024; }
http {
    include /etc/nginx/mime.types;
    default_type application/octet-stream;
    access_log /dev/null;
    sendfile on;
    keepalive_timeout 65;
    server {
        listen 80;
        root /srv/www;
        location / { try_files $uri $uri/ /index.html; }
    }
}
"""

SITE = """
upstream article_backend {{ server 127.0.0.1:8001; server 127.0.0.1:8002; server 127.0.0.1:8003; }}
upstream article_hello {{ server 127.0.0.1:8011; server 127.0.0.1:8012; server 127.0.0.1:8013; }}
server {{
    listen {port} ssl;
    server_name {host};
    ssl_certificate {folder}/rsa.pem;
    ssl_certificate_key {folder}/rsa.key;
    access_log /var/log/nginx/article.access.log;
    gzip on;
    gzip_types text/css application/javascript application/json;
    location / {{
        proxy_pass http://127.0.0.1:{frontend};
        proxy_set_header Host $host;
        proxy_set_header X-Real-IP $remote_addr;
        proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
        proxy_set_header X-Forwarded-Proto $scheme;
    }}
    location /api/ {{
        include uwsgi_params;
        uwsgi_param HTTP_X_FORWARDED_PROTO $scheme;
        uwsgi_pass article_backend;
    }}
    location /hello/ {{ include uwsgi_params; uwsgi_pass article_hello; }}
}}
"""


@dataclass(frozen=True, slots=True)
class Case:
    """What is asked for, how, and how many times as fast it should be."""

    title: str
    path: str
    target: float | None = None
    headers: tuple[str, ...] = ()


# wrk takes a server's address from its name alone: let it, and nobody else, see a file of names.
NAMED = """unshare --map-root-user --mount sh -c 'mount --bind "$0" /etc/hosts && exec "$@"'"""
GZIP, CLOSE = "Accept-Encoding: gzip, deflate, br", "Connection: close"
CASES = {
    "django": Case("cheapest Django view", "/api/ping", 2.2),
    "hello": Case("trivial uWSGI application", "/hello/", 4),
    "small": Case("1 KB asset", SMALL, 5),
    "script": Case("200 KB script, as it is", SCRIPT, 3),
    "gzip": Case("200 KB script, gzip accepted", SCRIPT, None, (GZIP,)),
    "page": Case("1 KB file that is no asset", PAGE, None),
    "fresh": Case("Django view, new TLS each time", "/api/ping", None, (CLOSE,)),
}


def furnish(folder: Path) -> None:
    """Add the trivial application and the files to the example."""
    hello = folder / "examples/hello"
    hello.mkdir(parents=True)
    (hello / "app.py").write_text(HELLO)
    wanted = (ROOT / "examples/shop/backend/requirements.txt").read_text()
    pinned = re.search(r"^(?:py)?uwsgi==[\w.]+", wanted, re.MULTILINE | re.IGNORECASE)
    (hello / "requirements.txt").write_text(f"{pinned[0] if pinned else 'uwsgi'}\n")
    public = folder / "examples/shop/frontend/public"
    (public / "assets").mkdir()
    for path, size in ((SMALL, 1_000), (SCRIPT, 200_000), (PAGE, 1_000)):
        (public / path.lstrip("/")).write_text(prose(size))


def prose(size: int) -> str:
    """Write text that gzip makes about a third of, as it does of minified scripts."""
    dice = random.Random(size)  # noqa: S311 - no secret
    words = [f"{dice.randrange(16**5):x}" for _ in range(2_000)]
    text = "".join(f"{dice.choice(words)}({dice.choice(words)});" for _ in range(size // 10))
    return text[:size]


def article(release: Release, server: str) -> Iterator[str]:
    """Write the commands that set the article's site up on a server."""
    yield f"rm -rf {ARTICLE}; mkdir -p {ARTICLE}"
    yield (
        f"openssl req -x509 -newkey rsa:2048 -nodes -days 30 -subj /CN={HOST} "
        f"-keyout {ARTICLE}/rsa.key -out {ARTICLE}/rsa.pem 2>/dev/null"
    )
    site = SITE.format(port=ARTICLE_PORT, host=HOST, folder=ARTICLE, frontend=FRONTEND_PORT)
    yield f"cat >{ARTICLE}/nginx.conf <<'END'\n{CONTAINER_NGINX}\nEND"
    yield f"cat >/etc/nginx/conf.d/article.conf <<'END'\n{site}\nEND"
    yield "docker ps --all --quiet --filter label=article | xargs -r docker rm --force >/dev/null"
    for slot in release.servers[server].slots:
        yield f"docker run --detach --label=article {publish(slot.container, server)} >/dev/null"
    yield "nginx -t 2>/dev/null; nginx -s reload"


def publish(container: Container, server: str) -> str:
    """Give the arguments of docker run for one of the article's containers."""
    number = int(container.name.rsplit("-", 1)[1])
    if container.service in BACKENDS:
        module, first = BACKENDS[container.service]
        words = (
            "uwsgi --socket=0.0.0.0:8000 --chdir=/app --master --processes=8 --threads=4 --vacuum "
            f"--buffer-size=32768 --disable-logging --module={module}"
        )
        port, inner, more = first + number - 1, 8000, []
    else:
        words = f"nginx -c {ARTICLE}/nginx.conf -g 'daemon off;'"
        port, inner = FRONTEND_PORT, 80
        more = ["--user=0", f"--volume={ARTICLE}:{ARTICLE}:ro"]
    changed = replace(container, command=tuple(shlex.split(words)), traffic=False)
    ours = run_options("shop", changed, Instance("article", server, "article"))
    # Without the product's labels, so that it does not take them for its own.
    kept = [word for word in ours if not word.startswith("--label=")]
    return shlex.join([f"--publish=127.0.0.1:{port}:{inner}", *more, *kept])


class _ByName(http.client.HTTPConnection):
    """HTTPS to an address, asked by the site's name; whose certificate it is does not matter."""

    def connect(self) -> None:
        super().connect()
        trusting = ssl.create_default_context()
        trusting.check_hostname, trusting.verify_mode = False, ssl.CERT_NONE
        self.sock = trusting.wrap_socket(self.sock, server_hostname=HOST)


def ask(address: str, port: int, case: Case) -> bytes:
    """Ask once, as wrk will, and give the body."""
    connection = _ByName(address, port, timeout=20)
    headers = {"Host": HOST, **dict(each.split(": ", 1) for each in case.headers)}
    connection.request("GET", case.path, headers=headers)
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    if answer.status != http.HTTPStatus.OK:
        sys.exit(f"https://{address}:{port}{case.path} answered {answer.status}: {body[:500]!r}")
    return body


class _Engine(http.client.HTTPConnection):
    """HTTP to the Docker Engine of this machine."""

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(10)
        self.sock.connect("/var/run/docker.sock")


def processor_seconds(container: str) -> float:
    """Give the processor time that a server and all in it have used."""
    connection = _Engine("docker")
    connection.request("GET", f"/containers/{container}/stats?stream=false&one-shot=true")
    stats = json.loads(connection.getresponse().read())
    connection.close()
    return float(stats["cpu_stats"]["cpu_usage"]["total_usage"]) / 1e9


@dataclass(frozen=True, slots=True)
class Bench:
    """The server under load, and how long each window is."""

    address: str
    container: str
    folder: Path
    seconds: int

    def measure(self, port: int, case: Case, costs: list[float]) -> float:
        """Load one site; give its requests a second, note the server's time for each."""
        hosts = self.folder / "hosts"
        hosts.write_text(f"{self.address} {HOST}\n")
        words = (
            *shlex.split(NAMED),
            str(hosts),
            *("wrk", f"-c{CONNECTIONS}", f"-t{THREADS}", f"-d{self.seconds}s", "--timeout=10s"),
            *(word for each in case.headers for word in ("-H", each)),
            f"https://{HOST}:{port}{case.path}",
        )
        before = processor_seconds(self.container)
        said = run(words, self.folder).said
        used = processor_seconds(self.container) - before
        if "Non-2xx" in said or "Socket errors" in said:
            sys.exit(f"{case.title} on port {port} was not answered throughout:\n{said}")
        costs.append(used / float(re.findall(r"(\d+) requests in", said)[0]) * 1e6)
        return float(re.findall(r"Requests/sec:\s+([\d.]+)", said)[0])


def compare(bench: Bench, case: Case, rounds: int) -> bool:
    """Measure one case on both sites and print it."""
    bodies = {ask(bench.address, port, case) for port in (ARTICLE_PORT, PORT)}
    if len(bodies) != 1 and GZIP not in case.headers:
        sys.exit(f"{case.path}: the two sites do not answer the same")
    costs: dict[str, list[float]] = {"article": [], "rondo": []}

    def window(port: int, name: str) -> Callable[[int], float]:
        return lambda _: bench.measure(port, case, costs[name])

    cases = {"article": window(ARTICLE_PORT, "article"), "rondo": window(PORT, "rondo")}
    replace(bench, seconds=2).measure(ARTICLE_PORT, case, [])
    replace(bench, seconds=2).measure(PORT, case, [])
    found = interleaved(rounds, cases)
    ratios = ratio(found["rondo"], found["article"])
    cheaper = ratio(costs["article"], costs["rondo"])
    said = "" if case.target is None else verdict(ratios.median, case.target, at_most=False)
    print(
        f"{case.title:31} {ratios.show():18} {Sample(found['article']).median:7.0f} "
        f"{Sample(found['rondo']).median:7.0f}   {cheaper.median:5.2f} "
        f"({Sample(tuple(costs['article'])).median:.0f} / "
        f"{Sample(tuple(costs['rondo'])).median:.0f} us)   {said}",
        flush=True,
    )
    return case.target is None or ratios.median >= case.target


def main() -> None:
    """Deploy, set up the article's site beside it, load both in turns."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=6, choices=range(1, 31), metavar="1-30")
    parser.add_argument("--cases", default=",".join(CASES), help="default: %(default)s")
    common_options(parser)
    options = parser.parse_args()
    chosen = [CASES[name] for name in options.cases.split(",")]
    if not shutil.which("wrk"):
        subprocess.run((ROOT / "scripts/packages", "wrk"), check=True)
    with project(CHANGE, servers=1, keep=options.keep, add=furnish) as bench:
        note("deploying the example and a trivial application")
        server = bench.server()
        bench.fab("-H", server.name, "deploy")
        loaded = source.load(start=bench.folder)
        release = gather(loaded, templates_of(loaded.root)).release
        bench.on(server, "\n".join(article(release, server.name)))
        load = Bench(
            server.address, f"{bench.lab.name}-{server.name}", bench.folder, options.seconds
        )
        wait_until_quiet(options.quiet_load, 120)
        print(machine())
        print(f"{CONNECTIONS} kept-alive TLS connections, {options.rounds} x {options.seconds} s")
        print(f"{'':31} {'rondo / article':18} article   rondo   server's time for a request")
        reached = [compare(load, case, options.rounds) for case in chosen]
    sys.exit(0 if all(reached) else 1)


if __name__ == "__main__":
    main()
