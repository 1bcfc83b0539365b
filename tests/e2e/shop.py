"""What the tests of the whole product share: the shop, the operator's commands, the servers."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from rondo import demonstration

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from rondo.lab import Lab

ROOT = Path(__file__).parents[2]
HOST = "shop.example.com"
PROJECT = "shop"
DATA = f"/var/lib/rondo/{PROJECT}"
SITE_FILE = f"/etc/nginx/conf.d/rondo-{PROJECT}.conf"
ACCESS_LOG = f"/var/log/nginx/rondo-{PROJECT}.access.log"
SLOTS = ("backend-1", "backend-2", "backend-3", "frontend-1")
# What grows beside the sources when somebody works on them.
LITTER = shutil.ignore_patterns("node_modules", "dist", "*.sqlite3", "__pycache__", ".*_cache")

Declared = dict[str, Any]


def until(true: Callable[[], Any], what: str, seconds: float = 30) -> Any:  # noqa: ANN401
    """Wait for a condition; give what it answered."""
    end = time.monotonic() + seconds
    while not (answer := true()):
        assert time.monotonic() < end, f"not within {seconds} s: {what}"
        time.sleep(0.05)
    return answer


def merged(base: Declared, change: Declared) -> Declared:
    """Lay one declaration over another."""
    result = dict(base)
    for key, value in change.items():
        old = result.get(key)
        result[key] = (
            merged(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
        )
    return result


@dataclass(frozen=True)
class Done:
    """How a command ended, and what it said."""

    code: int
    out: str
    err: str

    @property
    def said(self) -> str:
        return self.out + self.err

    @property
    def json(self) -> Any:  # noqa: ANN401
        return json.loads(self.out)


@dataclass(frozen=True)
class Machine:
    """A server, as somebody sees it who sits at its console as root."""

    name: str
    address: str
    private_address: str
    container: str

    def run(self, script: str, *, check: bool = True, stdin: bytes = b"") -> str:
        """Run a script there; give what it printed."""
        done = subprocess.run(
            ("docker", "exec", "--interactive", self.container, "sh", "-c", script),
            input=stdin,
            capture_output=True,
            timeout=120,
            check=False,
        )
        said = done.stdout.decode(errors="replace")
        assert not check or done.returncode == 0, f"{self.name}: {script}\n{said}{done.stderr!r}"
        return said.strip()

    def write(self, path: str, content: str) -> None:
        """Write a file there, as somebody with an editor would."""
        self.run(f"base64 -d >'{path}'", stdin=base64.b64encode(content.encode()))

    def containers(self, project: str = PROJECT) -> dict[str, str]:
        """Give the id of each slot's running container."""
        label = f"--filter label=rondo.project={project}"
        said = self.run(
            f"docker ps --no-trunc {label} --format '{{{{.Label \"rondo.slot\"}}}} {{{{.ID}}}}'"
        )
        return dict(line.split() for line in said.splitlines())

    def images(self, project: str = PROJECT) -> frozenset[str]:
        """Give the names and ids of the images that were built."""
        label = f"--filter label=rondo.project={project}"
        form = "{{.Repository}}:{{.Tag}} {{.ID}}"
        said = self.run(f"docker image ls --no-trunc {label} --format '{form}'")
        return frozenset(said.splitlines())

    def starts(self, project: str = PROJECT) -> str:
        """Give the time at which each container was started."""
        ids = " ".join(sorted(self.containers(project).values()))
        return self.run(f"docker inspect --format '{{{{.Name}}}} {{{{.State.StartedAt}}}}' {ids}")

    def workers(self) -> frozenset[str]:
        """Give the process ids of Nginx's workers: a reload replaces them."""
        form = "ps -o pid=,args= --ppid $(cat /run/nginx.pid)"
        return frozenset(self.run(f"{form} | awk '/worker process$/ {{ print $1 }}'").split())

    def current(self, project: str = PROJECT) -> str:
        """Give the release in force."""
        return self.run(f"readlink /var/lib/rondo/{project}/releases/current || :")

    def state(self) -> tuple[object, ...]:
        """Give all that a deploy could change, to be compared."""
        files = f"find {DATA} -not -path '*/cache/*' -type f | sort | xargs sha256sum"
        return (
            self.containers(),
            self.starts(),
            self.images(),
            self.workers(),
            self.current(),
            self.run(files),
            self.run("sha256sum /etc/nginx/conf.d/*"),
        )


