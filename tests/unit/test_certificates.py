"""Certificates and keys are checked before they go anywhere; every fault has its remedy."""

from __future__ import annotations

import datetime
import hashlib
import ipaddress
import subprocess
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    pkcs7,
    pkcs12,
)
from cryptography.x509.oid import AuthorityInformationAccessOID, ExtendedKeyUsageOID, NameOID

from rondo.certificates import Certificate, check
from rondo.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from cryptography.hazmat.primitives.asymmetric.types import CertificateIssuerPrivateKeyTypes

NOW = datetime.datetime(2030, 6, 1, tzinfo=datetime.UTC)
DAY = datetime.timedelta(days=1)
NAMES = ("shop.example.com", "*.shop.example.com")


@dataclass(frozen=True)
class Pair:
    certificate: x509.Certificate
    key: CertificateIssuerPrivateKeyTypes

    @property
    def pem(self) -> bytes:
        return self.certificate.public_bytes(Encoding.PEM)

    def key_pem(
        self,
        form: PrivateFormat = PrivateFormat.PKCS8,
        encryption: KeySerializationEncryption = NoEncryption(),  # noqa: B008 - immutable
        encoding: Encoding = Encoding.PEM,
    ) -> bytes:
        return self.key.private_bytes(encoding, form, encryption)


def make(  # noqa: PLR0913 - what a certificate consists of
    subject: str = "shop.example.com",
    issuer: Pair | None = None,
    *,
    names: Sequence[str] = NAMES,
    key: CertificateIssuerPrivateKeyTypes | None = None,
    begins: datetime.datetime = NOW - DAY,
    ends: datetime.datetime = NOW + 90 * DAY,
    authority: bool = False,
    extensions: Sequence[x509.ExtensionType] = (),
) -> Pair:
    key = key or ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, subject)])
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(issuer.certificate.subject if issuer else name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begins)
        .not_valid_after(ends)
        .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
    )
    if names and not authority:
        alternatives = [_alternative(name) for name in names]
        builder = builder.add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
    for extension in extensions:
        builder = builder.add_extension(extension, critical=False)
    signer = issuer.key if issuer else key
    digest = None if isinstance(signer, ed25519.Ed25519PrivateKey) else hashes.SHA256()
    return Pair(builder.sign(signer, digest), key)


def _alternative(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


@cache
def root() -> Pair:
    return make("Root", authority=True, ends=NOW + 900 * DAY)


@cache
def middle() -> Pair:
    return make("Intermediate", root(), authority=True, ends=NOW + 400 * DAY)


@cache
def leaf() -> Pair:
    return make(issuer=middle())


@cache
def rsa_key(bits: int) -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, bits)


@dataclass(frozen=True)
class Files:
    chain: Path
    key: Path

    def check(self, *names: str) -> Certificate:
        return check(self.chain, self.key, names or ("shop.example.com",), NOW)

    def problems(self, *names: str) -> list[str]:
        with pytest.raises(InputError) as caught:
            self.check(*names)
        folder = f"{self.chain.parent}/"
        return [line.replace(folder, "") for line in str(caught.value).splitlines()]


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path / "shop.pem", tmp_path / "shop.key")


def write(files: Files, chain: bytes, key: bytes) -> Files:
    files.chain.write_bytes(chain)
    files.key.touch(0o600)
    files.key.write_bytes(key)
    return files


def test_a_certificate_with_its_chain_is_described(files: Files) -> None:
    found = write(files, leaf().pem + middle().pem, leaf().key_pem()).check(*NAMES)
    assert found.not_after == NOW + 90 * DAY
    assert found.days_left == 90
    assert found.names == ("*.shop.example.com", "shop.example.com")
    assert found.fingerprint.replace(":", "").lower() == (
        leaf().certificate.fingerprint(hashes.SHA256()).hex()
    )
    assert found.chain == files.chain.read_bytes()
    assert found.key.reveal() == files.key.read_bytes()
    assert found.digest == hashlib.sha256(found.chain + found.key.reveal()).hexdigest()
    assert found.warnings == ()
    assert "PRIVATE" not in repr(found)


