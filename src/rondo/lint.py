"""Prove the rendered files with the programs that will read them, and with linters.

Nginx reads its files itself. gixy-ng, hadolint and shellcheck come with the Python environment. A
tool that cannot run is a finding, never a pass.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from rondo import render, trial
from rondo.finding import Finding, run

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

    from rondo.inventory import Inventory

__all__ = ["Finding", "lint"]


def lint(
    inventory: Inventory,
    templates: Path,
    root: Path,
    report: Callable[[str], None],
    *,
    nginx_image: str = trial.IMAGE,
) -> list[Finding]:
    """Return everything that Nginx and the linters hold against the rendered files.

    The Dockerfiles of the user, below `root`, are only asked for errors: their style is theirs.
    """
    files = render.render_all(inventory, templates)
    own = own_dockerfiles(inventory, root)
    checks: tuple[tuple[str, Callable[[], list[Finding]]], ...] = (
        ("nginx -t", lambda: trial.check(inventory, files, nginx_image)),
        ("gixy", lambda: check_gixy(_matching(files, "*.conf"))),
        ("hadolint", lambda: check_hadolint(_matching(files, "Dockerfile"))),
        ("hadolint of your own Dockerfiles", lambda: check_hadolint(own, ("error",))),
        ("shellcheck", lambda: check_shellcheck(_matching(files, "start"))),
    )
    findings: list[Finding] = []
    for name, check in checks:
        found = check()
        findings += found
        report(f"{name}: {len(found) or 'no'} finding{'' if len(found) == 1 else 's'}")
    return findings


def _matching(files: Mapping[str, bytes], name: str) -> dict[str, bytes]:
    return {path: text for path, text in files.items() if PurePosixPath(path).match(name)}


def own_dockerfiles(inventory: Inventory, root: Path) -> dict[str, bytes]:
    """Return the Dockerfiles that are not ours, as far as they are there."""
    paths = {
        f"services/{name}/{render.dockerfile_path(service)}": root / service.context
        for name, service in inventory.services.items()
        if service.context and (service.dockerfile or service.kind not in render.FILES)
    }
    files = {path: folder / path.split("/", 2)[2] for path, folder in paths.items()}
    return {path: file.read_bytes() for path, file in files.items() if file.is_file()}


def check_gixy(files: Mapping[str, bytes]) -> list[Finding]:
    """Look for what is dangerous in Nginx files."""
    return list(_linted("gixy", files, ("-f", "json"), "{plugin}: {reason}"))


def check_hadolint(
    files: Mapping[str, bytes], levels: Collection[str] = ("error", "warning", "info", "style")
) -> list[Finding]:
    """Look for what is unwise in Dockerfiles."""
    arguments = ("--no-color", "--format=json")
    return list(_linted("hadolint", files, arguments, "{code}: {message}", levels))


def check_shellcheck(files: Mapping[str, bytes]) -> list[Finding]:
    """Look for what is wrong in shell scripts."""
    return list(_linted("shellcheck", files, ("--format=json",), "SC{code}: {message}"))


def _program(name: str) -> str:
    """Return a tool of this Python environment, or its name to be looked for on PATH."""
    beside = Path(sys.executable).parent / name
    return str(beside) if beside.exists() else name


def _linted(
    tool: str,
    files: Mapping[str, bytes],
    arguments: Sequence[str],
    message: str,
    levels: Collection[str] = (),
) -> Iterator[Finding]:
    """Run a linter once over all files, and read its JSON."""
    if not files:
        return
    with tempfile.TemporaryDirectory(prefix="rondo-lint-") as made:
        folder = Path(made).resolve()
        for path, content in files.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_bytes(content)
        paths = [str(folder / path) for path in files]
        # Each of them ends with 1 when it found something.
        answer = run(tool, (_program(tool), *arguments, *paths), codes=frozenset({0, 1}))
    if isinstance(answer, Finding):
        yield answer
        return
    try:
        for item in json.loads(answer):
            if levels and item["level"] not in levels:
                continue
            path = item["file"].removeprefix(f"{folder}/")
            yield Finding(tool, path, item.get("line"), message.format_map(item))
    except (ValueError, LookupError, TypeError, AttributeError):
        yield Finding(tool, "", None, f"answered something else than its JSON: {answer[-300:]}")
