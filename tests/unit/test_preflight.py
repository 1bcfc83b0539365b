from __future__ import annotations

import dataclasses
import subprocess
from importlib import resources
from typing import Any

import pytest

from rondo.errors import PreflightError
from rondo.facts import Facts, parse_facts, version_numbers
from rondo.inventory import Inventory
from rondo.preflight import Fault, Needs, preflight, refuse

GIBIBYTE = 1024**3
NOW = 1_800_000_000.0
READY = Facts(
    hostname="web-1",
    os_id="debian",
    os_version="12",
    architecture="x86_64",
    cores=2,
    memory_total=4 * GIBIBYTE,
    memory_available=2 * GIBIBYTE,
    disk_docker=20 * GIBIBYTE,
    disk_rondo=20 * GIBIBYTE,
    docker_version="20.10.24+dfsg1",
    docker_error="",
    nginx_version="1.22.1",
    nginx_user="www-data",
    nginx_running=True,
    systemd=True,
    listeners=((80, "nginx"), (443, "nginx")),
    clock=NOW,
    bootstrapped=True,
    missing=(),
    buildkit=True,
    conf_d_included=True,
)
ANSWER = """\
fact\tclock\t1800000000.25
fact\thostname\tweb-1
fact\tarchitecture\tx86_64
fact\tcores\t2
fact\tos_id\tubuntu
fact\tos_version\t24.04
fact\tmemory_total\t4194304
fact\tmemory_available\t2097152
fact\tdisk_docker\t21474836480
fact\tdisk_rondo\t1073741824
fact\tsystemd\tyes
fact\tbootstrapped\tyes
fact\tmissing\tcurl
fact\tmissing\tflock
fact\tdocker_client\tyes
fact\tdocker\t{"Platform":{"Name":""},"Version":"28.2.2","ApiVersion":"1.50"}
fact\tbuildx\tyes
fact\tnginx_version\t1.24.0 (Ubuntu)
fact\tnginx_user\twww-data
fact\tconf_d_included\tyes
fact\tnginx_running\tyes
fact\tlistener\tLISTEN 0 511 0.0.0.0:80 0.0.0.0:* users:(("nginx",pid=7,fd=5),("nginx",pid=6,fd=5))
fact\tlistener\tLISTEN 0 511 [::]:80 [::]:* users:(("nginx",pid=7,fd=6),("nginx",pid=6,fd=6))
fact\tlistener\tLISTEN 0 511 127.0.0.1:443 0.0.0.0:*
container\tsomething\telse
"""


def inventory(*, tls: bool = True, **settings: object) -> Inventory:
    site: dict[str, Any] = {"server_names": ["shop.example.com"], "routes": {"/": "backend"}}
    if tls:
        site["tls"] = {"certificate": "shop.pem", "key": "shop.key"}
    return Inventory.model_validate(
        {
            "project": "shop",
            "servers": {
                "web-1": {"address": "192.0.2.1", "groups": ["web"]},
                "jobs-1": {"address": "192.0.2.2"},
            },
            "services": {
                "backend": {"kind": "uwsgi", "servers": ["web"], "limits": {"memory": "512m"}},
                "frontend": {"kind": "static", "servers": ["web-1"]},
                "report": {"kind": "worker", "servers": ["jobs-1"], "limits": {"memory": "3g"}},
            },
            "sites": {"shop": site},
            "settings": settings,
        }
    )


def faults(*, tls: bool = True, needs: Needs | None = None, **changes: Any) -> list[str]:  # noqa: ANN401 - any field of Facts
    facts = dataclasses.replace(READY, **changes)
    found = preflight(inventory(tls=tls), "web-1", facts, needs=needs or Needs(clock=NOW))
    return [f"{fault.what} | {fault.fix}" for fault in found]


