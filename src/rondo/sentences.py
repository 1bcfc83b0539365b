"""The validator's findings as sentences: what is wrong, and what would be right."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Any

from rondo.model_schema import UNITS, find, plain_schema
from rondo.problems import Problem, quoted, shown

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from pydantic import ValidationError
    from pydantic_core import ErrorDetails

    from rondo.problems import Path

    Schema = dict[str, Any]


def problems_of(error: ValidationError) -> list[Problem]:
    """Translate everything that the models found."""
    schema = plain_schema()
    details = error.errors(include_url=False)
    misspelt = {(*each["loc"][:-1], _near(each, schema)) for each in details if _is_unknown(each)}
    # A key that is there under a wrong name need not be called missing as well.
    named = [each for each in details if tuple(each["loc"]) not in misspelt]
    return [_problem(each, schema) for each in named if not _is_hollow(each, details)]


def _is_hollow(detail: ErrorDetails, details: Iterable[ErrorDetails]) -> bool:
    """Tell a list called empty whose items are all there, but wrong themselves."""
    place = detail["loc"]
    return detail["type"] == "too_short" and any(
        each["loc"][: len(place)] == place and len(each["loc"]) > len(place) for each in details
    )


def _is_unknown(detail: ErrorDetails) -> bool:
    return detail["type"] == "extra_forbidden"


def _near(detail: ErrorDetails, schema: Schema) -> str | None:
    """Return the key that was meant, if one looks like it."""
    keys = find(schema, detail["loc"][:-1])[1].get("properties", {})
    written = str(detail["loc"][-1]).lower().replace("-", "_")
    return next(iter(difflib.get_close_matches(written, keys, n=1)), None)


def _problem(detail: ErrorDetails, schema: Schema) -> Problem:
    path, field = find(schema, detail["loc"])
    if detail["type"].startswith("union_tag"):
        return _wrong_kind(detail, path, field)
    if _is_unknown(detail):
        return Problem(path, _unknown_key(detail, schema))
    return Problem(path, _sentence(detail, path, field))


def _sentence(detail: ErrorDetails, path: Path, field: Schema) -> str:
    if detail["type"] == "missing":
        return f"is missing; give {expected(field)}"
    if detail["input"] is None:
        return f"is empty; give {expected(field)}, or remove the key"
    if detail["type"] == "too_short":
        return f"is empty; give {expected(field)}"
    if detail["type"] == "value_error":
        return _said_by_word(detail, path)
    return _wrong_value(detail, path, field)


def _wrong_value(detail: ErrorDetails, path: Path, field: Schema) -> str:
    kind, value = detail["type"], detail["input"]
    if kind == "literal_error":
        return f"{shown((), value)} is not allowed{_close(value, field['enum'])}"
    if kind in _OUT_OF_BOUNDS:
        return f"{_in_units(path, value, field)} is not allowed; give {_bounds(field)}"
    return f"{shown(path, value)} does not fit; give {expected(field)}"


_OUT_OF_BOUNDS = frozenset({"greater_than_equal", "less_than_equal", "finite_number"})


def _said_by_word(detail: ErrorDetails, path: Path) -> str:
    said = str(detail["ctx"]["error"])
    return f"{shown(path, detail['input'])} {said}" if said.startswith("is ") else said


def _wrong_kind(detail: ErrorDetails, path: Path, field: Schema) -> Problem:
    kinds = list(field["discriminator"]["mapping"])
    value = detail["input"].get("kind") if isinstance(detail["input"], dict) else None
    if value is None:
        return Problem((*path, "kind"), f"is missing; give one of {', '.join(kinds)}")
    return Problem((*path, "kind"), f"{shown((), value)} is not allowed{_close(value, kinds)}")


def _close(value: object, choices: Iterable[str]) -> str:
    choices = list(choices)
    near = difflib.get_close_matches(str(value).lower(), choices, n=1)
    hint = f"did you mean {near[0]}? Give" if near else "give"
    return f"; {hint} one of {', '.join(choices)}" if len(choices) > 1 else f"; give {choices[0]}"


def _unknown_key(detail: ErrorDetails, schema: Schema) -> str:
    keys = list(find(schema, detail["loc"][:-1])[1].get("properties", {}))
    key = detail["loc"][-1]
    kinds = [kind for kind, other in _kinds(schema) if key in other["properties"]]
    if kinds and "kind" in keys:
        return f"is a key of {' and '.join(kinds)} services only; remove it"
    if near := _near(detail, schema):
        return f"is not a key here; did you mean {near}?"
    return f"is not a key here; the keys are {', '.join(keys)}"


def _kinds(schema: Schema) -> Iterable[tuple[str, Schema]]:
    services = find(schema, ("services", ""))[1]
    for kind in services["discriminator"]["mapping"]:
        yield kind, find(schema, ("services", "", kind))[1]


def _in_units(path: Path, value: object, field: Schema) -> str:
    # Judged after its unit was read, so the number is told in a unit again.
    if isinstance(value, int | float):
        return _unit(field)(value)
    return shown(path, value)


def _unit(field: Schema) -> Callable[[float], str]:
    return UNITS.get(field.get("$comment", ""), _number)


def _number(value: float) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _bounds(field: Schema) -> str:
    unit = _unit(field)
    return f"{unit(field['minimum'])} to {unit(field['maximum'])}"


def expected(field: Schema) -> str:
    """Say what would be right for a field."""
    if "enum" in field:
        return f"one of {', '.join(field['enum'])}"
    if "discriminator" in field:
        return f"a mapping with kind: {' or '.join(field['discriminator']['mapping'])}"
    kind = field.get("type")
    say = _EXPECTED.get(kind, _noun) if isinstance(kind, str) else _noun
    return say(field)


def _whole_number(field: Schema) -> str:
    return f"a whole number from {_bounds(field)}"


def _any_number(field: Schema) -> str:
    return f"a number from {_bounds(field)}"


def _list(field: Schema) -> str:
    if "$ref" in field["items"]:
        return "a list of mappings, each beginning with a dash"
    examples = field.get("examples") or [[_example(field["items"])]]
    return f"a list like [{', '.join(map(str, examples[0]))}]"


def _mapping(field: Schema) -> str:
    if "properties" in field:
        return f"a mapping with keys such as {', '.join(list(field['properties'])[:4])}"
    return f"a mapping like {_example(field['propertyNames'])}: ..."


def _boolean(_: Schema) -> str:
    return "true or false"


_EXPECTED = {
    "boolean": _boolean,
    "integer": _whole_number,
    "number": _any_number,
    "array": _list,
    "object": _mapping,
}


def _noun(field: Schema) -> str:
    noun: str = field.get("$comment", "text")
    return f"{noun} like {_example(field)}" if field.get("examples") else noun


def _example(field: Schema) -> str:
    example = (field.get("examples") or [field.get("minimum", "...")])[0]
    return quoted(example) if " " in str(example) else str(example)
