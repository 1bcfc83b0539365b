"""The JSON Schema with which editors complete and check inventories, and the generated files."""

from __future__ import annotations

import functools
import json
from typing import TYPE_CHECKING, Any

from rondo.errors import InputError
from rondo.model_schema import REFERENCE, plain_schema
from rondo.reference import reference

if TYPE_CHECKING:
    from pathlib import Path

    Schema = dict[str, Any]

__all__ = ["check", "documents", "json_schema", "outdated", "reference", "write"]

DIALECT = "https://json-schema.org/draft/2020-12/schema"
_WIDTH = 110
_OF_THE_FIELD = ("default", "description", "examples")


def json_schema() -> Schema:
    """Make the schema for editors; a file that extends another need not be whole."""
    whole: Schema = plain_schema()["$defs"]
    partial = {f"Partial{name}": _partial(part) for name, part in whole.items()}
    partial["PartialService"] = _any_kind(partial)
    schema = {
        "$schema": DIALECT,
        "title": "Rondo inventory",
        "description": "What runs where: servers, services, accessories and sites.",
        "type": "object",
        "if": {"required": ["extends"]},
        "then": {"$ref": f"{REFERENCE}PartialInventory"},
        "else": {"$ref": f"{REFERENCE}Inventory"},
    }
    words: Schema = {}
    parts = {name: _shared(part, words) for name, part in (whole | partial).items()}
    return schema | {"$defs": parts | words}


def _shared(part: Any, words: Schema) -> Any:  # noqa: ANN401 - any part of a schema
    """Take the words out into definitions of their own, so that the file can be read."""
    if isinstance(part, list):
        return [_shared(each, words) for each in part]
    if not isinstance(part, dict):
        return part
    part = {key: _shared(value, words) for key, value in part.items()}
    if "$comment" not in part:
        return part
    beside = {key: part.pop(key) for key in _OF_THE_FIELD if key in part}
    name = part["$comment"].partition(" ")[2] or part["$comment"]
    if words.setdefault(name := name.replace(" ", "-"), part) != part:
        return part | beside
    return {"$ref": f"{REFERENCE}{name}"} | beside


def _partial(part: Schema) -> Schema:
    """Loosen a schema to what may stand in an extending file: any part, and null to delete."""
    loose = {key: value for key, value in part.items() if key not in {"required", "minProperties"}}
    if "properties" in part:
        loose["properties"] = {key: _nullable(each) for key, each in part["properties"].items()}
    if isinstance(part.get("additionalProperties"), dict):
        loose["additionalProperties"] = _nullable(part["additionalProperties"])
    return loose


def _nullable(part: Schema) -> Schema:
    if "discriminator" in part:
        inner: Schema = {"$ref": f"{REFERENCE}PartialService"}
    elif "$ref" in part:
        name = part["$ref"].removeprefix(REFERENCE)
        inner = {**part, "$ref": f"{REFERENCE}Partial{name}"}
    else:
        inner = _partial(part)
    description = inner.pop("description", None)
    return {"anyOf": [inner, {"type": "null"}]} | (
        {"description": description} if description else {}
    )


def _any_kind(partial: Schema) -> Schema:
    """Merge the kinds of service: an extending file need not repeat which kind it changes."""
    kinds = [part for part in partial.values() if "kind" in part.get("properties", {})]
    properties: Schema = {}
    for part in kinds:
        properties |= part["properties"]
    properties["kind"] = {
        "enum": sorted(part["properties"]["kind"]["anyOf"][0]["const"] for part in kinds)
    }
    return {"type": "object", "additionalProperties": False, "properties": properties}


@functools.cache
def documents() -> dict[str, str]:
    """Make the files that are generated from the models, by their path in the source tree."""
    from rondo.proof.report import runfile  # noqa: PLC0415 - numpy, which only this needs

    return {
        "inventory.schema.json": _readable(json_schema()) + "\n",
        "docs/inventory.md": reference(),
        "docs/run.schema.json": _readable(runfile.json_schema()) + "\n",
    }


def _readable(part: Any, indent: str = "") -> str:  # noqa: ANN401 - any part of a schema
    """Write JSON with what fits on a line on one line."""
    flat = json.dumps(part, ensure_ascii=False)
    if len(indent) + len(flat) <= _WIDTH or not isinstance(part, dict):
        return flat
    inner = f"{indent}  "
    lines = [f"{inner}{json.dumps(key)}: {_readable(part[key], inner)}" for key in part]
    return "{\n" + ",\n".join(lines) + f"\n{indent}}}"


def write(root: Path) -> tuple[str, ...]:
    """Write the generated files that are out of date and return their names."""
    changed = outdated(root)
    for name in changed:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(documents()[name], encoding="utf-8")
    return changed


def check(root: Path) -> None:
    """Raise an InputError that names the generated files that are missing or out of date."""
    if names := outdated(root):
        raise InputError(f"out of date: {' and '.join(names)}; run `inv schema` and commit them")


def outdated(root: Path) -> tuple[str, ...]:
    """Return the names of the generated files that are missing or out of date."""
    return tuple(name for name, text in documents().items() if _content(root / name) != text)


def _content(path: Path) -> str | None:
    return path.read_text(encoding="utf-8") if path.exists() else None
