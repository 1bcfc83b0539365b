"""The templates at work: a server's Nginx and the containers of a small site, all of them real."""

from __future__ import annotations

import contextlib
import datetime
import http.client
import json
import shutil
import socket
import ssl
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from rondo import context, lab, render
from rondo.inventory import Inventory
from rondo.layout import Layout

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

TEMPLATES = Path(__file__).parents[2] / "templates"
PUBLISHED = ("nginx:stable", "node:24-slim", "python:3.11-slim")
HOST = "shop.example.com"

INVENTORY: dict[str, Any] = {
    "project": "front-test",
    "servers": {"web-1": {"address": "192.0.2.1"}},
    "services": {
        "frontend": {"kind": "static", "context": "frontend"},
        "backend": {
            "kind": "uwsgi",
            "context": "backend",
            "module": "app",
            "health": {"path": "/api/health?deep=1"},
            "stop_grace": 20,
        },
        "live": {"kind": "http", "context": "live", "listen": "tcp", "replicas": 1},
    },
    "sites": {
        "shop": {
            "server_names": [HOST, "www.shop.example.com"],
            "tls": {"certificate": "shop.pem", "key": "shop.key"},
            "routes": {"/": "frontend", "/api/": "backend", "/live/": "live", "/help/": "frontend"},
            "hsts": {"max_age": "365d"},
            "body_size": "30m",
            "headers": {"Permissions-Policy": 'camera=(self "https://a.example.com"); x=1'},
            "timeouts": {"read": 3},
        }
    },
}

BACKEND = """
import atexit, json, os, time, urllib.parse

class Cycle:
    def __init__(self):
        self.itself = self

    def __del__(self, write=os.write):
        write(2, b"collected\\n")

cycle = Cycle()
atexit.register(os.write, 2, b"flushed\\n")
SEEN = "/var/lib/rondo/front-test/seen"

def application(environ, start_response):
    query = dict(urllib.parse.parse_qsl(environ["QUERY_STRING"]))
    body = 0
    while chunk := environ["wsgi.input"].read(65536):
        body += len(chunk)
    if "mark" in query:
        with open(SEEN, "a") as file:
            file.write(query["mark"] + "\\n")
    time.sleep(float(query.get("sleep", 0)))
    told = {k: v for k, v in environ.items() if isinstance(v, str)}
    text = json.dumps({"slot": os.environ["RONDO_SLOT"], "body": body, "environ": told}).encode()
    headers = [("Content-Type", "application/json"), ("Content-Length", str(len(text)))]
    if "own" in query:
        headers.append(("X-Frame-Options", "DENY"))
    start_response(query.get("status", "200 OK"), headers)
    return [text]
"""

LIVE = """
import base64, hashlib, http.server, json, os, struct

class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        if self.headers.get("Upgrade") == "websocket":
            return self.chat()
        text = json.dumps({"path": self.path, "headers": dict(self.headers)}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def chat(self):
        secret = self.headers["Sec-WebSocket-Key"] + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
        self.send_response(101)
        self.send_header("Upgrade", "websocket")
        self.send_header("Connection", "Upgrade")
        accept = base64.b64encode(hashlib.sha1(secret.encode()).digest()).decode()
        self.send_header("Sec-WebSocket-Accept", accept)
        self.end_headers()
        head = self.rfile.read(2)
        mask, data = self.rfile.read(4), self.rfile.read(head[1] & 127)
        text = bytes(byte ^ mask[i % 4] for i, byte in enumerate(data)).upper()
        self.wfile.write(struct.pack("BB", 0x81, len(text)) + text)
        self.close_connection = True

where = ("127.0.0.1", int(os.environ["RONDO_PORT"]))
http.server.ThreadingHTTPServer(where, Handler).serve_forever()
"""

SOURCES = {
    "backend": {
        "app.py": BACKEND,
        "requirements.txt": "pyuwsgi\n",
        "tool.sh": "#!/bin/sh\r\necho mended\r\n",
    },
    "frontend": {
        "package.json": '{"name":"f","version":"1.0.0","scripts":{"build":"node build.mjs"}}',
        "package-lock.json": '{"name":"f","version":"1.0.0","lockfileVersion":3,"requires":true,'
        '"packages":{"":{"name":"f","version":"1.0.0"}}}',
        "build.mjs": "import fs from 'fs';\n"
        "fs.mkdirSync('dist/assets', {recursive: true});\n"
        "const page = '<!doctype html><title>Shop</title>' + ' '.repeat(2000);\n"
        "fs.writeFileSync('dist/index.html', page);\n"
        "fs.writeFileSync('dist/assets/index-AbC123.js', 'console.log(1);'.repeat(2000));\n"
        "fs.writeFileSync('dist/assets/logo-AbC123.png', Buffer.alloc(3000));\n",
    },
    "live": {
        "live.py": LIVE,
        "Dockerfile": 'FROM python:3.11-slim\nCOPY live.py /live.py\nCMD ["python", "/live.py"]\n',
    },
}


