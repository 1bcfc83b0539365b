"""What a backend that fails costs visitors, for some settings of Nginx's passive protection.

    .venv/bin/python benchmarks/protection.py [--rate 60] [--faults hung killed 500s refused]

Three backends on Unix sockets, behind an Nginx in a container with the file that Rondo renders, are
asked at a steady pace, a third of it POSTs. After a second one of them hangs (SIGSTOP), is
killed (SIGKILL), answers 500, or all of them are killed at once; then it is mended. Counted are
requests that were lost, those that took longer than a second, POSTs that were executed twice, and
how long after the mending the last loss was. The lab's image of Nginx is used: `inv lab.up` first.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import itertools
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from rondo import render
from rondo.inventory import Inventory

if TYPE_CHECKING:
    from collections.abc import Iterator

TEMPLATES = Path(__file__).parents[1] / "templates"
PORT = 18080
NAME = "rondo-bench-protection"
SLOTS = 3
BEFORE, FAULT, AFTER = 1.0, 6.0, 4.0
SLOW = 1.0
# Nginx's own defaults, Rondo's, and others around them: max_fails, fail_timeout, and which read
# timeout is waited for, in seconds.
SETTINGS = (
    (1, 10, 2),
    (1, 3, 2),
    (5, 3, 2),
    (1, 1, 2),
    (3, 1, 2),
    (5, 1, 2),
    (10, 1, 2),
    (0, 1, 2),
    (5, 1, 4),
)
FAULTS = ("hung", "killed", "500s", "refused")

BACKEND = """
import asyncio, os, signal, sys
path, log = sys.argv[1], open(sys.argv[2], "a", buffering=1)
state = {"status": "200 OK"}

async def serve(reader, writer):
    head = await reader.readuntil(b"\\r\\n\\r\\n")
    if head.startswith(b"POST"):
        log.write(head.split(b" ", 2)[1].decode() + "\\n")
    await asyncio.sleep(0.005)
    writer.write(f"HTTP/1.1 {state['status']}\\r\\nContent-Length: 2\\r\\n"
                 "Connection: close\\r\\n\\r\\nok".encode())
    await writer.drain()
    writer.close()

async def main():
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGUSR1, state.update, {"status": "500 Fault"})
    loop.add_signal_handler(signal.SIGUSR2, state.update, {"status": "200 OK"})
    server = await asyncio.start_unix_server(serve, path, backlog=128)
    os.chmod(path, 0o777)
    async with server:
        await server.serve_forever()

asyncio.run(main())
"""

NGINX = """
worker_processes 2;
pid {root}/nginx.pid;
error_log {root}/error.log;
daemon off;
events {{ worker_connections 1024; }}
http {{
    access_log off;
    client_body_temp_path {root}/body;
    proxy_temp_path {root}/proxy;
    fastcgi_temp_path {root}/fastcgi;
    uwsgi_temp_path {root}/uwsgi;
    scgi_temp_path {root}/scgi;
    include {root}/site.conf;
}}
"""


@dataclass
class Count:
    """What visitors saw."""

    asked: int = 0
    lost: Counter[str] = field(default_factory=Counter)
    slow: int = 0
    longest: float = 0.0
    last_loss: float = 0.0
    mended: float = 0.0
    lag: float = 0.0
    """How far this program fell behind its pace; a second spoils the figures."""


def site_file(read: float) -> str:
    """Render the file of a site with three backends, as for a server."""
    service = {"kind": "http", "context": ".", "replicas": SLOTS, "websocket": False}
    site = {
        "server_names": ["localhost"],
        "routes": {"/": "backend"},
        "timeouts": {"read": read, "connect": 1},
    }
    declared = {
        "project": "bench",
        "servers": {"one": {"address": "192.0.2.1"}},
        "services": {"backend": service},
        "sites": {"bench": site},
        "settings": {"nginx": {"ipv6": False}},
    }
    return render.site_config(Inventory.model_validate(declared), "one", TEMPLATES)


class Bench:
    """Nginx and its backends in a folder."""

    def __init__(self, root: Path, image: str) -> None:
        self.root, self.image = root, image
        self.backends: dict[int, subprocess.Popen[bytes]] = {}

    def socket(self, number: int) -> Path:
        """Return where a backend listens."""
        return self.root / f"backend-{number}.sock"

    def start(self, number: int) -> None:
        """Start a backend on its socket."""
        path = self.socket(number)
        path.unlink(missing_ok=True)
        words = (sys.executable, "-c", BACKEND, str(path), str(self.root / "posts"))
        self.backends[number] = subprocess.Popen(words, stderr=subprocess.DEVNULL)
        while not path.exists():
            time.sleep(0.01)

    def write(self, fails: int, seconds: int, read: float) -> None:
        """Write Nginx's files with some settings."""
        text = site_file(read)
        text = re.sub(
            r"max_fails=\d+ fail_timeout=\d+s", f"max_fails={fails} fail_timeout={seconds}s", text
        )
        for number in range(1, SLOTS + 1):
            text = re.sub(
                rf"unix:\S+/backend-{number}/slot\.sock", f"unix:{self.socket(number)}", text
            )
        text = text.replace("listen 80;", f"listen 127.0.0.1:{PORT};")
        text = re.sub(r"/var/(log/nginx|lib/rondo/bench)", str(self.root), text)
        (self.root / "site.conf").write_text(text)
        (self.root / "nginx.conf").write_text(NGINX.format(root=self.root))

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """Run Nginx and the backends."""
        if _answers():
            raise SystemExit(f"something listens on port {PORT} already; end it first")
        for number in range(1, SLOTS + 1):
            self.start(number)
        options = (f"--name={NAME}", "--rm", "--network=host", f"--volume={self.root}:{self.root}")
        nginx = ("nginx", "-p", str(self.root), "-c", str(self.root / "nginx.conf"))
        server = subprocess.Popen(
            ("docker", "run", *options, self.image, *nginx), stderr=subprocess.DEVNULL
        )
        try:
            while not _answers():
                if server.poll() is not None:
                    raise SystemExit((self.root / "error.log").read_text())
                time.sleep(0.02)
            yield
        finally:
            # The client's end alone would leave the container, and the port with it.
            subprocess.run(("docker", "rm", "--force", NAME), capture_output=True, check=False)
            server.wait()
            for each in self.backends.values():
                each.kill()
                each.wait()

    def fail(self, fault: str) -> None:
        """Let something fail."""
        signals = {"hung": signal.SIGSTOP, "killed": signal.SIGKILL, "500s": signal.SIGUSR1}
        if fault == "refused":
            for number in self.backends:
                self.backends[number].kill()
        else:
            self.backends[1].send_signal(signals[fault])

    def mend(self, fault: str) -> None:
        """Let it work again."""
        if fault in {"hung", "500s"}:
            word = signal.SIGCONT if fault == "hung" else signal.SIGUSR2
            self.backends[1].send_signal(word)
            return
        for number, each in self.backends.items():
            if each.poll() is not None or fault == "refused":
                each.wait()
                self.start(number)

    def twice(self) -> int:
        """Count POSTs that were executed more than once."""
        posts = Counter((self.root / "posts").read_text().split())
        return sum(number > 1 for number in posts.values())


