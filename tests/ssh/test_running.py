"""Scripts on a server: what they are given, what comes back, and how they end."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import signal
import subprocess
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from throwaway import wait_until

from rondo import elevation
from rondo.errors import AccessError, DeadlineError, InputError, RemoteError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from throwaway import Project, Sshd

    from rondo.server import Remote

WAY = "root" if os.geteuid() == 0 else "sudo"
AWKWARD = (
    *("it's", 'a "b"', "back\\slash \\n \\\\", "bang!!", "$HOME `id` $(id)", "*", "", "  ", "-n"),
    *("two\nlines\n", "tab\there", "ümläut ☃", "%s %b", "a;b|c&d<e>f", "~", "#no", "\\0101"),
)


@pytest.fixture
def remote(project: Project) -> Iterator[Remote]:
    with project.fleet() as fleet:
        yield fleet["web-1"]


def is_alive(pid: str) -> bool:
    """Tell whether a process runs (a zombie does not)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def pids(path: Path, count: int) -> list[str]:
    """Wait for processes to tell their ids."""
    wait_until(lambda: path.exists() and len(path.read_text().split()) == count)
    return path.read_text().split()


class TestOutput:
    def test_streams_and_code_come_back_apart(self, remote: Remote) -> None:
        output = remote.run("echo one; echo two >&2; exit 3", step="try", check=False)
        assert (output.stdout, output.stderr, output.code) == ("one\n", "two\n", 3)
        assert not output

    def test_scripts_run_as_root(self, remote: Remote) -> None:
        assert remote.run("id -u", step="look").stdout == "0\n"

    def test_tools_of_sbin_are_found(self, remote: Remote) -> None:
        assert "/usr/sbin" in remote.run('echo "$PATH"', step="look").stdout

    @pytest.mark.parametrize("code", [1, 77, 78, 126, 255])
    def test_codes_pass_through(self, remote: Remote, code: int) -> None:
        assert remote.run(f"exit {code}", step="try", check=False).code == code

    def test_a_failure_names_server_step_code_and_the_last_words(self, remote: Remote) -> None:
        with pytest.raises(RemoteError) as caught:
            remote.run("for n in 1 2 3 4 5 6 7; do echo line $n >&2; done; exit 9", step="build it")
        said = str(caught.value)
        assert said.startswith("web-1: build it failed with exit code 9:")
        assert "line 7" in said
        assert "line 1" not in said

    def test_a_killed_script_is_told_by_its_code(self, remote: Remote) -> None:
        assert remote.run("kill -9 $$", step="try", check=False).code == 137

    def test_lines_are_told_while_the_script_runs(self, remote: Remote, tmp_path: Path) -> None:
        seen: list[str] = []

        def on_line(line: str) -> None:
            seen.append(line)
            (tmp_path / "go").touch()

        script = 'echo first; until [ -e "$1/go" ]; do sleep 0.01; done; printf "last without end"'
        output = remote.run(script, str(tmp_path), step="try", on_line=on_line)
        assert seen == ["first", "last without end"]
        assert output.stdout == "first\nlast without end"

    def test_text_that_is_no_utf_8_does_not_stop_anything(self, remote: Remote) -> None:
        output = remote.run(r"printf 'caf\351 \303\n'; printf '\377' >&2", step="try")
        assert output.stdout == "caf\ufffd \ufffd\n"
        assert output.stderr == "\ufffd"

    def test_a_character_cut_between_two_packets_is_whole(self, remote: Remote) -> None:
        text = "☃" * 100_000
        assert remote.run("cat", step="try", stdin=text.encode()).stdout == text

    def test_a_process_left_behind_does_not_hold_the_answer_back(self, remote: Remote) -> None:
        began = time.monotonic()
        output = remote.run("sleep 60 & echo $!", step="try", deadline=30)
        assert time.monotonic() - began < 15
        subprocess.run(["kill", output.stdout.strip()], check=True)