def docker(*arguments: str, stdin: bytes | None = None, stderr: bool = False) -> str:
    """Run docker; its output, or an error that shows what it said."""
    done = subprocess.run(("docker", *arguments), input=stdin, capture_output=True, check=False)
    if done.returncode:
        raise AssertionError(f"docker {' '.join(arguments)}:\n{done.stderr.decode()[-3000:]}")
    return (done.stderr if stderr else done.stdout).decode().strip()


def until(true: Callable[[], Any], seconds: float = 20) -> Any:  # noqa: ANN401
    """Wait for a condition; what it answered."""
    end = time.monotonic() + seconds
    while not (answer := true()):
        assert time.monotonic() < end, f"waited {seconds} s in vain"
        time.sleep(0.02)
    return answer


def substitute(name: str) -> str:
    """Return the lab's image that stands in for a published one, or nothing."""
    label, form = "--filter=label=rondo.lab", "{{.Repository}} {{.ID}}"
    wanted = "/" + name.partition(":")[0]
    listed = docker("images", label, "--format", form).splitlines()
    return next((x.split()[1] for x in listed if x.split()[0].endswith(wanted)), "")


@contextlib.contextmanager
def published_images() -> Iterator[None]:
    """Have the published images under their usual names, made by the lab if need be."""
    missing = [name for name in PUBLISHED if not docker("images", "--quiet", name)]
    if not all(map(substitute, missing)):
        lab.up(2, report=lambda _: None)
    for name in missing:
        docker("tag", substitute(name), name)
    try:
        yield
    finally:
        for name in missing:
            docker("rmi", name)


@dataclass(frozen=True)
class Answer:
    """What came back for a request."""

    status: int
    headers: Mapping[str, str]
    every: tuple[tuple[str, str], ...]
    body: bytes

    @property
    def json(self) -> Any:  # noqa: ANN401
        return json.loads(self.body)


