"""One SSH connection: Fabric's, with host keys verified and failures told plainly."""

from __future__ import annotations

import logging
import random
import socket
import threading
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import fabric
import paramiko

from rondo import known_hosts, reasons
from rondo.errors import AccessError, RondoError
from rondo.keys import Keys
from rondo.known_hosts import HostKey
from rondo.target import SSH_PORT, Flags, Target
from rondo.tunnel import HERE, Tunnel
from rondo.verifier import Offer

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from rondo.verifier import Verifier

logging.getLogger("paramiko").setLevel(logging.CRITICAL + 1)

_FIRST_PAUSE = 0.05
_LONGEST_PAUSE = 1.0
_LEAST_TIMEOUT = 0.1
_SILENCES = 3
_RSA_SIGNATURES = ("rsa-sha2-512", "rsa-sha2-256")
# Authenticated encryption spares Python a second pass over every packet.
_CIPHERS = ("aes128-gcm@openssh.com", "aes256-gcm@openssh.com")


@dataclass(frozen=True, slots=True)
class Options:
    """What all connections of a run share."""

    verifier: Verifier
    config: fabric.Config
    connect_timeout: float = 10
    keepalive: float = 15
    flags: Flags = field(default_factory=Flags)
    keys: Keys = field(default_factory=Keys)


class Connection(fabric.Connection):  # type: ignore[misc]  # Fabric has no types
    """Fabric's connection to one target, made safe and quick; opened by whoever needs it first."""

    def __init__(self, target: Target, options: Options, jump: Connection | None = None) -> None:
        # Fabric turns attributes into settings; these are to be the object's own.
        self._set(target=target, options=options, opening=threading.Lock(), abandoned=False)
        # Fabric writes a setting of each connection into its configuration, which is made anew
        # then: another thread that reads a shared one meanwhile would not find what it needs.
        config = options.config.clone()
        super().__init__(
            target.host, user=target.user, port=target.port, config=config, gateway=jump
        )
        configured = self.ssh_config.get("user") or target.usual_user or self.config.user
        self.user = target.user or configured
        self.client = paramiko.SSHClient()
        self.client.set_missing_host_key_policy(_Policy(target, options.verifier))

    def derive_shorthand(self, host_string: str) -> dict[str, object]:
        """Take a host as it is: targets were parsed before, IPv6 addresses too."""
        return {"user": None, "host": host_string, "port": None}

    def get_gateway(self) -> str | None:
        """Leave jumps to the fleet, which shares them; only a ProxyCommand is read here."""
        return self.ssh_config.get("proxycommand")  # type: ignore[no-any-return]

    def resolve_connect_kwargs(self, _: object) -> dict[str, object]:
        """Leave the choice of keys to the moment of logging in."""
        return {}

    @property
    def address(self) -> str:
        """Where it goes, for messages: user@host:port."""
        port = "" if self.port == SSH_PORT else f":{self.port}"
        return f"{self.user}@{self.host}{port}"

    @property
    def known_as(self) -> str:
        """Name of the host in a known_hosts file."""
        return known_hosts.host_name(self.host, self.port)

    def open(self) -> None:
        """Connect and log in unless that is done; handshakes that a busy sshd drops are retried."""
        with self.opening:
            if self.abandoned:
                raise AccessError(f"{self.target.name}: the connection was closed")
            if not self.is_connected:
                self._open_with_retries()
            if self.abandoned:
                self.client.close()

    def abandon(self) -> None:
        """Close at once and for good, from any thread."""
        self._set(abandoned=True)
        self.client.close()

    @contextmanager
    def reverse(self, port: int) -> Iterator[int]:
        """Let a port of the server's own address lead to one of this machine's; give its number.

        It is gone with the context, and with the connection.
        """
        self.open()
        tunnel = Tunnel(port)
        try:
            theirs = self.transport.request_port_forward(HERE, 0, tunnel.accept)
        except (paramiko.SSHException, EOFError, OSError):
            raise AccessError(
                f"{self.target.name}: its sshd lets no port lead here; in its sshd_config "
                f"AllowTcpForwarding must be yes or remote"
            ) from None
        try:
            yield theirs
        finally:
            tunnel.close()
            with suppress(paramiko.SSHException, EOFError, OSError):
                self.transport.cancel_port_forward(HERE, theirs)

    def _open_with_retries(self) -> None:
        began = time.monotonic()
        pause = _FIRST_PAUSE
        while True:
            left = self.options.connect_timeout - (time.monotonic() - began)
            try:
                return self._attempt(max(_LEAST_TIMEOUT, left))
            except Exception as error:  # noqa: BLE001 - retried, or told in words
                self.client.close()
                wait = pause * random.uniform(0.5, 1.5)  # noqa: S311 - it only spreads load
                if not reasons.was_dropped(error) or wait >= left or self.abandoned:
                    raise self._plainly(error) from None
            time.sleep(wait)
            pause = min(pause * 2, _LONGEST_PAUSE)

    def _attempt(self, timeout: float) -> None:
        self.connect_timeout = timeout
        self.connect_kwargs = {**self._timeouts(timeout), **self._login()}
        super().open()
        self.transport.set_keepalive(max(1, round(self.options.keepalive)))

    def _timeouts(self, timeout: float) -> dict[str, object]:
        return {
            "banner_timeout": timeout,
            "auth_timeout": timeout,
            "channel_timeout": timeout,
            "transport_factory": self._transport,
        }

    def _login(self) -> dict[str, object]:
        """Choose the keys: the inventory's alone, or else ssh_config's, the agent's and ~/.ssh."""
        target, flags = self.target, self.options.flags
        key = self.options.keys.load(target.name, target.key) if target.key else None
        alone = key is not None and target.only_key
        files = [*flags.keys, *([] if alone else self.ssh_config.get("identityfile", []))]
        return {
            "pkey": key,
            "key_filename": [file for file in files if Path(file).expanduser().is_file()],
            "allow_agent": not alone,
            "look_for_keys": not alone,
            "password": flags.password,
            "passphrase": flags.passphrase,
        }

    def _transport(self, sock: Any, **choices: Any) -> paramiko.Transport:  # noqa: ANN401
        transport = paramiko.Transport(sock, **choices)
        if isinstance(sock, socket.socket):
            self._tune(sock)
        security = transport.get_security_options()
        kinds = _signatures(self.options.verifier.kinds(self.known_as))
        security.key_types = _first(kinds, security.key_types)
        security.ciphers = _first(_CIPHERS, security.ciphers)
        return transport

    def _tune(self, sock: socket.socket) -> None:
        # Without this each command waits 40 ms for an acknowledgement (Nagle's algorithm).
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if hasattr(socket, "TCP_USER_TIMEOUT"):
            # paramiko would wait for ever for a peer that is gone; the kernel counts its silence.
            patience = round(_SILENCES * self.options.keepalive * 1000)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, patience)

    def _plainly(self, error: Exception) -> RondoError:
        if isinstance(error, RondoError):
            return error
        via = self.gateway
        where = reasons.Where(
            name=self.target.name,
            user=self.user,
            host=self.host,
            port=self.port,
            through=f" through {via.address}" if isinstance(via, Connection) else "",
            timeout=self.options.connect_timeout,
        )
        return AccessError(f"{self.target.name}: {reasons.explain(error, where)}")


