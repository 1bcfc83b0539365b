"""A command in a container of its own, beside the slots: no deploy is about it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from house import deployed, inventory, release, running

from rondo import looking
from rondo.docker import ONCE, Container, Instance
from rondo.errors import InputError
from rondo.plan import Policy, make_plan

if TYPE_CHECKING:
    from rondo.state import RunningContainer, ServerState

WORKER = {"kind": "worker", "context": "backend", "command": ["work"]}
DECLARED = inventory(services={"queue": WORKER})


def worker() -> Container:
    every = release(declared=DECLARED).servers["web-1"].containers
    return next(each for each in every if each.service == "queue")


def label(words: tuple[str, ...], key: str) -> str:
    """Return a label as Docker takes it: the last of its name."""
    found = [word for word in words if word.startswith(f"--label={key}=")]
    return found[-1].split("=", 2)[2]


def with_job(state: ServerState) -> ServerState:
    """Let a command of the worker's run, before everything in the order of the containers."""
    job = replace(running(worker(), "job"), slot="", kind=ONCE, spec="")
    return replace(state, containers=(job, *state.containers))


def test_a_command_in_a_container_of_its_own_has_no_slots_label() -> None:
    container = replace(worker(), command=("report", "--label=rondo.slot=x"))
    instance = Instance("i1", "web-1", "r1")
    words = looking.run_words("shop", container, instance, terminal=False)
    options = words[: words.index(container.image, words.index("--"))]
    assert label(options, "rondo.slot") == ""
    assert label(options, "rondo.kind") == "once"
    assert label(options, "rondo.project") == "shop"
    assert words[-3:] == (container.image, "report", "--label=rondo.slot=x")


def test_a_plan_takes_a_command_neither_for_a_worker_nor_for_too_much() -> None:
    wanted = release(declared=DECLARED)
    states = deployed(wanted)
    assert not make_plan(wanted, {"web-1": with_job(states["web-1"])}, Policy())
    alone = [each for each in with_job(states["web-1"]).containers if each.service != "queue"]
    job = with_job(states["web-1"]).containers[0]
    gone = replace(states["web-1"], containers=(job, *alone))
    starts = [step.place for step in make_plan(wanted, {"web-1": gone}, Policy()).steps]
    assert worker().name in starts


def test_exec_goes_to_the_service_and_not_to_a_command() -> None:
    state = with_job(deployed(release(declared=DECLARED))["web-1"])

    def chosen(state: ServerState) -> RunningContainer:
        return looking.first_container({"web-1": state}, "queue")[1]

    assert chosen(state).slot == worker().name
    with pytest.raises(InputError):
        chosen(replace(state, containers=state.containers[:1]))


def test_the_output_of_a_command_is_told_apart_by_its_name() -> None:
    job = with_job(deployed(release(declared=DECLARED))["web-1"]).containers[0]
    assert looking.log_arguments([job], 5, ())[2:] == (job.id, job.name)
