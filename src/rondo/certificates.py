"""A site's certificate and key, checked on the operator's machine before anything is sent."""

from __future__ import annotations

import hashlib
import ipaddress
import stat
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import pairwise
from typing import TYPE_CHECKING, TypeVar

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import AuthorityInformationAccessOID, ExtendedKeyUsageOID

from rondo.errors import InputError
from rondo.pem import BadFile, read_certificates, read_key
from rondo.secrets import SecretValue

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from datetime import datetime
    from pathlib import Path

    from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes

SOON = timedelta(days=14)
"""Time before the end of a certificate from which on every deploy warns."""

_SMALLEST_RSA = 2048
_ANY_USAGE = ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE

T = TypeVar("T")
E = TypeVar("E", bound=x509.ExtensionType)


@dataclass(frozen=True, slots=True)
class Certificate:
    """A certificate that can serve a site, and its key."""

    not_after: datetime
    days_left: int
    names: tuple[str, ...]
    fingerprint: str
    """SHA-256 of the certificate as browsers show it."""
    digest: str
    """SHA-256 of chain and key, as they lie on a server one after the other."""
    chain: bytes = field(repr=False)
    key: SecretValue
    warnings: tuple[str, ...] = ()


def days_left(pem: str, now: datetime) -> int:
    """Return the days for which the first certificate of a PEM text is still good."""
    leaf = x509.load_pem_x509_certificates(pem.encode())[0]
    return (leaf.not_valid_after_utc - now).days


def check(certificate: Path, key: Path, names: Sequence[str], now: datetime) -> Certificate:
    """Check that a certificate file and a key file can serve these names now.

    Raises InputError listing every problem with the file it is in.
    """
    chain, chain_problem = _attempt(read_certificates, certificate)
    pair, key_problem = _attempt(read_key, key)
    problems = [problem for problem in (chain_problem, key_problem) if problem]
    if chain:
        problems += _chain_problems(certificate, chain[1], now)
        problems += _name_problems(certificate, chain[1][0], names)
        problems += _key_problems(certificate, key, chain[1], pair[1] if pair else None)
    if problems or not chain or not pair:
        raise InputError("\n".join(problems))
    warnings = tuple(_warnings(certificate, key, chain[1], now))
    return _described(chain, pair[0], warnings, now)


def authority(path: Path, now: datetime) -> Certificate:
    """Read the certificates by which others are verified; there is no key.

    Raises InputError for a file that is not there or holds none.
    """
    chain, problem = _attempt(read_certificates, path)
    if not chain:
        raise InputError(problem)
    return _described(chain, SecretValue(b""), (), now)


def _attempt(read: Callable[[Path], T], path: Path) -> tuple[T | None, str]:
    try:
        return read(path), ""
    except BadFile as problem:
        return None, str(problem)


def _described(
    chain: tuple[bytes, list[x509.Certificate]],
    key: SecretValue,
    warnings: tuple[str, ...],
    now: datetime,
) -> Certificate:
    content, (leaf, *_) = chain
    return Certificate(
        not_after=leaf.not_valid_after_utc,
        days_left=(leaf.not_valid_after_utc - now).days,
        names=tuple(sorted(_names(leaf))),
        fingerprint=leaf.fingerprint(hashes.SHA256()).hex(":").upper(),
        digest=hashlib.sha256(content + key.reveal()).hexdigest(),
        chain=content,
        key=key,
        warnings=warnings,
    )


def _chain_problems(path: Path, chain: Sequence[x509.Certificate], now: datetime) -> Iterator[str]:
    for number, certificate in enumerate(chain, start=1):
        which = _which(certificate, number, len(chain))
        if certificate.not_valid_after_utc <= now:
            ended = certificate.not_valid_after_utc
            yield f"{path}: {which} expired on {ended:%Y-%m-%d}; renew it"
        if certificate.not_valid_before_utc > now:
            begins = certificate.not_valid_before_utc
            yield f"{path}: {which} is valid only from {begins:%Y-%m-%d %H:%M} UTC; check the clock"
    for number, (certificate, issuer) in enumerate(pairwise(chain), start=1):
        if not _issued(certificate, issuer):
            yield (
                f"{path}: certificate {number + 1} ({_subject(issuer)}) did not issue certificate"
                f" {number} ({_subject(certificate)}); put the site's own first, then each issuer"
            )


