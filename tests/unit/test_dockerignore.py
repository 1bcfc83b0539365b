"""What `.dockerignore` leaves out; the table was compared with Docker (see the e2e test)."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest

from rondo import context, dockerignore
from rondo.errors import InputError

TABLE = json.loads((Path(__file__).parents[1] / "data" / "dockerignore.json").read_text("utf-8"))


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("tree")
    for name in TABLE["files"]:
        path = root / name
        if name.endswith("/"):
            path.mkdir(parents=True)
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(name)
    return root


def visible(root: Path) -> set[str]:
    """Return what COPY sees: a Dockerfile that is left out is sent, but hidden."""
    read = context.read(root, {})
    paths = {entry.path for entry in read.files}
    return paths - {".dockerignore", "Dockerfile"} if ".dockerignore" in paths else paths


@pytest.mark.parametrize("case", TABLE["cases"], ids=lambda case: case["name"])
def test_the_same_files_are_left_out_as_by_docker(tree: Path, case: dict[str, Any]) -> None:
    (tree / ".dockerignore").write_bytes(case["rules"].encode())
    everything = {name.rstrip("/") for name in TABLE["files"]}
    assert everything - visible(tree) == set(case["left_out"])


@pytest.mark.parametrize(
    "pattern",
    ["[", "[a", "a[]b", "[a-]", "[-a]", "[]a]", "tail\\", "!", "!  ", "[z-a]*", "{2}*"],
)
def test_a_pattern_that_is_none_is_refused_with_file_and_line(pattern: str) -> None:
    with pytest.raises(InputError, match=r"shop/.dockerignore \(line 2\): "):
        dockerignore.parse(f"ok\n{pattern}\n".encode(), "shop/.dockerignore")


def test_every_wrong_pattern_is_named_at_once() -> None:
    with pytest.raises(InputError) as caught:
        dockerignore.parse(b"[\nok\n[\n", "x")
    assert [line.split(":")[0] for line in str(caught.value).splitlines()] == [
        "x (line 1)",
        "x (line 3)",
    ]


def test_a_folder_left_out_is_not_entered_when_nothing_in_it_can_come_back() -> None:
    rules = dockerignore.parse(b"node_modules\n.git\n!src/keep/**/*.py\nvendor\n", "x")
    inside = {}
    for folder in ("node_modules", ".git", "vendor"):
        left_out, matches = rules.judge(folder, rules.nothing_inherited)
        assert left_out
        inside[folder] = rules.may_keep_inside(folder, matches)
    assert inside == dict.fromkeys(inside, False)


@pytest.mark.parametrize(
    "rules", [b"a\n!a/b/c.py\n", b"a\n!**/c.py\n", b"a\n!a/*/c.py\n", b"*\n!a\n"]
)
def test_a_folder_left_out_is_entered_when_something_in_it_can_come_back(rules: bytes) -> None:
    parsed = dockerignore.parse(rules, "x")
    left_out, matches = parsed.judge("a", parsed.nothing_inherited)
    assert not left_out or parsed.may_keep_inside("a", matches)


def test_one_path_is_judged_with_the_folders_above_it() -> None:
    rules = dockerignore.parse(b"data\n!**/*.sql\n", "x")
    assert rules.leaves_out("data/db/1")
    assert not rules.leaves_out("data/a/b.sql")


def test_hostile_patterns_take_no_time() -> None:
    rules = dockerignore.parse(b"**/a*a*a*a*b\n" * 20, "x")
    begin = time.perf_counter()
    assert not rules.leaves_out("a" * 60)
    assert time.perf_counter() - begin < 2