class _Policy(paramiko.MissingHostKeyPolicy):
    """paramiko's question about a host key, passed on with the name the operator knows."""

    def __init__(self, target: Target, verifier: Verifier) -> None:
        self._target = target
        self._verifier = verifier

    def missing_host_key(
        self,
        client: paramiko.SSHClient,  # noqa: ARG002 - paramiko passes it
        hostname: str,
        key: paramiko.PKey,
    ) -> None:
        offered = HostKey(key.get_name(), key.asbytes())
        name = self._target.name
        self._verifier.verify(Offer(name, hostname, offered, asked=self._target.behind or name))


def jumps(connection: Connection) -> tuple[str, ...]:
    """Jump hosts that ssh_config names for a connection, the operator's side first."""
    text: str = connection.ssh_config.get("proxyjump", "none")
    return () if text.lower() == "none" else tuple(part.strip() for part in text.split(","))


def _signatures(kinds: tuple[str, ...]) -> tuple[str, ...]:
    found: list[str] = []
    for kind in kinds:
        found += _RSA_SIGNATURES if kind == "ssh-rsa" else (kind,)
    return tuple(found)


def _first(wanted: tuple[str, ...], offered: Iterable[str]) -> tuple[str, ...]:
    known = tuple(offered)
    ahead = tuple(dict.fromkeys(item for item in wanted if item in known))
    return ahead + tuple(item for item in known if item not in ahead)