class TestArguments:
    def test_awkward_words_arrive_as_they_are(self, remote: Remote) -> None:
        output = remote.run('printf "%s\\0" "$@"', *AWKWARD, step="try")
        assert output.stdout.split("\0")[:-1] == list(AWKWARD)

    def test_awkward_scripts_arrive_as_they_are(self, remote: Remote) -> None:
        script = "cat <<'E'\n" + "\n".join(AWKWARD) + "\nE\n"
        assert remote.run(script, step="try").stdout == "\n".join(AWKWARD) + "\n"

    @pytest.mark.parametrize("shell", ["sh", "bash", "dash", "zsh", "fish", "tcsh", "csh"])
    def test_every_login_shell_passes_them_on(self, shell: str) -> None:
        path = shutil.which(shell)
        if not path:
            pytest.skip(f"{shell} is not installed")
        line = elevation.command('cat; printf "%s\\0" "$@"', AWKWARD, way=WAY, survive=True)
        made = subprocess.run(
            [path, "-c", line], input=b"3\nhi\n0\n", capture_output=True, check=True
        )
        assert made.stdout.decode().split("\0")[:-1] == ["hi\n" + AWKWARD[0], *AWKWARD[1:]]

    def test_a_script_too_long_for_a_command_is_refused(self, remote: Remote) -> None:
        with pytest.raises(InputError, match="too long"):
            remote.run("x" * 130_000, step="try")

    def test_a_nul_byte_is_refused(self, remote: Remote) -> None:
        with pytest.raises(InputError, match="NUL"):
            remote.run("echo", "a\0b", step="try")


class TestData:
    def test_much_of_it_arrives_unchanged(self, remote: Remote) -> None:
        data = os.urandom(10_000_000)
        digest = hashlib.sha256(data).hexdigest()
        assert remote.run("sha256sum", step="feed", stdin=data).stdout.split()[0] == digest

    def test_an_iterable_of_any_pieces_arrives_unchanged(self, remote: Remote) -> None:
        pieces = [os.urandom(size) for size in (1, 0, 70_000, 3_000_000, 5)]
        digest = hashlib.sha256(b"".join(pieces)).hexdigest()
        output = remote.run("sha256sum", step="feed", stdin=iter(pieces))
        assert output.stdout.split()[0] == digest

    def test_a_script_may_read_none_of_it(self, remote: Remote) -> None:
        output = remote.run("exit 4", step="feed", stdin=b"x" * 20_000_000, check=False)
        assert output.code == 4

    def test_without_data_stdin_is_empty(self, remote: Remote) -> None:
        assert remote.run("cat; echo end", step="try").stdout == "end\n"

    def test_secrets_are_in_no_command_line_and_no_environment(
        self, remote: Remote, tmp_path: Path
    ) -> None:
        secret = b"sesame-" + os.urandom(16).hex().encode()
        found: list[str] = []

        def look() -> None:
            wait_until((tmp_path / "ready").exists)
            for process in Path("/proc").glob("[0-9]*"):
                for name in ("cmdline", "environ"):
                    try:
                        if secret in (process / name).read_bytes():
                            found.append(f"{process}/{name}")
                    except OSError:
                        continue
            (tmp_path / "go").touch()

        looker = threading.Thread(target=look)
        looker.start()
        script = (
            'read -r line; touch "$1/ready"; until [ -e "$1/go" ]; do sleep 0.01; done; cat | wc -c'
        )
        remote.run(script, str(tmp_path), step="feed", stdin=secret + b"\n" + b"x" * 10_000_000)
        looker.join()
        assert found == []

    def test_an_error_while_data_are_made_ends_the_script_before_it_takes_half_for_whole(
        self, remote: Remote, tmp_path: Path
    ) -> None:
        def pieces() -> Iterator[bytes]:
            yield b"x" * 2_000_000
            raise FileNotFoundError("the context changed")

        with pytest.raises(FileNotFoundError, match="the context changed"):
            remote.run('echo $$ >"$1/pid"; cat >/dev/null; touch "$1/whole"', str(tmp_path),
                       step="feed", stdin=pieces())  # fmt: skip
        (pid,) = pids(tmp_path / "pid", 1)
        wait_until(lambda: not is_alive(pid))
        assert not (tmp_path / "whole").exists()

    def test_reading_gives_the_bytes_of_a_script(self, remote: Remote) -> None:
        data = b"".join(remote.read("head -c 5000000 /dev/zero", step="read", deadline=30))
        assert data == bytes(5_000_000)

    def test_what_one_server_gives_another_can_be_fed(self, remote: Remote) -> None:
        source = remote.read("head -c 5000000 /dev/zero", step="read", deadline=30)
        assert remote.run("wc -c", step="feed", stdin=source).stdout == "5000000\n"

    def test_reading_raises_when_the_script_failed(self, remote: Remote) -> None:
        with pytest.raises(RemoteError, match="read it failed with exit code 2:\n  oh"):
            list(remote.read("echo half; echo oh >&2; exit 2", step="read it", deadline=30))

    def test_a_broken_source_is_the_error_that_is_told(self, remote: Remote) -> None:
        source = remote.read("echo half; exit 2", step="save", deadline=30)
        with pytest.raises(RemoteError, match="save failed"):
            remote.run("cat >/dev/null", step="load", stdin=source)


