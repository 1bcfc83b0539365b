"""What a load generator on another machine is made of: all that it imports, and nothing else."""

from __future__ import annotations

import ast
import re
import sys
from pathlib import Path

import pytest
from inventories import ONE_NAME

from rondo.context import made_of
from rondo.errors import InputError
from rondo.fleet import Fleet
from rondo.inventory import Inventory
from rondo.proof import payload, placing
from rondo.server import Output, Remote
from rondo.source import Loaded

ROOT = Path(__file__).parents[2]
LOCK = (ROOT / payload.LOCK).read_text()


def pinned(text: str) -> set[str]:
    return set(re.findall(r"^([A-Za-z0-9._-]+)==", text, re.MULTILINE))


def test_it_holds_every_module_that_it_imports_and_what_these_need_is_pinned() -> None:
    found = payload.modules(ROOT / "src", payload.STARTS)
    here = {path.removesuffix(".py").removesuffix("/__init__").replace("/", ".") for path in found}
    foreign = set()
    for text in found.values():
        for name in payload._imported(ast.parse(text)):
            if not name.startswith("rondo"):
                foreign.add(name.partition(".")[0])
            elif payload._file(ROOT / "src", name):
                assert name in here
    known = {"yaml": "pyyaml"}
    foreign -= sys.stdlib_module_names
    outside = {known.get(name, name).replace("_", "-") for name in foreign}
    assert outside <= pinned(payload.requirements(LOCK, payload.DISTRIBUTIONS))
    assert set(payload.DISTRIBUTIONS) <= outside


def test_nothing_that_reaches_servers_or_judges_is_sent_there() -> None:
    found = payload.modules(ROOT / "src", payload.STARTS)
    assert "rondo/proof/load/users.py" in found
    for stranger in ("server", "fleet", "ssh", "deploy", "proof/judge", "proof/placing"):
        assert f"rondo/{stranger}.py" not in found


def test_requirements_are_closed_and_each_has_its_checksums() -> None:
    text = payload.requirements(LOCK, payload.DISTRIBUTIONS)
    names = pinned(text)
    assert {"locust", "gevent", "numpy", "pydantic", "pyyaml", "websocket-client"} <= names
    assert not names & {"fabric", "paramiko", "scipy", "mypy", "ruff", "playwright"}
    for name in names:
        block = text[text.index(f"{name}==") :]
        assert "--hash=sha256:" in block.splitlines()[1]


def test_what_the_lock_file_does_not_pin_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not pin locust"):
        payload.requirements("numpy==1 \\\n    --hash=sha256:00\n", ("numpy", "locust"))
    with pytest.raises(InputError, match="installs only what it pins"):
        payload.context(ROOT / "src", ROOT / "loadtests", tmp_path / "none.lock")


def test_the_same_sources_are_the_same_image_and_any_change_is_another() -> None:
    one = payload.context(ROOT / "src", ROOT / "loadtests", ROOT / payload.LOCK)
    two = payload.context(ROOT / "src", ROOT / "loadtests", ROOT / payload.LOCK)
    assert one.digest == two.digest
    assert "loadtests/site.py" in one.overlay
    assert not [path for path in one.overlay if "examples" in path or "inventory.yaml" in path]
    other = payload.context(ROOT / "src", ROOT / "tests" / "load", ROOT / payload.LOCK)
    assert other.digest != one.digest


INVENTORY = Inventory.model_validate(
    {
        **ONE_NAME,
        "servers": {
            "web-1": {"address": "192.0.2.1", "groups": ["web"]},
            "load-1": {"address": "192.0.2.8", "groups": ["load"]},
            "load-2": {"address": "192.0.2.9", "groups": ["load"]},
        },
    }
)


@pytest.mark.parametrize(
    ("text", "servers"),
    [
        ("group:load", ("load-1", "load-2")),
        ("load", ("load-1", "load-2")),
        ("load-2,web-1", ("load-2", "web-1")),
        ("load-1, group:load", ("load-1", "load-2")),
    ],
    ids=["group", "bare group", "names", "both"],
)
def test_workers_are_named_by_group_or_by_server(text: str, servers: tuple[str, ...]) -> None:
    assert placing.chosen(INVENTORY, text) == servers


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("group:lod", "there are: web-1, load-1, load-2, group:load, group:web"),
        (" ,", "group:load"),
    ],
    ids=["unknown", "empty"],
)
def test_a_name_that_is_no_worker_is_refused_with_those_there_are(text: str, told: str) -> None:
    with pytest.raises(InputError, match=re.escape(told)):
        placing.chosen(INVENTORY, text)


@pytest.mark.parametrize(
    ("said", "keep", "removed"),
    [
        (("2 there",), False, ""),
        (("2 missing", "2 kept"), False, "worker:1"),
        (("2 missing", "2 fetched"), False, f"worker:1 {placing.BASE}"),
        (("2 missing", "2 fetched"), True, ""),
    ],
    ids=["there before", "built", "built, its base fetched", "to be kept"],
)
def test_only_images_that_came_for_the_run_go_with_it(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    said: tuple[str, ...],
    keep: bool,  # noqa: FBT001
    removed: str,
) -> None:
    answers = iter(said)
    monkeypatch.setattr(Remote, "run", lambda *_, **__: Output(next(answers), "", 0))
    loaded = Loaded(INVENTORY, tmp_path / "inventory.yaml", {})
    fleet = Fleet(INVENTORY, tmp_path, ["web-1"])
    place = placing._Place(loaded, fleet, placing.Wish(("web-1",), 0, keep), lambda _: None)
    place._ensure(fleet["web-1"], "worker:1", made_of({}), [])
    assert place._removed == {"web-1": removed}
