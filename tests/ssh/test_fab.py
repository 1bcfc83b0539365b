"""The stock `fab`, with a small fabfile: which servers, which code, and never this machine."""

from __future__ import annotations

import resource
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from throwaway import server_of, wait_until

if TYPE_CHECKING:
    from throwaway import Project, Sshd

ELSEWHERE = "root@elsewhere.org:2222"
FAB = Path(sys.executable).with_name("fab")
FABFILE = """
import os
from invoke import call, task
from rondo import errors
from rondo.fab import ClusterTask

@task(klass=ClusterTask)
def names(session, inventory=""):
    print(*session.names)

@task(klass=ClusterTask)
def say(session, times=1):
    for _ in range(times):
        results = session.fleet.each(lambda remote: remote.run("echo here", step="say"))
        for name, result in results.items():
            print(name, result.get().stdout.strip())

@task(klass=ClusterTask)
def targets(session):
    print(*session.targets)

@task(klass=ClusterTask)
def end(session, code=0):
    return code

@task(klass=ClusterTask)
def fail(session, kind="RondoError"):
    raise getattr(errors, kind)("web-1: it went wrong; put it right")

@task(klass=ClusterTask)
def stumble(session):
    class Secret:
        def reveal(self): return b"open-sesame"
    session.ui.redact([Secret()])
    password = "open-sesame"
    raise ValueError(f"cannot use {password}")

@task(klass=ClusterTask)
def locally(session, how="run"):
    getattr(session, how)("touch happened")

@task(klass=ClusterTask)
def words(session):
    print(session.words)

@task(klass=ClusterTask)
def wait(session):
    session.fleet.each(lambda remote: remote.run("touch waiting; sleep 1000", step="wait"))

@task(klass=ClusterTask)
def wait_here(session):
    session.fleet["web-1"].run(f"touch {os.getcwd()}/waiting; sleep 1000", step="wait")

@task(pre=[call(say, times=1)])
def plain(c):
    c.run("echo plain $SSH_CONNECTION | cut -d' ' -f1,5")

@task(klass=ClusterTask)
def chatter(session):
    for number in range(100000):
        session.ui.note(str(number))
"""


class Fab:
    """The real program in a folder of a project."""

    def __init__(self, project: Project) -> None:
        self.project = project
        self.root = project.root
        (self.root / "fabfile.py").write_text(FABFILE)
        shutil.copy(Path(__file__).parents[2] / "fabric.yaml", self.root)
        project.write()

    def start(self, *words: str) -> subprocess.Popen[str]:
        self.project.write()
        return subprocess.Popen(
            [FAB, *words], cwd=self.root, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            stdin=subprocess.DEVNULL,
        )  # fmt: skip

    def __call__(self, *words: str, code: int = 0) -> tuple[str, str]:
        process = self.start(*words)
        stdout, stderr = process.communicate(timeout=60)
        assert process.returncode == code, stdout + stderr
        return stdout, stderr


@pytest.fixture
def fab(project: Project, sshd: Sshd) -> Fab:
    for name, groups in (("web-2", ["web"]), ("db", ["data"])):
        project.servers[name] = server_of(sshd, groups=groups, address=f"{name}.example.com")
    project.servers["web-1"]["groups"] = ["web"]
    return Fab(project)


