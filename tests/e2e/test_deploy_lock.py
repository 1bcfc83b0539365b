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
    shop.adopt(new("two"))
    shop.fab("deploy")
    assert all_run(shop, "two")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL], ids=["ctrl-c", "kill-9"])
@pytest.mark.parametrize(
    "step", ["fill backend-2", "time.sleep"], ids=["in-a-fill", "in-a-command"]
)
def test_a_deploy_that_is_broken_off_leaves_the_site_up_and_the_next_one_converges(
    shop: Operator,
    sites: tuple[Site, ...],
    number: signal.Signals,
    step: str,
    request: pytest.FixtureRequest,
) -> None:
    command = SLOW if "sleep" in step else ["true"]
    shop.declare(new("half", release_command=command))
    with Watch(sites) as watch:
        with deploying(shop, step) as child:
            child.send_signal(number)
            out, err = child.communicate(timeout=60)
        if number is signal.SIGINT:
            assert child.returncode == 130
            assert "Traceback" not in out + err
        whole = f"whole {request.node.name}"
        shop.adopt(new(whole, release_command=["true"]))
        shop.fab("deploy")
    assert watch.wrong == []
    assert all_run(shop, whole)
    for machine in shop.machines:
        left = "docker ps --all --quiet --filter label=rondo.project=shop | wc -l"
        assert int(machine.run(left)) == len(machine.containers()), "nothing half-made is left"
    assert shop.fab("status").code == 0
    assert "nothing to do" in shop.fab("deploy").out