class TestEnds:
    SCRIPT = 'sleep 1000 & echo $! >>"$1/pids"; echo $$ >>"$1/pids"; sleep 1000'

    def test_the_deadline_ends_the_whole_group(self, remote: Remote, tmp_path: Path) -> None:
        with pytest.raises(DeadlineError) as caught:
            remote.run(self.SCRIPT, str(tmp_path), step="wait", deadline=0.5)
        assert "web-1: wait took longer than 0.5 s" in str(caught.value)
        for pid in pids(tmp_path / "pids", 2):
            wait_until(lambda pid=pid: not is_alive(pid))

    def test_a_script_that_ignores_the_signal_is_killed(
        self, remote: Remote, tmp_path: Path
    ) -> None:
        with pytest.raises(DeadlineError):
            remote.run(f"trap '' TERM; {self.SCRIPT}", str(tmp_path), step="wait", deadline=0.5)
        for pid in pids(tmp_path / "pids", 2):
            wait_until(lambda pid=pid: not is_alive(pid))

    def test_a_closed_stdout_does_not_burn_the_processor(self, remote: Remote) -> None:
        before = time.process_time()
        remote.run("exec >/dev/null 2>&1; sleep 1", step="wait")
        assert time.process_time() - before < 0.5

    def test_ctrl_c_ends_what_runs(self, project: Project, tmp_path: Path) -> None:
        client = project.python(
            f"fleet['web-1'].run({self.SCRIPT!r}, {str(tmp_path)!r}, step='wait')",
            stderr=subprocess.DEVNULL,
        )
        started = pids(tmp_path / "pids", 2)
        client.send_signal(signal.SIGINT)
        assert client.wait(timeout=5) == -signal.SIGINT
        for pid in started:
            wait_until(lambda pid=pid: not is_alive(pid))

    def test_ctrl_c_ends_what_runs_on_several_servers(
        self, project: Project, tmp_path: Path
    ) -> None:
        project.servers["web-2"] = project.servers["web-1"]
        client = project.python(
            f"def wait(remote): remote.run({self.SCRIPT!r}, {str(tmp_path)!r}, step='wait')\n"
            "from rondo.errors import RondoError\n"
            "try: fleet.each(wait)\n"
            "except RondoError as error: sys.exit(error.exit_code)",
        )
        started = pids(tmp_path / "pids", 4)
        client.send_signal(signal.SIGINT)
        assert client.wait(timeout=5) == 130
        for pid in started:
            wait_until(lambda pid=pid: not is_alive(pid))

    def test_killing_the_client_ends_what_runs(self, project: Project, tmp_path: Path) -> None:
        client = project.python(
            f"fleet['web-1'].run({self.SCRIPT!r}, {str(tmp_path)!r}, step='wait')"
        )
        started = pids(tmp_path / "pids", 2)
        client.kill()
        client.wait()
        for pid in started:
            wait_until(lambda pid=pid: not is_alive(pid))

    def test_a_lost_connection_is_told(self, project: Project, sshd: Sshd) -> None:
        with (
            project.fleet() as fleet,
            pytest.raises(RemoteError, match="connection was lost during wait"),
        ):
            fleet["web-1"].run("echo up; sleep 1000", step="wait", on_line=lambda _: sshd.stop())

    def test_an_error_of_the_listener_ends_the_script(self, remote: Remote, tmp_path: Path) -> None:
        def refuse(_: str) -> None:
            raise BrokenPipeError

        with pytest.raises(BrokenPipeError):
            remote.run(
                'echo $$ >"$1/pid"; echo up; sleep 1000', str(tmp_path), step="wait", on_line=refuse
            )
        (pid,) = pids(tmp_path / "pid", 1)
        wait_until(lambda: not is_alive(pid))