def test_a_ready_server_has_no_faults() -> None:
    assert faults() == []
    refuse(())


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        pytest.param(
            {"bootstrapped": False}, ["not bootstrapped", "fab -H web-1 bootstrap"], id="bare"
        ),
        pytest.param({"missing": ("curl", "ss")}, ["curl, ss not installed"], id="tools"),
        pytest.param({"docker_version": None}, ["Docker is not installed"], id="docker-missing"),
        pytest.param(
            {"docker_version": None, "docker_error": "Cannot connect to the Docker daemon"},
            ["does not answer (Cannot connect", "systemctl restart docker"],
            id="docker-dead",
        ),
        pytest.param({"docker_version": "19.03.15"}, ["19.03.15 is too old"], id="docker-old"),
        pytest.param({"docker_version": "20.9.1"}, ["20.9.1 is too old"], id="docker-by-number"),
        pytest.param({"nginx_version": None}, ["Nginx is not installed"], id="nginx-missing"),
        pytest.param(
            {"nginx_version": "1.14.2"}, ["1.14.2 is older than settings"], id="nginx-old"
        ),
        pytest.param({"nginx_running": False, "listeners": ()}, ["not running"], id="nginx-down"),
        pytest.param({"conf_d_included": False}, ["does not include conf.d"], id="conf.d"),
        pytest.param(
            {"listeners": ((80, "nginx"), (443, "docker-proxy"))},
            ["port 443 is held by docker-proxy"],
            id="port-443",
        ),
        pytest.param(
            {"listeners": ((80, ""),)}, ["port 80 is held by another process"], id="nameless"
        ),
        pytest.param(
            {"disk_docker": GIBIBYTE}, ["1.0 GB of disk are free for images", "2.0 GB"], id="disk"
        ),
        pytest.param({"disk_rondo": 1024**2}, ["1 MB are free at /var/lib/rondo"], id="folder"),
        pytest.param(
            {"memory_available": 300 * 1024**2}, ["300 MB of memory", "512 MB"], id="memory"
        ),
        pytest.param({"clock": NOW + 31}, ["31 s ahead of yours", "timedatectl"], id="clock-ahead"),
        pytest.param({"clock": NOW - 90}, ["90 s behind yours"], id="clock-behind"),
    ],
)
def test_each_fault_is_named_once_with_its_fix(changes: dict[str, Any], words: list[str]) -> None:
    found = faults(**changes)
    assert len(found) == 1
    for word in words:
        assert word in found[0]


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"clock": NOW + 29}, id="clock-nearly-right"),
        pytest.param({"docker_version": "20.10.0"}, id="oldest-docker"),
        pytest.param({"nginx_version": "1.18.0"}, id="oldest-nginx"),
        pytest.param({"listeners": ()}, id="nothing-listens-yet"),
        pytest.param({"disk_docker": 2 * GIBIBYTE}, id="disk-floor"),
        pytest.param({"memory_available": 512 * 1024**2}, id="memory-just-enough"),
    ],
)
def test_what_is_just_good_enough_passes(changes: dict[str, Any]) -> None:
    assert faults(**changes) == []


def test_port_443_does_not_matter_to_a_project_without_tls() -> None:
    taken = ((80, "nginx"), (443, "openvpn"))
    assert faults(tls=False, listeners=taken) == []
    assert len(faults(tls=True, listeners=taken)) == 1


def test_an_nginx_that_is_not_the_servers_own_is_a_stranger_on_its_ports() -> None:
    found = faults(nginx_running=False, listeners=((80, "nginx"),))
    assert any("port 80 is held by nginx" in fault for fault in found)


def test_a_large_context_needs_twice_its_size_and_the_images() -> None:
    needs = Needs(clock=NOW, context_bytes=2 * GIBIBYTE, image_bytes=GIBIBYTE)
    found = faults(needs=needs, disk_docker=4 * GIBIBYTE, disk_rondo=4 * GIBIBYTE)
    assert ["4.0 GB of disk are free for images and 5.0 GB needed" in fault for fault in found] == [
        True
    ]


def test_a_deploy_that_builds_nothing_needs_no_room_for_images() -> None:
    assert faults(needs=Needs(clock=NOW, builds=False), disk_docker=GIBIBYTE) == []


def test_only_the_services_that_are_rolled_on_this_server_need_memory() -> None:
    small = 200 * 1024**2
    rolled = Needs(clock=NOW, services=frozenset({"frontend", "report"}))
    assert faults(needs=rolled, memory_available=small) == []
    assert len(faults(memory_available=small)) == 1


def test_a_parallel_roll_needs_memory_for_all_that_start_at_once() -> None:
    assert (
        "1.5 GB needed" in faults(needs=Needs(clock=NOW, parallel=3), memory_available=GIBIBYTE)[0]
    )


