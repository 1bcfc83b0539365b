"""Certificates that no client may accept."""

from __future__ import annotations

import datetime
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from rondo.lab import authority

if TYPE_CHECKING:
    from rondo.lab.authority import Certificate
    from rondo.lab.places import Place

_STRANGER = "stranger"


@dataclass(frozen=True, slots=True)
class Forger:
    """Whoever makes them, with the lab's own authority and with another one."""

    place: Place
    """The lab's."""
    name: str
    """The site's name."""

    def of_a_stranger(self) -> bytes:
        """Give a chain and key that are right but for the authority, which nobody knows."""
        # Places of another name have a folder of their own, and so an authority.
        stranger = replace(self.place, name=f"{self.place.name}-{_STRANGER}")
        return _both(authority.issue(stranger, [self.name]))

    def of_another_name(self) -> bytes:
        """Give a chain and key of the lab's authority for somebody else."""
        return _both(authority.issue(self.place, ["other.example.com"]))

    def expired(self) -> bytes:
        """Give a chain and key of the lab's authority that were valid until yesterday."""
        issuer = (self.place.folder / "ca.pem").read_bytes()
        signer = serialization.load_pem_private_key(
            (self.place.folder / "ca.key").read_bytes(), password=None
        )
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = _expired(self.name, x509.load_pem_x509_certificate(issuer), key, signer)
        secret = key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        return certificate.public_bytes(serialization.Encoding.PEM) + issuer + secret


def _both(files: Certificate) -> bytes:
    return files.chain.read_bytes() + files.key.read_bytes()


def _expired(
    name: str, issuer: x509.Certificate, key: ec.EllipticCurvePrivateKey, signer: object
) -> x509.Certificate:
    assert isinstance(signer, ec.EllipticCurvePrivateKey)  # noqa: S101 - the lab made it
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)]))
        .issuer_name(issuer.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=31))
        .not_valid_after(now - datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer.public_key()),  # type: ignore[arg-type]  # the lab's is an EC key
            critical=False,
        )
        .sign(signer, hashes.SHA256())
    )
