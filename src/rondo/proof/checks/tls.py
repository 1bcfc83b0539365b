"""Tell whether TLS is as it must be, on every server."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from rondo.proof import phrases
from rondo.proof.finding import Fault, Finding, skipped
from rondo.proof.phrases import many

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rondo.proof.case import Case
    from rondo.proof.evidence import TlsFinding

KEY, TITLE = "tls", "TLS"
_SAFE = ("TLSv1.2", "TLSv1.3")


def judge(case: Case) -> Finding:
    """Judge the handshakes that were made with each server."""
    days = case.limits.certificate_days
    expected = (
        f"a trusted certificate for the name, valid for {days} days more, TLS 1.2 and 1.3 only,"
        " HTTP/2, and a redirect from http"
    )
    if not case.expected.tls:
        return skipped(KEY, TITLE, expected, "The site has no TLS in the inventory.")
    found = case.evidence.tls
    if not found:
        return skipped(KEY, TITLE, expected, "No handshake was made to look at TLS.")
    faults = [*(Fault(text) for each in found for text in _wrong(each, days)), *_unasked(case)]
    left = [each.days_left for each in found if each.days_left is not None]
    return Finding(
        KEY,
        TITLE,
        f"TLS was as it must be on {many(len(found), 'server and name', 'servers and names')};"
        f" the certificate is valid for {min(left, default=0):.0f} days more.",
        expected,
        "; ".join(map(_said, found)),
        f"every point, on every server; {days} days left (proof.limits.certificate_days)",
        "Each server was asked for each name with each version: nothing of this is a sample.",
        tuple(faults),
        tuple(map(_line, found)),
    )


def _wrong(found: TlsFinding, days: int) -> Iterator[str]:
    where = f"{found.server} ({found.name})"
    if found.error:
        yield f"{where}: the certificate is not accepted: {found.error.rstrip('.')}."
    elif found.days_left is not None and found.days_left < days:
        yield f"{where}: the certificate ends in {found.days_left:.1f} days; renew it."
    unsafe = [each for each in found.versions if each not in _SAFE]
    if unsafe:
        yield f"{where}: offers {phrases.listed(unsafe)}; only TLS 1.2 and 1.3 are safe."
    if not found.versions and not found.error:
        yield f"{where}: no version of TLS was accepted."
    yield from _around(where, found)


def _around(where: str, found: TlsFinding) -> Iterator[str]:
    if not re.match(r"30[18]\b.*https://", found.redirect):
        yield f"{where}: http:// does not redirect to https:// ({found.redirect or 'not asked'})."
    if not found.http2 and not found.error:
        yield f"{where}: does not offer HTTP/2."


def _unasked(case: Case) -> Iterator[Fault]:
    asked = {each.server for each in case.evidence.tls}
    for server in case.loaded_servers:
        if server not in asked:
            yield Fault(f"{server}: no handshake was made; whether its TLS is right is not known.")


def _said(found: TlsFinding) -> str:
    return f"{found.server} {'not accepted' if found.error else 'accepted'}"


def _line(found: TlsFinding) -> str:
    left = "unknown" if found.days_left is None else f"{found.days_left:.0f} days left"
    versions = ", ".join(found.versions) or "no version"
    http2 = "HTTP/2" if found.http2 else "no HTTP/2"
    return f"{found.server} {found.name}: {left}, {versions}, {http2}, http: {found.redirect}"
