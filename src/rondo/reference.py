"""The inventory's reference for people, made from the models."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import yaml

from rondo import inventory, objectives
from rondo.model_schema import REFERENCE, UNITS, field_texts, plain_schema

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rondo.model import Model

    Schema = dict[str, Any]

SMALLEST = """\
project: shop
servers:
  web-1: {address: 203.0.113.10}
services:
  frontend: {kind: static, context: frontend}
  backend:
    kind: uwsgi
    context: backend
    module: shop.wsgi:application
    health: {path: /api/health}
sites:
  shop:
    server_names: [shop.example.com]
    tls: {certificate: tls/shop.pem, key: tls/shop.key}
    routes: {/: frontend, /api/: backend}
"""

_OPENING = f"""\
<!-- Made by `inv schema` from src/rondo/inventory.py and objectives.py; change the texts there. -->

# The inventory

`inventory.yaml` says what runs where. The smallest useful one:

```yaml
# yaml-language-server: $schema=inventory.schema.json
{SMALLEST}```

That is one server that answers `https://shop.example.com`: a built frontend, and three backends
behind `/api/`. The first line lets editors complete and check the rest.

## Which file

| Selected by | File |
|---|---|
| nothing | `inventory.yaml` |
| `staging`, by the option or by `RONDO_INVENTORY=staging` | `inventory.staging.yaml` |
| a name with a slash, or ending in `.yaml` | that file |

An environment usually extends the main file and says only what differs:

```yaml
# inventory.staging.yaml
extends: inventory.yaml
servers:
  web-1: {{address: 198.51.100.7}}
services:
  backend:
    replicas: 1
    release_command: null
sites:
  shop:
    server_names: [staging.shop.example.com]
```

Mappings merge key by key, everything else (lists, too) replaces, and a key that is written
`null` is deleted. Relative paths begin at the folder of the selected file, the path after
`extends` at the file that holds it.

## How values are written

- Text is the text you see: `1.20` stays `1.20`, `on` stays `on` and `022` stays `022`, with or
  without quotes, wherever text is wanted.
- Durations are `500ms`, `30s`, `5m`, `2h` or `30d`; a bare number means seconds. Sizes are `512k`,
  `50m` or `2g`; a bare number means bytes.
- A key may be given once. Anchors, aliases and `<<` work; put shared parts under a top-level key
  that begins with `x-`, which means nothing by itself.
- All problems are told at once, each with its path, its line and what would be right.

