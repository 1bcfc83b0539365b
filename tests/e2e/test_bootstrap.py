"""Bootstrap on a real server: bare, shared with others, interrupted, crashed and rebooted."""

from __future__ import annotations

import http.client
import socket
import ssl
import subprocess
import threading
import time
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from rondo import bootstrap, lab, scripts
from rondo.errors import PreflightError, RemoteError
from rondo.facts import Facts, parse_facts
from rondo.fleet import Fleet
from rondo.inventory import Inventory
from rondo.preflight import Needs, preflight

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rondo.bootstrap import Outcome
    from rondo.lab import Lab
    from rondo.server import Remote

pytestmark = pytest.mark.e2e

# What the lab's image has beyond a bare server: its engine, and the settings for it.
PURGE = """
export DEBIAN_FRONTEND=noninteractive
apt-get -qq -y purge docker.io containerd runc iptables curl >/dev/null
rm -rf /etc/docker
"""
FOREIGN = "server { listen 80; server_name old.example.com; return 200 old; }"


@dataclass(frozen=True)
class Spare:
    """A server beside those of other tests, to be renewed at will."""

    lab: Lab
    name: str

    @property
    def address(self) -> str:
        return next(server.address for server in lab.status() if server.name == self.name)

    def inventory(self, **server: object) -> Inventory:
        declared: dict[str, Any] = {"address": self.address, "key": str(self.lab.key)}
        return Inventory.model_validate(
            {
                "project": "spare",
                "servers": {self.name: declared | server},
                "sites": {},
                "settings": {"ssh": {"known_hosts": str(self.lab.known_hosts)}},
            }
        )

    @contextmanager
    def remote(self, **server: object) -> Iterator[Remote]:
        with Fleet(self.inventory(**server), Path.cwd(), [self.name]) as fleet:
            yield fleet[self.name]

    def run(self, script: str, **server: object) -> str:
        with self.remote(**server) as remote:
            return remote.run(f"set -e\n{script}", step="preparing a test", deadline=120).stdout

    def plan(self) -> Outcome:
        with self.remote() as remote:
            return bootstrap.plan(remote, self.inventory())

    def apply(self) -> Outcome:
        with self.remote() as remote:
            return bootstrap.apply(remote, self.inventory(), lambda _: None)

    def facts(self) -> Facts:
        with self.remote() as remote:
            said = remote.run(scripts.observing(), "spare", step="looking", check=False).stdout
        return parse_facts(said.splitlines())

    def public_ports(self) -> set[int]:
        said = self.run("ss -ltnH | awk '$4 !~ /^127[.]|^.::1/ { print $4 }'")
        return {int(line.rpartition(":")[2]) for line in said.split()}

    def get(self, host: str) -> tuple[int, bytes]:
        with closing(http.client.HTTPConnection(self.address, timeout=10)) as connection:
            connection.request("GET", "/", headers={"Host": host})
            answer = connection.getresponse()
            return answer.status, answer.read()


def ignore(_: str) -> None:
    """Say nothing of what the lab does."""


@pytest.fixture(scope="module")
def spare(servers: Lab) -> Iterator[Spare]:
    """Give a server beside those of other tests; it is gone in the end."""
    usual = len(servers.servers)
    raised = lab.up(usual + 1, report=ignore)
    name = raised.servers[-1].name
    yield Spare(raised, name)
    subprocess.run(["docker", "rm", "--force", "--volumes", f"{raised.name}-{name}"], check=True)
    lab.up(usual, report=ignore)


@pytest.fixture
def fresh(spare: Spare) -> Spare:
    """Give the spare server as the lab makes it: with an engine, without Nginx."""
    lab.renew(spare.name, report=ignore)
    return spare


@pytest.fixture
def bare(fresh: Spare) -> Spare:
    """Give the spare server as a provider of servers makes it."""
    fresh.run(PURGE)
    return fresh


@pytest.fixture
def ready(spare: Spare) -> Spare:
    """Give the spare server bootstrapped, without what an earlier test has put there."""
    spare.run("rm -f /etc/nginx/sites-enabled/* /etc/nginx/conf.d/*")
    spare.apply()
    return spare


def wait_for(condition: Callable[[], bool], what: str, deadline: float = 30) -> None:
    end = time.monotonic() + deadline
    while not condition():
        assert time.monotonic() < end, f"not within {deadline} s: {what}"
        time.sleep(0.05)


