"""A proof of the deployed shop, and that nobody but its run is told anything."""

from __future__ import annotations

import contextlib
import json
import os
import re
import secrets
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from shop import ACCESS_LOG, DATA, HOST, PROJECT, Done, Operator, ended, until

from rondo.errors import RemoteError
from rondo.fleet import Fleet
from rondo.proof import witness
from rondo.source import load

if TYPE_CHECKING:
    from collections.abc import Iterator

    from clients import Site

pytestmark = pytest.mark.e2e

# A machine that runs tests is busy: what is judged here is not how fast it is.
LIMITS = {"p95": "20s", "p99": "30s", "slow_backend": 20, "throughput": 0.5, "change_p99": 100}
PATIENT = {"proof": {"rate": 30, "limits": LIMITS}}
PLACE = witness.Place(PROJECT, HOST, tls=True)
ATTEMPTS = 4


@pytest.fixture
def patient(shop: Operator) -> Operator:
    shop.declare(PATIENT)
    return shop


def report(operator: Operator) -> dict[str, Any]:
    """Read what the last run reported."""
    runs = sorted(operator.folder.glob(".rondo/runs/*/run.json"), key=lambda path: path.parent.name)
    found: dict[str, Any] = json.loads(runs[-1].read_text())
    return found


def checks(operator: Operator) -> dict[str, str]:
    return {check["key"]: check["status"] for check in report(operator)["checks"]}


def sound(operator: Operator, *words: str) -> Done:
    """Type a command until the machine was not too busy to say anything."""
    for _ in range(ATTEMPTS):
        done = operator.run(*words, code=None)
        if done.code != 3:
            break
    return done


def tokens(operator: Operator) -> list[str]:
    """Give the secrets that the servers accept."""
    found = [each.run(f"ls {DATA}/proof 2>/dev/null || :") for each in operator.machines]
    return re.findall(r"\b[0-9a-f]{32}\b", " ".join(found))


def loading(operator: Operator) -> list[int]:
    """Give the load generators of an operator's runs."""
    mark = f"RONDO_RUN={operator.folder}".encode()
    found = []
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if entry.name.isdigit() and mark in (entry / "environ").read_bytes():
                found.append(int(entry.name))
    return found


@pytest.fixture
def opened(deployed: Operator) -> Iterator[tuple[Fleet, witness.Opened, str, str]]:
    """Open the first server to a run."""
    loaded = load(start=deployed.folder)
    run, secret = secrets.token_hex(6), secrets.token_hex(16)
    with Fleet(loaded.inventory, loaded.root, ["web-1"]) as fleet:
        yield fleet, witness.open_to(fleet["web-1"], PLACE, run, secret), run, secret


def as_run(run: str, secret: str, number: int = 7) -> dict[str, str]:
    return {"X-Rondo-Run": run, "X-Rondo-Proof": secret, "X-Request-ID": f"{number:016x}"}


def heard(opened: tuple[Fleet, witness.Opened, str, str], path: Path) -> witness.Heard:
    fleet, server, run, _ = opened
    return witness.read_log(fleet["web-1"], PLACE, run, server, path)


