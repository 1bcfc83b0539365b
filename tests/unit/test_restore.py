"""From records back to releases: nothing is lost on the way, and what is gone is named."""

from __future__ import annotations

from dataclasses import replace

import pytest
from house import deployed, inventory, release

from rondo import steps
from rondo.errors import InputError, PreflightError
from rondo.recorded_plan import make_restart_plan
from rondo.restore import recorded_release, releases_in_force

EVERYTHING = {
    "backend": {
        "command": ["uwsgi", "--ini", "own.ini"],
        "limits": {"memory": "512m", "cpus": 1.5},
        "volumes": [{"source": "media", "target": "/srv/media"}],
        "secrets": {"key": {"env": "KEY"}},
        "health": {"interval": "50ms", "timeout": 2},
        "drain": "1m",
    },
    "queue": {"kind": "worker", "context": "queue", "stop_grace": 12.5},
    "api": {"kind": "http", "context": "api", "listen": "tcp", "replicas": 2},
}


def fills(made: object) -> list[str]:
    return [
        f"{step.server}: {step.title}"
        for step in made.steps  # type: ignore[attr-defined]
        if isinstance(step, (steps.FillSlot, steps.StartWorker))
    ]


def test_a_release_comes_back_whole_from_the_servers_records() -> None:
    wanted = release(declared=inventory(services=EVERYTHING))
    states = deployed(wanted)
    found = recorded_release("shop", releases_in_force(states), states)
    assert found.servers == wanted.servers
    assert (found.id, found.content) == (wanted.id, wanted.content)
    for name, server in wanted.servers.items():
        digests = [each.digest for each in server.containers]
        assert [each.digest for each in found.servers[name].containers] == digests


def test_a_restart_replaces_every_slot_and_worker_but_no_accessory() -> None:
    wanted = release(declared=inventory(services={"queue": EVERYTHING["queue"]}))
    made = make_restart_plan("shop", deployed(wanted))
    assert fills(made) == [
        *(
            f"{server}: fill {slot}"
            for server in ("web-1", "web-2")
            for slot in ("frontend-1", "backend-1", "backend-2", "backend-3")
        ),
        "web-1: start queue-1",
        "web-2: start queue-1",
    ]
    kinds = {type(step) for step in made.steps}
    assert kinds == {steps.FillSlot, steps.StartWorker, steps.Settle}


@pytest.mark.parametrize(
    ("selection", "slots"),
    [
        ("frontend", ["frontend-1"]),
        ("backend-2", ["backend-2"]),
        ("backend", ["backend-1", "backend-2", "backend-3"]),
    ],
)
def test_a_restart_takes_a_service_or_a_slot(selection: str, slots: list[str]) -> None:
    states = {"web-2": deployed(release())["web-2"]}
    made = make_restart_plan("shop", states, selection)
    assert fills(made) == [f"web-2: fill {slot}" for slot in slots]


def test_a_restart_of_what_nobody_knows_says_what_there_is() -> None:
    with pytest.raises(InputError, match=r"'backnd'.*there are: frontend, backend"):
        make_restart_plan("shop", deployed(release()), "backnd")


def test_a_restart_before_the_first_deploy_names_every_bare_server() -> None:
    states = deployed(release())
    states["web-2"] = replace(states["web-2"], current="", records={})
    with pytest.raises(PreflightError, match="web-2: nothing is deployed there; run `fab deploy`"):
        make_restart_plan("shop", states)


def test_a_restart_without_its_image_or_environment_is_refused_with_their_names() -> None:
    wanted = release()
    states = deployed(wanted)
    gone = ("rondo/shop/backend:1", "id-of-rondo/shop/backend:1")
    images = {key: value for key, value in states["web-2"].images.items() if key not in gone}
    states["web-2"] = replace(states["web-2"], images=images, environments=frozenset())
    with pytest.raises(PreflightError) as raised:
        make_restart_plan("shop", states)
    assert "web-2: the image rondo/shop/backend:1 is gone" in str(raised.value)
    assert "web-2: the environment environment-1 is gone" in str(raised.value)
    assert "web-1" not in str(raised.value)
    # The frontend needs neither the backend's image nor anything of web-2's.
    assert make_restart_plan("shop", {"web-1": states["web-1"]}, "frontend")


def test_a_tag_that_was_moved_is_put_back_to_the_image_that_was_recorded() -> None:
    states = deployed(release())
    images = {**states["web-1"].images, "rondo/shop/backend:1": "id-of-another"}
    states["web-1"] = replace(states["web-1"], images=images)
    made = make_restart_plan("shop", states)
    tags = [step for step in made.steps if isinstance(step, steps.TagImage)]
    assert [(step.server, step.reference, step.identity) for step in tags] == [
        ("web-1", "rondo/shop/backend:1", "id-of-rondo/shop/backend:1")
    ]
    assert next(iter(made.steps)) == tags[0]


def test_each_server_restarts_the_release_in_force_there() -> None:
    states = deployed(release())
    states["web-2"] = deployed(release("2"))["web-2"]
    made = make_restart_plan("shop", states, "backend-1")
    told = [step.release for step in made.steps if isinstance(step, steps.FillSlot)]
    assert told == [release().id, release("2").id]
