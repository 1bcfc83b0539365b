"""Who a server is: its host key judged by what was pinned, before anything is sent to it."""

from __future__ import annotations

import threading
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from rondo import known_hosts
from rondo.errors import AccessError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from rondo.known_hosts import HostKey


_KEY_FILES: Final = {"ssh-ed25519": "ed25519", "ssh-rsa": "rsa"}


@dataclass(frozen=True, slots=True)
class Offer:
    """The host key that a server shows, and those that were pinned for it."""

    name: str
    host: str
    key: HostKey
    asked: str
    """Server whose trusting would show this key: itself, or one behind this jump host."""
    pinned: tuple[HostKey, ...] = ()

    def __str__(self) -> str:
        kind = _KEY_FILES.get(self.key.kind, "ecdsa")
        lines = [f"{self.name} ({self.host})"]
        lines += [f"    pinned   {key}" for key in self.pinned]
        lines += [f"    offered  {self.key}"]
        return "\n".join([*lines, f"    compare  ssh-keygen -lf /etc/ssh/ssh_host_{kind}_key.pub"])


class HostKeyRefusedError(AccessError):
    """A server's host key is not the pinned one, not known, or revoked."""

    def __init__(self, message: str, offer: Offer | None = None) -> None:
        super().__init__(message)
        self.offer = offer


class Verifier:
    """Judges host keys by the project's file, then by the operator's own.

    paramiko asks a policy like this about keys it does not know; as its own tables stay empty,
    that is every key, and this is the one place where a server's identity is decided.
    """

    def __init__(
        self,
        pinned: Path,
        own: Path,
        *,
        accept_new: bool,
        note: Callable[[str], None],
    ) -> None:
        self._pinned = pinned
        self._accept_new = accept_new
        self._note = note
        self._lock = threading.Lock()
        self._files = [known_hosts.read(pinned), known_hosts.read(own)]
        self._told: set[str] = set()
        self.verified: set[str] = set()
        for fault in self._files[0].faults:
            self._tell(fault)

    def kinds(self, host: str) -> tuple[str, ...]:
        """Kinds of keys to ask a host for first: those that can be verified."""
        return tuple(key.kind for key in self.pinned(host))

    def pinned(self, host: str) -> tuple[HostKey, ...]:
        """Keys that decide for a host: the project's, or else the operator's."""
        return self._files[0].keys(host) or self._files[1].keys(host)

    def verify(self, shown: Offer) -> None:
        """Accept a pinned key, pin a new one if that is the setting, refuse all others."""
        with self._lock:
            offer = replace(shown, pinned=self.pinned(shown.host))
            if any(file.revokes(offer.host, offer.key) for file in self._files):
                raise HostKeyRefusedError(_revoked(offer))
            if offer.key not in offer.pinned:
                self._consider(offer)
            self.verified.add(offer.name)

    def _consider(self, offer: Offer) -> None:
        if offer.pinned:
            raise HostKeyRefusedError(_changed(offer), offer)
        self._tell_authorities(offer.host)
        if not self._accept_new:
            raise HostKeyRefusedError(_unknown(offer), offer)
        known_hosts.pin(self._pinned, offer.host, offer.key)
        self._files[0] = known_hosts.read(self._pinned)
        self._tell(
            f"{offer.name}: pinned the host key of {offer.host}, seen for the first time: "
            f"{offer.key}"
        )

    def _tell_authorities(self, host: str) -> None:
        for file in self._files:
            for number in file.authorities(host):
                self._tell(
                    f"{file.path} line {number}: certificate authorities are not asked; "
                    f"pin {host} itself"
                )

    def _tell(self, text: str) -> None:
        if text not in self._told:
            self._told.add(text)
            self._note(text)


def _revoked(offer: Offer) -> str:
    return (
        f"{offer.name}: the host key of {offer.host} ({offer.key}) is marked @revoked; nothing was "
        f"sent. Give the server new host keys, then run: inv hosts.trust --servers {offer.asked}"
    )


def _unknown(offer: Offer) -> str:
    return (
        f"{offer.name}: the host key of {offer.host} is not known; it offers {offer.key}. Nothing "
        f"was sent. Compare it with the server's own and pin it with: "
        f"inv hosts.trust --servers {offer.asked}"
    )


def _changed(offer: Offer) -> str:
    return (
        f"{offer.name}: the host key of {offer.host} has changed: pinned is "
        f"{' or '.join(map(str, offer.pinned))}, offered is {offer.key}. Nothing was sent. "
        f"If the server was installed anew, compare the fingerprint on its console and run: "
        f"inv hosts.trust --servers {offer.asked}; if it was not, somebody may be in between"
    )
