"""Deploys that meet, and deploys that are broken off."""

from __future__ import annotations

import json
import re
import signal
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest
from clients import Watch
from shop import ended, until

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator

    from clients import Site
    from shop import Operator

pytestmark = pytest.mark.e2e

SLOW = ["python", "-c", "import time; time.sleep(120)"]


def new(mark: str, **change: object) -> dict[str, object]:
    return {"services": {"backend": {"environment": {"TRY": mark}, **change}}}


@contextmanager
def deploying(shop: Operator, step: str) -> Iterator[subprocess.Popen[str]]:
    """Start a deploy, and wait until it has begun a step."""
    runs = set(shop.folder.glob(".rondo/runs/*"))
    child = shop.start("fab", "deploy")

    def begun() -> bool:
        assert child.poll() is None, child.communicate()
        return any(
            event["kind"] == "start" and step in event["text"]
            for path in set(shop.folder.glob(".rondo/runs/*")) - runs
            if path.joinpath("events.jsonl").exists()
            for event in map(json.loads, path.joinpath("events.jsonl").read_text().splitlines())
        )

    with ended(child):
        until(begun, f"`fab deploy` is at: {step}", 120)
        yield child


def all_run(shop: Operator, mark: str) -> bool:
    """Tell whether every slot of the backend runs in the environment with this mark."""
    return all(
        machine.run(f"docker exec {identity} printenv TRY || :") == mark
        for machine in shop.machines
        for slot, identity in machine.containers().items()
        if slot.startswith("backend")
    )


def test_a_second_deploy_says_who_is_at_it_and_a_killed_one_frees_the_lock(shop: Operator) -> None:
    before = [machine.containers() for machine in shop.machines]
    shop.declare(new("one", release_command=SLOW))
    with deploying(shop, "time.sleep") as child:
        said = shop.fab("deploy", code=6).err
        assert re.search(r"being changed by \S+@\S+ since 20\S+: deploy of \S+", said)
        assert "nothing was touched" in said
        assert shop.fab("status").code == 0, "looking needs no lock"
        child.send_signal(signal.SIGKILL)
        child.wait()
    assert [machine.containers() for machine in shop.machines] == before
    shop.restore()
    shop.declare(new("two"))
    shop.fab("deploy")
    assert all_run(shop, "two")
    shop.adopt()


def leftovers(shop: Operator) -> list[str]:
    """Give the containers that fill no slot."""
    look = "docker ps --all --quiet --no-trunc --filter label=rondo.project=shop"
    return [
        identity
        for machine in shop.machines
        for identity in machine.run(look).split()
        if identity not in machine.containers().values()
    ]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL], ids=["ctrl-c", "kill-9"])
def test_a_deploy_that_is_broken_off_in_a_fill_is_finished_by_the_next_one(
    shop: Operator, sites: tuple[Site, ...], number: signal.Signals
) -> None:
    whole = f"whole after {number.name}"
    shop.declare(new(f"half before {number.name}"))
    with Watch(sites) as watch:
        with deploying(shop, "fill backend-2") as child:
            child.send_signal(number)
            out, err = child.communicate(timeout=60)
        if number is signal.SIGINT:
            assert child.returncode == 130
            assert "Traceback" not in out + err
        shop.declare(new(whole))
        shop.fab("deploy")
    assert watch.wrong == []
    assert all_run(shop, whole)
    assert leftovers(shop) == []
    assert shop.fab("status").code == 0
    assert "nothing to do" in shop.fab("deploy").out
    shop.adopt()


def test_a_release_command_ends_with_the_deploy_that_ran_it(shop: Operator) -> None:
    before = [machine.containers() for machine in shop.machines]
    shop.declare(new("never", release_command=SLOW))
    with deploying(shop, "time.sleep") as child:
        running = until(lambda: leftovers(shop), "the command runs")
        child.send_signal(signal.SIGINT)
        out, err = child.communicate(timeout=60)
        assert child.returncode == 130
        assert "Traceback" not in out + err
    assert len(running) == 1, "once for all servers"
    until(lambda: leftovers(shop) == [], "the command has ended")
    assert [machine.containers() for machine in shop.machines] == before
    shop.restore()
    assert "nothing to do" in shop.fab("deploy").out
