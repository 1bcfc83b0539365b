"""Steps as bytes to send: what never changes is put together once. Pure."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from rondo.proof.load.scenario import filled, filled_json, in_header, in_path, names_in

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rondo.proof.brief import Brief, StepPlan
    from rondo.proof.load.scenario import Ask, Values

_CLOSE = {"Connection": "close"}


class Wording:
    """Writes the requests of a run."""

    def __init__(self, brief: Brief) -> None:
        self._steps = brief.steps
        self._common = {
            "Host": urlsplit(brief.host).netloc.rpartition("@")[2],
            "User-Agent": "rondo-proof",
            "Accept": "*/*",
            "Accept-Encoding": "gzip",
            "X-Rondo-Run": brief.run,
        }
        if brief.secret:
            self._common["X-Rondo-Proof"] = brief.secret
        self._fixed = {
            place: self._words(step, step.path, step.headers, _encoded(step.body))
            for place, step in enumerate(brief.steps)
            if step.path and not any(_texts_with_braces(step))
        }

    def request(self, ask: Ask, values: Values, cookies: Mapping[str, str], number: int) -> bytes:
        """Write one request; `number` becomes its id."""
        head, body = self._fixed.get(ask.step) or self._filled(ask, values)
        cookie = b""
        if cookies:
            pairs = "; ".join(f"{name}={value}" for name, value in cookies.items())
            cookie = f"Cookie: {pairs}\r\n".encode("latin-1", "replace")
        return b"%sX-Request-ID: %016x\r\n%s\r\n%s" % (head, number, cookie, body)

    def probe(self, number: int) -> bytes:
        """Write the probe's request, after which the connection is closed."""
        place = len(self._steps) - 1
        step = self._steps[place]
        head, body = self._words(step, step.path, {**step.headers, **_CLOSE}, b"")
        return b"%sX-Request-ID: %016x\r\n\r\n%s" % (head, number, body)

    def _filled(self, ask: Ask, values: Values) -> tuple[bytes, bytes]:
        step = self._steps[ask.step]
        path = ask.path or filled(step.path, values, in_path)
        headers = {name: filled(value, values, in_header) for name, value in step.headers.items()}
        return self._words(step, path, headers, _encoded(filled_json(step.body, values)))

    def _words(
        self, step: StepPlan, path: str, headers: Mapping[str, str], body: bytes
    ) -> tuple[bytes, bytes]:
        own = {name.lower() for name in headers}
        lines = {name: value for name, value in self._common.items() if name.lower() not in own}
        if step.body is not None and "content-type" not in own:
            kind = "text/plain; charset=utf-8" if isinstance(step.body, str) else "application/json"
            lines["Content-Type"] = kind
        if body or step.method in {"POST", "PUT", "PATCH"}:
            lines["Content-Length"] = str(len(body))
        written = "".join(f"{name}: {value}\r\n" for name, value in {**lines, **headers}.items())
        return f"{step.method} {path} HTTP/1.1\r\n{written}".encode(), body


def _encoded(body: object) -> bytes:
    if body is None:
        return b""
    if isinstance(body, str):
        return body.encode()
    return json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()


def _texts_with_braces(step: StepPlan) -> list[str]:
    texts = [*names_in(step.path), *names_in(step.body)]
    for value in step.headers.values():
        texts += names_in(value)
    return texts
