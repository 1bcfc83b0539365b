"""What a server says of itself, parsed; and what that means beside the release record."""

from __future__ import annotations

import base64
import datetime
import json
import os
import subprocess
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from house import deployed, release

from rondo.docker import ONCE
from rondo.errors import PreflightError, RemoteError
from rondo.layout import Layout
from rondo.scripts import observing
from rondo.state import ServerState, parse
from rondo.status import Probe, parse_probes, probe_arguments, summarise

if TYPE_CHECKING:
    from pathlib import Path

NOW = datetime.datetime(2026, 1, 2, 3, 4, 5, tzinfo=datetime.UTC)

CONTAINER = {
    "Id": "0123456789ab",
    "Names": ["/shop-backend-1-abcd1234"],
    "ImageID": "sha256:1",
    "State": "running",
    "Status": "Up 2 hours",
    "Labels": {
        "rondo.project": "shop",
        "rondo.service": "backend",
        "rondo.slot": "backend-1",
        "rondo.kind": "uwsgi",
        "rondo.spec": "feed",
        "rondo.instance": "abcd1234",
        "rondo.release": "r1",
    },
}
IMAGES = [
    {"Id": "sha256:1", "RepoTags": ["rondo/shop/backend:1"], "RepoDigests": None},
    {"Id": "sha256:2", "RepoTags": ["postgres:15"], "RepoDigests": ["postgres@sha256:f"]},
]


def encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


ANSWER = "\n".join(
    (
        "fact\thostname\tweb-1",
        f"docker\tcontainers\t{json.dumps([CONTAINER])}",
        f"docker\timages\t{json.dumps(IMAGES)}",
        "slot\tbackend-1\tabcd1234",
        "environment\tbackend.1",
        "manifest\tbackend\tcafe",
        f"file\t/etc/nginx/conf.d/rondo-shop.conf\t{encoded('server {}')}",
        "certificate\tshop\tbeef",
        f"record\tr1\t{encoded(json.dumps({'id': 'r1', 'content': 'c'}))}",
        "current\trelease\tr1",
        "end",
    )
)


def test_whole_answer_is_read() -> None:
    state = parse("web-1", ANSWER)
    filled = state.in_slot("backend-1")
    assert filled is not None
    assert (filled.spec, filled.running, filled.release) == ("feed", True, "r1")
    assert state.images["rondo/shop/backend:1"] == "sha256:1"
    assert state.images["postgres@sha256:f"] == "sha256:2"
    assert state.manifests == {"backend": "cafe"}
    assert state.files["/etc/nginx/conf.d/rondo-shop.conf"] == "server {}"
    assert state.certificates == {"shop": "beef"}
    assert state.record["content"] == "c"


def test_answer_that_was_cut_short_is_refused() -> None:
    with pytest.raises(RemoteError, match=r"web-1: .* cut short"):
        parse("web-1", ANSWER.removesuffix("end"))


VERSION = 'fact\tdocker_client\tyes\nfact\tdocker\t{"Version":"28.0"}\n'
SILENT = "fact\tdocker_client\tyes\nfact\tdocker\tcurl: (7) Couldn't connect\n"


def answering(key: str, said: str | None, facts: str) -> str:
    """Give the answer of a server whose engine says that when it is asked so, or is not asked."""
    lines = [line for line in ANSWER.splitlines() if not line.startswith(f"docker\t{key}\t")]
    return facts + "\n".join(([] if said is None else [f"docker\t{key}\t{said}"]) + lines)


@pytest.mark.parametrize("key", ["containers", "images"])
@pytest.mark.parametrize(
    ("said", "facts", "told"),
    [
        pytest.param("", VERSION, "no answer", id="nothing"),
        pytest.param(None, VERSION, "no answer", id="not asked"),
        pytest.param('{"message":"server error"}', VERSION, "server error", id="an error"),
        pytest.param('[{"Id":"0123', VERSION, "no answer", id="half a list"),
        pytest.param("", SILENT, "Couldn't connect", id="stopped"),
    ],
)
def test_a_server_whose_engine_does_not_tell_what_runs_is_not_read_as_an_empty_one(
    key: str, said: str | None, facts: str, told: str
) -> None:
    """The plan would start the database again, and everything else."""
    with pytest.raises(PreflightError) as caught:
        parse("web-1", answering(key, said, facts))
    assert str(caught.value).startswith("web-1: its Docker Engine does not answer (")
    assert told in str(caught.value)
    assert "systemctl restart docker" in str(caught.value)


@pytest.mark.parametrize(
    "facts",
    [
        pytest.param("", id="no Docker"),
        pytest.param(f"{SILENT}fact\tmissing\tcurl\n", id="no curl"),
    ],
)
def test_a_server_before_its_bootstrap_is_read_with_no_containers(facts: str) -> None:
    state = parse("web-1", answering("containers", "", facts))
    assert (state.containers, state.facts.hostname) == ((), "web-1")


def test_what_an_engine_lists_is_read(tmp_path: Path) -> None:
    """By the script that servers run."""
    state = observed(tmp_path, IDLE)
    assert state.containers == ()
    assert state.images == {"sha256:1": "sha256:1", "shop:1": "sha256:1"}


