"""Comparisons on the shop, and load that its own servers make."""

from __future__ import annotations

import json
import re
import signal
from typing import TYPE_CHECKING, Any

import pytest
from shop import ended, until
from test_prove import PATIENT, report, tokens

if TYPE_CHECKING:
    from shop import Done, Machine, Operator

pytestmark = pytest.mark.e2e

PLACED = ("fab", "prove", "--workers", "group:web", "--processes", "1", "--rate", "20")
BRIEFLY = ("--duration", "2", "--rate", "20", "--connections", "2")


@pytest.fixture
def patient(shop: Operator) -> Operator:
    shop.declare(PATIENT)
    return shop


def generators(machine: Machine) -> str:
    """Give the containers and images of load generators, and the ports that lead away."""
    containers = "docker ps --all --quiet --filter label=rondo.proof=worker"
    images = "docker image ls --quiet --filter label=rondo.proof=image"
    listening = "ss -Hltnp | grep 127.0.0.1: | grep sshd || :"
    return machine.run(f"{containers}; {images}; {listening}")


def gone(operator: Operator) -> bool:
    return not any(generators(each) for each in operator.machines)


def compared(operator: Operator, done: Done) -> dict[str, Any]:
    """Read what the last comparison found; on a busy machine it may be that the client was slow."""
    runs = sorted(operator.folder.glob(".rondo/runs/*/versus.json"), key=lambda each: each.parent)
    found: dict[str, Any] = json.loads(runs[-1].read_text())
    assert found["exit_code"] == done.code, done.said
    assert found["sentence"] in done.out
    assert found["status"] == "PASS" or "The client was the limit" in found["sentence"], done.said
    return found


def test_load_is_made_on_servers_of_the_inventory_and_nothing_stays_there(
    patient: Operator,
) -> None:
    secrets_before = tokens(patient)
    done = patient.run(*PLACED, "--duration", "5", code=None)
    told = report(patient)
    names = [each["name"] for each in told["generators"]]
    assert [name[:5] for name in sorted(names)] == ["web-1", "web-2"], done.said
    assert not any(each["lost"] for each in told["generators"])
    assert told["load"]["workers"] == 2
    assert told["command"] == " ".join((*PLACED, "--duration", "5"))
    assert sum(each["sent"] for each in told["generators"]) == 100
    lost = {check["key"]: check["status"] for check in told["checks"]}
    assert (lost["lost"], lost["reconcile"], lost["everyone"]) == ("PASS",) * 3, done.said
    assert gone(patient)
    assert tokens(patient) == secrets_before == []


def test_an_image_that_is_kept_is_not_built_again(patient: Operator) -> None:
    words = (*PLACED, "--duration", "2", "--keep-image")
    patient.run(*words, code=None)
    images = {each.name: generators(each) for each in patient.machines}
    assert all(re.fullmatch(r"[0-9a-f]{12}", each) for each in images.values()), images
    done = patient.run(*words, code=None)
    assert "building" not in done.said
    assert {each.name: generators(each) for each in patient.machines} == images
    patient.run(*words[:-1], code=None)
    assert {each.name: generators(each) for each in patient.machines} == images
    for machine in patient.machines:
        machine.run(f"docker image rm --force {images[machine.name]}")


@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGKILL], ids=["Ctrl-C", "kill -9"])
def test_generators_go_with_the_one_who_placed_them(patient: Operator, end: signal.Signals) -> None:
    child = patient.start(*PLACED, "--duration", "300")
    with ended(child):
        assert child.stdout
        said: list[str] = []
        for line in child.stdout:
            said.append(line)
            if "requests answered" in line:
                break
        assert all("Up" in _status(each) for each in patient.machines), said
        child.send_signal(end)
        child.wait(60)
    until(lambda: gone(patient), "containers, images and ports are gone", 60)
    assert not tokens(patient)


def _status(machine: Machine) -> str:
    return machine.run("docker ps --filter label=rondo.proof=worker --format '{{.Status}}'")


def test_no_list_of_processes_and_no_setting_of_a_container_holds_the_secret(
    patient: Operator,
) -> None:
    child = patient.start(*PLACED, "--duration", "300")
    with ended(child):
        assert child.stdout
        for line in child.stdout:
            if "requests answered" in line:
                break
        (secret,) = set(tokens(patient))
        for machine in patient.machines:
            told = machine.run(
                "docker inspect $(docker ps -q); ps -ef; cat /proc/*/environ 2>/dev/null || :"
            )
            assert "rondo-proof-worker" in told
            assert secret not in told
        child.send_signal(signal.SIGINT)
        child.wait(60)
    until(lambda: gone(patient), "containers, images and ports are gone", 60)


def test_two_servers_are_compared_in_turn(patient: Operator) -> None:
    done = patient.run("inv", "prove", "--versus", "web-1:web-2", *BRIEFLY, code=None)
    found = compared(patient, done)
    assert (found["a"], found["b"]) == ("web-1", "web-2")
    assert len(found["pairs"]) == 16
    assert {each["first"] for each in found["pairs"]} == {"A", "B"}
    assert len(found["comparisons"]) == 3
    for each in found["comparisons"]:
        assert 0 < each["ratio"]["low"] <= each["ratio"]["estimate"] <= each["ratio"]["high"]
        assert min(each["spread"]) >= 1


def test_two_releases_are_compared_in_turn_and_the_one_in_force_stays(patient: Operator) -> None:
    old = patient.machines[0].current()
    patient.declare({"sites": {"shop": {"hsts": {"max_age": "1d"}}}})
    patient.fab("deploy")
    new = patient.machines[0].current()
    assert new != old
    done = patient.run("inv", "prove", "--versus", f"{old}:{new}", *BRIEFLY, code=None)
    found = compared(patient, done)
    assert (found["a"], found["b"]) == (old, new)
    assert f"switching web-1, web-2 to release {old}" in done.out
    assert [each.current() for each in patient.machines] == [new, new]
