"""Private keys: read once, taken from the agent or unlocked at the terminal when encrypted."""

from __future__ import annotations

import sys
import threading
from getpass import getpass
from typing import TYPE_CHECKING

import paramiko

from rondo.errors import AccessError

if TYPE_CHECKING:
    from pathlib import Path


class Keys:
    """Private keys, read once; a passphrase is asked for only where there is a terminal."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: dict[Path, paramiko.PKey] = {}
        self._agent: paramiko.Agent | None = None

    def load(self, name: str, path: Path) -> paramiko.PKey:
        """Read a private key, with its certificate if there is one beside it."""
        with self._lock:
            if path not in self._known:
                self._known[path] = self._load(name, path)
            return self._known[path]

    def close(self) -> None:
        """Let go of the agent."""
        if self._agent:
            self._agent.close()

    def _load(self, name: str, path: Path) -> paramiko.PKey:
        try:
            return paramiko.PKey.from_path(path)
        except OSError as error:
            raise AccessError(
                f"{name}: the key {path} cannot be read ({error.strerror}); "
                f"correct servers.{name}.key in the inventory"
            ) from None
        except (TypeError, paramiko.PasswordRequiredException):
            return self._from_agent(path) or _with_passphrase(name, path)
        except Exception:  # noqa: BLE001 - each kind of broken key raises another kind of error
            raise AccessError(
                f"{name}: {path} is not a private key that can be used; give an Ed25519, ECDSA or "
                f"RSA key in OpenSSH's or PEM format"
            ) from None

    def _from_agent(self, path: Path) -> paramiko.PKey | None:
        """Find the agent's copy of an encrypted key, by the public half beside it."""
        try:
            words = path.with_name(f"{path.name}.pub").read_text(encoding="utf-8").split()
        except OSError:
            return None
        self._agent = self._agent or paramiko.Agent()
        return next((key for key in self._agent.get_keys() if key.get_base64() in words), None)


def _with_passphrase(name: str, path: Path) -> paramiko.PKey:
    if not sys.stdin or not sys.stdin.isatty():
        raise AccessError(
            f"{name}: the key {path} has a passphrase and there is no terminal to ask for it; "
            f"run ssh-add {path} first, or use a key without one"
        )
    try:
        return paramiko.PKey.from_path(path, getpass(f"Passphrase for {path}: "))
    except (ValueError, TypeError, paramiko.SSHException):
        raise AccessError(f"{name}: that is not the passphrase of {path}; run it again") from None
