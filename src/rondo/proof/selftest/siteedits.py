"""Changes to a site's Nginx configuration, as somebody's wrong hand would make them. Pure."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from rondo.errors import RondoError

if TYPE_CHECKING:
    from collections.abc import Callable

    Edit = Callable[[str], str]

_OLD_CIPHERS: Final = "ECDHE-ECDSA-AES128-SHA:@SECLEVEL=0"
_DROPS: Final = """\
split_clients "$request_id" $selftest_share {
    10% drop;
    * keep;
}
map "$selftest_share $request_method $connection_requests" $selftest_drop {
    "~^drop GET ([2-9]|[1-9][0-9]+)$" 1;
    default "";
}
"""


def down(slot: str) -> Edit:
    """Mark a slot `down`."""
    return lambda text: _member(text, slot, lambda line: line.replace(";", " down;", 1))


def backup(slot: str) -> Edit:
    """Mark a slot `backup`."""
    return lambda text: _member(text, slot, lambda line: line.replace(";", " backup;", 1))


def without(slot: str) -> Edit:
    """Leave a slot out of its upstream."""
    return lambda text: _member(text, slot, lambda _: "")


def weights(service: str, *values: int) -> Edit:
    """Give the slots of a service other weights."""

    def edit(text: str) -> str:
        for number, weight in enumerate(values, 1):
            text = _member(text, f"{service}-{number}", _weight(weight))
        return text

    return edit


def _weight(value: int) -> Edit:
    return lambda line: re.sub(r" weight=\d+", f" weight={value}", line)


def balance(service: str, policy: str) -> Edit:
    """Let an upstream choose by another policy."""
    pattern = re.compile(rf"(upstream \w+_{service} \{{\n(?:    zone [^;]+;\n)?)")
    return lambda text: _replaced(text, pattern, rf"\g<1>    {policy};\n")


def unshared(text: str) -> str:
    """Let each worker of Nginx count for itself."""
    return _replaced(text, re.compile(r"^    zone [^;]+;\n", re.MULTILINE), "")


def old_tls(text: str) -> str:
    """Offer TLS 1.0 as well; OpenSSL takes no version below one that is left out."""
    text = _replaced(
        text, re.compile(r"ssl_protocols [^;]+;"), "ssl_protocols TLSv1 TLSv1.1 TLSv1.2 TLSv1.3;"
    )
    return _replaced(text, re.compile(r"ssl_ciphers ([^;]+);"), rf"ssl_ciphers \1:{_OLD_CIPHERS};")


def unredirected(text: str) -> str:
    """Answer http:// with a page."""
    return _replaced(text, re.compile(r"return 308 https://[^;]+;"), 'return 200 "welcome";')


def dropping(text: str) -> str:
    """Close a tenth of the connections that are in use instead of answering a GET."""
    text = _replaced(
        text,
        re.compile(r"^(    client_max_body_size [^;]+;\n)", re.MULTILINE),
        r"    if ($selftest_drop) {\n        return 444;\n    }\n\g<1>",
    )
    return _DROPS + text


def _member(text: str, slot: str, change: Callable[[str], str]) -> str:
    pattern = re.compile(rf"^    server [^\n]*# {re.escape(slot)}\n", re.MULTILINE)
    if not pattern.search(text):
        raise RondoError(f"the site's configuration has no server line of slot {slot}")
    return pattern.sub(lambda found: change(found[0]), text)


def _replaced(text: str, pattern: re.Pattern[str], new: str) -> str:
    if not pattern.search(text):
        raise RondoError(f"the site's configuration has nothing like {pattern.pattern}")
    return pattern.sub(new, text)