def _which(certificate: x509.Certificate, number: int, count: int) -> str:
    place = f"certificate {number}" if count > 1 else "the certificate"
    return f"{place} ({_subject(certificate)})"


def _subject(certificate: x509.Certificate) -> str:
    return certificate.subject.rfc4514_string() or "no subject"


def _issued(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm):
        return False
    return True


def _name_problems(path: Path, leaf: x509.Certificate, wanted: Sequence[str]) -> Iterator[str]:
    names = _names(leaf)
    missing = [name for name in wanted if not _covered(name.lower(), names)]
    if missing:
        covered = ", ".join(sorted(names)) or "no name at all"
        yield f"{path}: the certificate is for {covered}, not for {', '.join(missing)}"
    usage = _extension(leaf, x509.ExtendedKeyUsage)
    if usage is not None and not {ExtendedKeyUsageOID.SERVER_AUTH, _ANY_USAGE} & set(usage):
        yield f"{path}: the certificate is not one for servers; ask the authority for a TLS one"


def _names(leaf: x509.Certificate) -> set[str]:
    """Return what the certificate is for; browsers ignore the common name."""
    alternative = _extension(leaf, x509.SubjectAlternativeName)
    if alternative is None:
        return set()
    names = alternative.get_values_for_type(x509.DNSName)
    addresses = alternative.get_values_for_type(x509.IPAddress)
    return {name.lower() for name in names} | {str(address) for address in addresses}


def _covered(name: str, names: set[str]) -> bool:
    """Tell whether a name is covered: itself, or by a wildcard for its first label."""
    _, _, rest = name.partition(".")
    return name in names or (not _is_address(name) and f"*.{rest}" in names)


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _extension(certificate: x509.Certificate, kind: type[E]) -> E | None:
    try:
        return certificate.extensions.get_extension_for_class(kind).value
    except (x509.ExtensionNotFound, ValueError):
        return None


def _key_problems(
    path: Path,
    key_path: Path,
    chain: Sequence[x509.Certificate],
    public: PublicKeyTypes | None,
) -> Iterator[str]:
    if isinstance(public, RSAPublicKey) and public.key_size < _SMALLEST_RSA:
        yield f"{key_path}: browsers refuse RSA of {public.key_size} bits; use {_SMALLEST_RSA}"
    matches = [_same_key(certificate, public) for certificate in chain] if public else [True]
    if matches[0]:
        return
    if any(matches):
        place = matches.index(True) + 1
        yield f"{path}: the site's own certificate is number {place}; put it first"
    else:
        yield (
            f"{key_path}: the key does not belong to {path}; give the one that the certificate"
            " was requested with"
        )


def _same_key(certificate: x509.Certificate, public: PublicKeyTypes) -> bool:
    try:
        known = certificate.public_key()
    except (ValueError, UnsupportedAlgorithm):
        return False
    return _key_bytes(known) == _key_bytes(public)


def _key_bytes(public: PublicKeyTypes) -> bytes:
    return public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _warnings(
    path: Path, key_path: Path, chain: Sequence[x509.Certificate], now: datetime
) -> Iterator[str]:
    first = min(chain, key=lambda certificate: certificate.not_valid_after_utc)
    left = first.not_valid_after_utc - now
    if left < SOON:
        which = _which(first, chain.index(first) + 1, len(chain))
        yield f"{path}: {which} expires in {left.days} days; renew it"
    if len(chain) == 1 and _issuer_is_published(chain[0]):
        issuer = chain[0].issuer.rfc4514_string()
        yield f"{path}: the certificate of its issuer, {issuer}, is missing; append it"
    if key_path.stat().st_mode & (stat.S_IRGRP | stat.S_IROTH):
        yield f"{key_path}: other users of this machine can read the key; chmod 600 {key_path}"


def _issuer_is_published(leaf: x509.Certificate) -> bool:
    """Tell whether an authority says where its certificate is: then clients do not all have it."""
    access = _extension(leaf, x509.AuthorityInformationAccess)
    methods = {each.access_method for each in access or ()}
    return AuthorityInformationAccessOID.CA_ISSUERS in methods
