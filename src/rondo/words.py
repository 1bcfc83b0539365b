"""The small typed words of an inventory: names, paths, sizes, durations.

Each type accepts only what cannot break out of a shell word, an Nginx directive, a YAML scalar or
a path, so that templates and commands need not think about it again. Free text (`Text`) is one
line; whoever writes it into a file or a command quotes it.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BeforeValidator, Field
from pydantic_core import core_schema

from rondo.units import bytes_of, seconds_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_LABEL = r"[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_HOST = rf"{_LABEL}(\.{_LABEL})*"
_IPV4 = r"[0-9]{1,3}(\.[0-9]{1,3}){3}"
_IPV6 = r"[0-9A-Fa-f]*:[0-9A-Fa-f:.]*"
_PATH = r"[A-Za-z0-9._@+][A-Za-z0-9._@+-]*"
_IMAGE_PART = r"[a-z0-9]+([._-]+[a-z0-9]+)*"


@dataclass(frozen=True, slots=True)
class Word:
    """What a text must look like, said once for the check, its message and the schema."""

    noun: str
    pattern: str
    example: str
    hint: str = ""
    refine: Callable[[str], str] | None = None
    numeric: bool = False  # may be written without quotes though it looks like a number

    def check(self, value: str) -> str:
        """Return the value, or raise the one sentence that says what would be right."""
        try:
            if re.fullmatch(self.pattern, value, re.ASCII):
                return self.refine(value) if self.refine else value
        except ValueError:
            pass
        hint = f" ({self.hint})" if self.hint else ""
        raise ValueError(f"is not {self.noun}{hint}; give one like {self.example}")

    def __get_pydantic_core_schema__(
        self, source: type[Any], handler: GetCoreSchemaHandler
    ) -> core_schema.CoreSchema:
        return core_schema.no_info_after_validator_function(self.check, handler(source))

    def __get_pydantic_json_schema__(
        self, schema: core_schema.CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        return handler(schema) | {
            "type": ["string", "number"] if self.numeric else "string",
            "$comment": self.noun,
            "pattern": f"^(?:{self.pattern})$",
            "examples": [self.example],
        }


def _short_host(value: str) -> str:
    if len(value) > 253:
        raise ValueError
    return value


def _host(value: str) -> str:
    looks_numeric = ":" in value or re.fullmatch(_IPV4, value)
    return _address(value) if looks_numeric else _short_host(value)


def _address(value: str) -> str:
    return str(ipaddress.ip_address(value))


def _network(value: str) -> str:
    ipaddress.ip_network(value, strict=False)
    return value


def _server_name(value: str) -> str:
    return _short_host(value).lower()


def _inside(value: str) -> str:
    if {".", ".."} & set(value.rstrip("/").split("/")) and value != ".":
        raise ValueError
    return value


def _normal(value: str) -> str:
    if {".", ".."} & set(value.split("/")) or "//" in value:
        raise ValueError
    return value


def _jump(value: str) -> str:
    port = re.search(r":([0-9]+)$", value)
    if port and not 1 <= int(port[1]) <= 65535:
        raise ValueError
    return value


def _one_line(value: str) -> str:
    if _CONTROL.search(value):
        raise ValueError("holds a line break or a control character; keep it on one line")
    return value


# A comment keeps the noun: editors ignore it, messages and the reference are made with it.
_DURATION_SCHEMA = {
    "$comment": "a duration",
    "type": ["string", "number"],
    "pattern": r"^[0-9]{1,9}(\.[0-9]{1,9})?(ms|s|m|h|d)?$",
}
_SIZE_SCHEMA = {
    "$comment": "a size",
    "type": ["string", "integer"],
    "pattern": r"^[0-9]{1,15}[kmgKMG]?[bB]?$",
}
# Plain scalars keep the text that was written, so a text may look like a number or a boolean.
_TEXT_SCHEMA = {"type": ["string", "number", "boolean"]}


@dataclass(frozen=True, slots=True)
class OneLine:
    """Text of any characters on one line."""

    def __get_pydantic_core_schema__(
        self, source: type[Any], handler: GetCoreSchemaHandler
    ) -> core_schema.CoreSchema:
        return core_schema.no_info_after_validator_function(_one_line, handler(source))

    def __get_pydantic_json_schema__(
        self, schema: core_schema.CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        return handler(schema) | _TEXT_SCHEMA | {"$comment": "text"}


Text = Annotated[str, OneLine()]
Command = Annotated[
    tuple[Text, ...], Field(min_length=1, examples=[["python", "manage.py", "migrate"]])
]

Name = Annotated[
    str,
    Word(
        "a name",
        r"[a-z][a-z0-9-]{0,29}",
        "web-1",
        "lower-case letters, digits and dashes, starting with a letter, up to 30",
    ),
]
User = Annotated[str, Word("a user name", r"[a-z_][a-z0-9_-]{0,31}", "deploy")]
UserId = Annotated[
    str, Word("a numeric user", r"[0-9]{1,10}(:[0-9]{1,10})?", "1000:1000", numeric=True)
]
Host = Annotated[
    str,
    Word("a host name or an IP address", rf"{_HOST}|{_IPV6}", "web-1.example.com", refine=_host),
]
Address = Annotated[str, Word("an IP address", rf"{_IPV4}|{_IPV6}", "10.0.0.11", refine=_address)]
Jump = Annotated[
    str,
    Word(
        "a bastion",
        rf"([a-z_][a-z0-9_-]{{0,31}}@)?({_HOST}|\[{_IPV6}\])(:[0-9]{{1,5}})?",
        "deploy@bastion.example.com:22",
        "user@host:port, or the name of another server",
        _jump,
    ),
]
ServerName = Annotated[
    str,
    Word("a name of a site", rf"(\*\.)?{_HOST}", "shop.example.com", refine=_server_name),
]
Port = Annotated[int, Field(ge=1, le=65535)]
Share = Annotated[
    str,
    Word(
        "a number or a share",
        r"[1-9][0-9]{0,3}|([1-9][0-9]?|100)%",
        "50%",
        "like 2 or 50%",
        numeric=True,
    ),
]
LocalPath = Annotated[
    str, Word("a path of a file or folder", r"[^\x00-\x1f\x7f-\x9f\u2028\u2029]{1,4096}", "backend")
]
ContextPath = Annotated[
    str,
    Word(
        "a path inside the context",
        rf"{_PATH}(/{_PATH})*/?",
        "docker/Dockerfile",
        "plain characters, no ..",
        _inside,
    ),
]
AbsolutePath = Annotated[
    str,
    Word(
        "an absolute path",
        r"/[A-Za-z0-9._@+-][A-Za-z0-9._/@+-]*",
        "/var/lib/data",
        "plain characters, no ..",
        _normal,
    ),
]
UrlPath = Annotated[
    str,
    Word(
        "a path of a URL",
        r"/[A-Za-z0-9._~/@%+=,-]*(\?[A-Za-z0-9._~/@%+=,&-]*)?",
        "/health",
    ),
]
Route = Annotated[
    str,
    Word("a path prefix", r"/([A-Za-z0-9._~@+-]+/)*[A-Za-z0-9._~@+-]*", "/api/", "no ..", _normal),
]
VariableName = Annotated[
    str, Word("a name of a variable", r"[A-Za-z_][A-Za-z0-9_]{0,254}", "DJANGO_SETTINGS_MODULE")
]
SecretName = Annotated[
    str,
    Word(
        "a name of a secret",
        r"[a-z][a-z0-9_]{0,62}",
        "database_password",
        "lower-case letters, digits and underscores",
    ),
]
HeaderName = Annotated[
    str, Word("a name of a header", r"[A-Za-z][A-Za-z0-9-]{0,99}", "Permissions-Policy")
]
HeaderValue = Annotated[
    str,
    Word("a header's value", r"[ -#%-~]{1,4096}", "camera=()", "printable ASCII without a $"),
]
OptionName = Annotated[str, Word("an option", r"[a-z][a-z0-9-]{0,63}", "reload-on-rss")]
ImagePrefix = Annotated[
    str, Word("the beginning of image names", rf"{_IMAGE_PART}(/{_IMAGE_PART})*", "acme/web")
]
Version = Annotated[
    str, Word("a version", r"[A-Za-z0-9][A-Za-z0-9._-]{0,39}", "1.4.2", numeric=True)
]
Image = Annotated[
    str,
    Word(
        "an image",
        rf"([A-Za-z0-9][A-Za-z0-9.-]*(:[0-9]{{1,5}})?/)?{_IMAGE_PART}(/{_IMAGE_PART})*"
        r"(:[A-Za-z0-9_][A-Za-z0-9._-]{0,127})?(@sha256:[0-9a-f]{64})?",
        "postgres:15",
    ),
]
VolumeSource = Annotated[
    str,
    Word(
        "a volume",
        r"/[A-Za-z0-9._-][A-Za-z0-9._/-]*|[a-z0-9][a-z0-9_.-]{0,99}",
        "data",
        "a name, or an absolute path on the server",
        _normal,
    ),
]
Module = Annotated[
    str,
    Word(
        "a WSGI callable",
        r"[A-Za-z_][A-Za-z0-9_.]*(:[A-Za-z_][A-Za-z0-9_]*)?",
        "shop.wsgi:application",
    ),
]
PythonVersion = Annotated[str, Word("a version of Python", r"3\.[0-9]{1,2}", "3.11", numeric=True)]
NodeVersion = Annotated[
    str, Word("a version of Node.js", r"[0-9]{1,3}(\.[0-9]{1,4}){0,2}", "24", numeric=True)
]
NginxVersion = Annotated[
    str, Word("a version of Nginx", r"1\.[0-9]{1,3}(\.[0-9]{1,3})?", "1.18", numeric=True)
]
TimeZone = Annotated[
    str, Word("a time zone", r"[A-Za-z][A-Za-z0-9_+-]*(/[A-Za-z0-9_+-]+)*", "Europe/Berlin")
]
Url = Annotated[
    str,
    Word("a URL", r"https?://[A-Za-z0-9._~:/?#@!&()*+,=%\[\]-]{1,2000}", "https://mirror/simple"),
]
Template = Annotated[
    str,
    Word(
        "a path of a URL",
        r"/([A-Za-z0-9._~/@%+=,:?&-]|\{[a-z][a-z0-9_:.-]*\})*",
        "/api/products/{product}/",
        "with {names} for values",
    ),
]
Network = Annotated[
    str,
    Word("a network", rf"({_IPV4}|{_IPV6})(/[0-9]{{1,3}})?", "203.0.113.0/24", refine=_network),
]
ErrorBudget = Annotated[
    str,
    Word(
        "an error budget",
        r"[0-9]{1,9}|[0-9]{1,2}(\.[0-9]{1,6})?%",
        "0.1%",
        "a number, or a share with %",
        numeric=True,
    ),
]
Probability = Annotated[float, Field(gt=0, le=1)]

Seconds = Annotated[
    float,
    BeforeValidator(seconds_of),
    Field(
        ge=0,
        le=86400,
        allow_inf_nan=False,
        examples=["30s"],
        json_schema_extra=_DURATION_SCHEMA,
    ),
]
Age = Annotated[
    int,
    BeforeValidator(seconds_of),
    Field(
        ge=0,
        le=10 * 31_536_000,
        examples=["365d"],
        json_schema_extra=_DURATION_SCHEMA,
    ),
]
Bytes = Annotated[
    int,
    BeforeValidator(bytes_of),
    Field(ge=0, le=1024**4, examples=["50m"], json_schema_extra=_SIZE_SCHEMA),
]