@pytest.mark.parametrize(
    "key",
    [
        lambda: rsa_key(2048),
        lambda: ec.generate_private_key(ec.SECP384R1()),
        ed25519.Ed25519PrivateKey.generate,
    ],
    ids=["RSA", "ECDSA", "Ed25519"],
)
def test_every_kind_of_key_that_nginx_takes_is_good(files: Files, key: object) -> None:
    pair = make(key=key())  # type: ignore[operator]
    write(files, pair.pem, pair.key_pem()).check()


def test_text_around_the_pem_line_ends_of_windows_and_parameters_do_no_harm(files: Files) -> None:
    chain = b"Certificate:\n  Data:\n" + leaf().pem + b"\n\nissuer\n" + middle().pem
    parameters = b"-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n"
    key = parameters + leaf().key_pem(PrivateFormat.TraditionalOpenSSL)
    plain = write(files, leaf().pem + middle().pem, key).check()
    found = write(files, chain.replace(b"\n", b"\r\n"), key.replace(b"\n", b"\r\n")).check()
    assert found.chain == plain.chain == leaf().pem + middle().pem
    assert found.digest == plain.digest


def test_one_file_with_both_is_taken_apart(files: Files) -> None:
    both = leaf().key_pem() + leaf().pem
    found = write(files, both, both).check()
    assert found.chain == leaf().pem
    assert found.key.reveal() == leaf().key_pem()


@pytest.mark.parametrize(
    ("names", "wanted", "missing"),
    [
        (("a.example.com",), ("a.example.com",), ""),
        (("A.Example.com",), ("a.example.com",), ""),
        (("*.example.com",), ("a.example.com",), ""),
        (("*.example.com",), ("*.example.com",), ""),
        (("*.example.com",), ("example.com",), "example.com"),
        (("*.example.com",), ("a.b.example.com",), "a.b.example.com"),
        (("a.example.com",), ("*.example.com",), "*.example.com"),
        (("a.example.com", "b.example.com"), ("b.example.com", "c.example.com"), "c.example.com"),
        (("10.0.0.1",), ("10.0.0.1",), ""),
        (("*.0.0.1",), ("10.0.0.1",), "10.0.0.1"),
        ((), ("shop.example.com",), "shop.example.com"),
    ],
)
def test_a_certificate_must_cover_every_name(
    files: Files, names: Sequence[str], wanted: Sequence[str], missing: str
) -> None:
    pair = make(names=names)
    write(files, pair.pem, pair.key_pem())
    if not missing:
        files.check(*wanted)
        return
    covered = ", ".join(sorted(names)) or "no name at all"
    assert files.problems(*wanted) == [
        f"shop.pem: the certificate is for {covered}, not for {missing}"
    ]


def test_what_is_out_of_time_is_told(files: Files) -> None:
    old = make(ends=NOW)
    assert write(files, old.pem, old.key_pem()).problems() == [
        "shop.pem: the certificate (CN=shop.example.com) expired on 2030-06-01; renew it"
    ]
    early = make(begins=NOW + DAY)
    assert write(files, early.pem, early.key_pem()).problems() == [
        (
            "shop.pem: the certificate (CN=shop.example.com) is valid only from"
            " 2030-06-02 00:00 UTC; check the clock"
        )
    ]
    ended = make("Old", root(), authority=True, ends=NOW - DAY / 2)
    under = make(issuer=ended)
    assert write(files, under.pem + ended.pem, under.key_pem()).problems() == [
        "shop.pem: certificate 2 (CN=Old) expired on 2030-05-31; renew it"
    ]


def test_a_chain_in_the_wrong_order_is_told(files: Files) -> None:
    chain = leaf().pem + root().pem + middle().pem
    assert write(files, chain, leaf().key_pem()).problems() == [
        (
            "shop.pem: certificate 2 (CN=Root) did not issue certificate 1 (CN=shop.example.com);"
            " put the site's own first, then each issuer"
        ),
        (
            "shop.pem: certificate 3 (CN=Intermediate) did not issue certificate 2 (CN=Root);"
            " put the site's own first, then each issuer"
        ),
    ]


