"""`make demo`: from an empty machine to a shop on two servers, by commands a user would type."""

from __future__ import annotations

import collections
import http.client
import os
import secrets
import shlex
import socket
import ssl
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import yaml

from rondo import lab
from rondo.errors import EXIT_DONE, RondoError
from rondo.source import load

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rondo.lab import Lab
    from rondo.ui import Ui

NAME = "shop.example.com"
LAB_INVENTORY = "inventory.lab.yaml"
SECRETS = ("database_password", "secret_key")
REQUESTS = 30
COMMANDS = (("fab", "bootstrap", "--apply"), ("fab", "deploy"), ("fab", "status"))
PROOF = ("fab", "restart", "--prove")
INVALID = 3


class _ToAddress(http.client.HTTPSConnection):
    """HTTPS to a server's address, asked and verified by the site's name."""

    def __init__(self, address: str, context: ssl.SSLContext) -> None:
        super().__init__(NAME, context=context, timeout=10)
        self._address = address
        self._verify = context

    def connect(self) -> None:
        """Connect to the address instead of what the name resolves to."""
        plain = socket.create_connection((self._address, 443), self.timeout)
        self.sock = self._verify.wrap_socket(plain, server_hostname=NAME)


def run(ui: Ui) -> int:
    """Start the lab, deploy the example to it, ask the site through TLS, and say what is where."""
    began = time.monotonic()
    started = lab.up(2, report=ui.note)
    furnish(started.folder)
    environment = {**os.environ, **_selection(started)}
    for words in COMMANDS:
        _command(ui, words, environment)
    for server in started.servers:
        _ask(ui, server.address, started.authority)
    _prove(ui, environment)
    _explain(ui, started)
    ui.note(f"all of it took {time.monotonic() - began:.0f} s")
    return EXIT_DONE


def furnish(folder: Path) -> None:
    """Make the secrets and the certificate that the example's inventory names, once."""
    kept = folder / "secrets"
    kept.mkdir(mode=0o700, exist_ok=True)
    for name in SECRETS:
        path = kept / name
        if not path.exists():
            path.touch(mode=0o600)
            path.write_text(secrets.token_urlsafe(32))
    lab.certificate([NAME])


def _selection(started: Lab) -> Mapping[str, str]:
    """Name an inventory of its own when the lab could not have the addresses of the example."""
    declared = load().inventory.servers
    found = {each.name: each for each in started.servers}
    if all(name in found and found[name].address == declared[name].address for name in declared):
        return {}
    servers = {
        name: {"address": found[name].address, "private_address": found[name].private_address}
        for name in declared
    }
    text = yaml.safe_dump({"extends": "inventory.yaml", "servers": servers}, sort_keys=False)
    Path(LAB_INVENTORY).write_text(text, encoding="utf-8")
    return {"RONDO_INVENTORY": "lab"}


def _prove(ui: Ui, environment: Mapping[str, str]) -> None:
    """Restart everything under load; a machine too slow to prove anything ends no demonstration."""
    if _command(ui, PROOF, environment, also=INVALID) == INVALID:
        ui.warn("this machine was too busy for its load test to be believed: INVALID is no failure")


def _command(
    ui: Ui, words: tuple[str, ...], environment: Mapping[str, str], *, also: int = EXIT_DONE
) -> int:
    """Run one of our own commands as a user would, and stop where it fails."""
    ui.note(f"\n$ {shlex.join(words)}")
    program = Path(sys.executable).with_name(words[0])
    done = subprocess.run((str(program), *words[1:]), env=dict(environment), check=False)
    if done.returncode not in {EXIT_DONE, also}:
        raise RondoError(
            f"`{shlex.join(words)}` ended with exit code {done.returncode}; what it said is above"
        )
    return done.returncode


def _ask(ui: Ui, address: str, authority: Path) -> None:
    """Ask for the page and the list of products over one verified connection."""
    connection = _ToAddress(address, ssl.create_default_context(cafile=str(authority)))
    answered: collections.Counter[str] = collections.Counter()
    page, _ = _get(connection, "/")
    for _ in range(REQUESTS):
        _, headers = _get(connection, "/api/products/")
        answered[headers["X-Shop-Backend"] or "?"] += 1
    connection.close()
    shares = ", ".join(f"{name} {count}" for name, count in sorted(answered.items()))
    ui.note(f"https://{NAME}/ at {address}: {len(page)} bytes; {REQUESTS} API requests: {shares}")


def _get(connection: _ToAddress, path: str) -> tuple[bytes, http.client.HTTPMessage]:
    connection.request("GET", path)
    answer = connection.getresponse()
    body = answer.read()
    if answer.status != http.HTTPStatus.OK:
        raise RondoError(f"https://{NAME}{path} answered {answer.status}; see: fab logs")
    return body, answer.headers


def _explain(ui: Ui, started: Lab) -> None:
    """Say how to look at the site from here."""
    address = started.servers[0].address
    authority = os.path.relpath(started.authority)
    ui.note(
        f"""
Look at it:
  curl --cacert {authority} --resolve {NAME}:443:{address} https://{NAME}/api/products/
  in a browser: add `{address} {NAME}` to /etc/hosts, and trust {authority}
  (or: chromium --host-resolver-rules="MAP {NAME} {address}" --ignore-certificate-errors)
Change something in examples/shop and run `fab plan`, then `fab deploy`. Log in with
`inv lab.ssh web-1`, read `fab logs --follow`. `inv report last` opens the report of the load;
`inv prove` loads the site again. `make clean` removes everything.
(Both commands are in .venv/bin: `. .venv/bin/activate` puts them on your PATH.)"""
    )