class TestProve:
    def test_the_deployed_shop_passes(self, patient: Operator) -> None:
        done = sound(patient, "inv", "prove", "--duration", "12")
        assert done.code == 0, done.said
        found = checks(patient)
        for key in ("lost", "everyone", "round_robin", "one_release", "reconcile", "tls", "sound"):
            assert found[key] == "PASS", key
        assert "PASS" in done.out
        report = re.search(r"^report: (\.rondo/runs/\S+)$", done.out, re.MULTILINE)
        assert report, done.out
        assert (patient.folder / report[1]).is_file()
        assert tokens(patient) == []

    def test_nothing_that_is_kept_of_a_run_holds_its_secret_but_the_brief(
        self, patient: Operator
    ) -> None:
        patient.run("inv", "prove", "--duration", "3", "--server", "web-2", code=None)
        folder = max(patient.folder.glob(".rondo/runs/*-*"), key=lambda path: path.name)
        secret = json.loads((folder / "brief.json").read_text())["secret"]
        assert re.fullmatch("[0-9a-f]{32}", secret)
        holding = [
            path.name
            for path in folder.rglob("*")
            if path.is_file() and secret.encode() in path.read_bytes()
        ]
        assert holding == ["brief.json"]
        assert (folder / "brief.json").stat().st_mode & 0o077 == 0
        assert [path.name for path in (folder / "servers").iterdir()] == ["web-2.log"]

    def test_a_backend_that_is_gone_fails_it(self, patient: Operator) -> None:
        machine = patient.machine("web-2")
        container = machine.containers()["backend-2"]
        machine.run(f"docker stop --time 1 {container}")
        try:
            done = patient.run("inv", "prove", "--duration", "6", code=1)
        finally:
            machine.run(f"docker start {container}")
            until(
                lambda: machine.run(f"test -S {DATA}/sockets/backend-2/slot.sock && echo there"),
                "the backend is back",
            )
        assert checks(patient)["everyone"] == "FAIL"
        assert "backend-2" in done.out

    def test_a_restart_is_proved_while_it_happens(self, patient: Operator) -> None:
        done = sound(patient, "fab", "restart", "frontend", "--prove")
        assert done.code in {0, 1}, done.said
        found = report(patient)
        marks = [(mark["kind"], mark["server"], mark["slot"]) for mark in found["marks"]]
        assert (marks[0][0], marks[-1][0]) == ("begin", "end")
        for server in ("web-1", "web-2"):
            assert ("switched", server, "frontend-1") in marks
            assert ("drained", server, "frontend-1") in marks
        for key in ("lost", "everyone", "reconcile", "sound"):
            assert checks(patient)[key] == "PASS", key
        assert tokens(patient) == []

    @pytest.mark.parametrize(
        "words",
        [("--rate", "none"), ("--duration", "-1"), ("--server", "web-9"), ("--host", "ftp://x")],
    )
    def test_what_cannot_be_done_is_told_at_once(
        self, shop: Operator, words: tuple[str, str]
    ) -> None:
        done = shop.run("inv", "prove", *words, code=2)
        assert words[1] in done.err

    @pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGKILL])
    def test_nothing_is_left_of_one_that_is_broken_off(
        self, patient: Operator, sign: signal.Signals
    ) -> None:
        before = set(patient.folder.glob(".rondo/runs/*/run.json"))
        with ended(patient.start("inv", "prove", "--duration", "300")) as child:
            until(lambda: len(tokens(patient)) == 2 and loading(patient), "the load has begun")
            os.kill(child.pid, sign)
            _, said = child.communicate(timeout=60)
        if sign is signal.SIGINT:
            assert child.returncode == 130
            assert "nothing is judged" in said
        until(lambda: not tokens(patient), "the secret is forgotten")
        until(lambda: not loading(patient), "the load has ended")
        assert set(patient.folder.glob(".rondo/runs/*/run.json")) == before

    def test_a_load_made_by_hand_is_judged_as_well(self, patient: Operator) -> None:
        loadtests = Path(__file__).parents[2] / "loadtests"
        words = ("locust", "-f", str(loadtests), "--headless", "--only-summary")
        options = ("--host", f"https://{HOST}", "--duration", "6")
        done = sound(patient, *words, *options)
        assert done.code == 0, done.said
        assert checks(patient)["reconcile"] == "PASS"
        assert tokens(patient) == []


