"""What the lab's images are made of: each recipe has a digest, and an image's tag is that digest.

An image is there when its tag is there, and tags are given last, by the engine: a half-made image
is never taken for a finished one, and a changed recipe makes another image.
"""

from __future__ import annotations

import hashlib
import io
import os
import tarfile
from dataclasses import dataclass, field
from pathlib import Path

FOLDER = Path(__file__).parent / "images"
SUITE = "bookworm"
# The names under which the Docker Hub publishes them, and the lab's registry too.
PUBLISHED: dict[str, tuple[str, ...]] = {
    "debian": ("bookworm-slim",),
    "python": ("3.11-slim-bookworm", "3.11-slim"),
    "node": ("24-bookworm-slim", "24-slim"),
    "nginx": ("stable", "stable-bookworm"),
    "postgres": ("15", "15-bookworm"),
}


@dataclass(frozen=True, slots=True)
class Recipe:
    """A Dockerfile and the files beside it, with what it is built from."""

    name: str
    arguments: tuple[tuple[str, str], ...] = ()
    extra: dict[str, bytes] = field(default_factory=dict)
    salt: str = ""  # what decides about the result but is no file: a parent, a version

    @property
    def digest(self) -> str:
        """Short digest of everything that decides about the image."""
        hasher = hashlib.sha256(repr((self.name, self.arguments, self.salt)).encode())
        for name, content in sorted(self.files.items()):
            hasher.update(f"{name}\0{len(content)}\0".encode() + content)
        return hasher.hexdigest()[:12]

    @property
    def files(self) -> dict[str, bytes]:
        """The build context, but for what is fetched when the image is really built."""
        folder = FOLDER / self.name
        found = {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}
        return found | self.extra

    def pack(self, archive: tarfile.TarFile) -> None:
        """Put the build context into an archive."""
        for name, content in sorted(self.files.items()):
            add(archive, name, content, 0o755 if name.endswith(".sh") else 0o644)


def add(archive: tarfile.TarFile, name: str, content: bytes, mode: int, owner: int = 0) -> None:
    """Put one file into an archive, with nothing of this moment or this machine in it."""
    entry = tarfile.TarInfo(name)
    entry.size = len(content)
    entry.mode = mode
    entry.uid = entry.gid = owner
    archive.addfile(entry, io.BytesIO(content))


def mirror() -> str:
    """Debian's archive, or the mirror that RONDO_LAB_DEBIAN names."""
    return os.environ.get("RONDO_LAB_DEBIAN", "http://deb.debian.org/debian").rstrip("/")


def hub() -> str:
    """Where published images come from; RONDO_LAB_HUB names another source, or `none`."""
    return os.environ.get("RONDO_LAB_HUB", "docker.io/library").rstrip("/")


def operator_authorities() -> bytes:
    """Certificate authorities that the operator's machine trusts, where it keeps them."""
    places = (
        os.environ.get("SSL_CERT_FILE", ""),
        "/etc/ssl/certs/ca-certificates.crt",
        "/etc/pki/tls/certs/ca-bundle.crt",
        "/etc/ssl/ca-bundle.pem",
    )
    bundle = next((Path(place) for place in places if place and Path(place).is_file()), None)
    return bundle.read_bytes() if bundle else b""