def test_a_bare_server_becomes_what_was_planned_and_the_second_time_nothing_changes(
    bare: Spare,
) -> None:
    planned = bare.plan()
    assert not bare.facts().bootstrapped, "a plan changes nothing"
    assert bare.apply().changes == planned.changes
    assert {line.item for line in planned.changes} == {
        "docker",
        "nginx",
        "tools",
        "folders",
        "logs",
    }
    assert bare.apply().changes == ()
    assert bare.plan().changes == ()


def test_a_bootstrapped_server_passes_preflight_and_shows_only_its_own_ports(ready: Spare) -> None:
    facts = ready.facts()
    assert preflight(ready.inventory(), ready.name, facts, needs=Needs(clock=time.time())) == ()
    assert ready.public_ports() == {22, 80, 443}
    assert "drwx--x--x root" in ready.run("stat -c '%A %U' /var/lib/rondo")
    assert "drwx------ root" in ready.run("stat -c '%A %U' /run/rondo")
    assert "4096" in ready.run("/usr/sbin/nginx -T 2>/dev/null | grep worker_connections")


def test_after_a_reboot_everything_is_back(ready: Spare) -> None:
    lab.reboot(ready.name)
    facts = ready.facts()
    assert facts.docker_version
    assert facts.nginx_running
    assert "drwx------ root" in ready.run("stat -c '%A %U' /run/rondo")
    assert ready.plan().changes == ()


def test_names_that_no_site_claims_get_no_answer(ready: Spare) -> None:
    with pytest.raises(http.client.RemoteDisconnected):
        ready.get("stranger.example.com")
    with (
        socket.create_connection((ready.address, 443), timeout=10) as plain,
        pytest.raises(ssl.SSLError),
    ):
        ssl.create_default_context().wrap_socket(plain, server_hostname="stranger.example.com")


def test_tls_sessions_of_a_site_are_resumed(ready: Spare) -> None:
    """The default server keeps the sessions of all: it must have a cache."""
    certificate = lab.certificate(["a.example.com"])
    ready.run(
        f"cat >/etc/nginx/a.pem <<'END'\n{certificate.chain.read_text()}\nEND\n"
        f"cat >/etc/nginx/a.key <<'END'\n{certificate.key.read_text()}\nEND\n"
        "cat >/etc/nginx/conf.d/rondo-a.conf <<'END'\n"
        "server { listen 443 ssl; server_name a.example.com; ssl_session_tickets off;\n"
        "ssl_certificate a.pem; ssl_certificate_key a.key; ssl_session_cache shared:a:1m; }\nEND\n"
        "systemctl reload nginx"
    )
    context = ssl.create_default_context(cafile=str(ready.lab.authority))
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    wait_for(lambda: _handshake(ready, context) is not None, "the new site answers")
    session = _handshake(ready, context)
    with (
        socket.create_connection((ready.address, 443), timeout=10) as plain,
        context.wrap_socket(plain, server_hostname="a.example.com", session=session) as again,
    ):
        assert again.session_reused


def _handshake(server: Spare, context: ssl.SSLContext) -> ssl.SSLSession | None:
    try:
        with (
            socket.create_connection((server.address, 443), timeout=10) as plain,
            context.wrap_socket(plain, server_hostname="a.example.com") as secure,
        ):
            return secure.session
    except ssl.SSLError:
        return None


def test_nginx_comes_back_from_a_kill_and_binds_its_sockets_again(ready: Spare) -> None:
    ready.run(
        "echo 'server { listen unix:/run/rondo/gate.sock; return 204; }'"
        " >/etc/nginx/conf.d/rondo-gate.conf; systemctl restart nginx"
    )
    ready.run("kill -9 $(cat /run/nginx.pid)")
    ask = "curl -s -o /dev/null -w '%{http_code}' --unix-socket /run/rondo/gate.sock http://x/ || :"
    restarted = "systemctl show -p NRestarts --value nginx; systemctl is-active nginx || :"
    wait_for(
        lambda: ready.run(restarted).split() == ["1", "active"] and ready.run(ask) == "204",
        "Nginx is back with its socket",
    )


def test_what_nginx_refuses_is_taken_back(ready: Spare) -> None:
    zone = "ssl_session_cache shared:rondo_default:1m;"
    ready.run(
        "rm /etc/nginx/conf.d/rondo-default.conf\n"
        f"echo '{zone}' >/etc/nginx/conf.d/zone.conf; systemctl reload nginx"
    )
    with pytest.raises(RemoteError, match="old one is back"):
        ready.apply()
    ready.run("test ! -e /etc/nginx/conf.d/rondo-default.conf; /usr/sbin/nginx -t")
    assert ready.facts().nginx_running