class TestSurvival:
    SCRIPT = """
        set -eu
        cat >"$1/data"
        echo $$ >"$1/pid"
        until [ -e "$1/go" ]; do sleep 0.01; done
        for n in 1 2 3; do echo "still $n"; echo "here $n" >&2; sleep 0.05; done
        touch "$1/done"
    """

    def start(self, project: Project, folder: Path, data: str) -> subprocess.Popen[str]:
        return project.python(
            f"fleet['web-1'].run({self.SCRIPT!r}, {str(folder)!r}, step='go', stdin={data}, "
            "survive=True)"
        )

    def test_it_goes_on_when_the_client_is_killed(self, project: Project, tmp_path: Path) -> None:
        client = self.start(project, tmp_path, "b'payload'")
        (pid,) = pids(tmp_path / "pid", 1)
        client.kill()
        client.wait()
        (tmp_path / "go").touch()
        wait_until((tmp_path / "done").exists)
        assert (tmp_path / "data").read_text() == "payload"
        wait_until(lambda: not is_alive(pid))

    def test_it_does_not_go_on_with_half_of_its_data(
        self, project: Project, tmp_path: Path
    ) -> None:
        feed = "(b'x' * 2_000_000 for _ in iter(int, 1))"
        client = self.start(project, tmp_path, feed)
        wait_until(
            lambda: (tmp_path / "data").exists() and (tmp_path / "data").stat().st_size > 1e7
        )
        (tmp_path / "go").touch()
        client.kill()
        client.wait()
        wait_until(lambda: not processes_with(str(tmp_path)))
        assert not (tmp_path / "pid").exists()

    def test_streams_and_code_come_back_as_ever(self, remote: Remote) -> None:
        output = remote.run(
            "cat; echo two >&2; exit 5", step="go", stdin=b"one", survive=True, check=False
        )
        assert (output.stdout, output.stderr, output.code) == ("one", "two\n", 5)

    def test_the_deadline_says_that_it_goes_on(self, remote: Remote, tmp_path: Path) -> None:
        with pytest.raises(DeadlineError, match="goes on there by itself"):
            remote.run(self.SCRIPT, str(tmp_path), step="go", deadline=0.5, survive=True)
        (tmp_path / "go").touch()
        wait_until((tmp_path / "done").exists)


class TestHold:
    LOCK = 'exec 9>>"$1"; flock -n 9 || { echo taken; exit 0; }; echo held; exec cat >/dev/null'

    def is_free(self, path: Path) -> bool:
        return subprocess.run(["flock", "-n", path, "true"], check=False).returncode == 0

    def test_it_holds_until_it_is_closed(self, remote: Remote, tmp_path: Path) -> None:
        lock = tmp_path / "lock"
        with remote.hold(self.LOCK, str(lock), step="lock", deadline=10) as hold:
            assert hold.line == "held"
            assert not hold.lost
            assert not self.is_free(lock)
            assert remote.run("echo beside", step="look").stdout == "beside\n"
        wait_until(lambda: self.is_free(lock))

    def test_a_second_one_is_told(self, project: Project, remote: Remote, tmp_path: Path) -> None:
        lock = str(tmp_path / "lock")
        with project.fleet() as other, remote.hold(self.LOCK, lock, step="lock", deadline=10):
            assert other["web-1"].hold(self.LOCK, lock, step="lock", deadline=10).line == "taken"

    def test_killing_the_client_frees_it(self, project: Project, tmp_path: Path) -> None:
        lock = tmp_path / "lock"
        client = project.python(
            f"hold = fleet['web-1'].hold({self.LOCK!r}, {str(lock)!r}, step='lock', deadline=10)\n"
            "print(hold.line, flush=True)\nimport signal; signal.pause()",
            stdout=subprocess.PIPE,
        )
        assert client.stdout
        assert client.stdout.readline() == "held\n"
        assert not self.is_free(lock)
        client.kill()
        client.wait()
        client.stdout.close()
        wait_until(lambda: self.is_free(lock))

    def test_its_end_is_noticed(self, remote: Remote, tmp_path: Path) -> None:
        hold = remote.hold('echo $$; read -r _ <"$1/gate"', str(tmp_path), step="hold", deadline=10)
        wait_until(lambda: hold.lost)
        hold.close()

    def test_a_script_that_says_nothing_is_an_error(self, remote: Remote) -> None:
        with pytest.raises(RemoteError, match=r"web-1: lock failed with exit code 6:\n  no flock"):
            remote.hold("echo no flock >&2; exit 6", step="lock", deadline=10)

    def test_a_script_that_says_nothing_for_too_long_is_an_error(self, remote: Remote) -> None:
        with pytest.raises(DeadlineError, match=r"lock took longer than 0\.3 s"):
            remote.hold("sleep 100", step="lock", deadline=0.3)


