"""SSH keys: the operator's pair, and the pinned host keys of the servers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rondo.lab.model import LabServer
    from rondo.lab.places import Place


def public_key(place: Place) -> str:
    """Give the public half of the operator's key pair; made on first use."""
    path = place.folder / "id_ed25519"
    try:
        key = serialization.load_ssh_private_key(path.read_bytes(), password=None)
    except (FileNotFoundError, ValueError):
        key = _make(place)
    text = key.public_key().public_bytes(
        serialization.Encoding.OpenSSH,
        serialization.PublicFormat.OpenSSH,
    )
    line = f"{text.decode()} {place.name}\n"
    place.write("id_ed25519.pub", line)
    return line


def _make(place: Place) -> Ed25519PrivateKey:
    key = Ed25519PrivateKey.generate()
    text = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.OpenSSH,
        serialization.NoEncryption(),
    )
    place.write("id_ed25519", text, 0o600)
    return key


def known_hosts_lines(server: LabServer, host_keys: Iterable[str]) -> list[str]:
    """Pin a server's host keys under its name and both of its addresses."""
    hosts = f"{server.name},{server.address},{server.private_address}"
    kinds = (line.split()[:2] for line in sorted(host_keys) if line.strip())
    return [f"{hosts} {kind} {key}" for kind, key in kinds]