def test_a_chain_that_begins_with_the_issuer_is_told(files: Files) -> None:
    problems = write(files, middle().pem + leaf().pem, leaf().key_pem()).problems()
    assert problems[-1] == "shop.pem: the site's own certificate is number 2; put it first"


def test_an_issuer_that_only_has_the_name_is_told(files: Files) -> None:
    impostor = make("Intermediate", root(), authority=True)
    problems = write(files, leaf().pem + impostor.pem, leaf().key_pem()).problems()
    assert [problem.split(" (")[1] for problem in problems] == [
        "CN=Intermediate) did not issue certificate 1"
    ]


def test_a_key_of_another_certificate_is_told(files: Files) -> None:
    assert write(files, leaf().pem, root().key_pem()).problems() == [
        (
            "shop.key: the key does not belong to shop.pem; give the one that the certificate was"
            " requested with"
        )
    ]


def test_a_small_rsa_key_is_told(files: Files) -> None:
    pair = make(key=rsa_key(1024))
    assert write(files, pair.pem, pair.key_pem()).problems() == [
        "shop.key: browsers refuse RSA of 1024 bits; use 2048"
    ]


def test_a_certificate_for_clients_is_told(files: Files) -> None:
    usage = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH])
    pair = make(extensions=[usage])
    assert write(files, pair.pem, pair.key_pem()).problems() == [
        "shop.pem: the certificate is not one for servers; ask the authority for a TLS one"
    ]


def request() -> bytes:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "x")])
    builder = x509.CertificateSigningRequestBuilder().subject_name(name)
    return builder.sign(leaf().key, hashes.SHA256()).public_bytes(Encoding.PEM)


def bundle() -> bytes:
    key = leaf().key
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    encryption = BestAvailableEncryption(b"x")
    return pkcs12.serialize_key_and_certificates(b"x", key, leaf().certificate, None, encryption)


INSTEAD_OF_CERTIFICATE = {
    "nothing": (lambda: b" \n", "the file is empty"),
    "garbage": (
        lambda: b"hello",
        "there is no certificate in it; give a PEM file with BEGIN CERTIFICATE",
    ),
    "damaged": (
        lambda: leaf().pem.replace(b"MII", b"MIJ", 1),
        "certificate 1 is damaged; copy the file again",
    ),
    "a key": (
        lambda: leaf().key_pem(),
        "this is a private key; `certificate` and `key` look swapped",
    ),
    "a request": (
        request,
        "this is a request for a certificate; give what the authority sent back",
    ),
    "PKCS#7": (
        lambda: pkcs7.serialize_certificates([leaf().certificate], Encoding.PEM),
        (
            "the file is PKCS#7, not PEM; convert it with:"
            " openssl pkcs7 -print_certs -in shop.pem -out shop.pem.new"
        ),
    ),
    "PKCS#12": (
        bundle,
        (
            "the file is PKCS#12, not PEM; convert it with:"
            " openssl pkcs12 -nokeys -in shop.pem -out shop.pem.new"
        ),
    ),
    "DER": (
        lambda: leaf().certificate.public_bytes(Encoding.DER),
        (
            "the file is DER, not PEM; convert it with:"
            " openssl x509 -inform DER -in shop.pem -out shop.pem.new"
        ),
    ),
}

