"""What can go wrong around a deploy: done to the operator's machine or to a server, and over."""

from __future__ import annotations

import contextlib
import subprocess
import time
from typing import TYPE_CHECKING

from rondo import lab

if TYPE_CHECKING:
    from collections.abc import Iterator

    from faulting import Act
    from shop import Machine, Operator

Child = subprocess.Popen[str]

DISK = "/mnt/small-disk"
# All that a deploy writes to on a server.
ON_DISK = ("/var/lib/docker", "/var/lib/rondo", "/etc/nginx/conf.d", "/tmp")
MEGABYTES = 4096
MOVE = """
systemctl stop docker.socket docker
mkdir -p {disk}
mount -t tmpfs -o size={megabytes}m tmpfs {disk}
for folder in {folders}; do
    mkdir -p "{disk}$folder"
    cp -a "$folder/." "{disk}$folder/"
    mount --bind "{disk}$folder" "$folder"
done
chmod 1777 /tmp
systemctl start docker.socket docker
nginx -s reload
"""
MOVE_BACK = """
systemctl stop docker.socket docker
for folder in {folders}; do umount --lazy "$folder"; done
umount --lazy {disk}
systemctl start docker.socket docker
nginx -s reload
"""


@contextlib.contextmanager
def kill(_: Operator, child: Child) -> Iterator[None]:
    """End the operator's command as nothing can be more at once."""
    child.kill()
    child.wait()
    yield


def _doors(machine: Machine, what: str) -> None:
    for chain, side in (("INPUT", "dport"), ("OUTPUT", "sport")):
        machine.run(f"iptables -w {what} {chain} -p tcp --{side} 22 -j DROP")


def cut(server: str, seconds: float | None = None) -> Act:
    """Let no packet of SSH through, for so long or until the deploy has ended."""

    @contextlib.contextmanager
    def act(operator: Operator, _: Child) -> Iterator[None]:
        machine = operator.machine(server)
        _doors(machine, "-I")
        try:
            if seconds is None:
                yield
            else:
                time.sleep(seconds)
        finally:
            _doors(machine, "-D")
        if seconds is not None:
            yield

    return act


@contextlib.contextmanager
def deaf(operator: Operator) -> Iterator[None]:
    """Let the servers not hear when the operator's machine closes a connection."""
    rule = "INPUT -p tcp --dport 22 --tcp-flags FIN FIN -j DROP"
    for machine in operator.machines:
        machine.run(f"iptables -w -I {rule}")
    try:
        yield
    finally:
        for machine in operator.machines:
            machine.run(f"iptables -w -D {rule}")


def told(server: str, script: str, afterwards: str = "true") -> Act:
    """Run a script on a server as its root, and another one after the deploy's end."""

    @contextlib.contextmanager
    def act(operator: Operator, _: Child) -> Iterator[None]:
        machine = operator.machine(server)
        machine.run(script)
        try:
            yield
        finally:
            machine.run(afterwards)

    return act


def reboot(server: str) -> Act:
    """Shut a server down and start it again."""

    @contextlib.contextmanager
    def act(_operator: Operator, _child: Child) -> Iterator[None]:
        lab.reboot(server)
        yield

    return act


def power_loss(server: str) -> Act:
    """End everything on a server at once, then start it again."""

    @contextlib.contextmanager
    def act(operator: Operator, _: Child) -> Iterator[None]:
        container = operator.machine(server).container
        subprocess.run(("docker", "kill", container), check=True, capture_output=True)
        subprocess.run(("docker", "start", container), check=True, capture_output=True)
        yield

    return act


@contextlib.contextmanager
def small_disk(operator: Operator) -> Iterator[None]:
    """Let all that web-2 writes be on a small disk of its own, in memory."""
    machine = operator.machine("web-2")
    words = {"disk": DISK, "megabytes": MEGABYTES, "folders": " ".join(ON_DISK)}
    machine.run(MOVE.format(**words))
    try:
        yield
    finally:
        machine.run(MOVE_BACK.format(**words))
        # What it finds there is what ran before.
        operator.fab("deploy")


fill_disk = told(
    "web-2",
    # Until not a single block is left; `dd` says so with a code that is not zero.
    f"fallocate -l $(df --output=avail --block-size=1 {DISK} | tail -n 1) {DISK}/filler || :; "
    f"dd if=/dev/zero of={DISK}/rest bs=4k 2>/dev/null || :; df {DISK} | grep -q 100%",
    f"rm -f {DISK}/filler {DISK}/rest",
)
