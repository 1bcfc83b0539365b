"""A server for slot.sh: its folders, and an engine and an Nginx that only pretend."""

from __future__ import annotations

import os
import socket
import subprocess
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rondo.scripts import changing

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

# The engine's containers are files, named by their id, with their instance and port in them.
CURL = r"""#!/bin/sh
for url; do :; done
name=${url#http://docker/containers/}
name=${name%%[/?]*}
case "$*" in
*/containers/json*)
    [ ! -e "$SERVER/engine.silent" ] || exit 28
    printf '['
    for file in "$SERVER"/engine/*; do
        [ -f "$file" ] || continue
        its=$(cut -d: -f1 "$file")
        printf '{"Id":"%s","Labels":{"rondo.instance":"%s"}},' "${file##*/}" "$its"
    done
    printf ']'
    ;;
*--parallel*http://localhost/gate/*)
    questions=0
    for word; do case $word in http://localhost/gate/*) questions=$((questions + 1)) ;; esac; done
    filled=$(readlink "$SERVER/shop/sockets/backend-1/slot.sock")
    echo "$questions at once, $filled" >>"$SERVER/warm"
    exit "${WARM:-0}"
    ;;
*http://localhost/gate/*) printf '200 %s' "${TOOK:-0.012345}" ;;
*/networks/*) printf '{"Id":"n"}' ;;
*DELETE*) rm -f "$SERVER/engine/$name" && echo "remove $name" >>"$SERVER/done" ;;
*/stop*) echo "stop $name" >>"$SERVER/done" ;;
*/json*)
    port=$(cut -s -d: -f2 "$SERVER/engine/$name" 2>/dev/null)
    printf '{"Id":"%s","State":{"Running":true},"HostPort":"%s"}' "$name" "$port"
    ;;
esac
"""

DOCKER = r"""#!/bin/sh
[ "$1" = run ] || exit 0
echo "run $*" >>"$SERVER/done"
echo "$NEW" >"$SERVER/engine/cc"
"""

# It takes a reload, and its old workers end at once.
NGINX = r"""
nginx_workers() { :; }
reload_nginx() { echo reload >>"$SERVER/done"; }
"""


@dataclass(frozen=True, slots=True)
class Server:
    """A folder that is a server."""

    path: Path

    @property
    def root(self) -> Path:
        """The project's folder."""
        return self.path / "shop"

    @property
    def folder(self) -> Path:
        """The folder of slot backend-1."""
        return self.root / "sockets" / "backend-1"

    @property
    def link(self) -> Path:
        """What Nginx knows as the slot's socket."""
        return self.folder / "slot.sock"

    @property
    def port_file(self) -> Path:
        """What tells which container has the slot's port."""
        return self.root / "slots" / "backend-1"

    @property
    def site(self) -> Path:
        """Nginx's file."""
        return self.path / "site.conf"

    @property
    def containers(self) -> dict[str, str]:
        """Instance (and port) by id."""
        return {each.name: each.read_text().strip() for each in (self.path / "engine").iterdir()}

    @property
    def done(self) -> list[str]:
        """What was asked of the engine and of Nginx, in that order."""
        log = self.path / "done"
        return log.read_text().splitlines() if log.exists() else []

    @property
    def warmed(self) -> str:
        """How many questions were asked at once, and what filled the slot then."""
        log = self.path / "warm"
        return log.read_text() if log.exists() else ""

    def has(self, identity: str, instance: str) -> None:
        """Let a container be there."""
        (self.path / "engine" / identity).write_text(f"{instance}\n")

    def do(self, words: str, overrides: str = "") -> subprocess.CompletedProcess[str]:
        """Run words of slot.sh, with what else they shall find instead of the server's own."""
        script = f"set -- :\n{changing('assets', 'slot')}\n{NGINX}\n{overrides}\n{words}\nwait"
        path = f"{self.path}/tools:{os.environ['PATH']}"
        return subprocess.run(
            ("sh", "-c", script),
            check=False,
            capture_output=True,
            text=True,
            timeout=60,
            env={"PATH": path, "SERVER": str(self.path), "NEW": "new", "TMPDIR": str(self.path)},
        )

    def fill(
        self, port: str = "", overrides: str = "", *, how: str = "surge", min_healthy: int = 0
    ) -> list[str]:
        """Have the slot filled with instance `new`; return what was said."""
        root = self.root
        given = (
            f"{root}/sockets backend-1 new shop-backend-1-new image {root}/environments/e '{port}' "
            f"root example.com /health 200 1 0.01 1 2 {self.path}/gate 1 0 {self.site} '' shop "
            f"{root} backend {how} {min_healthy} 0 -- image"
        )
        done = self.do(f"fill {given}", f"keep_assets() {{ :; }}\n{overrides}")
        return [*done.stdout.splitlines(), *done.stderr.splitlines(), f"code {done.returncode}"]

    def settle(self) -> int:
        """Have what was replaced seen off."""
        return self.do(f"settle shop {self.root} 0 backend-1").returncode


@contextmanager
def listening(path: Path, mode: int = 0o666) -> Iterator[socket.socket]:
    """Listen on a socket as a container would."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        path.chmod(mode)
        server.listen()
        yield server


def make_server(path: Path) -> Server:
    """Make a server without containers."""
    server = Server(path)
    for folder in ("engine", "tools", "shop/slots", "shop/sockets/backend-1"):
        (path / folder).mkdir(parents=True)
    for name, text in (("curl", CURL), ("docker", DOCKER)):
        tool = path / "tools" / name
        tool.write_text(text)
        tool.chmod(0o755)
    return server