class TestHosts:
    @pytest.mark.parametrize(
        ("words", "names"),
        [
            ((), "web-1 web-2 db"),
            (("-H", "web-2"), "web-2"),
            (("-H", "web"), "web-1 web-2"),
            (("-H", "data, web-1 ,data"), "db web-1"),
            (("-H", "127.0.0.1"), "web-1"),
            (("-H", "deploy@web-2.example.com"), "web-2"),
            (("-H", "root@db"), "db"),
        ],
        ids=[
            "none",
            "name",
            "group",
            "list with spaces",
            "address",
            "user and address",
            "user and name",
        ],
    )
    def test_they_mean_servers_of_the_inventory(
        self, fab: Fab, words: tuple[str, ...], names: str
    ) -> None:
        assert fab(*words, "names")[0] == f"{names}\n"

    def test_an_unknown_name_gets_a_suggestion(self, fab: Fab) -> None:
        stdout, stderr = fab("-H", "web1", "names", code=3)
        assert stdout == ""
        assert stderr == (
            "-H web1: the inventory has no server or group of that name; did you mean web-1?\n"
        )

    def test_an_empty_list_is_not_the_whole_inventory(self, fab: Fab) -> None:
        assert "names no server" in fab("-H", "", "names", code=3)[1]
        assert "names no server" in fab("-H", " , ", "names", code=3)[1]

    def test_a_target_of_no_server_is_refused_by_tasks_that_need_its_record(self, fab: Fab) -> None:
        assert (
            "is no server of inventory.yaml"
            in fab("-H", "root@elsewhere.org:2222", "names", code=3)[1]
        )

    def test_a_target_of_no_server_is_there_for_the_others(self, fab: Fab) -> None:
        assert (
            fab("-H", "web-1,root@elsewhere.org:2222", "targets")[0]
            == "web-1 root@elsewhere.org:2222\n"
        )

    def test_the_user_of_a_target_is_the_one_who_logs_in(self, fab: Fab) -> None:
        assert "refused the login as nobody" in fab("-H", "nobody@web-1", "say", code=4)[1]

    def test_another_inventory_is_selected_by_option_and_variable(
        self, fab: Fab, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (fab.root / "inventory.staging.yaml").write_text(
            "extends: inventory.yaml\nservers: {web-2: null, db: null}\n"
        )
        assert fab("names", "--inventory", "staging")[0] == "web-1\n"
        monkeypatch.setenv("RONDO_INVENTORY", "staging")
        assert fab("names")[0] == "web-1\n"


class TestConnections:
    def test_several_tasks_share_one_connection(self, fab: Fab, sshd: Sshd) -> None:
        assert fab("-H", "web-1", "say", "say", "--times", "2")[0] == "web-1 here\n" * 3
        assert sshd.logins == 1

    def test_a_plain_task_runs_on_each_server_never_here(self, fab: Fab, sshd: Sshd) -> None:
        del fab.project.servers["db"], fab.project.servers["web-2"]
        stdout, _ = fab("plain")
        assert stdout == f"web-1 here\nplain {sshd.port}\n"
        assert sshd.logins == 1

    def test_listing_tasks_is_quick(self, fab: Fab) -> None:
        (fab.root / "inventory.yaml").write_text("{")
        assert min(self.seconds(fab) for _ in range(5)) < 0.4

    def seconds(self, fab: Fab) -> float:
        """Give the processor's seconds, which other work on the machine does not add to."""
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([FAB, "--list"], cwd=fab.root, check=True, stdout=subprocess.DEVNULL)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime

    def test_listing_tasks_reads_neither_inventories_nor_what_reads_them(self) -> None:
        code = (
            "import sys; import rondo.fab; "
            "print({'pydantic', 'rondo.inventory', 'rondo.fleet'} & set(sys.modules))"
        )
        made = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
        assert made.stdout == b"set()\n"


class TestSafety:
    @pytest.mark.parametrize("how", ["run", "sudo", "local", "put", "get"])
    def test_a_session_runs_nothing_on_this_machine(self, fab: Fab, how: str) -> None:
        assert "your own machine" in fab("locally", "--how", how, code=3)[1]
        assert not (fab.root / "happened").exists()

    def test_a_dry_run_is_refused_instead_of_done(self, fab: Fab) -> None:
        assert "use: fab plan" in fab("--dry", "say", code=3)[1]

    def test_words_behind_dashes_stay_apart(self, fab: Fab) -> None:
        assert fab("words", "--", "sh", "-c", "echo 'a b'")[0] == "('sh', '-c', \"echo 'a b'\")\n"


class TestEnds:
    def test_the_number_of_a_task_is_the_code_and_stops_the_next(self, fab: Fab) -> None:
        assert fab("end", "--code", "2", "names", code=2)[0] == ""

    def test_zero_goes_on(self, fab: Fab) -> None:
        assert fab("end", "names")[0] == "web-1 web-2 db\n"

    @pytest.mark.parametrize(
        ("kind", "code"),
        [
            ("RondoError", 1),
            ("InputError", 3),
            ("AccessError", 4),
            ("PreflightError", 5),
            ("LockedError", 6),
            ("DeadlineError", 1),
            ("Interrupted", 130),
        ],
    )
    def test_an_error_is_one_sentence_and_its_code(self, fab: Fab, kind: str, code: int) -> None:
        assert fab("fail", "--kind", kind, code=code) == (
            "",
            "web-1: it went wrong; put it right\n",
        )

    def test_a_fault_shows_where_without_secrets(self, fab: Fab) -> None:
        _, stderr = fab("stumble", code=70)
        assert "ValueError: cannot use ***" in stderr
        assert stderr.rstrip().endswith("told in the lines above")
        assert "cannot use open-sesame" not in stderr

    def test_a_bad_number_is_one_sentence(self, fab: Fab) -> None:
        assert fab("say", "--times", "x", code=3) == ("", "--times: 'x' is not a whole number\n")

    def test_a_bad_inventory_is_told(self, fab: Fab) -> None:
        del fab.project.servers["web-1"]["address"]
        (fab.root / "inventory.yaml").write_text("project: shop\nservers: {web-1: {}}\n")
        process = subprocess.run(
            [FAB, "names"], cwd=fab.root, capture_output=True, text=True, check=False
        )
        assert process.returncode == 3
        assert "servers.web-1" in process.stderr
        assert "Traceback" not in process.stderr

    def test_ctrl_c_is_130(self, fab: Fab) -> None:
        process = fab.start("-H", "web-1", "wait-here")
        wait_until((fab.root / "waiting").exists)
        process.send_signal(signal.SIGINT)
        stdout, stderr = process.communicate(timeout=10)
        assert process.returncode == 130, stdout + stderr
        assert stderr.startswith("interrupted")

    def test_a_reader_that_goes_away_is_no_fault(self, fab: Fab) -> None:
        process = fab.start("chatter")
        assert process.stdout
        assert process.stderr
        assert process.stdout.readline() == "0\n"
        process.stdout.close()
        assert process.stderr.read() == ""
        process.stderr.close()
        assert process.wait(timeout=20) == 141