"""
_SECTIONS: tuple[tuple[str, str, type[Model]], ...] = (
    ("The file", "", inventory.Inventory),
    ("servers.NAME", "Server", inventory.Server),
    ("services.NAME", "", inventory.ServiceBase),
    ("services.NAME with slots: static, uwsgi, http", "", inventory.SlotService),
    ("services.NAME of kind static", "StaticService", inventory.StaticService),
    ("services.NAME of kind uwsgi", "UwsgiService", inventory.UwsgiService),
    ("services.NAME of kind http", "HttpService", inventory.HttpService),
    ("services.NAME of kind worker", "WorkerService", inventory.WorkerService),
    ("build", "Build", inventory.Build),
    ("secrets.NAME", "Secret", inventory.Secret),
    ("health", "Health", inventory.Health),
    ("limits", "Limits", inventory.Limits),
    ("logs", "Logs", inventory.Logs),
    ("volumes", "Volume", inventory.Volume),
    ("accessories.NAME", "Accessory", inventory.Accessory),
    ("sites.NAME", "Site", inventory.Site),
    ("tls", "Tls", inventory.Tls),
    ("hsts", "Hsts", inventory.Hsts),
    ("timeouts", "Timeouts", inventory.Timeouts),
    ("proof", "Proof", objectives.Proof),
    ("proof.limits", "ProofLimits", objectives.ProofLimits),
    ("proof.scenario.NAME", "Scenario", objectives.Scenario),
    ("proof.scenario.NAME.steps", "Step", objectives.Step),
    ("hooks", "Hooks", inventory.Hooks),
    ("settings", "Settings", inventory.Settings),
    ("settings.ssh", "SshSettings", inventory.SshSettings),
    ("settings.build", "BuildSettings", inventory.BuildSettings),
    ("settings.build.mirrors", "Mirrors", inventory.Mirrors),
    ("settings.roll", "RollSettings", inventory.RollSettings),
    ("settings.nginx", "NginxSettings", inventory.NginxSettings),
)
# A schema that has the fields of a model which is no kind of service by itself.
_STANDS_FOR = {"ServiceBase": "StaticService", "SlotService": "StaticService"}
_COLUMNS = "| Key | Type | Default | Meaning | Example |\n|---|---|---|---|---|"


def reference() -> str:
    """Write the reference in Markdown."""
    schema = plain_schema()
    sections = [_section(schema, title, model) for title, _, model in _SECTIONS]
    return _OPENING + "\n\n".join([*sections, _words(schema)]) + "\n"


def _section(schema: Schema, title: str, model: type[Model]) -> str:
    name = model.__name__
    definition = schema["$defs"][_STANDS_FOR.get(name, name)]
    rows = [_row(schema, key, definition) for key in _own_fields(model)]
    meaning = " ".join((model.__doc__ or "").split())
    return "\n".join([f"## {title}", "", meaning, "", _COLUMNS, *rows])


def _own_fields(model: type[Model]) -> list[str]:
    """Leave out what a table above has told already, unless it differs here."""
    return [key for key in model.__annotations__ if key in field_texts(model) or key == "kind"]


def _row(schema: Schema, key: str, definition: Schema) -> str:
    field = definition["properties"][key]
    required = "**required**" if key in definition.get("required", ()) else ""
    default = _code(field["default"]) if "default" in field else required
    cells = (_code(key), _type(schema, field), default, _meaning(key, field), _example(field))
    return f"| {' | '.join(cell.replace('|', '&#124;') for cell in cells)} |"


def _meaning(key: str, field: Schema) -> str:
    text: str = field.get("description", "What sort of service this is." if key == "kind" else "")
    return text


def _code(value: object) -> str:
    if isinstance(value, str):
        return f"`{value}`"
    return f"`{json.dumps(value, ensure_ascii=False)}`"


def _type(schema: Schema, field: Schema) -> str:
    if "$ref" in field:
        return _link(field["$ref"].removeprefix(REFERENCE))
    if "discriminator" in field:
        return "[service](#servicesname)"
    if field.get("type") == "array":
        return f"list of: {_type(schema, field['items'])}"
    if "propertyNames" in field:
        key = _noun(field["propertyNames"])
        return f"mapping: {key} to {_type(schema, field['additionalProperties'])}"
    return _scalar_type(field)


def _scalar_type(field: Schema) -> str:
    choices = field.get("enum") or [field["const"]] if {"enum", "const"} & field.keys() else ()
    if choices:
        return " or ".join(_code(each) for each in choices)
    return _noun(field) + _range(field)


def _link(name: str) -> str:
    title = next(title for title, model, _ in _SECTIONS if model == name)
    anchor = "".join(each for each in title.lower().replace(" ", "-") if each not in ".:,")
    return f"[{title}](#{anchor})"


def _noun(field: Schema) -> str:
    plain = {"integer": "whole number", "number": "number", "boolean": "true or false"}
    noun: str = field.get("$comment") or plain[field["type"]]
    return noun.removeprefix("a ").removeprefix("an ")


def _range(field: Schema) -> str:
    if "minimum" not in field:
        return ""
    unit = UNITS.get(field.get("$comment", ""), str)
    return f", {unit(field['minimum'])} to {unit(field['maximum'])}"


def _example(field: Schema) -> str:
    if "examples" in field:
        return f"`{_flow(field['examples'][0])}`"
    if field.get("type") == "boolean":
        return _code(not field["default"])
    others = [each for each in field.get("enum", ()) if each != field.get("default")]
    return _code(others[0]) if others else ""


def _flow(value: object) -> str:
    text = yaml.safe_dump(value, default_flow_style=True, width=1000, sort_keys=False)
    return text.removesuffix("\n").removesuffix("\n...")


def _words(schema: Schema) -> str:
    found: dict[str, Schema] = {}
    for part in _parts(schema):
        if "pattern" in part and "type" in part and part["$comment"] not in UNITS:
            found.setdefault(_noun(part), part)
    rows = [f"| {noun} | {_pattern(found[noun])} |" for noun in sorted(found, key=str.lower)]
    opening = "Texts that end up in commands, paths and configuration, and what each may look like."
    head = "| Type | What it must match |\n|---|---|"
    return "\n".join(["## Words", "", opening, "", head, *rows])


def _pattern(part: Schema) -> str:
    pattern: str = part["pattern"].removeprefix("^(?:").removesuffix(")$")
    # Markdown goes on inside of <code>: [a](b) would be a link, * and _ emphasis, | a cell's end.
    return "<code>" + re.sub(r"[|*_[\]]", lambda sign: f"&#{ord(sign[0])};", pattern) + "</code>"


def _parts(part: Any) -> Iterator[Schema]:  # noqa: ANN401 - any part of a schema
    if isinstance(part, dict):
        yield part
    inner = part.values() if isinstance(part, dict) else part if isinstance(part, list) else ()
    for each in inner:
        yield from _parts(each)
