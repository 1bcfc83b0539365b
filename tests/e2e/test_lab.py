"""The lab: real servers, again and again, interrupted, rebooted and removed."""

from __future__ import annotations

import subprocess
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from rondo import lab
from rondo.lab import LabError, engine, network, places, servers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from rondo.lab import Lab, LabServer

pytestmark = pytest.mark.e2e

PYTHON_IMAGE = """
FROM python:3.11-slim
RUN pip install --no-cache-dir six && python -c 'import six'
RUN python -m venv /venv && /venv/bin/pip install --no-cache-dir six
RUN pip install --no-cache-dir --prefix=/install toml \
    && test -d /install/lib/python3.11/site-packages/toml
FROM debian:bookworm-slim
COPY --from=0 /install /usr/local
"""
NODE_IMAGE = """
FROM node:24-slim
RUN npm view is-number version
USER node
RUN node --eval 'if (process.getuid() !== 1000) process.exit(1)'
"""


@dataclass(frozen=True)
class Spare:
    """A server beside those of other tests, to be rebooted and renewed at will."""

    lab: Lab
    server: LabServer

    @property
    def container(self) -> str:
        return f"{self.lab.name}-{self.server.name}"

    def ssh(self, command: str, *, user: str = "deploy", data: str = "", code: int = 0) -> str:
        """Run a command over SSH, the host key verified strictly against what the lab pinned."""
        *words, target = lab.ssh_command(self.server.name)
        address = target.partition("@")[2]
        done = subprocess.run(
            [*words, "-o", "BatchMode=yes", f"{user}@{address}", command],
            input=data,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == code, done.stderr or done.stdout
        return done.stdout

    def started(self) -> str:
        """When the server's systemd began."""
        return engine.docker("inspect", "--format", "{{.State.StartedAt}}", self.container)


def silent(_: str) -> None:
    """Report to nobody."""


@pytest.fixture(scope="module")
def spare() -> Iterator[Spare]:
    """Give a server that no other test uses; remove it in the end."""
    before = max((servers.number(server.name) for server in lab.status()), default=2)
    raised = lab.up(before + 1, report=silent)
    made = Spare(raised, next(one for one in raised.servers if one.name == f"web-{before + 1}"))
    yield made
    engine.docker("rm", "--force", "--volumes", made.container)
    lab.up(before, report=silent)


@pytest.fixture
def fresh(spare: Spare) -> Spare:
    """Give the spare server with nothing on it."""
    lab.renew(spare.server.name, report=silent)
    return spare


def test_up_with_everything_up_is_quick_and_says_nothing(spare: Spare) -> None:
    said: list[str] = []
    began = time.monotonic()
    again = lab.up(2, report=said.append)
    assert said == []
    assert time.monotonic() - began < 5  # under 1 s on a quiet machine
    assert again == spare.lab


@pytest.mark.parametrize(
    ("user", "may_sudo", "may_docker"),
    [("deploy", True, False), ("dock", False, True)],
)
def test_each_user_has_the_rights_that_its_name_promises(
    user: str,
    may_sudo: bool,  # noqa: FBT001 - a row of the table
    may_docker: bool,  # noqa: FBT001 - a row of the table
    spare: Spare,
) -> None:
    answer = spare.ssh(
        "sudo -n true 2>/dev/null && echo sudo; docker ps >/dev/null 2>&1 && echo docker; true",
        user=user,
    )
    expected = [word for word, may in (("sudo", may_sudo), ("docker", may_docker)) if may]
    assert answer.split() == expected


def test_a_new_server_is_healthy_and_has_no_nginx(fresh: Spare) -> None:
    assert fresh.ssh("systemctl is-system-running").strip() == "running"
    fresh.ssh("test ! -e /usr/sbin/nginx && test ! -e /etc/nginx")


def test_a_server_cannot_set_the_clock_of_the_machine(spare: Spare) -> None:
    spare.ssh("sudo -n date --set '+1 hour'", code=1)
    spare.ssh("sudo -n timedatectl set-timezone Asia/Tokyo && sudo -n timedatectl set-timezone UTC")
    assert abs(time.time() - float(spare.ssh("date +%s"))) < 60


def test_what_starts_does_not_take_from_a_servers_containers_as_if_each_process_was_one(
    spare: Spare,
) -> None:
    """Latency during a change would be the lab's and not the server's."""
    said = spare.ssh("cat /sys/fs/cgroup/cpu/docker/cpu.shares 2>/dev/null || echo none")
    assert said.strip() in ("8192", "none")


@pytest.mark.parametrize("buildkit", ["0", "1"])
@pytest.mark.parametrize("dockerfile", [PYTHON_IMAGE, NODE_IMAGE], ids=["python", "node"])
def test_a_dockerfile_written_for_the_docker_hub_builds_unchanged(
    dockerfile: str,
    buildkit: str,
    spare: Spare,
) -> None:
    command = f"DOCKER_BUILDKIT={buildkit} docker build --no-cache --quiet -"
    assert spare.ssh(command, user="dock", data=dockerfile).startswith("sha256:")


def test_packages_can_be_installed_and_their_services_start(fresh: Spare) -> None:
    fresh.ssh("sudo -n apt-get update -qq && sudo -n apt-get install -y -qq nginx >/dev/null 2>&1")
    assert "200 OK" in fresh.ssh("curl --silent --head http://localhost/")


POSTGRES = """
umask 077 && printf s3cret > password
docker rm --force --volumes database >/dev/null 2>&1
docker run --detach --name database --restart unless-stopped \
    --volume "$PWD/password:/run/secrets/password:ro" --env POSTGRES_USER=shop \
    --env POSTGRES_PASSWORD_FILE=/run/secrets/password postgres:15 >/dev/null
"""
READY = "until docker exec database pg_isready --quiet --host 127.0.0.1; do sleep 0.1; done"
ASK = """
address=$(docker inspect --format '{{.NetworkSettings.IPAddress}}' database)
docker run --rm --env PGPASSWORD=%s postgres:15 psql --host "$address" --username shop \
    --tuples-only --command 'select 6 * 7' 2>&1
"""


def test_postgres_takes_its_password_from_a_file_and_asks_for_it(fresh: Spare) -> None:
    fresh.ssh(POSTGRES + READY, user="dock")
    assert fresh.ssh(ASK % "s3cret", user="dock").strip() == "42"
    assert "password authentication failed" in fresh.ssh(ASK % "wrong", user="dock", code=2)


def test_postgres_begins_anew_when_it_was_killed_while_being_set_up(fresh: Spare) -> None:
    prepare = """
mkdir --mode 0777 shared
echo 'test -e /shared/second || { touch /shared/reached; sleep 600; }' > wait.sh
"""
    mounts = '--volume "$PWD/wait.sh:/docker-entrypoint-initdb.d/wait.sh:ro" '
    mounts += '--volume "$PWD/shared:/shared"'
    kill = """
until test -e shared/reached; do sleep 0.1; done
touch shared/second
docker kill database >/dev/null
docker start database >/dev/null
"""
    begin = POSTGRES.replace("--restart unless-stopped", mounts)
    fresh.ssh(prepare + begin + kill + READY, user="dock")
    assert fresh.ssh(ASK % "s3cret", user="dock").strip() == "42"


def _reboot_from_outside(spare: Spare) -> None:
    lab.reboot(spare.server.name)


def _reboot_from_inside(spare: Spare) -> None:
    before = spare.started()
    spare.ssh("sudo -n systemctl reboot --no-block")
    limit = time.monotonic() + 60
    while spare.started() == before:
        assert time.monotonic() < limit, "the server did not come back"
        time.sleep(0.1)
    servers.ready(spare.container, spare.server.address)


@pytest.mark.parametrize("reboot", [_reboot_from_outside, _reboot_from_inside])
def test_a_rebooted_server_is_the_same_server(
    reboot: Callable[[Spare], None],
    fresh: Spare,
) -> None:
    fresh.ssh(
        "echo kept > mark; docker run --detach --name kept --restart unless-stopped nginx:stable; "
        "docker run --detach --name ended nginx:stable",
        user="dock",
    )
    identity = fresh.ssh("cat /etc/machine-id")
    pinned = fresh.lab.known_hosts.read_text()
    reboot(fresh)
    assert fresh.ssh("cat mark", user="dock") == "kept\n"
    assert fresh.ssh("docker ps --format '{{.Names}}'", user="dock") == "kept\n"
    assert fresh.ssh("cat /etc/machine-id") == identity
    lab.up(2, report=silent)
    assert fresh.lab.known_hosts.read_text() == pinned


def test_up_starts_a_server_that_was_stopped(spare: Spare) -> None:
    engine.docker("stop", spare.container)
    stopped = {server.name: server.state for server in lab.status()}
    assert stopped[spare.server.name] == "exited"
    lab.up(servers.number(spare.server.name), report=silent)
    spare.ssh("true")


def test_up_wakes_a_server_that_was_paused(spare: Spare) -> None:
    engine.docker("pause", spare.container)
    lab.up(servers.number(spare.server.name), report=silent)
    spare.ssh("true")


def test_up_finishes_a_server_that_was_made_but_never_started(spare: Spare) -> None:
    """An `up` that was killed leaves such a server: no keys in it, not on the private network."""
    place = places.find()
    networks = network.find(place)
    assert networks is not None
    image = engine.docker("inspect", "--format", "{{.Config.Image}}", spare.container).strip()
    engine.docker("rm", "--force", "--volumes", spare.container)
    number = servers.number(spare.server.name)
    servers.Site(place, networks, image, "no key yet").create(number)
    lab.up(number, report=silent)
    assert spare.server.private_address in spare.ssh("hostname -I").split()


def test_a_renewed_server_has_new_host_keys_and_they_are_pinned(spare: Spare) -> None:
    before = spare.lab.known_hosts.read_text()
    lab.renew(spare.server.name, report=silent)
    assert spare.lab.known_hosts.read_text() != before
    spare.ssh("true")


def test_a_removed_server_leaves_no_volume_behind(fresh: Spare) -> None:
    look = '{{range .Mounts}}{{if eq .Type "volume"}}{{.Name}}{{end}}{{end}}'
    volume = engine.docker("inspect", "--format", look, fresh.container).strip()
    assert engine.lines("volume", "ls", "--quiet", "--filter", f"name={volume}") == [volume]
    lab.renew(fresh.server.name, report=silent)
    assert engine.lines("volume", "ls", "--quiet", "--filter", f"name={volume}") == []


@pytest.mark.parametrize("ask", [lab.reboot, lab.ssh_command], ids=["reboot", "ssh"])
def test_a_server_that_is_not_there_is_named_with_those_that_are(
    ask: Callable[[str], object],
    spare: Spare,
) -> None:
    with pytest.raises(LabError, match=r"no server 'web-99' \(there are: web-1, web-2"):
        ask("web-99")


def test_substitutes_say_in_a_label_that_they_are(spare: Spare) -> None:
    """What the registry serves is either the real thing or says that it is not."""
    look = '{{index .Config.Labels "rondo.lab.substitute"}}'
    command = "docker pull --quiet nginx:stable >/dev/null; "
    command += f"docker inspect --format '{look}' nginx:stable"
    place = places.find()
    official = (place.folder / "source").read_text().strip() == "official"
    expected = "" if official else "made from Debian packages; not the official image"
    assert spare.ssh(command, user="dock").strip() == expected


# --- A second lab, of which nothing may be left, and which may not hurt the first -----------------


@pytest.fixture
def second(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> places.Place:
    (tmp_path / "inventory.yaml").touch()
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("RONDO_LAB", raising=False)
    return places.find()


def _left(place: places.Place) -> list[str]:
    label = f"--filter=label=rondo.lab={place.name}"
    looks = (("ps", "--all"), ("network", "ls"), ("volume", "ls"), ("images", "--all"))
    return [line for look in looks for line in engine.lines(*look, "--quiet", label)]


def test_down_with_everything_leaves_nothing_and_touches_no_other_lab(
    spare: Spare,
    second: places.Place,
) -> None:
    label = f"rondo.lab={second.name}"
    networks = network.ensure(second)
    first = network.find(places.Place(second.root, spare.lab.name))
    assert first is not None
    assert not networks.front.overlaps(first.front)
    dockerfile = (
        f"FROM {engine.docker('inspect', '--format', '{{.Config.Image}}', spare.container)}"
    )
    image = f"{second.name}/server:test"
    engine.docker("build", "--tag", image, "-", data=f"{dockerfile}\nLABEL {label}\n".encode())
    engine.docker("volume", "create", "--label", label, f"{second.name}-registry")
    servers.Site(second, networks, image, "key").create(1)
    assert len(_left(second)) == 5

    lab.down()
    assert len(_left(second)) == 2  # the image and the registry's data
    lab.down(images=True)
    assert _left(second) == []
    assert not second.folder.exists()
    lab.down(images=True)
    spare_state = engine.docker("inspect", "--format", "{{.State.Status}}", spare.container)
    assert spare_state.strip() == "running"
