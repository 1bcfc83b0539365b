"""How a run comes about: prepared by another process, or by Locust itself for one who types it."""

from __future__ import annotations

import logging
import os
import secrets
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from rondo import source
from rondo.errors import InputError
from rondo.objectives import Proof
from rondo.proof.brief import Brief, make_brief
from rondo.proof.load.attendant import Attendant
from rondo.proof.load.ledger import Ledger
from rondo.proof.visits import site_of, url_of
from rondo.units import seconds_of

if TYPE_CHECKING:
    from locust.env import Environment

RUN_VARIABLE: Final = "RONDO_RUN"

_log = logging.getLogger("rondo")


@dataclass(slots=True)
class Run:
    """One run of the load, from its brief to its verdict."""

    folder: Path
    brief: Brief
    ledger: Ledger
    attendant: Attendant | None
    begun: bool = False


def authority_of(brief: Brief) -> str | None:
    """Read the authority that is trusted: workers on other machines do not have its file."""
    if brief.authority is None:
        return None
    try:
        return Path(brief.authority).read_text(encoding="ascii")
    except (OSError, ValueError) as error:
        raise InputError(f"The authority {brief.authority} cannot be read: {error}") from None


def given_run() -> Run:
    """Take the run that another process has prepared."""
    folder = Path(os.environ[RUN_VARIABLE])
    return Run(folder, given_brief(), Ledger(folder), None)


def given_brief() -> Brief:
    """Read the brief of the run that another process has prepared."""
    path = Path(os.environ[RUN_VARIABLE]) / "brief.json"
    try:
        return Brief.read(path)
    except OSError as error:
        raise InputError(f"There is no brief at {path}: {error.strerror}") from None


def own_run(environment: Environment) -> Run:
    """Make a run folder, call the witnesses and write the brief."""
    options: Any = environment.parsed_options
    rate = _number(options.rate, "--rate")
    duration = _seconds(options.duration)
    loaded = _inventory(options.inventory)
    host = environment.host or _declared_host(loaded)
    run = secrets.token_hex(6)
    folder = _folder(loaded.root if loaded else Path.cwd(), run)
    attendant = Attendant(folder, host, loaded.path if loaded else None)
    found = attendant.ready()
    brief = make_brief(
        loaded.inventory.proof if loaded else Proof(),
        loaded.inventory if loaded else None,
        run=run,
        secret=found.get("secret") or "",
        host=host,
        addresses=found.get("addresses") or (),
        authority=found.get("authority"),
        rate=rate,
        duration=duration,
    )
    brief.write(folder / "brief.json")
    _log.info(
        "Run %s: %g requests a second for %g s by %d users",
        *(run, brief.rate, brief.duration, brief.users),
    )
    return Run(folder, brief, Ledger(folder), attendant)


def known_host(inventory: str | None) -> str | None:
    """Find out what will be loaded, for the form of the web page."""
    try:
        if os.environ.get(RUN_VARIABLE):
            return given_brief().host
        return _declared_host(_inventory(inventory))
    except InputError:
        return None


def _declared_host(loaded: source.Loaded | None) -> str:
    """Take the host from the inventory's site."""
    site = site_of(loaded.inventory.proof, loaded.inventory) if loaded else None
    if not loaded or not site:
        raise InputError("There is no host to load; give one with --host https://...")
    return url_of(site, loaded.inventory.sites[site])


def _folder(root: Path, run: str) -> Path:
    began = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    folder = root / ".rondo" / "runs" / f"{began}-{run}"
    folder.mkdir(mode=0o700, parents=True)
    return folder


def _inventory(selection: str | None) -> source.Loaded | None:
    """Load the inventory; none is needed to load a host, but one that is named must be there."""
    chosen = selection or os.environ.get(source.VARIABLE)
    if not chosen and not Path(source.DEFAULT).exists():
        return None
    return source.load(chosen)


def _number(value: object, option: str) -> float | None:
    if value in {None, ""}:
        return None
    try:
        number = float(str(value))
    except ValueError:
        number = 0.0
    if number <= 0:
        raise InputError(f"{option} {value} is no number above 0")
    return number


def _seconds(value: object) -> float | None:
    if value in {None, ""}:
        return None
    try:
        return _number(seconds_of(value), "--duration")
    except ValueError as error:
        raise InputError(f"--duration {value} {error}") from None
