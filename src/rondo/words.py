"""The small typed words of an inventory: names, paths, sizes, durations.

Each type accepts only what cannot break out of a shell word, an Nginx directive, a YAML scalar or
a path, so that templates and commands need not think about it again.
"""

from __future__ import annotations

import ipaddress
import re
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field, StringConstraints

_HOST_LABEL = re.compile(r"(?!-)[A-Za-z0-9-]{1,63}(?<!-)")
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h)")
_SIZE = re.compile(r"(\d+)([kmg]?)b?", re.IGNORECASE)
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_BYTES = {"": 1, "k": 1024, "m": 1024**2, "g": 1024**3}
_UNSAFE_PATH = re.compile(r"[^A-Za-z0-9._/@+-]")


def _host(value: str) -> str:
    try:
        return str(ipaddress.ip_address(value))
    except ValueError:
        pass
    if len(value) > 253 or not all(_HOST_LABEL.fullmatch(part) for part in value.split(".")):
        raise ValueError("is not a host name or an IP address; give one like web-1.example.com")
    return value


def _server_name(value: str) -> str:
    bare = value.removeprefix("*.")
    if not all(_HOST_LABEL.fullmatch(part) for part in bare.split(".")) or len(value) > 253:
        raise ValueError("is not a name of a site; give one like shop.example.com")
    return value.lower()


def _local_path(value: str) -> str:
    if not value or "\0" in value or "\n" in value:
        raise ValueError("is not a path of a file or folder")
    return value


def _context_path(value: str) -> str:
    if _UNSAFE_PATH.search(value) or value.startswith("/") or ".." in value.split("/"):
        raise ValueError("is not a path inside the context; give one like docker/Dockerfile")
    return value


def _absolute_path(value: str) -> str:
    if not value.startswith("/") or _UNSAFE_PATH.search(value) or ".." in value.split("/"):
        raise ValueError("is not an absolute path of plain characters; give one like /var/lib/data")
    return value


def _url_path(value: str) -> str:
    if not re.fullmatch(r"/[A-Za-z0-9._~/@%+=,-]*(\?[A-Za-z0-9._~/@%+=,&-]*)?", value):
        raise ValueError("is not a path of a URL; give one like /health")
    return value


def _route(value: str) -> str:
    if not re.fullmatch(r"/([A-Za-z0-9._~@+-]+/?)*", value):
        raise ValueError("is not a path prefix; give one like / or /api/")
    return value


def _duration(value: object) -> object:
    if isinstance(value, bool) or not isinstance(value, str):
        return value
    match = _DURATION.fullmatch(value.strip())
    if not match:
        raise ValueError("is not a duration; give one like 500ms, 30s or 5m")
    return float(match[1]) * _SECONDS[match[2]]


def _size(value: object) -> object:
    if isinstance(value, bool) or not isinstance(value, str):
        return value
    match = _SIZE.fullmatch(value.strip())
    if not match:
        raise ValueError("is not a size; give one like 512k, 50m or 2g")
    return int(match[1]) * _BYTES[match[2].lower()]


def _no_control(value: str) -> str:
    if any(ord(character) < 32 or ord(character) == 127 for character in value):
        raise ValueError("holds a line break or a control character; keep it on one line")
    return value


Name = Annotated[
    str,
    StringConstraints(pattern=r"^[a-z][a-z0-9-]{0,29}$"),
    Field(description="lower-case letters, digits and dashes, starting with a letter, up to 30"),
]
User = Annotated[str, StringConstraints(pattern=r"^[a-z_][a-z0-9_-]{0,31}$")]
Host = Annotated[str, AfterValidator(_host)]
ServerName = Annotated[str, AfterValidator(_server_name)]
Port = Annotated[int, Field(ge=1, le=65535)]
LocalPath = Annotated[str, AfterValidator(_local_path)]
ContextPath = Annotated[str, AfterValidator(_context_path)]
AbsolutePath = Annotated[str, AfterValidator(_absolute_path)]
UrlPath = Annotated[str, AfterValidator(_url_path)]
Route = Annotated[str, AfterValidator(_route)]
Seconds = Annotated[float, BeforeValidator(_duration), Field(ge=0, le=86400)]
Bytes = Annotated[int, BeforeValidator(_size), Field(ge=0)]
Text = Annotated[str, AfterValidator(_no_control)]
VariableName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]
SecretName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,62}$")]
Image = Annotated[
    str,
    StringConstraints(pattern=r"^[a-z0-9][a-z0-9._/:-]*(:[A-Za-z0-9._-]+)?(@sha256:[0-9a-f]{64})?$"),
]