@dataclass
class Operator:
    """Somebody's machine: a project folder, and the commands that are typed there."""

    folder: Path
    lab: Lab
    usual: Declared
    """What the tests declare beyond the example's own inventory."""
    first: list[Done] = field(default_factory=list)
    """What the first deploy said."""
    fresh: bool = True
    """Whether it really was the first one."""
    before: dict[Path, bytes | None] = field(default_factory=dict)
    environment: dict[str, str] = field(default_factory=dict)
    declared: Declared = field(default_factory=dict)
    changed: bool = False
    """Whether the project was touched since it was last as it usually is."""

    @property
    def machines(self) -> tuple[Machine, ...]:
        return tuple(
            Machine(each.name, each.address, each.private_address, f"{self.lab.name}-{each.name}")
            for each in self.lab.servers[:2]
        )

    def machine(self, name: str) -> Machine:
        return next(each for each in self.machines if each.name == name)

    def declare(self, change: Declared | None = None) -> None:
        """Write the inventory: the usual one with a change, or as it is usually."""
        self.changed = self.changed or change is not None
        self.declared = merged(self.declared, change) if change else self.usual
        self.inventory.write_text(yaml.safe_dump(self.declared, sort_keys=False))

    def adopt(self) -> None:
        """Take the project as it is now for the usual one: `restore` keeps all of it."""
        self.before.clear()
        self.usual = self.declared

    @property
    def inventory(self) -> Path:
        return self.folder / "inventory.yaml"

    def edit(self, path: str, text: str) -> None:
        """Write one of the project's files; `restore` takes it back."""
        file = self.folder / path
        self.before.setdefault(file, file.read_bytes() if file.exists() else None)
        self.changed = True
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)

    def replace(self, path: str, old: str, new: str) -> None:
        """Change a piece of one of the project's files."""
        text = (self.folder / path).read_text()
        assert old in text, f"{path} has no {old!r}"
        self.edit(path, text.replace(old, new))

    def restore(self) -> None:
        """Take back every change of the project."""
        for file, content in self.before.items():
            if content is None:
                file.unlink()
            else:
                file.write_bytes(content)
        self.before.clear()
        self.environment.clear()
        self.declare()

    def start(self, *words: str, **options: Any) -> subprocess.Popen[str]:  # noqa: ANN401
        """Start a command in the background, in a session of its own like another terminal's."""
        program = Path(sys.executable).with_name(words[0])
        given = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        return subprocess.Popen(
            (str(program), *words[1:]),
            cwd=self.folder,
            env={**os.environ, **self.environment},
            text=True,
            start_new_session=True,
            **(given | options),
        )

    def run(self, *words: str, code: int | None = 0, stdin: str = "") -> Done:
        """Type a command; it has to end with this exit code, with any for None."""
        child = self.start(*words, stdin=subprocess.PIPE)
        with ended(child):
            out, err = child.communicate(stdin, timeout=600)
        done = Done(child.returncode, out, err)
        typed = " ".join(words)
        assert code in {None, done.code}, f"`{typed}` ended with {done.code}:\n{done.said[-4000:]}"
        return done

    def fab(self, *words: str, code: int | None = 0, stdin: str = "") -> Done:
        """Type a `fab` command."""
        return self.run("fab", *words, code=code, stdin=stdin)

    def events(self) -> list[dict[str, Any]]:
        """Read the journal of the last run."""
        journals = sorted(
            self.folder.glob(".rondo/runs/*/events.jsonl"), key=lambda path: path.stat().st_mtime
        )
        return [json.loads(line) for line in journals[-1].read_text().splitlines()]

    def steps(self) -> list[tuple[str, str]]:
        """Give what the last run did: server and step."""
        return [(each["server"], each["text"]) for each in self.events() if each["kind"] == "done"]


@contextlib.contextmanager
def ended(child: subprocess.Popen[str]) -> Iterator[subprocess.Popen[str]]:
    """Leave neither process nor pipe behind."""
    try:
        yield child
    finally:
        if child.poll() is None:
            child.kill()
            child.wait()
        for stream in (child.stdin, child.stdout, child.stderr):
            if stream:
                stream.close()


def settle(folder: Path, lab: Lab, usual: Mapping[str, Any]) -> Operator:
    """Make an operator's project of the example: as it is in the repository, for the tests' lab."""
    for name in ("examples", "templates", "fabfile"):
        shutil.copytree(ROOT / name, folder / name, ignore=LITTER, dirs_exist_ok=True)
    for name in ("tasks.py", "fabric.yaml"):
        shutil.copy(ROOT / name, folder / name)
    shutil.copy(ROOT / "inventory.yaml", folder / "example.yaml")
    demonstration.furnish(lab.folder)
    (folder / ".rondo").mkdir(exist_ok=True)
    (folder / ".rondo" / "lab").symlink_to(lab.folder)
    servers = {
        each.name: {"address": each.address, "private_address": each.private_address}
        for each in lab.servers[:2]
    }
    operator = Operator(folder, lab, {"extends": "example.yaml", "servers": servers, **usual})
    operator.declare()
    return operator
