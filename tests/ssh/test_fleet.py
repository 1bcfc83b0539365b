"""Several servers at once, and servers behind others."""

from __future__ import annotations

import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from throwaway import USER, free_port, refusal, server_of

from rondo.errors import AccessError, InputError, RemoteError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from throwaway import Project, Sshd

    from rondo.server import Remote


def say(remote: Remote) -> str:
    """Let a server say something."""
    return remote.run('echo "$SSH_CONNECTION" | cut -d" " -f4', step="look").stdout.strip()


@pytest.fixture
def eager_threads() -> Iterator[None]:
    """Let threads take turns as often as they can."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


class TestEach:
    def test_a_dead_server_is_one_result_among_the_others(self, project: Project) -> None:
        project.servers["dead"] = {**project.servers["web-1"], "port": free_port()}
        with project.fleet() as fleet:
            results = fleet.each(lambda remote: remote.run("echo here", step="look").stdout)
        assert results["web-1"].get() == "here\n"
        assert isinstance(results["dead"].error, AccessError)
        assert not results["dead"]
        with pytest.raises(AccessError, match=r"dead: .* refuses connections"):
            results["dead"].get()

    def test_results_keep_the_order_of_the_names(self, project: Project) -> None:
        for name in ("c", "a", "b"):
            project.servers[name] = project.servers["web-1"]
        with project.fleet() as fleet:
            results = fleet.each(lambda remote: remote.name, ["b", "web-1", "a"])
        assert [result.value for result in results.values()] == ["b", "web-1", "a"]

    def test_a_fault_of_ours_is_no_servers_failure(self, project: Project) -> None:
        with project.fleet() as fleet, pytest.raises(ZeroDivisionError):
            fleet.each(lambda _: 1 // 0)

    def test_servers_are_worked_on_at_the_same_time(self, project: Project) -> None:
        for number in range(8):
            project.servers[f"more-{number}"] = project.servers["web-1"]
        with project.fleet() as fleet:
            fleet.each(lambda remote: remote.open())
            began = time.monotonic()
            fleet.each(lambda remote: remote.run("sleep 1", step="wait"))
        assert time.monotonic() - began < 5

    def test_a_connection_can_be_made_while_others_read_their_settings(
        self, project: Project, eager_threads: None
    ) -> None:
        """Fabric writes one of each into its configuration, and empties that for a moment."""
        for number in range(200):
            project.servers[f"more-{number}"] = project.servers["web-1"]
        with project.fleet() as fleet:
            first = fleet.connection("web-1")
            made = threading.Thread(
                target=lambda: [fleet.connection(f"more-{number}") for number in range(200)]
            )
            made.start()
            while made.is_alive():
                assert first.authentication.strategy_class is None

    def test_64_connections_get_through_an_sshd_that_drops_handshakes(
        self, make_sshd: Callable[..., Sshd], make_project: Callable[..., Project]
    ) -> None:
        sshd = make_sshd("MaxStartups 4:60:12")
        project = make_project(web_1=sshd)
        project.ssh["connect_timeout"] = 60
        project.servers = {f"web-{number}": server_of(sshd) for number in range(64)}
        with project.fleet() as fleet:
            results = fleet.each(lambda remote: remote.run("echo here", step="look").stdout)
        assert [result.value for result in results.values()] == ["here\n"] * 64
        assert "MaxStartups" in sshd.log

    def test_closing_ends_all(self, project: Project) -> None:
        with project.fleet() as fleet:
            fleet["web-1"].open()
        with pytest.raises(AccessError, match="connection was closed"):
            fleet["web-1"].run("true", step="look")

    @pytest.mark.parametrize("user", ["", f"{USER}@"], ids=["own name", "user"])
    def test_a_plain_target_is_a_server_too(self, project: Project, sshd: Sshd, user: str) -> None:
        target = f"{user}127.0.0.1:{sshd.port}"
        (Path.home() / ".ssh" / "config").write_text(f"Host 127.0.0.1\n  IdentityFile {sshd.key}\n")
        with project.fleet(extra=[target]) as fleet:
            assert fleet[target].run("echo here", step="look").stdout == "here\n"


class TestJump:
    @pytest.fixture
    def bastion(self, make_sshd: Callable[..., Sshd], sshd: Sshd) -> Sshd:
        return make_sshd("AllowTcpForwarding yes", key=sshd.key)

    @pytest.fixture
    def behind(self, project: Project, bastion: Sshd) -> Project:
        """Give a project whose two servers are behind one bastion."""
        project.pin(*project.sshds.values(), bastion)
        project.servers["web-1"]["jump"] = f"{USER}@127.0.0.1:{bastion.port}"
        project.servers["web-2"] = dict(project.servers["web-1"])
        return project

    def test_two_servers_share_one_connection_to_it(
        self, behind: Project, bastion: Sshd, sshd: Sshd
    ) -> None:
        with behind.fleet() as fleet:
            results = fleet.each(say)
        assert [result.get() for result in results.values()] == [str(sshd.port)] * 2
        assert bastion.logins == 1
        assert sshd.logins == 2

    def test_its_key_is_verified_as_well(self, behind: Project, bastion: Sshd, sshd: Sshd) -> None:
        behind.pin(sshd)
        said = refusal(behind)
        assert said.startswith(f"{USER}@127.0.0.1:{bastion.port}: the host key")
        assert "is not known" in said
        assert said.endswith("inv hosts.trust --servers web-1")
        assert sshd.logins == 0

    def test_the_key_behind_it_is_verified_as_well(self, behind: Project, bastion: Sshd) -> None:
        behind.pin(bastion)
        said = refusal(behind)
        assert said.startswith("web-1: the host key")
        assert "is not known" in said

    def test_it_may_be_a_server_of_the_inventory(
        self, behind: Project, bastion: Sshd, sshd: Sshd
    ) -> None:
        behind.servers["edge"] = server_of(bastion)
        behind.servers["web-1"]["jump"] = "edge"
        with behind.fleet("edge", "web-1") as fleet:
            results = fleet.each(say)
        assert [result.get() for result in results.values()] == [str(bastion.port), str(sshd.port)]
        assert bastion.logins == 1

    def test_ssh_config_may_name_it(self, behind: Project, bastion: Sshd, sshd: Sshd) -> None:
        del behind.servers["web-1"]["jump"]
        behind.servers["web-1"]["address"] = "shop"
        (Path.home() / ".ssh" / "config").write_text(
            f"Host shop\n  HostName 127.0.0.1\n  ProxyJump {USER}@127.0.0.1:{bastion.port}\n"
        )
        with behind.fleet("web-1") as fleet:
            assert say(fleet["web-1"]) == str(sshd.port)
        assert bastion.logins == 1

    def test_a_server_that_it_cannot_reach_is_told(self, behind: Project) -> None:
        behind.servers["web-1"]["port"] = free_port()
        assert refusal(behind).startswith("web-1: the jump host cannot reach 127.0.0.1")

    def test_a_dead_one_is_told_by_its_own_name(self, behind: Project) -> None:
        port = free_port()
        behind.servers["web-1"]["jump"] = f"{USER}@127.0.0.1:{port}"
        said = refusal(behind)
        assert said.startswith(f"{USER}@127.0.0.1:{port}: 127.0.0.1:{port} refuses")

    def test_a_circle_is_refused(self, behind: Project) -> None:
        behind.servers["web-1"]["jump"] = "web-2"
        behind.servers["web-2"]["jump"] = "web-1"
        with (
            behind.fleet("web-1") as fleet,
            pytest.raises(InputError, match="web-1 -> web-2 -> web-1"),
        ):
            fleet["web-1"].open()

    def test_a_lost_bastion_ends_a_command_with_one_sentence(
        self, behind: Project, bastion: Sshd
    ) -> None:
        with behind.fleet("web-1") as fleet, pytest.raises(RemoteError, match="lost during wait"):
            fleet["web-1"].run("echo up; sleep 1000", step="wait", on_line=lambda _: bastion.stop())
