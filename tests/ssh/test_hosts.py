"""Pinning host keys: nothing is trusted that the operator did not see and agree to."""

from __future__ import annotations

import re
import subprocess
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest
from throwaway import USER, free_port, make_key, public

from rondo import hosts, known_hosts
from rondo.errors import AccessError, InputError
from rondo.source import load

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from throwaway import Project, Sshd

    from rondo.known_hosts import HostKey


@dataclass
class Operator:
    """Somebody who reads and answers."""

    answer: bool = True
    questions: list[str] = field(default_factory=list)
    read: list[str] = field(default_factory=list)

    def confirm(self, question: str) -> bool:
        self.questions.append(question)
        return self.answer

    def trust(self, project: Project, *names: str) -> None:
        loaded = load(str(project.write()))
        hosts.trust(loaded, names or tuple(project.servers), self.confirm, self.read.append)

    @property
    def seen(self) -> str:
        return "\n".join(self.read)


@pytest.fixture
def bare(project: Project) -> Project:
    """Give a project that has pinned nothing yet."""
    (project.root / "known_hosts").unlink()
    return project


def offered(sshd: Sshd) -> str:
    """Ask OpenSSH for the fingerprint of a server."""
    command = ["ssh-keygen", "-lf", sshd.folder / "host.pub"]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()[1]


def pins(project: Project) -> list[str]:
    """Give the lines of the project's file that pin something."""
    lines = (project.root / "known_hosts").read_text().splitlines(keepends=True)
    return [line for line in lines if not line.startswith("#")]


class TestTrust:
    def test_a_new_key_is_shown_compared_and_pinned(self, bare: Project, sshd: Sshd) -> None:
        operator = Operator()
        operator.trust(bare)
        assert offered(sshd) in operator.seen
        assert "ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub" in operator.seen
        assert "first use" in operator.questions[0]
        assert pins(bare) == [sshd.known]
        with bare.fleet() as fleet:
            fleet["web-1"].open()

    def test_nothing_is_pinned_without_agreement(self, bare: Project) -> None:
        with pytest.raises(InputError, match="nothing was pinned for web-1"):
            Operator(answer=False).trust(bare)
        assert not (bare.root / "known_hosts").exists()

    def test_a_pinned_key_asks_nothing(self, project: Project, sshd: Sshd) -> None:
        operator = Operator()
        operator.trust(project)
        assert operator.questions == []
        assert "pinned already" in operator.seen

    def test_a_changed_key_is_shown_beside_the_old_and_replaced_only_with_a_yes(
        self, project: Project, sshd: Sshd, tmp_path: Path
    ) -> None:
        old = public(make_key(tmp_path / "old"))
        file = project.root / "known_hosts"
        file.write_text(f"# ours\nelsewhere {old}\n{sshd.known_as} {old}\n")
        with pytest.raises(InputError, match="was kept"):
            Operator(answer=False).trust(project)
        assert f"{sshd.known_as} {old}" in file.read_text()
        operator = Operator()
        operator.trust(project)
        assert "CHANGED" in operator.questions[0]
        assert re.search(
            rf"pinned .*SHA256.*\n.*offered .*{re.escape(offered(sshd))}", operator.seen
        )
        assert file.read_text() == f"# ours\nelsewhere {old}\n{sshd.known}"

    def test_a_login_that_fails_does_not_matter(
        self, bare: Project, sshd: Sshd, tmp_path: Path
    ) -> None:
        bare.servers["web-1"]["key"] = str(make_key(tmp_path / "stranger"))
        Operator().trust(bare)
        operator = Operator()
        operator.trust(bare)
        assert "pinned already" in operator.seen

    def test_accept_new_is_asked_about_all_the_same(self, bare: Project) -> None:
        bare.ssh["host_keys"] = "accept-new"
        with pytest.raises(InputError):
            Operator(answer=False).trust(bare)

    def test_a_dead_server_is_told(self, bare: Project) -> None:
        bare.servers["web-1"]["port"] = free_port()
        with pytest.raises(AccessError, match="refuses connections"):
            Operator().trust(bare)

    def test_a_server_behind_a_jump_host_is_seen_through_it(
        self, bare: Project, sshd: Sshd, make_sshd: Callable[..., Sshd]
    ) -> None:
        bastion = make_sshd("AllowTcpForwarding yes", key=sshd.key)
        bare.servers["web-1"]["jump"] = f"{USER}@127.0.0.1:{bastion.port}"
        operator = Operator()
        operator.trust(bare)
        assert pins(bare) == [bastion.known, sshd.known]
        assert len(operator.questions) == 2
        with bare.fleet() as fleet:
            fleet["web-1"].open()

    def test_a_plain_target_may_be_trusted(self, bare: Project, sshd: Sshd) -> None:
        Operator().trust(bare, f"{USER}@127.0.0.1:{sshd.port}")
        assert pins(bare) == [sshd.known]


class TestFile:
    @pytest.fixture
    def keys(self, tmp_path: Path) -> tuple[HostKey, HostKey]:
        lines = [f"x {public(make_key(tmp_path / name))}\n" for name in ("one", "two")]
        (tmp_path / "both").write_text("".join(lines))
        one, two = known_hosts.read(tmp_path / "both").keys("x")
        return one, two

    def test_other_hosts_of_a_line_keep_their_key(
        self, tmp_path: Path, keys: tuple[HostKey, HostKey]
    ) -> None:
        file = tmp_path / "known"
        file.write_text(keys[0].line("a,b,*.example.com"))
        known_hosts.pin(file, "b", keys[1])
        read = known_hosts.read(file)
        assert read.keys("a") == read.keys("www.example.com") == (keys[0],)
        assert read.keys("b") == (keys[1],)

    def test_patterns_are_those_of_openssh(
        self, tmp_path: Path, keys: tuple[HostKey, HostKey]
    ) -> None:
        file = tmp_path / "known"
        file.write_text(keys[0].line("*.example.com,!bad.example.com,[web-?]:22*"))
        read = known_hosts.read(file)
        found = ["www.example.com", "bad.example.com", "[web-1]:2222", "[web-1]:80", "web-1"]
        assert [bool(read.keys(host)) for host in found] == [True, False, True, False, False]

    def test_a_new_file_says_what_it_is_and_leaves_nothing_beside_it(
        self, tmp_path: Path, keys: tuple[HostKey, HostKey]
    ) -> None:
        folder = tmp_path / "new"
        known_hosts.pin(folder / "known", "a", keys[0])
        assert (folder / "known").read_text().startswith("# Host keys of this project")
        assert [path.name for path in folder.iterdir()] == ["known"]

    def test_a_symlink_stays_one(self, tmp_path: Path, keys: tuple[HostKey, HostKey]) -> None:
        (tmp_path / "real").write_text("")
        (tmp_path / "known").symlink_to("real")
        known_hosts.pin(tmp_path / "known", "a", keys[0])
        assert (tmp_path / "known").is_symlink()
        assert known_hosts.read(tmp_path / "real").keys("a") == (keys[0],)
