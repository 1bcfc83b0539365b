"""The lab's certificate authority: certificates for sites that only this machine visits."""

from __future__ import annotations

import datetime
import ipaddress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from rondo.lab.places import Place

_AUTHORITY_DAYS = 3650
_CERTIFICATE_DAYS = 90
_RENEW_DAYS = 30


@dataclass(frozen=True, slots=True)
class Certificate:
    """Files of a server's certificate chain and its private key."""

    chain: Path
    key: Path


@dataclass(frozen=True, slots=True)
class _Pair:
    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey


def make(place: Place) -> None:
    """Make the authority, unless there is one that is valid for long enough."""
    _authority(place)


def issue(place: Place, names: Sequence[str]) -> Certificate:
    """Give a certificate for these names; a new one near its end, or when the names differ."""
    signer = _authority(place)
    stem = names[0].replace("*", "any").replace(":", "-")
    files = Certificate(
        place.folder / "certificates" / f"{stem}.pem",
        place.folder / "certificates" / f"{stem}.key",
    )
    found = _load(files.chain, files.key)
    if found is None or not _fits(found.certificate, signer.certificate, names):
        made = _sign(names, signer)
        place.write(f"certificates/{stem}.key", _key_text(made.key), 0o600)
        chain = _text(made.certificate) + _text(signer.certificate)
        place.write(f"certificates/{stem}.pem", chain)
    return files


def _authority(place: Place) -> _Pair:
    found = _load(place.folder / "ca.pem", place.folder / "ca.key")
    if found is not None and _days_left(found.certificate) > _CERTIFICATE_DAYS:
        return found
    made = _self_sign(f"Rondo lab {place.name}")
    place.write("ca.key", _key_text(made.key), 0o600)
    place.write("ca.pem", _text(made.certificate))
    return made


def _load(certificate: Path, key: Path) -> _Pair | None:
    """Read a pair; None when there is none, or a write was interrupted between its two files."""
    try:
        loaded = x509.load_pem_x509_certificate(certificate.read_bytes())
        private = serialization.load_pem_private_key(key.read_bytes(), password=None)
    except (FileNotFoundError, ValueError):
        return None
    if not isinstance(private, ec.EllipticCurvePrivateKey):
        return None
    return _Pair(loaded, private) if private.public_key() == loaded.public_key() else None


def _fits(found: x509.Certificate, signer: x509.Certificate, names: Sequence[str]) -> bool:
    named = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    try:
        found.verify_directly_issued_by(signer)
    except Exception:  # noqa: BLE001 - whatever is wrong with it, another one is issued
        return False
    return _days_left(found) > _RENEW_DAYS and set(named) == set(_alternatives(names))


def _days_left(certificate: x509.Certificate) -> int:
    return (certificate.not_valid_after_utc - datetime.datetime.now(datetime.UTC)).days


def _alternatives(names: Sequence[str]) -> list[x509.GeneralName]:
    return [_alternative(name) for name in names]


def _alternative(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _draft(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePrivateKey,
    days: int,
) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        # An hour back: a server's clock may be behind.
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=days))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )


def _self_sign(name: str) -> _Pair:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = _name(name)
    draft = _draft(subject, subject, key, _AUTHORITY_DAYS)
    draft = draft.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    draft = draft.add_extension(_usage(authority=True), critical=True)
    return _Pair(draft.sign(key, hashes.SHA256()), key)


def _sign(names: Sequence[str], signer: _Pair) -> _Pair:
    key = ec.generate_private_key(ec.SECP256R1())
    issuer = signer.certificate
    public = signer.key.public_key()
    draft = (
        _draft(_name(names[0]), issuer.subject, key, _CERTIFICATE_DAYS)
        .add_extension(x509.SubjectAlternativeName(_alternatives(names)), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(authority=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(public), critical=False)
    )
    return _Pair(draft.sign(signer.key, hashes.SHA256()), key)


def _name(common: str) -> x509.Name:
    # A common name holds 64 characters at most; the names that count are the alternative ones.
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common[:64])])


def _usage(*, authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not authority,
        key_cert_sign=authority,
        crl_sign=authority,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _text(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def _key_text(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