class TestOthers:
    def test_more_scripts_than_sshd_has_sessions_wait_for_each_other(
        self, project: Project, sshd: Sshd
    ) -> None:
        answers: list[str] = []
        with project.fleet() as fleet:
            remote = fleet["web-1"]

            def ask(number: int) -> None:
                answers.append(remote.run("sleep 0.1; echo $1", str(number), step="ask").stdout)

            threads = [threading.Thread(target=ask, args=(number,)) for number in range(30)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        assert sorted(map(int, answers)) == list(range(30))
        assert sshd.logins == 1

    def test_a_server_of_few_sessions_is_waited_for(
        self, make_sshd: Callable[..., Sshd], make_project: Callable[..., Project]
    ) -> None:
        project = make_project(web_1=make_sshd("MaxSessions 2"))
        with project.fleet() as fleet:
            remote = fleet["web-1"]
            results: list[int] = []
            threads = [
                threading.Thread(
                    target=lambda: results.append(remote.run("sleep 0.1", step="ask").code)
                )
                for _ in range(8)
            ]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        assert results == [0] * 8

    def test_a_channel_held_ready_for_the_next_command_takes_no_place_from_it(
        self, make_sshd: Callable[..., Sshd], make_project: Callable[..., Project]
    ) -> None:
        project = make_project(web_1=make_sshd("MaxSessions 2"), web_2=make_sshd("MaxSessions 1"))
        with project.fleet() as fleet:
            one, other = fleet["web-1"], fleet["web-2"]
            with one.hold("echo held; exec cat >/dev/null", step="hold", deadline=20):
                said = [one.run("echo $1", str(n), step="run").stdout for n in range(5)]
            assert said == [f"{n}\n" for n in range(5)]
            assert [other.run("echo a", step="run").stdout for _ in range(5)] == ["a\n"] * 5

    def test_streaming_passes_lines_on_until_the_script_ends(self, remote: Remote) -> None:
        seen: list[str] = []
        output = remote.stream("echo a; echo b; exit 3", step="logs", on_line=seen.append)
        assert seen == ["a", "b"]
        assert (output.stdout, output.code) == ("", 3)

    def test_the_operators_pipe_is_joined_to_an_interactive_script(self, project: Project) -> None:
        client = project.python(
            "sys.exit(fleet['web-1'].interactive('tr a-z A-Z; echo \"$1\" >&2; exit 7', 'word'))",
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        assert client.communicate("hello\n", timeout=20) == ("HELLO\n", "word\n")
        assert client.returncode == 7

    def test_the_operators_terminal_is_joined_to_an_interactive_script(
        self, project: Project
    ) -> None:
        near, far = os.openpty()
        client = project.python(
            "sys.exit(fleet['web-1'].interactive('test -t 0 && test -t 1; echo tty $?; "
            "read -r line; echo \"<$line>\"; exit 3'))",
            stdin=far, stdout=far, stderr=subprocess.PIPE,
        )  # fmt: skip
        os.close(far)
        said = b""
        while b"tty" not in said:
            said += os.read(near, 1000)
        os.write(near, b"typed\n")
        assert client.wait(timeout=20) == 3
        said += os.read(near, 1000)
        os.close(near)
        assert client.stderr
        client.stderr.close()
        assert b"tty 0" in said
        assert b"<typed>" in said

    def test_an_account_without_a_way_to_root_is_told_the_remedies(
        self, make_sshd: Callable[..., Sshd], make_project: Callable[..., Project]
    ) -> None:
        said = "printf 'rondo-elevation: none deploy\\n' >&2; exit 78"
        project = make_project(web_1=make_sshd(f'ForceCommand sh -c "{said}"'))
        with project.fleet() as fleet, pytest.raises(AccessError) as caught:
            fleet["web-1"].run("true", step="look")
        assert re.search("root.*NOPASSWD.*usermod -aG docker deploy", str(caught.value))


def processes_with(word: str) -> list[str]:
    """Give the processes that name a word on their command line, but for pytest's own."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            words = (process / "cmdline").read_bytes().decode(errors="replace")
        except OSError:
            continue
        if word in words and "sshd" not in words.partition("\0")[0] and is_alive(process.name):
            found.append(process.name)
    return found