@dataclass
class Front:
    """A server's Nginx in a container, and the slots behind it."""

    root: Path
    inventory: Inventory = field(default_factory=lambda: Inventory.model_validate(INVENTORY))
    ports: dict[int, int] = field(default_factory=dict)

    @property
    def layout(self) -> Layout:
        return Layout(self.inventory.project)

    @property
    def data(self) -> Path:
        return self.root / "data"

    def name(self, part: str) -> str:
        return f"rondo-front-test-{part}"

    def build(self, service: str) -> None:
        """Build a service's image as a deploy does: its context and our files beside it."""
        source = self.root / "src" / service
        for path, text in SOURCES[service].items():
            (source / path).parent.mkdir(parents=True, exist_ok=True)
            (source / path).write_bytes(text.encode())
            (source / path).chmod(0o755 if path.endswith(".sh") else 0o644)
        dockerfile = render.dockerfile_path(self.inventory.services[service])
        files = render.overlay(self.inventory, service, TEMPLATES)
        read = context.read(source, files, dockerfile=dockerfile)
        given = render.build_arguments(self.inventory, service)
        arguments = [f"--build-arg={key}={value}" for key, value in given.items()]
        stream = b"".join(context.tar(read))
        docker(
            "build",
            "--file",
            dockerfile,
            "--tag",
            self.name(service),
            *arguments,
            "-",
            stdin=stream,
        )

    def start_nginx(self) -> None:
        """Start the server's Nginx with the rendered files."""
        config = self.root / "conf.d"
        config.mkdir(exist_ok=True)
        self.data.chmod(0o755)
        (self.data / "tls").mkdir(exist_ok=True)
        (self.data / "acme/.well-known/acme-challenge").mkdir(parents=True, exist_ok=True)
        self._certificate()
        self.render()
        docker(
            *("run", "--detach", "--name", self.name("nginx")),
            *("--volume", f"{config}:/etc/nginx/conf.d"),
            *("--volume", f"{self.data}:{self.layout.root}"),
            *("--tmpfs", "/run/rondo", "--tmpfs", "/var/log/nginx"),
            *("--publish", "127.0.0.1::80", "--publish", "127.0.0.1::443"),
            *("nginx:stable", "nginx", "-g", "daemon off;"),
        )
        for port in (80, 443):
            self.ports[port] = int(docker("port", self.name("nginx"), f"{port}/tcp").split(":")[1])
        until(lambda: self.log_exists() or True)

    def render(self) -> None:
        for path, text in (
            (self.layout.site_file, render.site_config(self.inventory, "web-1", TEMPLATES)),
            (self.layout.gate_file, render.gate_config(self.inventory, "web-1", TEMPLATES)),
        ):
            (self.root / "conf.d" / Path(path).name).write_text(text)

    def log_exists(self) -> bool:
        return bool(self.inside("ls", "/var/log/nginx"))

    def inside(self, *command: str) -> str:
        return docker("exec", self.name("nginx"), *command)

    def _certificate(self) -> None:
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, HOST)])
        now = datetime.datetime.now(datetime.UTC)
        names = [x509.DNSName(HOST), x509.DNSName("www.shop.example.com")]
        certificate = (
            x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(hours=1))
            .not_valid_after(now + datetime.timedelta(days=2))
            .add_extension(x509.SubjectAlternativeName(names), critical=False)
            .sign(key, hashes.SHA256())
        )
        pem = serialization.Encoding.PEM
        (self.data / "tls/shop.pem").write_bytes(certificate.public_bytes(pem))
        (self.data / "tls/shop.key").write_bytes(
            key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        )

    def start(self, slot: str, instance: str = "one", release: str = "r1", *extra: str) -> None:
        """Start a container for a slot; it is a candidate until it is switched to."""
        service = slot.rsplit("-", 1)[0]
        folder = self.data / "sockets" / slot / instance
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o777)
        inner = self.layout.instance(slot, instance)
        docker(
            *("run", "--detach", "--name", self.name(f"{slot}-{instance}"), "--network", "none"),
            *("--volume", f"{folder}:{inner}", "--env", f"RONDO_SOCKET={inner}/app.sock"),
            *("--volume", f"{self.data}/seen:{self.layout.root}/seen"),
            *("--env", f"RONDO_SLOT={slot}", "--env", f"RONDO_RELEASE={release}"),
            *("--env", "RONDO_REPLICAS=3", *extra, self.name(service)),
        )
        self.link(slot, "candidate.sock", instance)
        path = self.inventory.services[service].health.path  # type: ignore[union-attr]
        until(lambda: self.gate(slot, path)[0] == 200)

    def link(self, slot: str, name: str, instance: str) -> None:
        folder = self.data / "sockets" / slot
        (folder / "next").unlink(missing_ok=True)
        (folder / "next").symlink_to(f"{instance}/app.sock")
        (folder / "next").replace(folder / name)

    def switch(self, slot: str, instance: str = "one") -> None:
        self.link(slot, "slot.sock", instance)
        (self.data / "sockets" / slot / "candidate.sock").unlink(missing_ok=True)

    def fill(self, slot: str, instance: str = "one", release: str = "r1") -> None:
        self.start(slot, instance, release)
        self.switch(slot, instance)

    def start_live(self) -> None:
        docker(
            *("run", "--detach", "--name", self.name("live-1-one")),
            *("--network", f"container:{self.name('nginx')}"),
            *("--env", "RONDO_PORT=8001", self.name("live")),
        )
        until(lambda: self.gate("live-1", "/live/")[0] == 200)

    def gate(self, slot: str, path: str) -> tuple[int, bytes]:
        """Ask a candidate for its health, as the slot's transaction does."""
        command = ("docker", "exec", self.name("nginx"), "curl", "--silent", "--max-time", "5")
        where = ("--unix-socket", self.layout.gate, "--header", f"Host: {HOST}")
        url = f"http://localhost/gate/{slot}{path}"
        form = ("--write-out", "\n%{http_code}")
        done = subprocess.run((*command, *where, *form, url), capture_output=True, check=False)
        body, _, status = done.stdout.rpartition(b"\n")
        return int(status or 0), body

    def connect(self, host: str = HOST, port: int = 443, *alpn: str) -> socket.socket:
        raw = socket.create_connection(("127.0.0.1", self.ports[port]), timeout=30)
        if port == 80:
            return raw
        tls = ssl.create_default_context(cafile=self.data / "tls/shop.pem")
        tls.check_hostname = host == HOST
        if alpn:
            tls.set_alpn_protocols(list(alpn))
        return tls.wrap_socket(raw, server_hostname=host)

    def ask(  # noqa: PLR0913, PLR0917 - a request has this many parts
        self,
        path: str,
        method: str = "GET",
        headers: Mapping[str, str] | None = None,
        body: Any = None,  # noqa: ANN401
        host: str = HOST,
        port: int = 443,
    ) -> Answer:
        """Send one request over a connection of its own."""
        connection = http.client.HTTPConnection(host)
        connection.sock = self.connect(host, port)
        try:
            connection.request(method, path, body, {"Host": host, **(headers or {})})
            answer = connection.getresponse()
            every = tuple((name.lower(), value) for name, value in answer.getheaders())
            return Answer(answer.status, dict(every), every, answer.read())
        finally:
            connection.close()

    def log(self) -> list[dict[str, Any]]:
        """Return every line of the access log."""
        text = self.inside("sh", "-c", f"cat {self.layout.access_log} 2>/dev/null || :")
        return [json.loads(line) for line in text.splitlines()]

    def logged(self, path: str) -> dict[str, Any]:
        """Return the line of a path, as soon as it is written."""
        return until(lambda: next((x for x in self.log() if x["path"] == path), None))

    def seen(self) -> list[str]:
        """Return the marks that applications wrote, one for each request executed."""
        return (self.data / "seen").read_text().split()

    def remove(self, *parts: str) -> None:
        for part in parts:
            subprocess.run(
                ("docker", "rm", "--force", "--volumes", self.name(part)),
                capture_output=True,
                check=False,
            )

    def close_containers(self) -> None:
        names = docker("ps", "--all", "--filter", f"name={self.name('')}", "--format", "{{.Names}}")
        for name in names.split():
            docker("rm", "--force", "--volumes", name)

    def close(self) -> None:
        self.close_containers()
        for service in SOURCES:
            subprocess.run(("docker", "rmi", self.name(service)), capture_output=True, check=False)
        shutil.rmtree(self.root, ignore_errors=True)
