"""The schema that editors use and the reference say what the models do."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from jsonschema import Draft202012Validator
from pydantic import ValidationError

from rondo import schema
from rondo.errors import InputError
from rondo.inventory import Inventory
from rondo.model_schema import plain_schema
from rondo.reference import SMALLEST
from rondo.source import load

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
VALIDATOR = Draft202012Validator(schema.json_schema())
VALID = {
    "smallest": SMALLEST,
    "units and text": """
project: shop
x-shared: &shared {drain: 1.5, stop_grace: 500ms}
servers: {web-1: {address: 10.0.0.1, groups: [web]}}
services:
  web:
    <<: *shared
    kind: uwsgi
    context: .
    python: 3.12
    environment: {DEBUG: true, WORKERS: 3, RATE: 1.5, NAME: shop}
    limits: {memory: 512m, cpus: 0.5}
    logs: {max_size: 1048576}
    release_command: [python, manage.py, migrate, --verbosity, 0]
sites: {web: {server_names: ["*.example.com"], routes: {/: web}, hsts: {max_age: 365d}}}
""",
    "environment": """
extends: inventory.yaml
servers: {web-2: null}
services: {backend: {replicas: 1, release_command: null}, frontend: null}
sites: {shop: {tls: null, server_names: [staging.example.com]}}
""",
}
HEAD = "project: shop\nservers: {web-1: {address: a}}\n"
INVALID = {
    "no project": "servers: {web-1: {address: a}}",
    "no server": "project: shop\nservers: {}",
    "unknown key": HEAD + "sevices: {}",
    "name": "project: Shop\nservers: {web-1: {address: a}}",
    "key": "project: shop\nservers: {Web: {address: a}}",
    "no address": "project: shop\nservers: {web-1: {}}",
    "range": HEAD + "services: {a: {kind: http, replicas: 0}}",
    "kind": HEAD + "services: {a: {kind: htp}}",
    "no kind": HEAD + "services: {a: {context: a}}",
    "key of another kind": HEAD + "services: {a: {kind: http, module: a}}",
    "duration": HEAD + "services: {a: {kind: http, drain: 5 minutes}}",
    "long duration": HEAD + "services: {a: {kind: http, drain: 86401}}",
    "size": HEAD + "sites: {a: {server_names: [a], routes: {/: a}, body_size: big}}",
    "no list": HEAD + "sites: {a: {server_names: a, routes: {/: a}}}",
    "empty list": HEAD + "sites: {a: {server_names: [], routes: {/: a}}}",
    "route": HEAD + "sites: {a: {server_names: [a], routes: {a b: a}}}",
    "choice": HEAD + "settings: {ssh: {host_keys: off}}",
    "null": HEAD + "services: null",
    "environment's range": "extends: a\nservices: {a: {replicas: 0}}",
    "environment's unknown key": "extends: a\nservices: {a: {replica: 1}}",
}


@pytest.mark.parametrize("text", VALID.values(), ids=VALID.keys())
def test_the_schema_accepts_a_sound_inventory(text: str) -> None:
    assert [error.message for error in VALIDATOR.iter_errors(yaml.safe_load(text))] == []


@pytest.mark.parametrize("text", INVALID.values(), ids=INVALID.keys())
def test_the_schema_refuses_what_the_loader_refuses(text: str) -> None:
    document = yaml.safe_load(text)
    assert not VALIDATOR.is_valid(document)
    if "extends" not in document:
        with pytest.raises(ValidationError):
            Inventory.model_validate(document)


def test_the_example_is_sound_for_editors_and_loader() -> None:
    text = (ROOT / "inventory.yaml").read_text()
    assert "# yaml-language-server: $schema=inventory.schema.json" in text
    assert [error.message for error in VALIDATOR.iter_errors(yaml.safe_load(text))] == []
    assert load("inventory.yaml", start=ROOT).inventory.services


def test_the_schema_is_one_by_its_own_rules() -> None:
    whole = schema.json_schema()
    parts = {"Inventory", "PartialInventory", "UwsgiService", "PartialService", "Server", "name"}
    few = {name: part for name, part in whole["$defs"].items() if name in parts}
    assert few.keys() == parts
    Draft202012Validator.check_schema(whole | {"$defs": few})


def fields(definitions: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for name, definition in definitions.items():
        for key, field in definition.get("properties", {}).items():
            yield name, key, field


def test_every_key_is_described() -> None:
    bare = [
        f"{name}.{key}"
        for name, key, field in fields(plain_schema()["$defs"])
        if key != "kind" and not field.get("description")
    ]
    assert bare == []


def test_every_example_and_default_is_accepted() -> None:
    whole = schema.json_schema()
    refused = []
    for name, key, field in fields(plain_schema()["$defs"]):
        part = {"$defs": whole["$defs"], "$ref": f"#/$defs/{name}/properties/{key}"}
        values = [*field.get("examples", ()), *([field["default"]] if "default" in field else ())]
        refused += [
            f"{name}.{key}: {value}"
            for value in values
            if not Draft202012Validator(part).is_valid(value)
        ]
    assert refused == []


def test_the_reference_has_every_key_once_per_table() -> None:
    text = schema.reference()
    missing = [key for _, key, _ in fields(plain_schema()["$defs"]) if f"| `{key}` |" not in text]
    assert missing == []
    assert SMALLEST in text


def test_links_of_the_reference_lead_to_its_sections() -> None:
    lines = schema.reference().splitlines()
    titles = [line.removeprefix("## ").lower() for line in lines if line.startswith("## ")]
    anchors = {"".join(c for c in title.replace(" ", "-") if c not in ".:,") for title in titles}
    linked = {part.split(")")[0] for line in lines for part in line.split("](#")[1:]}
    assert linked
    assert linked <= anchors


def test_the_committed_schema_and_reference_are_up_to_date() -> None:
    schema.check(ROOT)


def test_generated_files_are_written_only_when_they_differ(tmp_path: Path) -> None:
    assert schema.write(tmp_path) == (
        "inventory.schema.json",
        "docs/inventory.md",
        "docs/run.schema.json",
    )
    assert schema.write(tmp_path) == ()
    (tmp_path / "docs" / "inventory.md").write_text("old")
    with pytest.raises(InputError, match=r"^out of date: docs/inventory\.md; run `inv schema`"):
        schema.check(tmp_path)
    assert schema.write(tmp_path) == ("docs/inventory.md",)
