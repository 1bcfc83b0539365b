"""Getting to a server, or being told in one sentence why not."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import threading
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from throwaway import free_port, make_key, public, refusal

from rondo.errors import AccessError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from throwaway import Project, Sshd


def connects(project: Project, name: str = "web-1") -> bool:
    """Connect and run something."""
    with project.fleet() as fleet:
        return fleet[name].run("echo here", step="look").stdout == "here\n"


def fingerprint(key: Path) -> str:
    """Ask OpenSSH for the fingerprint of a key."""
    said = subprocess.run(
        ["ssh-keygen", "-lf", f"{key}.pub"], check=True, capture_output=True, text=True
    ).stdout
    return said.split()[1]


class TestHostKeys:
    def test_a_pinned_key_is_accepted(self, project: Project) -> None:
        assert connects(project)

    def test_a_changed_key_is_refused_with_both_fingerprints_and_the_remedy(
        self, project: Project, sshd: Sshd, tmp_path: Path
    ) -> None:
        other = make_key(tmp_path / "other")
        (project.root / "known_hosts").write_text(f"{sshd.known_as} {public(other)}\n")
        said = refusal(project)
        assert "changed" in said
        assert fingerprint(other) in said
        assert fingerprint(sshd.folder / "host") in said
        assert "inv hosts.trust --servers web-1" in said
        assert sshd.logins == 0

    def test_an_unknown_key_is_refused_when_strict(self, project: Project, sshd: Sshd) -> None:
        (project.root / "known_hosts").unlink()
        said = refusal(project)
        assert "is not known" in said
        assert fingerprint(sshd.folder / "host") in said
        assert "inv hosts.trust --servers web-1" in said
        assert sshd.logins == 0

    def test_an_unknown_key_is_pinned_and_told_with_accept_new(
        self, project: Project, sshd: Sshd
    ) -> None:
        (project.root / "known_hosts").unlink()
        project.ssh["host_keys"] = "accept-new"
        assert connects(project)
        assert sshd.known in (project.root / "known_hosts").read_text()
        assert any(fingerprint(sshd.folder / "host") in note for note in project.notes)
        project.ssh["host_keys"] = "strict"
        assert connects(project)

    def test_accept_new_refuses_a_changed_key(
        self, project: Project, sshd: Sshd, tmp_path: Path
    ) -> None:
        other = make_key(tmp_path / "other")
        (project.root / "known_hosts").write_text(f"{sshd.known_as} {public(other)}\n")
        project.ssh["host_keys"] = "accept-new"
        assert "has changed" in refusal(project)

    def test_the_operators_own_file_counts_when_the_project_has_no_key(
        self, project: Project, sshd: Sshd
    ) -> None:
        (project.root / "known_hosts").unlink()
        own = Path.home() / ".ssh" / "known_hosts"
        own.write_text(sshd.known)
        subprocess.run(["ssh-keygen", "-q", "-H", "-f", own], check=True, capture_output=True)
        assert "127.0.0.1" not in own.read_text()
        assert connects(project)

    def test_the_projects_file_decides_over_the_operators_own(
        self, project: Project, sshd: Sshd, tmp_path: Path
    ) -> None:
        other = make_key(tmp_path / "other")
        (project.root / "known_hosts").write_text(f"{sshd.known_as} {public(other)}\n")
        (Path.home() / ".ssh" / "known_hosts").write_text(sshd.known)
        assert "has changed" in refusal(project)

    def test_a_revoked_key_is_refused_though_it_is_pinned(
        self, project: Project, sshd: Sshd
    ) -> None:
        file = project.root / "known_hosts"
        file.write_text(f"{sshd.known}@revoked * {public(sshd.folder / 'host')}\n")
        assert "@revoked" in refusal(project)

    def test_broken_lines_are_skipped_with_a_warning(self, project: Project, sshd: Sshd) -> None:
        file = project.root / "known_hosts"
        file.write_text(f"nonsense\nweb ssh-ed25519 !!!\n# all is well\n{sshd.known}")
        assert connects(project)
        assert [re.search(r"line (\d)", note)[1] for note in project.notes] == ["1", "2"]

    def test_a_certificate_authority_is_told_to_be_of_no_use(
        self, project: Project, sshd: Sshd
    ) -> None:
        file = project.root / "known_hosts"
        file.write_text(f"@cert-authority * {public(sshd.folder / 'host')}\n")
        assert "is not known" in refusal(project)
        assert any("certificate authorities" in note for note in project.notes)

    def test_a_server_with_several_keys_is_asked_for_the_pinned_kind(
        self, make_sshd: Callable[..., Sshd], make_project: Callable[..., Project]
    ) -> None:
        sshd = make_sshd(start=False)
        rsa = make_key(sshd.folder / "rsa", "-t", "rsa", "-b", "2048")
        with (sshd.folder / "config").open("a") as config:
            config.write(f"HostKey {rsa}\n")
        sshd.start()
        project = make_project(web_1=sshd)
        (project.root / "known_hosts").write_text(f"{sshd.known_as} {public(rsa)}\n")
        assert connects(project)


class TestKeys:
    def test_a_key_that_the_server_does_not_know_is_refused(
        self, project: Project, tmp_path: Path
    ) -> None:
        project.servers["web-1"]["key"] = str(make_key(tmp_path / "stranger"))
        said = refusal(project)
        assert "refused the login" in said
        assert "authorized_keys" in said

    def test_a_missing_key_is_named(self, project: Project) -> None:
        project.servers["web-1"]["key"] = "nowhere"
        assert re.search(
            r"the key .*/nowhere cannot be read .*servers\.web-1\.key", refusal(project)
        )

    def test_a_file_that_is_no_key_is_named(self, project: Project) -> None:
        (project.root / "id").write_text("hello")
        project.servers["web-1"]["key"] = "id"
        assert "is not a private key" in refusal(project)

    def test_an_encrypted_key_without_a_terminal_is_an_error_not_a_prompt(
        self, project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        key = make_key(tmp_path / "locked", "-N", "open sesame")
        project.servers["web-1"]["key"] = str(key)
        with Path(os.devnull).open() as nothing:
            monkeypatch.setattr("sys.stdin", nothing)
            said = refusal(project)
        assert "has a passphrase" in said
        assert "ssh-add" in said

    def test_an_encrypted_key_is_taken_from_the_agent(
        self, project: Project, sshd: Sshd, tmp_path: Path, agent: Callable[..., None]
    ) -> None:
        agent(sshd.key)
        subprocess.run(
            ["ssh-keygen", "-q", "-p", "-N", "sesame", "-f", sshd.key],
            check=True,
            stdout=subprocess.DEVNULL,
        )
        assert connects(project)

    def test_the_agent_is_asked_when_no_key_is_given(
        self, project: Project, sshd: Sshd, agent: Callable[..., None]
    ) -> None:
        agent(sshd.key)
        del project.servers["web-1"]["key"]
        assert connects(project)

    def test_a_given_key_is_not_lost_among_those_of_a_full_agent(
        self, project: Project, tmp_path: Path, agent: Callable[..., None]
    ) -> None:
        agent(*(make_key(tmp_path / f"other{number}") for number in range(7)))
        assert connects(project)

    def test_no_key_at_all_is_told(self, project: Project) -> None:
        del project.servers["web-1"]["key"]
        said = refusal(project)
        assert "no key to log in" in said
        assert "servers.web-1.key" in said

    @pytest.fixture
    def agent(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> Iterator[Callable[..., None]]:
        address = str(tmp_path / "agent")
        process = subprocess.Popen(["ssh-agent", "-D", "-a", address], stdout=subprocess.DEVNULL)
        monkeypatch.setenv("SSH_AUTH_SOCK", address)

        def hold(*keys: Path) -> None:
            while not Path(address).exists():
                assert process.poll() is None
            subprocess.run(["ssh-add", "-q", *keys], check=True, stderr=subprocess.DEVNULL)

        yield hold
        process.kill()
        process.wait()


class TestNetwork:
    def test_a_closed_port_is_told(self, project: Project) -> None:
        project.servers["web-1"]["port"] = free_port()
        said = refusal(project)
        assert said.startswith("web-1: 127.0.0.1:")
        assert "refuses connections" in said

    def test_a_name_that_does_not_resolve_is_told(self, project: Project) -> None:
        project.servers["web-1"]["address"] = "nowhere.invalid"
        assert "cannot be resolved" in refusal(project)

    def test_a_server_that_says_nothing_is_given_up_in_time(self, project: Project) -> None:
        project.ssh["connect_timeout"] = 0.5
        with listener() as port:
            project.servers["web-1"]["port"] = port
            began = time.monotonic()
            said = refusal(project)
        assert "did not answer within 0.5 s" in said
        assert time.monotonic() - began < 3

    def test_a_server_that_goes_silent_in_the_handshake_is_given_up_in_time(
        self, project: Project
    ) -> None:
        project.ssh["connect_timeout"] = 0.5
        with listener(b"SSH-2.0-OpenSSH_9.2\r\n") as port:
            project.servers["web-1"]["port"] = port
            began = time.monotonic()
            said = refusal(project)
        assert "did not answer within 0.5 s" in said
        assert time.monotonic() - began < 3

    def test_dropped_handshakes_are_tried_again(self, project: Project, sshd: Sshd) -> None:
        with dropping(sshd.port, times=3) as proxy:
            project.servers["web-1"]["port"] = proxy.port
            (project.root / "known_hosts").write_text(
                sshd.known.replace(str(sshd.port), str(proxy.port))
            )
            assert connects(project)
        assert proxy.accepted == 4

    def test_a_server_that_drops_every_handshake_is_told(
        self, project: Project, sshd: Sshd
    ) -> None:
        project.ssh["connect_timeout"] = 1
        with dropping(sshd.port, times=10_000) as proxy:
            project.servers["web-1"]["port"] = proxy.port
            assert "MaxStartups" in refusal(project)

    def test_a_refused_login_is_not_tried_again(
        self, project: Project, sshd: Sshd, tmp_path: Path
    ) -> None:
        project.servers["web-1"]["key"] = str(make_key(tmp_path / "stranger"))
        refusal(project)
        assert sshd.log.count("Connection from") == 1

    def test_a_login_shell_that_runs_nothing_is_told(
        self, make_sshd: Callable[..., Sshd], make_project: Callable[..., Project]
    ) -> None:
        project = make_project(web_1=make_sshd("ForceCommand /usr/sbin/nologin"))
        with (
            project.fleet() as fleet,
            pytest.raises(AccessError, match=r"login shell of .* does not run"),
        ):
            fleet["web-1"].run("true", step="look")

    def test_a_second_command_uses_the_first_ones_connection(
        self, project: Project, sshd: Sshd
    ) -> None:
        with project.fleet() as fleet:
            for _ in range(3):
                fleet["web-1"].run("true", step="look")
        assert sshd.logins == 1

    def test_a_connection_that_broke_is_made_anew_for_the_next_command(
        self, project: Project, sshd: Sshd
    ) -> None:
        with project.fleet() as fleet:
            fleet["web-1"].run("true", step="look")
            sshd.stop()
            sshd.start()
            assert fleet["web-1"].run("echo again", step="look").stdout == "again\n"


class TestSshConfig:
    def test_it_says_what_the_inventory_leaves_out(self, project: Project, sshd: Sshd) -> None:
        server = project.servers["web-1"]
        user, port = server.pop("user"), server.pop("port")
        key = server.pop("key")
        server["address"] = "shop"
        folder = Path.home() / ".ssh"
        (folder / "config").write_text("Host other\n  User nobody\nInclude conf.d/*.conf\n")
        (folder / "conf.d").mkdir()
        (folder / "conf.d" / "shop.conf").write_text(
            f"Host shop\n  HostName 127.0.0.1\n  Port {port}\n  User {user}\n  IdentityFile {key}\n"
        )
        assert connects(project)

    def test_the_inventory_wins(self, project: Project) -> None:
        (Path.home() / ".ssh" / "config").write_text("Host *\n  User nobody\n  Port 1\n")
        assert connects(project)

    def test_what_cannot_be_read_is_told(self, project: Project) -> None:
        (Path.home() / ".ssh" / "config").write_text('Host "\n')
        with pytest.raises(Exception, match=r"config cannot be used"):
            project.fleet()


@contextmanager
def listener(greeting: bytes = b"") -> Iterator[int]:
    """Listen, greet, and say nothing more."""
    kept: list[socket.socket] = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                kept.append(connection)
                connection.sendall(greeting)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)
        thread.join()
    for connection in kept:
        connection.close()


class Proxy:
    """Drops the first connections like a busy sshd, passes on the others."""

    def __init__(self, server: socket.socket, to: int, times: int) -> None:
        self.server = server
        self.port: int = server.getsockname()[1]
        self.accepted = 0
        self._to = to
        self._times = times

    def serve(self) -> None:
        while True:
            try:
                connection, _ = self.server.accept()
            except OSError:
                return
            self.accepted += 1
            if self.accepted <= self._times:
                connection.close()
            else:
                self._pass_on(connection)

    def _pass_on(self, near: socket.socket) -> None:
        far = socket.create_connection(("127.0.0.1", self._to))
        for one, other in ((near, far), (far, near)):
            threading.Thread(target=_copy, args=(one, other), daemon=True).start()


def _copy(source: socket.socket, target: socket.socket) -> None:
    with source:
        try:
            while data := source.recv(65536):
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)
        except OSError:
            return


@contextmanager
def dropping(to: int, times: int) -> Iterator[Proxy]:
    """Run a proxy that drops the first connections."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        proxy = Proxy(server, to, times)
        thread = threading.Thread(target=proxy.serve, daemon=True)
        thread.start()
        yield proxy
        server.shutdown(socket.SHUT_RDWR)
        thread.join()
