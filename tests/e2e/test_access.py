"""The ways to root on real servers: root itself, sudo, the docker group; and none."""

from __future__ import annotations

import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from rondo.errors import AccessError
from rondo.fleet import Fleet
from rondo.inventory import Inventory

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rondo.lab import Lab
    from rondo.server import Remote

pytestmark = pytest.mark.e2e

LOCK = 'exec 9>>"$1"; flock -n 9 || { echo taken; exit 0; }; echo held; exec cat >/dev/null'
WAIT = 'for n in $(seq 100); do if eval "$1"; then exit 0; fi; sleep 0.1; done; exit 1'
ADMIT = """
id -u "$1" >/dev/null 2>&1 || useradd --create-home --shell "$2" "$1"
home=$(getent passwd "$1" | cut -d: -f6)
mkdir -p "$home/.ssh"
cat >"$home/.ssh/authorized_keys"
chown -R "$1:" "$home/.ssh"
chmod -R go= "$home/.ssh"
"""


class GaveUpError(Exception):
    """The client does not wait any longer."""


def give_up(_: str) -> None:
    """Go away as soon as the script says something."""
    raise GaveUpError


def inventory_for(lab: Lab, user: str) -> Inventory:
    """Describe the first server with another user."""
    server = {"address": lab.servers[0].address, "user": user, "key": str(lab.key)}
    return Inventory.model_validate(
        {
            "project": "shop",
            "servers": {"web-1": server},
            "settings": {"ssh": {"known_hosts": str(lab.known_hosts)}},
        }
    )


@pytest.fixture
def log_in(servers: Lab) -> Iterator[Callable[[str], Remote]]:
    """Log in to the first server as somebody."""
    fleets: list[Fleet] = []

    def log_in(user: str) -> Remote:
        fleets.append(Fleet(inventory_for(servers, user), servers.folder, ["web-1"]))
        return fleets[-1]["web-1"]

    yield log_in
    for fleet in fleets:
        fleet.close()


def admit(lab: Lab, remote: Remote, user: str, shell: str = "/bin/sh") -> None:
    """Let a user log in with the lab's key."""
    public = lab.key.with_name(f"{lab.key.name}.pub").read_bytes()
    remote.run(ADMIT, user, shell, step="admit", stdin=public)


@pytest.fixture(params=["deploy", "dock", "root"])
def remote(request: pytest.FixtureRequest, servers: Lab, log_in: Callable[[str], Remote]) -> Remote:
    """Log in by sudo, by the docker group, as root."""
    if request.param == "root":
        admit(servers, log_in("deploy"), "root")
    return log_in(request.param)


class TestEveryWay:
    def test_scripts_are_root_in_the_servers_own_namespaces(self, remote: Remote) -> None:
        script = 'id -u; cat /proc/1/comm; hostname; echo "$1"; echo said >&2; exit 7'
        output = remote.run(script, "it's \\ this!", step="look", check=False)
        assert output.stdout == "0\nsystemd\nweb-1\nit's \\ this!\n"
        assert (output.stderr, output.code) == ("said\n", 7)

    def test_data_pass_through_unchanged(self, remote: Remote) -> None:
        data = bytes(range(256)) * 20_000
        assert remote.run("cat >/root/data; wc -c </root/data", step="feed", stdin=data).stdout == (
            f"{len(data)}\n"
        )
        assert (
            b"".join(remote.read("cat /root/data; rm /root/data", step="read", deadline=60)) == data
        )

    def test_giving_up_ends_what_runs(self, remote: Remote) -> None:
        with pytest.raises(GaveUpError):
            remote.run("echo $$ >/run/pid; echo up; sleep 1000", step="wait", on_line=give_up)
        remote.run(WAIT, '! kill -0 "$(cat /run/pid)"', step="look")

    def test_a_killed_client_frees_its_lock(self, remote: Remote, servers: Lab) -> None:
        user = remote.address.partition("@")[0]
        path = f"/run/lock-of-{user}"
        declared = inventory_for(servers, user).model_dump(exclude_unset=True)
        code = (
            "import signal\nfrom pathlib import Path\nfrom rondo.fleet import Fleet\n"
            "from rondo.inventory import Inventory\n"
            f"inventory = Inventory.model_validate({declared!r})\n"
            f"fleet = Fleet(inventory, Path('/'), ['web-1'])\n"
            f"hold = fleet['web-1'].hold({LOCK!r}, {path!r}, step='lock', deadline=60)\n"
            "print(hold.line, flush=True)\nsignal.pause()"
        )
        client = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
        assert client.stdout
        assert client.stdout.readline() == "held\n"
        assert remote.run("flock -n $1 true", path, step="try", check=False).code == 1
        client.send_signal(signal.SIGKILL)
        client.communicate()
        remote.run("flock -w 30 $1 true", path, step="wait for the lock")

    def test_what_survives_goes_on_without_the_client(self, remote: Remote) -> None:
        remote.run("rm -f /run/done /run/go", step="clear")
        script = "echo up; until [ -e /run/go ]; do sleep 0.1; done; echo on; touch /run/done"
        with pytest.raises(GaveUpError):
            remote.run(script, step="go", on_line=give_up, survive=True)
        remote.run(f"touch /run/go; {WAIT}", "[ -e /run/done ]", step="look")


def test_without_a_way_to_root_the_remedies_are_told(
    servers: Lab, log_in: Callable[[str], Remote]
) -> None:
    admit(servers, log_in("deploy"), "guest")
    with pytest.raises(AccessError) as caught:
        log_in("guest").run("true", step="look")
    assert "NOPASSWD" in str(caught.value)
    assert "usermod -aG docker guest" in str(caught.value)


def test_an_account_that_may_not_log_in_is_told(
    servers: Lab, log_in: Callable[[str], Remote]
) -> None:
    admit(servers, log_in("deploy"), "locked", "/usr/sbin/nologin")
    with pytest.raises(AccessError, match="login shell of locked@"):
        log_in("locked").run("true", step="look")


def test_nothing_of_the_way_by_docker_is_left_behind(log_in: Callable[[str], Remote]) -> None:
    log_in("dock").run("true", step="look")
    left = "docker ps --all --quiet --filter label=rondo.elevate | wc -l"
    # The container that asks is the one that is there.
    assert log_in("deploy").run(left, step="look").stdout == "0\n"
