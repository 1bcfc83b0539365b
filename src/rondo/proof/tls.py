"""What a server shows to somebody who comes over TLS: chain, name, versions, redirect, HTTP/2."""

from __future__ import annotations

import datetime
import http.client
import socket
import ssl
import threading
import warnings
from contextlib import closing
from typing import TYPE_CHECKING, Final

from cryptography import x509

from rondo.proof.evidence import TlsFinding

if TYPE_CHECKING:
    from pathlib import Path

TIMEOUT: Final = 5.0
_VERSIONS: Final = (
    ssl.TLSVersion.TLSv1,
    ssl.TLSVersion.TLSv1_1,
    ssl.TLSVersion.TLSv1_2,
    ssl.TLSVersion.TLSv1_3,
)
_NAMES: Final = {
    ssl.TLSVersion.TLSv1: "TLSv1",
    ssl.TLSVersion.TLSv1_1: "TLSv1.1",
    ssl.TLSVersion.TLSv1_2: "TLSv1.2",
    ssl.TLSVersion.TLSv1_3: "TLSv1.3",
}
_FILTERS: Final = threading.Lock()
Address = tuple[str, int]


def probe(
    server: str,
    name: str,
    address: str,
    authority: Path | None = None,
    ports: tuple[int, int] = (443, 80),
) -> TlsFinding:
    """Return what a server shows for a name; what it refuses is a finding, never an exception."""
    secure = (address, ports[0])
    certificate, http2 = _shown(secure, name)
    return TlsFinding(
        server=server,
        name=name,
        error=_refusal(secure, name, authority),
        days_left=_days_left(certificate),
        versions=tuple(_NAMES[each] for each in _VERSIONS if _takes(secure, name, each)),
        http2=http2,
        redirect=_redirect((address, ports[1]), name),
    )


def _handshake(address: Address, name: str, context: ssl.SSLContext) -> ssl.SSLSocket:
    plain = socket.create_connection(address, TIMEOUT)
    try:
        return context.wrap_socket(plain, server_hostname=name)
    except BaseException:
        plain.close()
        raise


def _refusal(address: Address, name: str, authority: Path | None) -> str:
    """Say why a client that looks closely does not accept the server; empty if it does."""
    context = ssl.create_default_context(cafile=str(authority) if authority else None)
    try:
        _handshake(address, name, context).close()
    except ssl.SSLCertVerificationError as error:
        return error.verify_message or str(error)
    except OSError as error:
        return _told(error)
    return ""


def _told(error: OSError) -> str:
    return (error.strerror or str(error) or type(error).__name__).rstrip(".")


def _indifferent() -> ssl.SSLContext:
    """Return a client that accepts every certificate: it looks, and sends nothing."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def _shown(address: Address, name: str) -> tuple[bytes, bool]:
    context = _indifferent()
    context.set_alpn_protocols(["h2", "http/1.1"])
    try:
        with _handshake(address, name, context) as stream:
            return stream.getpeercert(
                binary_form=True
            ) or b"", stream.selected_alpn_protocol() == "h2"
    except OSError:
        return b"", False


def _days_left(certificate: bytes) -> float | None:
    if not certificate:
        return None
    end = x509.load_der_x509_certificate(certificate).not_valid_after_utc
    return (end - datetime.datetime.now(datetime.UTC)).total_seconds() / 86400


def _takes(address: Address, name: str, version: ssl.TLSVersion) -> bool:
    try:
        _handshake(address, name, _of_version(version)).close()
    except OSError:
        return False
    return True


def _of_version(version: ssl.TLSVersion) -> ssl.SSLContext:
    context = _indifferent()
    # To ask for the old versions is the point; filters of warnings are shared between threads.
    with _FILTERS, warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version = context.maximum_version = version
    # OpenSSL 3 offers the old versions at its lowest level of security alone.
    context.set_ciphers("ALL:@SECLEVEL=0")
    return context


def _redirect(address: Address, name: str) -> str:
    """Say where plain HTTP leads, as status and place, or why that could not be asked."""
    connection = http.client.HTTPConnection(*address, timeout=TIMEOUT)
    with closing(connection):
        try:
            connection.request("GET", "/", headers={"Host": name})
            answer = connection.getresponse()
        except (OSError, http.client.HTTPException) as error:
            return f"not asked: {error}"
        return f"{answer.status} {answer.getheader('Location', '')}".strip()
