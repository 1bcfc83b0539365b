"""A linter that cannot run must not look like one that found nothing."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from inventories import ONE_NAME

from rondo import finding, lint, render, trial
from rondo.finding import Finding
from rondo.inventory import Inventory

TEMPLATES = Path(__file__).parents[2] / "templates"
FILES = render.render_all(Inventory.model_validate(ONE_NAME), TEMPLATES)


def test_our_own_files_are_clean() -> None:
    assert lint.check_gixy({k: v for k, v in FILES.items() if k.endswith(".conf")}) == []
    assert lint.check_hadolint({k: v for k, v in FILES.items() if k.endswith("Dockerfile")}) == []
    assert lint.check_shellcheck({k: v for k, v in FILES.items() if k.endswith("start")}) == []


@pytest.mark.parametrize(
    ("check", "path", "text", "said"),
    [
        (
            lint.check_gixy,
            "servers/web-1/x.conf",
            b'server {\n  listen 80;\n  add_header X "$uri";\n}\n',
            "gixy: servers/web-1/x.conf:3: http_splitting: ",
        ),
        (
            lint.check_hadolint,
            "services/a/.rondo/Dockerfile",
            b"FROM debian:12\nRUN sudo ls\n",
            "hadolint: services/a/.rondo/Dockerfile:2: DL3004: ",
        ),
        (
            lint.check_shellcheck,
            "services/a/.rondo/start",
            b"#!/bin/sh\necho $1\n",
            "shellcheck: services/a/.rondo/start:2: SC2086: ",
        ),
    ],
    ids=["gixy", "hadolint", "shellcheck"],
)
def test_a_finding_names_the_file_and_the_line(check, path, text, said) -> None:  # noqa: ANN001
    assert [str(found) for found in check({path: text}) if str(found).startswith(said)]


def test_the_users_own_dockerfile_is_asked_for_errors_only(tmp_path: Path) -> None:
    service = {"kind": "http", "context": "../code", "dockerfile": "docker/Dockerfile"}
    raw = ONE_NAME | {"services": ONE_NAME["services"] | {"backend": service}}
    root, folder = tmp_path / "root", tmp_path / "code/docker"
    folder.mkdir(parents=True)
    root.mkdir()
    (folder / "Dockerfile").write_text("FROM debian\nRUN sudo ls\n")
    own = lint.own_dockerfiles(Inventory.model_validate(raw), root)
    assert list(own) == ["services/backend/docker/Dockerfile"]
    assert [found.message[:6] for found in lint.check_hadolint(own, ("error",))] == ["DL3004"]
    assert len(lint.check_hadolint(own)) > 1


@pytest.mark.parametrize("tool", ["gixy", "hadolint", "shellcheck"])
def test_a_missing_tool_is_a_finding(tool: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lint, "_program", lambda name: f"no-such-{name}")
    check = getattr(lint, f"check_{tool}")
    assert [str(each) for each in check({"x": b"x"})] == [
        f"{tool}: no-such-{tool} is not installed: run scripts/setup"
    ]


def test_a_tool_that_breaks_is_a_finding() -> None:
    broken = finding.run("tool", ("sh", "-c", "echo oh >&2; exit 3"))
    assert str(broken) == "tool: did not run (exit code 3): oh"


def test_an_answer_that_is_not_json_is_a_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lint, "run", lambda *_, **__: "all is well")
    assert "answered something else" in str(lint.check_gixy({"x": b"x"})[0])
    monkeypatch.setattr(lint, "run", lambda *_, **__: json.dumps([{"no": "file"}]))
    assert "answered something else" in str(lint.check_gixy({"x": b"x"})[0])


def test_without_docker_nginx_was_not_asked(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    found = trial.check(Inventory.model_validate(ONE_NAME), FILES)
    assert [each.message for each in found] == [
        "docker is not installed here, so nginx -t cannot run: install Docker Engine"
    ]


def test_an_image_that_cannot_be_had_is_a_finding(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A docker with no images and no registry."""
    (tmp_path / "docker").write_text(
        "#!/bin/sh\n[ $1 = images ] || { echo no such host >&2; exit 1; }\n"
    )
    (tmp_path / "docker").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    found = trial.check(Inventory.model_validate(ONE_NAME), FILES)
    said = "so nginx -t cannot run: did not run (exit code 1): no such host"
    assert [each.message for each in found] == [f"the image nginx:stable cannot be had, {said}"]


CASE = trial.Case("server-web-1", {}, {"/etc/nginx/conf.d/a.conf": "servers/web-1/a.conf"})


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (["nginx: configuration file x test is successful", "exit 0"], []),
        (
            ['nginx: [emerg] unknown directive "x" in /etc/nginx/conf.d/a.conf:7', "exit 1"],
            [Finding("nginx", "servers/web-1/a.conf", 7, 'emerg: unknown directive "x"')],
        ),
        (
            ['nginx: [warn] conflicting server name "a" on 0.0.0.0:80, ignored', "exit 0"],
            [
                Finding(
                    "nginx", "", None, 'warn: conflicting server name "a" on 0.0.0.0:80, ignored'
                )
            ],
        ),
        (
            [
                'nginx: [warn] the "listen ... http2" directive is deprecated in /x/a.conf:2',
                "exit 0",
            ],
            [],
        ),
        (
            ['2026/01/02 03:04:05 [emerg] 19#19: no "x" in /etc/nginx/conf.d/a.conf:9', "exit 1"],
            [Finding("nginx", "servers/web-1/a.conf", 9, 'emerg: no "x"')],
        ),
        (["2026/01/02 03:04:05 [notice] 19#19: hello", "exit 0"], []),
        (["Segmentation fault", "exit 139"], ["no success: Segmentation fault exit 139"]),
        ([], ["no success: "]),
    ],
)
def test_what_nginx_said_is_read(lines: list[str], expected: list[object]) -> None:
    answer = "".join(f"server-web-1\t{line}\n" for line in lines) + "server-web-2\texit 0\n"
    found = list(trial._read_nginx(CASE, answer))
    if expected and isinstance(expected[0], str):
        expected = [Finding("nginx", "", None, f"server-web-1: {expected[0]}")]
    assert found == expected
