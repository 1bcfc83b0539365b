"""What a TLS probe finds, asked of servers of every kind."""

from __future__ import annotations

import contextlib
import datetime
import socket
import ssl
import threading
import warnings
from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from rondo.proof import tls

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

NAME = "shop.example.com"


def made(folder: Path, name: str = NAME, days: float = 30) -> Path:
    """Make a certificate that is its own authority, and its key, in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder(subject, subject, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=60))
        .not_valid_after(now + datetime.timedelta(days=days))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    path = folder / f"{name}-{days}.pem"
    path.write_bytes(
        certificate.public_bytes(pem)
        + key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return path


@contextlib.contextmanager
def listening(answer: Callable[[socket.socket], None]) -> Iterator[int]:
    """Answer every connection; give the port."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            with contextlib.suppress(OSError):
                while True:
                    connection, _ = server.accept()
                    with connection, contextlib.suppress(OSError):
                        answer(connection)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)
        thread.join()


@contextlib.contextmanager
def serving(
    certificate: Path, oldest: str = "TLSv1_2", protocols: tuple[str, ...] = ("h2", "http/1.1")
) -> Iterator[int]:
    """Make handshakes with this certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    context.set_alpn_protocols(list(protocols))
    context.set_ciphers("ALL:@SECLEVEL=0")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version = ssl.TLSVersion[oldest]

    def shake(connection: socket.socket) -> None:
        with context.wrap_socket(connection, server_side=True) as stream:
            stream.recv(1)

    with listening(shake) as port:
        yield port


def plain(words: bytes) -> Callable[[socket.socket], None]:
    """Answer plain HTTP."""

    def answer(connection: socket.socket) -> None:
        connection.recv(4096)
        connection.sendall(words)

    return answer


def probed(port: int, authority: Path | None, plain_port: int = 1) -> tls.TlsFinding:
    return tls.probe("web-1", NAME, "127.0.0.1", authority, (port, plain_port))


def test_a_sound_server_is_described(tmp_path: Path) -> None:
    certificate = made(tmp_path)
    redirect = b"HTTP/1.1 308 Moved\r\nLocation: https://shop.example.com/\r\n\r\n"
    with serving(certificate) as port, listening(plain(redirect)) as plain_port:
        found = probed(port, certificate, plain_port)
    assert (found.server, found.name, found.error) == ("web-1", NAME, "")
    assert found.days_left == pytest.approx(30, abs=0.1)
    assert found.versions == ("TLSv1.2", "TLSv1.3")
    assert found.http2
    assert found.redirect == "308 https://shop.example.com/"


@pytest.mark.parametrize(
    ("name", "days", "known", "said"),
    [
        (NAME, -1, True, "expired"),
        ("other.example.com", 30, True, "Hostname mismatch"),
        (NAME, 30, False, "self-signed"),
    ],
    ids=["expired", "another name", "unknown authority"],
)
def test_a_certificate_that_clients_refuse_is_told_with_its_reason(
    tmp_path: Path, name: str, days: float, known: object, said: str
) -> None:
    certificate = made(tmp_path, name, days)
    with serving(certificate) as port:
        found = probed(port, certificate if known else None)
    assert said in found.error
    assert found.days_left == pytest.approx(days, abs=0.1)


def test_old_versions_that_are_offered_are_found(tmp_path: Path) -> None:
    with serving(made(tmp_path), oldest="TLSv1") as port:
        assert probed(port, None).versions == ("TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3")


def test_a_server_without_http2_is_found(tmp_path: Path) -> None:
    with serving(made(tmp_path), protocols=("http/1.1",)) as port:
        assert not probed(port, None).http2


@pytest.mark.parametrize(
    ("words", "said"),
    [(b"HTTP/1.1 200 OK\r\n\r\n", "200"), (b"", "not asked: "), (b"nonsense\r\n\r\n", "not asked")],
)
def test_port_80_without_a_redirect_is_told(words: bytes, said: str) -> None:
    with listening(plain(words)) as port:
        assert probed(1, None, port).redirect.startswith(said)


def test_a_server_that_is_not_there_is_a_finding() -> None:
    found = probed(1, None)
    assert "refused" in found.error
    assert (found.days_left, found.versions, found.http2) == (None, (), False)
