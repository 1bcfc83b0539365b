"""What does not fit together in the proof: the site, and the steps of its users. Pure."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from rondo.problems import Problem, close_to
from rondo.proof.load.scenario import BUILT_IN, NUMBER, names_in

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rondo.inventory import Inventory
    from rondo.objectives import Step
    from rondo.problems import Path

_METHODS = ("get", "post", "put", "patch", "delete")
_OWN_HEADERS = frozenset(
    {
        "host",
        "connection",
        "content-length",
        "transfer-encoding",
        "accept-encoding",
        "expect",
        "cookie",
        "x-request-id",
    }
)
_SAVED_PATH = re.compile(r"[^.{}\s]+(\.[^.{}\s]+)*")


def check(inventory: Inventory) -> Iterator[Problem]:
    """Yield everything that is wrong with the proof."""
    proof = inventory.proof
    if proof.site is not None and proof.site not in inventory.sites:
        hint = close_to(proof.site, inventory.sites)
        yield Problem(("proof", "site"), f"{proof.site} is no site; {hint}")
    for name, scenario in proof.scenario.items():
        saved: set[str] = set()
        for index, step in enumerate(scenario.steps):
            path = ("proof", "scenario", name, "steps", index)
            yield from _method(path, step)
            yield from _headers(path, step)
            yield from _names(path, step, saved)
            yield from _saves(path, step)
            saved |= set(step.save)


def _method(path: Path, step: Step) -> Iterator[Problem]:
    given = [method for method in _METHODS if getattr(step, method) is not None]
    if len(given) != 1:
        what = f"has {' and '.join(given)}" if given else "asks for nothing"
        yield Problem(path, f"{what}; a step has one of {', '.join(_METHODS)}, with its path")
    if step.body is not None and given == ["get"]:
        yield Problem((*path, "body"), "is sent by no GET; remove it, or give post instead")
    if step.assets and given != ["get"]:
        yield Problem((*path, "assets"), "are named by pages, which come with get")


def _headers(path: Path, step: Step) -> Iterator[Problem]:
    for name, value in step.headers.items():
        if name.lower() in _OWN_HEADERS or name.lower().startswith("x-rondo-"):
            message = "is a header that the load generator sets itself; remove it"
            yield Problem((*path, "headers", name), message)
        elif not value.isprintable():
            yield Problem((*path, "headers", name), "holds what no header may; remove it")


def _names(path: Path, step: Step, saved: set[str]) -> Iterator[Problem]:
    for method in _METHODS:
        for name in names_in(getattr(step, method)):
            yield from _name((*path, method), name, saved)
    for header, value in step.headers.items():
        for name in names_in(value):
            yield from _name((*path, "headers", header), name, saved)
    for name in names_in(step.body):
        yield from _name((*path, "body"), name, saved)


def _name(path: Path, name: str, saved: set[str]) -> Iterator[Problem]:
    """Check a name in braces: built in, or saved by a step before."""
    if match := NUMBER.fullmatch(name):
        if int(match[1]) > int(match[2]):
            yield Problem(path, f"{{{name}}} has its larger number first; give the smaller first")
    elif name.startswith("number"):
        yield Problem(path, f"{{{name}}} is no range of numbers; write it like {{number:1:20}}")
    elif name not in BUILT_IN and name not in saved:
        known = [*sorted(saved), *sorted(BUILT_IN), "number:1:20"]
        message = f"no step before this one saves {{{name}}}; {close_to(name, known)}"
        yield Problem(path, message)


def _saves(path: Path, step: Step) -> Iterator[Problem]:
    for name, where in step.save.items():
        if name in BUILT_IN:
            message = f"{{{name}}} has a value of its own already; save under another name"
            yield Problem((*path, "save", name), message)
        if not _SAVED_PATH.fullmatch(where):
            message = "is no path into a JSON answer; write it like products.*.slug"
            yield Problem((*path, "save", name), message)
