"""Certificates and private keys as files: read, or said what the file is instead."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from rondo.secrets import SecretValue

if TYPE_CHECKING:
    from pathlib import Path

    from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes

_BLOCK = re.compile(rb"-----BEGIN ([A-Z0-9 ]+)-----.+?-----END \1-----", re.DOTALL)
_PKCS12 = re.compile(rb"\x30[\x80-\x84].{0,4}\x02\x01\x03\x30", re.DOTALL)
_SEQUENCE = b"\x30"


class BadFile(Exception):  # noqa: N818 - becomes part of an InputError
    """What is wrong with a file, and how to mend it."""


def read_certificates(path: Path) -> tuple[bytes, list[x509.Certificate]]:
    """Read a chain: the PEM blocks of the certificates, and the certificates."""
    content = _content(path)
    blocks = _blocks(content, "CERTIFICATE")
    if not blocks:
        raise BadFile(f"{path}: {_instead_of_certificate(path, content)}")
    return b"".join(blocks), [_certificate(path, *each) for each in enumerate(blocks, start=1)]


def _certificate(path: Path, number: int, block: bytes) -> x509.Certificate:
    try:
        return x509.load_pem_x509_certificate(block)
    except ValueError:
        raise BadFile(f"{path}: certificate {number} is damaged; copy the file again") from None


def read_key(path: Path) -> tuple[SecretValue, PublicKeyTypes]:
    """Read a private key: its PEM block, and the public key that belongs to it."""
    content = SecretValue(_content(path))
    blocks = [SecretValue(block) for block in _blocks(content.reveal(), "PRIVATE KEY")]
    if not blocks:
        raise BadFile(f"{path}: {_instead_of_key(path, content.reveal())}")
    if b"OPENSSH" in blocks[0].reveal():
        raise BadFile(f"{path}: this is a key for SSH; give the one of the certificate")
    if b"ENCRYPTED" in blocks[0].reveal():
        raise BadFile(f"{path}: the key asks for a passphrase; {_decrypt(path)}")
    try:
        return blocks[0], load_pem_private_key(blocks[0].reveal(), None).public_key()
    except UnsupportedAlgorithm:
        problem = "the key is of a kind that web servers do not use; use RSA, ECDSA or Ed25519"
    except (ValueError, TypeError):
        problem = "the private key is damaged; copy the file again"
    raise BadFile(f"{path}: {problem}")


def _content(path: Path) -> bytes:
    try:
        content = path.read_bytes().replace(b"\r\n", b"\n")
    except OSError as error:
        raise BadFile(f"{path}: cannot be read: {error.strerror}") from None
    if not content.strip():
        raise BadFile(f"{path}: the file is empty")
    return content


def _blocks(content: bytes, kind: str) -> list[bytes]:
    """Return the PEM blocks of a kind; text around them, as some tools write, is left out."""
    found = [(match[1].decode(), match[0] + b"\n") for match in _BLOCK.finditer(content)]
    return [block for label, block in found if label == kind or label.endswith(f" {kind}")]


def _instead_of_certificate(path: Path, content: bytes) -> str:
    """Say what a file without a certificate holds."""
    if _blocks(content, "PRIVATE KEY"):
        return "this is a private key; `certificate` and `key` look swapped"
    if _blocks(content, "CERTIFICATE REQUEST"):
        return "this is a request for a certificate; give what the authority sent back"
    if _blocks(content, "PKCS7"):
        return _convert("PKCS#7", f"pkcs7 -print_certs -in {path} -out {path}.new")
    if _PKCS12.match(content):
        return _convert("PKCS#12", f"pkcs12 -nokeys -in {path} -out {path}.new")
    if content.startswith(_SEQUENCE):
        return _convert("DER", f"x509 -inform DER -in {path} -out {path}.new")
    return "there is no certificate in it; give a PEM file with BEGIN CERTIFICATE"


def _instead_of_key(path: Path, content: bytes) -> str:
    """Say what a file without a private key holds."""
    if _blocks(content, "CERTIFICATE"):
        return "this is a certificate; `certificate` and `key` look swapped"
    if _blocks(content, "PUBLIC KEY"):
        return "this is a public key; give the private one"
    if _PKCS12.match(content):
        return _convert("PKCS#12", f"pkcs12 -nocerts -noenc -in {path} -out {path}.new")
    if content.startswith(_SEQUENCE):
        return _convert("DER", f"pkey -inform DER -in {path} -out {path}.new")
    return "there is no private key in it; give a PEM file with BEGIN PRIVATE KEY"


def _convert(form: str, command: str) -> str:
    return f"the file is {form}, not PEM; convert it with: openssl {command}"


def _decrypt(path: Path) -> str:
    return (
        f"write one without, for Nginx starts unattended: openssl pkey -in {path} -out {path}.new"
    )
