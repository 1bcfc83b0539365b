"""Why a connection failed, in words: paramiko's many exceptions as one sentence each."""

from __future__ import annotations

import re
import socket
from dataclasses import dataclass

import paramiko

_NO_KEYS = "No authentication methods available"
_SLOW = re.compile("timeout|no existing session", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Where:
    """The connection that failed."""

    name: str
    user: str
    host: str
    port: int
    through: str
    timeout: float

    @property
    def address(self) -> str:
        """Host and port."""
        return f"{self.host}:{self.port}{self.through}"


def was_dropped(error: BaseException) -> bool:
    """Tell a handshake that sshd cut short (MaxStartups) from all that will not change."""
    dropped = (EOFError, ConnectionResetError, BrokenPipeError)
    if isinstance(error, paramiko.SSHException):
        return isinstance(error.__context__, dropped)
    return isinstance(error, dropped)


def explain(error: BaseException, where: Where) -> str:
    """Say what happened and what to do about it."""
    if was_dropped(error):
        return (
            f"{where.address} closes the connection before the login, also when asked again; "
            f"look at MaxStartups and at the log of its sshd"
        )
    if isinstance(error, paramiko.AuthenticationException):
        return _of_login(error, where)
    if isinstance(error, paramiko.SSHException):
        return _of_ssh(error, where)
    if isinstance(error, socket.gaierror):
        return f"the name {where.host} cannot be resolved; correct its address, or check your DNS"
    if isinstance(error, OSError):
        return _of_network(error, where)
    return f"the connection to {where.address} failed ({_short(error)})"


def _of_ssh(error: paramiko.SSHException, where: Where) -> str:
    if isinstance(error, paramiko.ChannelException):
        return f"the jump host cannot reach {where.host}:{where.port}{where.through}; check both"
    if isinstance(error, paramiko.ssh_exception.IncompatiblePeer):
        return f"{where.address} shares no algorithm with us ({_short(error)}); update its sshd"
    if _NO_KEYS in str(error):
        return (
            f"no key to log in to {where.address} as {where.user}: the agent holds none and "
            f"~/.ssh has none; give servers.{where.name}.key in the inventory, or run ssh-add"
        )
    # paramiko calls a key exchange that never ended "No existing session".
    if isinstance(error.__context__, TimeoutError) or _SLOW.search(str(error)):
        return _silent(where)
    return f"the SSH connection to {where.address} failed ({_short(error)}); try ssh -v"


def _of_login(error: paramiko.AuthenticationException, where: Where) -> str:
    if "timeout" in str(error).lower():
        return _silent(where)
    if isinstance(error, paramiko.BadAuthenticationType):
        kinds = ", ".join(error.allowed_types)
        return (
            f"{where.address} lets {where.user} log in by {kinds} only; allow public keys there "
            f"(PubkeyAuthentication yes), or take another user"
        )
    return (
        f"{where.address} refused the login as {where.user}; check that the user is right and that "
        f"your public key is in its authorized_keys. With many keys in the agent, give "
        f"servers.{where.name}.key in the inventory"
    )


def _of_network(error: OSError, where: Where) -> str:
    if isinstance(error, TimeoutError):
        return (
            f"{where.address} did not answer within {where.timeout:g} s; check that the server is "
            f"up and that no firewall drops port {where.port}"
        )
    if isinstance(error, (ConnectionRefusedError, paramiko.ssh_exception.NoValidConnectionsError)):
        return (
            f"{where.address} refuses connections or cannot be reached; check the address, the "
            f"port, and that sshd runs"
        )
    return (
        f"{where.address} cannot be reached ({error.strerror or _short(error)}); check the network"
    )


def _silent(where: Where) -> str:
    return (
        f"{where.address} accepted the connection but did not answer within {where.timeout:g} s; "
        f"check the load of the server and its sshd"
    )


def _short(error: BaseException) -> str:
    return str(error).splitlines()[0].rstrip(".") if str(error) else type(error).__name__