def _answers() -> bool:
    import socket  # noqa: PLC0415

    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", PORT), 1):
        return True
    return False


async def ask(number: int, count: Count) -> None:
    """Send one request over a connection of its own, and see what comes of it."""
    # Not each third one: with three backends that would be always the same backend's.
    method = "POST" if number * 0.6180339887 % 1 < 1 / 3 else "GET"
    began = time.monotonic()
    status = "cut"
    with contextlib.suppress(OSError, asyncio.IncompleteReadError):
        reader, writer = await asyncio.open_connection("127.0.0.1", PORT)
        head = f"{method} /{number} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n"
        writer.write(f"{head}Connection: close\r\n\r\n".encode())
        answer = await reader.read()
        status = answer.split(b" ", 2)[1].decode() if answer else "cut"
        writer.close()
    now = time.monotonic()
    count.asked += 1
    count.longest = max(count.longest, now - began)
    count.slow += now - began > SLOW
    if status != "200":
        count.lost[f"{method} {status}"] += 1
        count.last_loss = now


async def disturb(bench: Bench, fault: str, count: Count) -> None:
    """Let something fail after a while, and mend it."""
    await asyncio.sleep(BEFORE)
    await asyncio.to_thread(bench.fail, fault)
    await asyncio.sleep(0.3 if fault == "refused" else FAULT)
    await asyncio.to_thread(bench.mend, fault)
    count.mended = time.monotonic()


async def load(bench: Bench, fault: str, rate: int) -> Count:
    """Ask at a pace that was fixed beforehand, whatever comes back."""
    count = Count()
    trouble = asyncio.create_task(disturb(bench, fault, count))
    tasks = []
    start = time.monotonic()
    for number in itertools.count():
        due = start + number / rate
        await asyncio.sleep(max(0.0, due - time.monotonic()))
        count.lag = max(count.lag, time.monotonic() - due)
        if trouble.done() and time.monotonic() > count.mended + AFTER:
            break
        tasks.append(asyncio.create_task(ask(number, count)))
    await asyncio.gather(trouble, *tasks)
    return count


def measure(
    fault: str, setting: tuple[int, int, float], rate: int, image: str
) -> tuple[Count, int]:
    """Measure one fault under one setting."""
    root = Path(tempfile.mkdtemp(prefix="protection"))
    root.chmod(0o755)
    try:
        (root / "posts").touch()
        bench = Bench(root, image)
        bench.write(*setting)
        with bench.running():
            count = asyncio.run(load(bench, fault, rate))
        return count, bench.twice()
    finally:
        shutil.rmtree(root)


def nginx_image() -> str:
    """Return the image of Nginx that a lab on this machine has."""
    form = "{{.Repository}} {{.ID}}"
    words = ("docker", "images", "--filter=label=rondo.lab", "--format", form)
    listed = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    found = [line.split()[1] for line in listed.splitlines() if "/nginx " in line]
    if not found:
        raise SystemExit("there is no lab with an image of Nginx on this machine; run: inv lab.up")
    return found[0]


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rate", type=int, default=60, help="requests a second")
    parser.add_argument("--faults", nargs="*", default=FAULTS, choices=FAULTS)
    given = parser.parse_args()
    image = nginx_image()
    print(
        "| fault | max_fails | fail_timeout | read | asked | lost | of them POST | slow | longest "
        "| last loss after mending | executed twice | lag |\n|" + "---|" * 12
    )
    for fault in given.faults:
        for setting in SETTINGS:
            count, twice = measure(fault, setting, given.rate, image)
            posts = sum(number for kind, number in count.lost.items() if kind.startswith("POST"))
            kinds = ", ".join(f"{number} {kind}" for kind, number in sorted(count.lost.items()))
            print(
                f"| {fault} | {setting[0]} | {setting[1]} s | {setting[2]} s | {count.asked} "
                f"| {count.lost.total()} ({kinds or 'none'}) | {posts} | {count.slow} "
                f"| {count.longest:.2f} s | {max(0.0, count.last_loss - count.mended):.1f} s "
                f"| {twice} | {count.lag:.2f} s |",
                flush=True,
            )


if __name__ == "__main__":
    main()
