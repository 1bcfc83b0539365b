"""Where an SSH connection goes: what the inventory or a plain `user@host:port` says about it."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from rondo.errors import InputError

if TYPE_CHECKING:
    from rondo.inventory import Server

SSH_PORT = 22
_PLAIN = re.compile(
    r"(?:(?P<user>[^@\s/]+)@)?(?:\[(?P<six>[0-9A-Fa-f:.]+)\]|(?P<host>[A-Za-z0-9._-]+))(?::(?P<port>\d{1,5}))?"
)


@dataclass(frozen=True, slots=True)
class Target:
    """One end of a connection; None means that ssh_config or the default decides."""

    name: str
    host: str
    user: str | None = None
    usual_user: str | None = None
    """Who logs in if nothing says otherwise; None for the operator's own name."""
    port: int | None = None
    key: Path | None = None
    only_key: bool = True
    jump: str | None = None
    behind: str | None = None
    """For a jump host, the server on whose way it stands."""


@dataclass(frozen=True, slots=True)
class Flags:
    """What the command line of `fab` says about connections."""

    ssh_config: str | None = None
    keys: tuple[str, ...] = ()
    connect_timeout: float | None = None
    password: str | None = field(default=None, repr=False)
    passphrase: str | None = field(default=None, repr=False)


def is_plain(text: str) -> bool:
    """Tell a plain target (`user@host`, `host:port`, `web.example.com`) from a name."""
    return any(character in text for character in "@:.")


def parse(text: str) -> Target:
    """Read `user@host:port`; an IPv6 address stands in square brackets."""
    match = _PLAIN.fullmatch(text)
    host = match and (match["six"] or match["host"])
    port = int(match["port"]) if match and match["port"] else None
    if not match or not host or host.startswith("-") or (port is not None and port not in _PORTS):
        raise InputError(f"{text!r} is not a target; give one like deploy@web-1.example.com:22")
    return Target(name=text, host=host, user=match["user"], port=port, only_key=False)


_PORTS = range(1, 65536)


def of_server(name: str, server: Server, root: Path) -> Target:
    """Make the target of an inventory's server; what it leaves out ssh_config may say."""
    given = server.model_fields_set
    key = root / Path(server.key).expanduser() if server.key else None
    return Target(
        name=name,
        host=server.address,
        user=server.user if "user" in given else None,
        usual_user=server.user,
        port=server.port if "port" in given else None,
        key=key,
        jump=server.jump,
    )
