"""Looking at what runs: status, logs, history, and a command in a container."""

from __future__ import annotations

import re
import signal
import threading
import uuid
from typing import TYPE_CHECKING

import pytest
from shop import SLOTS, ended, until

if TYPE_CHECKING:
    from clients import Site
    from shop import Operator

pytestmark = pytest.mark.e2e

SERVERS = ("web-1", "web-2")


def test_status_tells_every_slot_of_every_server(shop: Operator) -> None:
    said = shop.fab("status").out
    for server in SERVERS:
        for slot in SLOTS:
            line = rf"{server} +{slot} +\S+ +ok +\d+[smh] +\d+ MiB +\d+"
            assert re.search(line, said), f"{line}\n{said}"
        assert re.search(rf"{server}: certificate of shop: (8\d|90) days left", said)
    for machine, each in zip(shop.machines, shop.fab("status", "--json").json, strict=True):
        assert (each["server"], each["release"]) == (machine.name, machine.current())
        slots = [row for row in each["rows"] if row["slot"] in SLOTS]
        assert [row["health"] for row in slots] == ["ok"] * len(SLOTS)
        assert all(row["memory"] > 1_000_000 for row in slots)
        assert each["drift"] == []


def test_status_counts_the_requests_in_flight(shop: Operator, sites: tuple[Site, ...]) -> None:
    def flying() -> int:
        rows = shop.fab("-H", "web-2", "status", "--json").json[0]["rows"]
        return sum(row["in_flight"] for row in rows)

    assert flying() == 0
    slow = threading.Thread(target=lambda: sites[1].ask("/api/slow/?seconds=8"))
    slow.start()
    until(lambda: flying() == 1, "the slow request is seen")
    slow.join()


def test_logs_of_all_servers_are_merged_behind_server_and_slot(
    shop: Operator, sites: tuple[Site, ...]
) -> None:
    marks = {}
    for server, site in zip(SERVERS, sites, strict=True):
        marks[server] = str(uuid.uuid4())
        site.ask(f"/api/products/{marks[server]}/")
    said = shop.fab("logs", "backend", "--tail", "50").out
    for server, mark in marks.items():
        assert re.search(rf"(?m)^{server}\W+backend-\d: .*{mark}", said), said[-2000:]
    assert "frontend-1:" not in said
    other = shop.fab("-H", "web-2", "logs", "backend-2", "--tail", "3").out
    assert 1 <= len(other.splitlines()) <= 3
    assert all(re.match(r"web-2\W+backend-2: ", line) for line in other.splitlines())


def test_logs_are_followed_until_ctrl_c(shop: Operator, sites: tuple[Site, ...]) -> None:
    child = shop.start("fab", "logs", "backend", "--follow", "--tail", "1")
    with ended(child):
        seen: list[str] = []
        assert child.stdout
        stdout = child.stdout
        reader = threading.Thread(target=lambda: seen.extend(iter(stdout.readline, "")))
        reader.start()
        until(lambda: {"web-1", "web-2"} <= {line.split()[0] for line in seen}, "both are heard")
        mark = str(uuid.uuid4())
        for site in sites:
            site.ask(f"/api/products/{mark}/")
        until(lambda: sum(mark in line for line in seen) >= 2, "new lines of both come")
        child.send_signal(signal.SIGINT)
        assert child.wait(20) == 130
        reader.join()


def test_logs_of_what_is_not_there_name_what_is(shop: Operator) -> None:
    said = shop.fab("logs", "nothing", code=3).err
    assert "backend" in said
    assert "frontend" in said


def test_exec_runs_in_a_running_container_and_run_in_a_new_one(shop: Operator) -> None:
    """Both pass on what is typed, what is said, and the exit code."""
    machine = shop.machine("web-2")
    before = machine.containers()
    script = 'echo "$RONDO_SERVER $RONDO_SLOT $HOSTNAME"; cat; echo oops >&2; exit 7'
    said = {}
    for task in ("exec", "run"):
        words = ("-H", "web-2", task, "backend", "--", "sh", "-c", script)
        done = shop.fab(*words, code=7, stdin="typed\nmore\n")
        first, *rest = done.out.splitlines()
        assert (rest, done.err.strip()) == (["typed", "more"], "oops")
        said[task] = first.split()
        assert said[task][:2] == ["web-2", "backend-1"], "the first slot"
    hosts = {task: words[2] for task, words in said.items()}
    assert before["backend-1"].startswith(hosts["exec"])
    assert not any(identity.startswith(hosts["run"]) for identity in before.values())
    assert machine.containers() == before
    assert machine.run(f"docker ps --all --quiet --filter id={hosts['run']}") == ""


def test_run_has_the_secrets_and_the_database(shop: Operator) -> None:
    script = "from catalog.models import Product; print('there are', Product.objects.count())"
    for server in SERVERS:
        words = ("run", "backend", "--", "python", "manage.py", "shell", "--command", script)
        assert re.search(r"there are \d\d", shop.fab("-H", server, *words).out)


def test_exec_without_a_command_says_how(shop: Operator) -> None:
    assert "fab exec backend -- ls" in shop.fab("exec", "backend", code=3).err
    assert "no running container" in shop.fab("exec", "nothing", "--", "ls", code=3).err


def test_history_tells_who_deployed_what_and_when(shop: Operator) -> None:
    lines = shop.fab("history").out.splitlines()
    for machine in shop.machines:
        found = [line for line in lines if line.startswith(machine.name) and "in force" in line]
        assert len(found) == 1
        assert re.search(rf"{machine.current()} +20\d\d-\d\d-\d\dT\S+ +\S+@\S+", found[0])