INSTEAD_OF_KEY = {
    "nothing": (lambda: b"", "the file is empty"),
    "garbage": (
        lambda: b"hello",
        "there is no private key in it; give a PEM file with BEGIN PRIVATE KEY",
    ),
    "damaged": (
        lambda: leaf().key_pem().replace(b"MI", b"MJ", 1),
        "the private key is damaged; copy the file again",
    ),
    "a certificate": (
        lambda: leaf().pem,
        "this is a certificate; `certificate` and `key` look swapped",
    ),
    "a public key": (
        lambda: (
            leaf().key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        ),
        "this is a public key; give the private one",
    ),
    "a key for SSH": (
        lambda: leaf().key_pem(PrivateFormat.OpenSSH),
        "this is a key for SSH; give the one of the certificate",
    ),
    "encrypted": (
        lambda: leaf().key_pem(encryption=BestAvailableEncryption(b"x")),
        (
            "the key asks for a passphrase; write one without, for Nginx starts unattended:"
            " openssl pkey -in shop.key -out shop.key.new"
        ),
    ),
    "encrypted, the old form": (
        lambda: leaf().key_pem(PrivateFormat.TraditionalOpenSSL, BestAvailableEncryption(b"x")),
        (
            "the key asks for a passphrase; write one without, for Nginx starts unattended:"
            " openssl pkey -in shop.key -out shop.key.new"
        ),
    ),
    "PKCS#12": (
        bundle,
        (
            "the file is PKCS#12, not PEM; convert it with:"
            " openssl pkcs12 -nocerts -noenc -in shop.key -out shop.key.new"
        ),
    ),
    "DER": (
        lambda: leaf().key_pem(encoding=Encoding.DER),
        (
            "the file is DER, not PEM; convert it with:"
            " openssl pkey -inform DER -in shop.key -out shop.key.new"
        ),
    ),
}


@pytest.mark.parametrize(
    ("content", "problem"), INSTEAD_OF_CERTIFICATE.values(), ids=INSTEAD_OF_CERTIFICATE
)
def test_what_is_no_certificate_is_told_with_its_remedy(
    files: Files, content: object, problem: str
) -> None:
    chain = content()  # type: ignore[operator]
    assert write(files, chain, leaf().key_pem()).problems() == [f"shop.pem: {problem}"]


@pytest.mark.parametrize(("content", "problem"), INSTEAD_OF_KEY.values(), ids=INSTEAD_OF_KEY)
def test_what_is_no_key_is_told_with_its_remedy(
    files: Files, content: object, problem: str
) -> None:
    key = content()  # type: ignore[operator]
    assert write(files, leaf().pem, key).problems() == [f"shop.key: {problem}"]


def test_the_remedies_work(files: Files) -> None:
    write(files, leaf().pem + middle().pem, leaf().key_pem(encoding=Encoding.DER))
    command = files.problems()[0].split("convert it with: ")[1].split()
    subprocess.run(command, cwd=files.chain.parent, check=True)
    (files.key.parent / "shop.key.new").replace(files.key)
    files.check()


def test_missing_files_are_told(files: Files) -> None:
    assert files.problems() == [
        "shop.pem: cannot be read: No such file or directory",
        "shop.key: cannot be read: No such file or directory",
    ]


def test_all_problems_are_told_at_once(files: Files) -> None:
    old = make(ends=NOW - DAY / 2, names=("other.example.com",))
    problems = write(files, old.pem, leaf().key_pem()).problems()
    assert [problem.split()[-1] for problem in problems] == ["it", "shop.example.com", "with"]


@pytest.mark.parametrize(("days", "warns"), [(13, "warns"), (15, "")])
def test_the_end_is_near_from_two_weeks_before(files: Files, days: int, warns: str) -> None:
    pair = make(ends=NOW + days * DAY)
    found = write(files, pair.pem, pair.key_pem()).check()
    told = f"{files.chain}: the certificate (CN=shop.example.com) expires in {days} days; renew it"
    assert found.warnings == ((told,) if warns else ())
    assert found.days_left == days


def test_a_key_that_others_can_read_is_a_warning(files: Files) -> None:
    write(files, leaf().pem, leaf().key_pem())
    files.key.chmod(0o640)
    assert files.check().warnings == (
        f"{files.key}: other users of this machine can read the key; chmod 600 {files.key}",
    )


def test_a_missing_intermediate_is_a_warning(files: Files) -> None:
    place = x509.UniformResourceIdentifier("http://example.com/issuer.der")
    method = AuthorityInformationAccessOID.CA_ISSUERS
    access = x509.AuthorityInformationAccess([x509.AccessDescription(method, place)])
    pair = make(issuer=middle(), extensions=[access])
    assert write(files, pair.pem, pair.key_pem()).check().warnings == (
        f"{files.chain}: the certificate of its issuer, CN=Intermediate, is missing; append it",
    )
    assert write(files, pair.pem + middle().pem, pair.key_pem()).check().warnings == ()
