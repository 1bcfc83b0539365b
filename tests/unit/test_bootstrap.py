from __future__ import annotations

import subprocess
from importlib import resources
from typing import TYPE_CHECKING, Any

import pytest
from house import SHOP

from rondo import bootstrap
from rondo.bootstrap import Line, Outcome, arguments, logging_in_as, parse
from rondo.channel import Output
from rondo.errors import PreflightError, RemoteError
from rondo.inventory import Inventory

if TYPE_CHECKING:
    from pathlib import Path


def inventory(**settings: object) -> Inventory:
    servers: dict[str, Any] = {
        "web-1": {"address": "192.0.2.1"},
        "web-2": {"address": "192.0.2.2", "user": "root"},
    }
    return Inventory.model_validate(SHOP | {"servers": servers, "settings": settings})


def test_each_line_says_its_kind_item_and_text() -> None:
    lines = ["change\tnginx\tinstall nginx: the web server", "note\tports\tport 25 listens"]
    assert parse(lines) == (
        Line("change", "nginx", "install nginx: the web server"),
        Line("note", "ports", "port 25 listens"),
    )


@pytest.mark.parametrize(
    "line",
    [
        pytest.param("", id="empty"),
        pytest.param("Setting up nginx ...", id="chatter"),
        pytest.param("change\tnginx", id="cut-off"),
        pytest.param("remark\tnginx\tinstall", id="unknown-kind"),
    ],
)
def test_lines_of_another_form_are_passed_over(line: str) -> None:
    assert parse([line]) == ()


def test_a_text_may_hold_tabs() -> None:
    assert parse(["note\tdocker\ta\tb"]) == (Line("note", "docker", "a\tb"),)


def test_an_outcome_sorts_its_lines() -> None:
    outcome = Outcome(parse(["change\ta\t1", "note\tb\t2", "change\tc\t3"]))
    assert [str(line) for line in outcome.changes] == ["a: 1", "c: 3"]
    assert [str(line) for line in outcome.notes] == ["b: 2"]
    assert outcome.refusals == ()


@pytest.mark.parametrize(
    ("server", "login", "user"),
    [
        pytest.param("web-1", None, "-", id="as-declared"),
        pytest.param("web-1", "deploy", "-", id="named-as-declared"),
        pytest.param("web-1", "root", "deploy", id="first-time-as-root"),
        pytest.param("web-2", "debian", "-", id="root-need-not-be-created"),
        pytest.param("root@192.0.2.9:22", "root", "-", id="server-not-in-the-inventory"),
    ],
)
def test_a_user_is_created_only_when_another_one_logs_in(
    server: str, login: str | None, user: str
) -> None:
    assert arguments("plan", server, inventory(), login=login)[1] == user


def test_the_settings_reach_the_script_in_its_order() -> None:
    settings = {
        "docker_packages": "vendor",
        "nginx_packages": "distribution",
        "time_zone": "Europe/Berlin",
        "nginx": {"ipv6": False},
    }
    assert arguments("apply", "web-1", inventory(**settings), login="root") == (
        *("apply", "deploy", "root", "vendor", "distribution", "Europe/Berlin", "no"),
    )


def test_a_first_login_changes_only_the_user() -> None:
    declared = inventory()
    connecting = logging_in_as(declared, "root")
    assert {server.user for server in connecting.servers.values()} == {"root"}
    assert connecting.servers["web-1"].address == "192.0.2.1"
    assert declared.servers["web-1"].user == "deploy"
    assert logging_in_as(declared, None) is declared


def test_a_refusal_names_the_server_and_every_reason() -> None:
    said = "refuse\tnginx\tport 80 is held by apache2\nrefuse\ttime\tMars is not known\n"
    with pytest.raises(PreflightError, match=r"web-1.*nothing.*apache2; Mars"):
        bootstrap._outcome("web-1", Output(said, "", 65))


def test_a_failure_tells_the_change_it_happened_at_and_what_was_said() -> None:
    with pytest.raises(RemoteError) as caught:
        bootstrap._outcome("web-1", Output("change\tnginx\tinstall nginx\n", "E: no space\n", 100))
    assert "web-1" in str(caught.value)
    assert "nginx: install nginx" in str(caught.value)
    assert "E: no space" in str(caught.value)


def test_the_script_is_posix_and_passes_shellcheck() -> None:
    command = ["shellcheck", "--shell=sh", "-"]
    result = subprocess.run(
        command, input=bootstrap.script(), capture_output=True, text=True, check=False
    )
    assert result.stdout == ""


def test_every_part_of_the_script_is_in_it() -> None:
    parts = [
        part.read_text()
        for part in resources.files("rondo").joinpath("remote").iterdir()
        if part.name.startswith("bootstrap")
    ]
    assert len(parts) == 6
    assert all(part in bootstrap.script() for part in parts)


def test_a_system_that_is_not_supported_is_refused_by_name(tmp_path: Path) -> None:
    release = tmp_path / "os-release"
    release.write_text('ID=fedora\nPRETTY_NAME="Fedora Linux 41"\nVERSION_ID=41\n')
    script = bootstrap.script().replace("/etc/os-release", str(release))
    words = ("plan", "-", "root", "distribution", "distribution", "Etc/UTC", "yes")
    result = subprocess.run(
        ["sh", "-c", script, "bootstrap", *words], capture_output=True, text=True, check=False
    )
    assert result.returncode == 65
    (line,) = parse(result.stdout.splitlines())
    assert line.kind == "refuse"
    assert "Fedora Linux 41" in line.text