class TestWitness:
    def test_a_run_sees_who_answers_and_its_lines_are_fetched(
        self,
        opened: tuple[Fleet, witness.Opened, str, str],
        sites: tuple[Site, ...],
        tmp_path: Path,
    ) -> None:
        _, server, run, secret = opened
        release = sites[0].ask("/api/whoami").headers["X-Shop-Release"]
        seen = sites[0].ask("/health", **as_run(run, secret)).headers["X-Rondo-Backend"]
        assert re.fullmatch(rf"web-1;unix:{DATA}/sockets/backend-\d/slot\.sock;\S+", seen)
        assert seen.endswith(f";{release}")
        found = heard(opened, tmp_path / "log")
        (line,) = map(json.loads, (tmp_path / "log").read_text().splitlines())
        assert (line["run"], line["id"], line["path"]) == (run, f"{7:016x}", "/health")
        assert f"{line['backend']};{release}" in seen
        assert found.reason == ""
        assert sum(found.others.values()) >= 1
        assert {each.name for each in found.installed} == {
            "rondo_shop_backend",
            "rondo_shop_frontend",
        }
        server.hold.close()

    def test_the_public_is_told_nothing_and_cannot_write_into_the_log(
        self,
        opened: tuple[Fleet, witness.Opened, str, str],
        sites: tuple[Site, ...],
        tmp_path: Path,
    ) -> None:
        _, _, run, secret = opened
        wrong = secret[:-1] + ("0" if secret[-1] != "0" else "1")
        for given in (wrong, secret.upper(), f"x/../{secret}", "", run):
            forged = as_run(run, given) | {"X-Rondo-Backend": "mine"}
            answer = sites[0].ask("/health", **forged)
            assert (answer.status, answer.headers["X-Rondo-Backend"]) == (200, None), given
        plain = sites[0].ask("/health", **{"X-Rondo-Run": run, "X-Request-ID": "mine"})
        assert plain.headers["X-Rondo-Backend"] is None
        heard(opened, tmp_path / "log")
        assert (tmp_path / "log").read_text() == ""

    def test_a_secret_is_worth_nothing_on_a_server_that_was_not_asked(
        self, opened: tuple[Fleet, witness.Opened, str, str], sites: tuple[Site, ...]
    ) -> None:
        _, _, run, secret = opened
        assert sites[1].ask("/health", **as_run(run, secret)).headers["X-Rondo-Backend"] is None

    def test_nobody_but_root_can_list_the_secrets(
        self, opened: tuple[Fleet, witness.Opened, str, str], deployed: Operator
    ) -> None:
        _, _, _, secret = opened
        machine = deployed.machine("web-1")
        look = f"su -s /bin/sh www-data -c 'ls {DATA}/proof 2>&1; cat {DATA}/proof/{secret} 2>&1'"
        said = machine.run(look, check=False)
        assert said.count("Permission denied") == 2
        assert secret not in machine.run("ps axww -o args")

    def test_the_secret_is_gone_as_soon_as_the_run_is(
        self,
        opened: tuple[Fleet, witness.Opened, str, str],
        deployed: Operator,
        sites: tuple[Site, ...],
    ) -> None:
        _, server, run, secret = opened
        server.hold.close()
        until(lambda: not tokens(deployed), "the secret is gone")
        assert sites[0].ask("/health", **as_run(run, secret)).headers["X-Rondo-Backend"] is None

    def test_a_log_that_is_rotated_meanwhile_is_read_to_its_end(
        self,
        opened: tuple[Fleet, witness.Opened, str, str],
        deployed: Operator,
        sites: tuple[Site, ...],
        tmp_path: Path,
    ) -> None:
        _, _, run, secret = opened
        machine = deployed.machine("web-1")
        sites[0].ask("/health", **as_run(run, secret, 1))
        until(lambda: machine.run(f"grep -c {run} {ACCESS_LOG} || :") != "0", "the line is there")
        machine.run(f"mv {ACCESS_LOG} {ACCESS_LOG}.1 && nginx -s reopen")
        until(lambda: machine.run(f"test -f {ACCESS_LOG} && echo new", check=False), "a new log")
        sites[0].ask("/health", **as_run(run, secret, 2))
        assert heard(opened, tmp_path / "log").reason == ""
        lines = map(json.loads, (tmp_path / "log").read_text().splitlines())
        assert [int(line["id"], 16) for line in lines] == [1, 2]

    def test_a_log_that_is_emptied_meanwhile_is_not_taken_for_whole(
        self,
        opened: tuple[Fleet, witness.Opened, str, str],
        deployed: Operator,
        sites: tuple[Site, ...],
        tmp_path: Path,
    ) -> None:
        _, _, run, secret = opened
        machine = deployed.machine("web-1")
        sites[0].ask("/health", **as_run(run, secret, 1))
        until(lambda: machine.run(f"grep -c {run} {ACCESS_LOG} || :") != "0", "the line is there")
        machine.run(f": >{ACCESS_LOG}")
        sites[0].ask("/health", **as_run(run, secret, 2))
        assert "emptied" in heard(opened, tmp_path / "log").reason

    def test_reloads_are_counted_and_workers_too(
        self,
        opened: tuple[Fleet, witness.Opened, str, str],
        deployed: Operator,
        tmp_path: Path,
    ) -> None:
        machine = deployed.machine("web-1")
        _, _, run, _ = opened
        for number in (1, 2):
            machine.run("nginx -s reload")
            counted = f"cat {DATA}/proof/{run}.reloads"
            until(lambda: machine.run(counted) == str(number), "the reload is counted")  # noqa: B023
        found = heard(opened, tmp_path / "log")
        assert (found.reloads, found.workers) == (2, len(machine.workers()))

    def test_a_server_whose_nginx_knows_no_runs_says_so(self, deployed: Operator) -> None:
        loaded = load(start=deployed.folder)
        other = witness.Place("other", HOST, tls=True)
        with (
            Fleet(loaded.inventory, loaded.root, ["web-1"]) as fleet,
            pytest.raises(RemoteError, match="run: fab deploy"),
        ):
            witness.open_to(fleet["web-1"], other, "0" * 12, "0" * 32)
