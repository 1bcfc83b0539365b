"""The servers' account of who changed them: also of what failed, was refused or killed."""

from __future__ import annotations

import getpass
import json
import signal
from typing import TYPE_CHECKING, Any

from shop import ended, until

if TYPE_CHECKING:
    from shop import Machine, Operator

LOG = "/var/log/rondo/shop/audit.log"


def lines(machine: Machine) -> list[dict[str, Any]]:
    text = machine.run(f"cat {LOG} 2>/dev/null || :")
    return [json.loads(line) for line in text.splitlines()]


def test_every_change_leaves_one_line_on_every_server(shop: Operator) -> None:
    before = [len(lines(each)) for each in shop.machines]
    shop.fab("restart", "frontend")
    for machine, count in zip(shop.machines, before, strict=True):
        entries = lines(machine)
        assert len(entries) == count + 1
        last = entries[-1]
        assert last["command"] == "restart of frontend"
        assert last["result"] == "done"
        assert last["release"] == machine.current()
        assert last["by"].startswith(f"{getpass.getuser()}@")
        assert last["from"].rpartition(".")[0] == machine.address.rpartition(".")[0]
        assert last["seconds"] > 0
    entry = shop.fab("audit", "--tail", "1", "--json").json[0]
    assert entry["servers"] == ["web-1", "web-2"]
    assert "restart of frontend" in shop.fab("audit").out


def test_what_changes_nothing_leaves_no_line(shop: Operator) -> None:
    before = [lines(each) for each in shop.machines]
    for words in (("deploy",), ("plan",), ("status",), ("audit",)):
        shop.fab(*words)
    assert [lines(each) for each in shop.machines] == before


def test_a_bootstrap_that_changes_a_server_leaves_a_line_there(shop: Operator) -> None:
    changed, other = shop.machines
    before = [len(lines(each)) for each in (changed, other)]
    changed.run("chmod 711 /var/log/rondo")
    shop.fab("bootstrap", "--apply")
    shop.fab("bootstrap", "--apply")
    assert [len(lines(each)) for each in (changed, other)] == [before[0] + 1, before[1]]
    last = lines(changed)[-1]
    assert (last["command"], last["result"]) == ("bootstrap", "done")


def test_a_failure_is_written_down(shop: Operator) -> None:
    shop.declare({"services": {"backend": {"release_command": ["false"]}}})
    shop.replace("examples/shop/backend/shop/wsgi.py", "import os", "import os  # audit")
    shop.fab("deploy", code=1)
    assert [lines(each)[-1]["result"] for each in shop.machines] == ["failed", "failed"]
    assert lines(shop.machines[0])[-1]["command"].startswith("deploy of ")


def test_an_operator_who_is_killed_is_written_down_by_the_servers(shop: Operator) -> None:
    before = [len(lines(each)) for each in shop.machines]
    child = shop.start("fab", "restart", "backend")
    with ended(child):
        assert child.stdout
        until(lambda: "started" in child.stdout.readline(), "the first container")
        child.send_signal(signal.SIGKILL)
        child.wait()
    for machine, count in zip(shop.machines, before, strict=True):
        entries = until(
            lambda m=machine, c=count: len(lines(m)) > c and lines(m), "the line of the killed"
        )
        assert entries[-1]["result"] == "interrupted"
        assert entries[-1]["command"] == "restart of backend"
    shop.fab("restart", "backend")