def test_an_engine_that_hangs_is_not_asked_again(tmp_path: Path) -> None:
    with pytest.raises(PreflightError, match="does not answer"):
        observed(
            tmp_path, 'case $* in *version*) echo \'{"Version":"28.0"}\' ;; *) exit 28 ;; esac'
        )
    asked = (tmp_path / "asked").read_text()
    assert "/containers/json" in asked
    assert "/images/json" not in asked


def test_a_file_that_nginx_did_not_take_is_not_read_as_installed(tmp_path: Path) -> None:
    site = tmp_path / "shop.conf"
    site.write_text("server {}")
    assert observed(tmp_path, IDLE).files == {str(site): "server {}"}
    (tmp_path / "shop.conf.taking").touch()
    assert observed(tmp_path, IDLE).files == {}


IDLE = """case $* in
*version*) echo '{"Version":"28.0"}' ;;
*containers*) echo '[]' ;;
*images*) echo '[{"Id":"sha256:1","RepoTags":["shop:1"]}]' ;;
esac"""


def observed(folder: Path, curl: str) -> ServerState:
    """Give what the script tells of this machine, whose engine answers so."""
    tools = folder / "tools"
    tools.mkdir(exist_ok=True)
    for tool, text in (("docker", ":"), ("curl", f'echo "$*" >>{folder}/asked\n{curl}')):
        (tools / tool).write_text(f"#!/bin/sh\n{text}\n")
        (tools / tool).chmod(0o755)
    words = ("sh", "-c", observing(), "rondo", "shop", str(folder), str(folder / "shop.conf"))
    done = subprocess.run(
        words,
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
        env={"PATH": f"{tools}:{os.environ['PATH']}"},
    )
    return parse("web-1", done.stdout)


def test_slot_belongs_to_the_instance_that_its_link_names() -> None:
    other = ANSWER.replace("slot\tbackend-1\tabcd1234", "slot\tbackend-1\tffffffff")
    assert parse("web-1", other).in_slot("backend-1") is None


def probes(state: ServerState, health: str = "200") -> dict[str, Probe]:
    return {
        each.slot: Probe(health, flight=1, memory=2**20, since="2026-01-02T03:03:05.12Z")
        for each in state.containers
    }


def test_sound_server_has_no_drift() -> None:
    state = deployed(release())["web-1"]
    status = summarise("web-1", state, probes(state), {"shop": 80}, NOW)
    assert status.sound
    assert status.drift == ()
    row = next(each for each in status.rows if each.slot == "backend-2")
    assert (row.health, row.uptime, row.memory, row.in_flight) == ("ok", 60.0, 2**20, 1)


@pytest.mark.parametrize(
    ("health", "told"), [("503", "answers 503"), ("000", "no answer"), ("", "no answer")]
)
def test_unhealthy_slot_is_told_and_makes_the_server_unsound(health: str, told: str) -> None:
    state = deployed(release())["web-1"]
    status = summarise("web-1", state, probes(state, health), {}, NOW)
    assert not status.sound
    assert {row.health for row in status.rows if row.slot.startswith("backend")} == {told}


def drifted(state: ServerState, **changes: object) -> tuple[str, ...]:
    changed = replace(state, **changes)  # type: ignore[arg-type]
    return summarise("web-1", changed, probes(changed), {}, NOW).drift


def test_drift_names_what_differs_from_the_record() -> None:
    state = deployed(release())["web-1"]
    stopped = tuple(
        replace(each, state="exited") if each.slot == "backend-2" else each
        for each in state.containers
    )
    assert drifted(state, containers=stopped) == (
        "backend-2: its container is exited (stopped by hand?)",
    )
    site = Layout("shop").site_file
    assert drifted(state, files={**state.files, site: "x"}) == (
        f"{site}: was edited on the server",
    )
    gone = tuple(each for each in state.containers if each.slot != "backend-3")
    assert drifted(state, containers=gone) == ("backend-3: its container is gone",)
    stranger = replace(state.containers[0], slot="old-1", name="shop-old-1-x", kind="http")
    assert drifted(state, containers=(*state.containers, stranger)) == (
        "shop-old-1-x: runs though the record does not name it",
    )
    at_work = replace(stranger, slot="", kind=ONCE)
    assert drifted(state, containers=(*state.containers, at_work)) == (), "somebody's `fab run`"


def test_engine_that_does_not_answer_is_told_instead_of_its_containers() -> None:
    state = deployed(release())["web-1"]
    facts = replace(state.facts, docker_version=None, docker_error="Cannot connect")
    assert drifted(state, facts=facts, containers=()) == (
        "its Docker Engine does not answer: Cannot connect",
    )


def test_server_without_a_release_says_so() -> None:
    state = replace(deployed(release())["web-1"], current="", containers=())
    assert drifted(state) == ("nothing was deployed here",)


def test_each_container_is_asked_by_its_own_address() -> None:
    words = probe_arguments(deployed(release())["web-1"])
    assert len(words) == 6 * 5
    start = words.index("backend-1")
    assert words[start + 3 : start + 6] == ("shop.example.com", "/", "5")


def test_answers_of_probes_are_read_with_what_is_missing() -> None:
    found, certificates = parse_probes(
        f"since\ta\t2026\nhealth\ta\t200\nflight\ta\t3\nmemory\ta\t\n"
        f"certificate\tshop\t{encoded('PEM')}\nend"
    )
    assert found == {"a": Probe("200", flight=3, memory=None, since="2026")}
    assert certificates == {"shop": "PEM"}