def test_a_newer_nginx_can_be_demanded() -> None:
    demanding = inventory(nginx={"version": "1.25.1"})
    (fault,) = preflight(demanding, "web-1", READY, needs=Needs(clock=NOW))
    assert "1.22.1 is older than settings.nginx.version 1.25.1" in fault.what


def test_all_faults_come_in_one_error_that_names_each_server() -> None:
    pair = (
        Fault("web-1", "Nginx is not running", "start it"),
        Fault("web-2", "no disk", "add some"),
    )
    with pytest.raises(PreflightError) as caught:
        refuse(pair)
    assert "web-1: Nginx is not running; start it" in str(caught.value)
    assert "web-2: no disk; add some" in str(caught.value)


def test_an_answer_is_parsed_whole() -> None:
    assert parse_facts(ANSWER.splitlines()) == Facts(
        hostname="web-1",
        os_id="ubuntu",
        os_version="24.04",
        architecture="x86_64",
        cores=2,
        memory_total=4 * GIBIBYTE,
        memory_available=2 * GIBIBYTE,
        disk_docker=20 * GIBIBYTE,
        disk_rondo=GIBIBYTE,
        docker_version="28.2.2",
        docker_error="",
        nginx_version="1.24.0",
        nginx_user="www-data",
        nginx_running=True,
        systemd=True,
        listeners=((80, "nginx"), (443, "")),
        clock=1_800_000_000.25,
        bootstrapped=True,
        missing=("curl", "flock"),
        buildkit=True,
        conf_d_included=True,
    )


def test_an_empty_answer_is_a_bare_server() -> None:
    facts = parse_facts(())
    assert facts.docker_version is None
    assert facts.nginx_version is None
    assert not facts.bootstrapped
    assert facts.cores == 1


@pytest.mark.parametrize(
    ("lines", "version", "error"),
    [
        pytest.param([], None, "", id="missing"),
        pytest.param(["fact\tdocker\tno"], None, "", id="no-client"),
        pytest.param(
            ["fact\tdocker_client\tyes", "fact\tdocker\t"], None, "no answer", id="silent"
        ),
        pytest.param(
            ["fact\tdocker_client\tyes", "fact\tdocker\tcurl: (7) Could not connect"],
            None,
            "curl: (7) Could not connect",
            id="dead",
        ),
        pytest.param(
            ["fact\tdocker_client\tyes", 'fact\tdocker\t{"Version":"27.0.1"}'],
            "27.0.1",
            "",
            id="well",
        ),
    ],
)
def test_dockers_answer_tells_missing_from_dead(
    lines: list[str], version: str | None, error: str
) -> None:
    facts = parse_facts(lines)
    assert (facts.docker_version, facts.docker_error) == (version, error)


@pytest.mark.parametrize(
    ("version", "plugin", "buildkit"),
    [
        pytest.param("20.10.24+dfsg1", False, True, id="inside"),
        pytest.param("26.1.5", False, False, id="plugin-needed"),
        pytest.param("26.1.5", True, True, id="plugin-there"),
    ],
)
def test_buildkit_is_in_the_client_or_a_plugin(version: str, plugin: bool, buildkit: bool) -> None:  # noqa: FBT001 - a table
    lines = ["fact\tdocker_client\tyes", f'fact\tdocker\t{{"Version":"{version}"}}']
    assert parse_facts([*lines, *(["fact\tbuildx\tyes"] if plugin else [])]).buildkit is buildkit


@pytest.mark.parametrize(
    ("text", "numbers"),
    [("20.10.24+dfsg1", (20, 10, 24)), ("1.18", (1, 18)), ("dev", ()), (None, ())],
)
def test_versions_compare_by_number(text: str | None, numbers: tuple[int, ...]) -> None:
    assert version_numbers(text) == numbers


def test_the_script_prints_facts_of_this_very_machine() -> None:
    script = resources.files("rondo").joinpath("remote/facts.sh").read_text("utf-8")
    answer = subprocess.run(["sh"], input=script, capture_output=True, text=True, check=True)
    facts = parse_facts(answer.stdout.splitlines())
    assert all(line.startswith("fact\t") for line in answer.stdout.splitlines())
    assert facts.hostname
    assert facts.cores >= 1
    assert 0 < facts.memory_available <= facts.memory_total
    assert facts.disk_docker > 0
    assert facts.disk_rondo > 0
    assert facts.clock > NOW / 2