def test_a_configuration_that_is_broken_already_is_refused_untouched(ready: Spare) -> None:
    ready.run("echo 'server { bogus; }' >/etc/nginx/conf.d/bogus.conf; chmod 700 /var/lib/rondo")
    with pytest.raises(PreflightError, match=r"broken already.*bogus"):
        ready.apply()
    assert ready.run("stat -c %a /var/lib/rondo").strip() == "700"


def test_what_drifted_is_mended_and_nothing_else(ready: Spare) -> None:
    ready.run("chmod 700 /var/lib/rondo; systemctl disable --now --quiet nginx")
    assert [line.item for line in ready.apply().changes] == ["services", "folders"]
    assert ready.facts().nginx_running


def test_a_public_port_of_somebody_else_is_noted(ready: Spare) -> None:
    ready.run(
        "echo 'server { listen 9099; server_name x; return 204; }' >/etc/nginx/conf.d/x.conf\n"
        "systemctl reload nginx"
    )
    wait_for(lambda: 9099 in ready.public_ports(), "the port is open")
    assert any("9099 (nginx)" in line.text for line in ready.plan().notes)


def test_a_site_of_somebody_else_is_kept_and_the_engine_not_restarted(fresh: Spare) -> None:
    fresh.run(
        "rm -rf /etc/docker/daemon.json; systemctl restart docker\n"
        "apt-get -qq update; DEBIAN_FRONTEND=noninteractive apt-get -qq -y"
        " --no-install-recommends install nginx >/dev/null\n"
        f"echo '{FOREIGN}' >/etc/nginx/sites-enabled/default; systemctl reload nginx"
    )
    engine = fresh.run("systemctl show -p MainPID docker")
    outcome = fresh.apply()
    assert any("sites-enabled/default" in line.text for line in outcome.notes)
    assert fresh.get("anything.example.com") == (200, b"old")
    assert fresh.run("systemctl show -p MainPID docker") == engine
    assert "true" in fresh.run("docker info --format '{{.LiveRestoreEnabled}}'")
    assert fresh.apply().changes == ()


def test_a_taken_port_80_is_refused_by_name_before_anything_is_touched(fresh: Spare) -> None:
    fresh.run(
        "apt-get -qq update; DEBIAN_FRONTEND=noninteractive apt-get -qq -y"
        " --no-install-recommends install socat >/dev/null\n"
        "systemd-run --quiet socat TCP-LISTEN:80,fork,reuseaddr /dev/null"
    )
    wait_for(lambda: 80 in fresh.public_ports(), "port 80 is taken")
    with pytest.raises(PreflightError, match="port 80 is held by socat"):
        fresh.apply()
    fresh.run("test ! -e /var/lib/rondo; test ! -e /usr/sbin/nginx; test ! -e /run/rondo")


def test_an_interrupted_installation_is_finished_by_the_next_run(bare: Spare) -> None:
    killer = (
        "until grep -qs 'status half-configured' /var/log/dpkg.log; do sleep 0.02; done\n"
        "kill -9 $(pgrep -x dpkg) $(pgrep -x apt-get)"
    )
    bare.run(": >/var/log/dpkg.log")
    with bare.remote() as remote:
        killing = threading.Thread(
            target=lambda: remote.run(killer, step="killing dpkg", deadline=120, check=False)
        )
        killing.start()
        with pytest.raises(RemoteError, match="run it again"):
            bootstrap.apply(remote, bare.inventory(), ignore_line)
        killing.join()
    assert bare.run("dpkg --audit; ls /var/lib/dpkg/updates").strip()
    assert bare.apply().changes[0].item == "packages"
    assert bare.run("dpkg --audit") == ""
    assert bare.apply().changes == ()
    assert bare.facts().docker_version
    assert bare.facts().nginx_running


def ignore_line(_: object) -> None:
    """Say nothing of what bootstrap does."""


def test_the_deploy_user_is_created_with_the_keys_of_who_logged_in(fresh: Spare) -> None:
    declared = fresh.inventory(user="ops")
    with fresh.remote(user="deploy") as remote:
        planned = bootstrap.plan(remote, declared, login="deploy")
        applied = bootstrap.apply(remote, declared, ignore_line, login="deploy")
    assert applied.changes == planned.changes
    assert [line.item for line in planned.changes[:3]] == ["user"] * 3
    assert fresh.run("id -u", user="ops").strip() == "0"
    with fresh.remote(user="ops") as remote:
        assert bootstrap.plan(remote, declared).changes == ()
