"""A real sshd of our own: random port, own host keys, own authorized_keys; and projects on it."""

from __future__ import annotations

import getpass
import os
import re
import shutil
import socket
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from rondo.errors import AccessError
from rondo.fleet import Fleet
from rondo.inventory import Inventory

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

SSHD = shutil.which("sshd", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
USER = getpass.getuser()


def wait_until(true: Callable[[], object], seconds: float = 15) -> None:
    """Wait for a condition instead of sleeping for a while."""
    end = time.monotonic() + seconds
    while not true():
        if time.monotonic() > end:
            pytest.fail(f"waited {seconds} s in vain")
        time.sleep(0.01)


def free_port() -> int:
    """Find a port that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def make_key(path: Path, *options: str) -> Path:
    """Make a private key and its public half."""
    subprocess.run(
        ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", path, *options], check=True
    )
    return path


def public(key: Path) -> str:
    """Give the public half of a key: kind and blob."""
    return " ".join(key.with_name(f"{key.name}.pub").read_text().split()[:2])


@dataclass
class Sshd:
    """One running sshd."""

    folder: Path
    options: Sequence[str] = ()
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    @property
    def key(self) -> Path:
        """The private key that may log in."""
        return self.folder / "id"

    @property
    def known_as(self) -> str:
        """Its name in a known_hosts file."""
        return f"[127.0.0.1]:{self.port}"

    @property
    def known(self) -> str:
        """The line that pins it."""
        return f"{self.known_as} {public(self.folder / 'host')}\n"

    @property
    def log(self) -> str:
        """What it logged."""
        return (self.folder / "log").read_text()

    @property
    def logins(self) -> int:
        """Connections that logged in."""
        return len(re.findall(r"Accepted publickey", self.log))

    def prepare(self) -> None:
        """Write its keys and configuration."""
        self.folder.mkdir(exist_ok=True)
        make_key(self.folder / "host")
        if not self.key.exists():
            make_key(self.key)
        (self.folder / "authorized_keys").write_text(public(self.key) + "\n")
        lines = (
            f"Port {self.port}",
            "ListenAddress 127.0.0.1",
            f"HostKey {self.folder}/host",
            f"AuthorizedKeysFile {self.folder}/authorized_keys",
            "PidFile none",
            "StrictModes no",
            "UsePAM no",
            "PasswordAuthentication no",
            "KbdInteractiveAuthentication no",
            "PermitRootLogin prohibit-password",
            "PrintMotd no",
            "SetEnv SHLVL=2",  # keeps bash from reading the bashrc of whoever runs the tests
            "LogLevel VERBOSE",
            *self.options,
        )
        (self.folder / "config").write_text("\n".join(lines) + "\n")

    def start(self) -> Sshd:
        """Start it and wait until it answers."""
        assert SSHD
        if os.geteuid() == 0:
            Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)  # Debian's sshd insists on it
        before = self._starts()
        command = [SSHD, "-D", "-f", self.folder / "config", "-E", self.folder / "log"]
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL)
        wait_until(lambda: self._starts() > before)
        return self

    def stop(self) -> None:
        """End it and the sessions that it serves."""
        if self.process:
            subprocess.run(["pkill", "-KILL", "-P", str(self.process.pid)], check=False)
            self.process.kill()
            self.process.wait()
            self.process = None

    def _starts(self) -> int:
        assert self.process is None or self.process.poll() is None, "sshd does not start"
        exists = (self.folder / "log").exists()
        return self.log.count("Server listening") if exists else 0


@dataclass
class Project:
    """A folder with an inventory and its known hosts."""

    root: Path
    sshds: dict[str, Sshd]
    servers: dict[str, dict[str, Any]]
    ssh: dict[str, Any]
    notes: list[str] = field(default_factory=list)

    def inventory(self) -> Inventory:
        """Give the inventory as it is now."""
        return Inventory.model_validate(
            {"project": "shop", "servers": self.servers, "settings": {"ssh": self.ssh}}
        )

    def fleet(self, *names: str, extra: Sequence[str] = ()) -> Fleet:
        """Open a fleet."""
        chosen = names or (() if extra else tuple(self.servers))
        return Fleet(self.inventory(), self.root, chosen, extra, note=self.notes.append)

    def pin(self, *sshds: Sshd) -> None:
        """Pin the host keys of servers."""
        lines = [sshd.known for sshd in sshds or self.sshds.values()]
        (self.root / "known_hosts").write_text("".join(lines))

    def write(self) -> Path:
        """Write the inventory to a file."""
        path = self.root / "inventory.yaml"
        path.write_text(self.inventory().model_dump_json(exclude_unset=True))
        return path

    def python(self, code: str, **options: Any) -> subprocess.Popen[str]:  # noqa: ANN401
        """Run code in a process of its own with `fleet` open."""
        text = (
            "import sys\nfrom pathlib import Path\nfrom rondo.inventory import Inventory\n"
            "from rondo.fleet import Fleet\n"
            f"inventory = Inventory.model_validate_json(Path({str(self.write())!r}).read_text())\n"
            f"fleet = Fleet(inventory, Path({str(self.root)!r}), tuple(inventory.servers))\n{code}"
        )
        return subprocess.Popen([sys.executable, "-c", text], text=True, **options)


def server_of(sshd: Sshd, **more: Any) -> dict[str, Any]:  # noqa: ANN401
    """Describe a server of an inventory."""
    return {"address": "127.0.0.1", "port": sshd.port, "user": USER, "key": str(sshd.key), **more}


def refusal(project: Project, name: str = "web-1") -> str:
    """Connect, and give the sentence that says why that failed."""
    with project.fleet() as fleet, pytest.raises(AccessError) as caught:
        fleet[name].open()
    return str(caught.value)
