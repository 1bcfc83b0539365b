"""The inventory's models as a JSON Schema, with what the texts below the fields say of them."""

from __future__ import annotations

import ast
import functools
import inspect
import itertools
from typing import TYPE_CHECKING, Any

import yaml
from pydantic.json_schema import GenerateJsonSchema

from rondo import inventory, objectives
from rondo.units import duration_text, size_text

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pydantic_core import core_schema

    from rondo.model import Model
    from rondo.problems import Path

    Schema = dict[str, Any]

UNITS = {"a duration": duration_text, "a size": size_text}
REFERENCE = "#/$defs/"


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
        for key, said in field_texts(_model(name)).items():
            definition["properties"][key] |= said
    definitions["Inventory"]["patternProperties"] = {"^x-": True}
    return definitions["Inventory"] | {"$defs": definitions}


def _model(name: str) -> type[Model]:
    found: type[Model] = getattr(inventory, name, None) or getattr(objectives, name)
    return found


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
def _texts() -> dict[str, dict[str, Schema]]:
    """Read the texts below the fields; reading them at import would slow every command down."""
    found: dict[str, dict[str, Schema]] = {}
    for module in (inventory, objectives):
        for node in ast.parse(inspect.getsource(module)).body:
            if isinstance(node, ast.ClassDef):
                found[node.name] = dict(_texts_in(node.body))
    return found


def _texts_in(body: list[ast.stmt]) -> Iterator[tuple[str, Schema]]:
    for field, text in itertools.pairwise(body):
        if not isinstance(field, ast.AnnAssign) or not isinstance(field.target, ast.Name):
            continue
        if isinstance(text, ast.Expr) and isinstance(text.value, ast.Constant):
            yield field.target.id, _said(str(text.value.value))


def _said(text: str) -> Schema:
    meaning, _, example = " ".join(text.split()).partition(" Example: ")
    return {"description": meaning} | ({"examples": [yaml.safe_load(example)]} if example else {})


def field_texts(model: type[Model]) -> dict[str, Schema]:
    """Return the description of each field of a model, and the example if it has one."""
    texts: dict[str, Schema] = {}
    for base in reversed(model.__mro__):
        texts |= _texts().get(base.__name__, {})
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
    definition = schema["$defs"][part["$ref"].removeprefix(REFERENCE)]
    return {**definition, **{key: value for key, value in part.items() if key != "$ref"}}
