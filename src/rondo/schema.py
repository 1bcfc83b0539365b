"""The inventory's models as one JSON Schema: for editors, for messages and for the reference."""

from __future__ import annotations

import ast
import functools
import inspect
import itertools
import json
from typing import TYPE_CHECKING, Any

from pydantic.json_schema import GenerateJsonSchema

from rondo import inventory
from rondo.units import duration_text, size_text

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pydantic_core import core_schema

    from rondo.problems import Path

    Schema = dict[str, Any]

DIALECT = "https://json-schema.org/draft/2020-12/schema"
UNITS = {"a duration": duration_text, "a size": size_text}
_REFERENCE = "#/$defs/"


class _Generator(GenerateJsonSchema):
    """Says ranges, maps and defaults the way that editors and people read them best."""

    def field_title_should_be_set(self, schema: Any) -> bool:  # noqa: ANN401, ARG002 - theirs
        """Leave titles to the words; a key needs no second name."""
        return False

    def nullable_schema(self, schema: core_schema.NullableSchema) -> Schema:
        """Leave null out: a key that is not wanted is not written."""
        return self.generate_inner(schema["schema"])

    def dict_schema(self, schema: core_schema.DictSchema) -> Schema:
        """Name the keys' pattern once, where completion looks for it."""
        made = super().dict_schema(schema)
        ((pattern, values),) = made.pop("patternProperties").items()
        made["propertyNames"] = {**made["propertyNames"], "pattern": pattern}
        return {**made, "additionalProperties": values}


@functools.cache
def plain_schema() -> Schema:
    """Make the schema of one whole inventory."""
    schema = inventory.Inventory.model_json_schema(schema_generator=_Generator)
    definitions = {"Inventory": {key: schema[key] for key in schema if key != "$defs"}}
    definitions |= schema["$defs"]
    for name, definition in definitions.items():
        definition.pop("title")
        _mend(definition)
        for key, text in descriptions(getattr(inventory, name)).items():
            definition["properties"][key]["description"] = text
    definitions["Inventory"]["patternProperties"] = {"^x-": True}
    return definitions["Inventory"] | {"$defs": definitions}


def _mend(part: Schema) -> None:
    """Say bounds in JSON Schema's words and defaults as people write them, in place."""
    for own, standard in (("ge", "minimum"), ("le", "maximum")):
        if own in part:
            part[standard] = part.pop(own)
    default = part.pop("default", None)
    if default is not None and default != [] and not isinstance(default, dict):
        unit = UNITS.get(part.get("$comment", ""))
        part["default"] = unit(default) if unit else default
    for inner in part.values():
        for each in inner if isinstance(inner, list) else [inner]:
            if isinstance(each, dict):
                _mend(each)


@functools.cache
def _docstrings() -> dict[str, dict[str, str]]:
    """Read the texts below the fields; reading them at import would slow every command down."""
    found: dict[str, dict[str, str]] = {}
    for node in ast.parse(inspect.getsource(inventory)).body:
        if isinstance(node, ast.ClassDef):
            found[node.name] = dict(_field_texts(node.body))
    return found


def _field_texts(body: list[ast.stmt]) -> Iterator[tuple[str, str]]:
    for field, text in itertools.pairwise(body):
        if not isinstance(field, ast.AnnAssign) or not isinstance(field.target, ast.Name):
            continue
        if isinstance(text, ast.Expr) and isinstance(text.value, ast.Constant):
            yield field.target.id, inspect.cleandoc(str(text.value.value))


def descriptions(model: type[inventory.Model]) -> dict[str, str]:
    """Return what each field of a model means."""
    texts: dict[str, str] = {}
    for base in reversed(model.__mro__):
        texts |= _docstrings().get(base.__name__, {})
    return texts


def find(schema: Schema, location: Sequence[str | int]) -> tuple[Path, Schema]:
    """Follow a location of pydantic's: the path as the user wrote it, and the schema there.

    Pydantic puts the tag of a chosen kind and "[key]" into its locations; the user wrote neither.
    """
    path: list[str | int] = []
    here = schema
    for part in location:
        kinds = here.get("discriminator", {}).get("mapping", {})
        if part in kinds:
            here = resolved(schema, {"$ref": kinds[part]})
        elif part != "[key]":
            path.append(part)
            here = resolved(schema, _child(here, part))
    return tuple(path), here


def _child(here: Schema, part: str | int) -> Schema:
    if isinstance(part, int):
        return dict(here.get("items", {}))
    return here.get("properties", {}).get(part) or here.get("additionalProperties") or {}


def resolved(schema: Schema, part: Schema) -> Schema:
    """Replace a reference by what it names; what is said beside it wins."""
    if "$ref" not in part:
        return part
    definition = schema["$defs"][part["$ref"].removeprefix(_REFERENCE)]
    return {**definition, **{key: value for key, value in part.items() if key != "$ref"}}


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
        "then": {"$ref": f"{_REFERENCE}PartialInventory"},
        "else": {"$ref": f"{_REFERENCE}Inventory"},
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
    beside = {key: part.pop(key) for key in ("default", "description") if key in part}
    name = part["$comment"].partition(" ")[2] or part["$comment"]
    if words.setdefault(name := name.replace(" ", "-"), part) != part:
        return part | beside
    return {"$ref": f"{_REFERENCE}{name}"} | beside


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
        inner: Schema = {"$ref": f"{_REFERENCE}PartialService"}
    elif "$ref" in part:
        name = part["$ref"].removeprefix(_REFERENCE)
        inner = {**part, "$ref": f"{_REFERENCE}Partial{name}"}
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


def schema_text() -> str:
    """Write the schema as the committed file has it."""
    return json.dumps(json_schema(), indent=2, ensure_ascii=False) + "\n"
