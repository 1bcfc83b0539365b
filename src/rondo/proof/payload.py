"""What a load generator on another machine is made of: modules, locustfiles, pinned requirements.

Nothing of the user's application is in it, and no secret: what a run asks for comes with its brief.
"""

from __future__ import annotations

import ast
import importlib.metadata
import re
from typing import TYPE_CHECKING, Final

from rondo.context import Context, made_of
from rondo.entries import ContextFile
from rondo.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

PACKAGE: Final = "rondo"
STARTS: Final = ("rondo.proof.load.lifecycle",)
DISTRIBUTIONS: Final = ("locust", "numpy", "pydantic", "pyyaml")
"""What these modules import that Python does not have."""
LOCK: Final = "requirements.lock"
_NAME = re.compile(r"([A-Za-z0-9._-]+)==.* \\$")
_REQUIRED = re.compile(r"([A-Za-z0-9._-]+) *(?:\[([^]]*)\])?")
_EXTRA = re.compile(r"""extra *== *['"]([^'"]+)['"]""")

DOCKERFILE: Final = """\
FROM python:3.11-slim
ARG PYPI_MIRROR
COPY requirements.txt /load/
# With its checksums: nothing else is installed, whatever the mirror offers.
RUN if [ -n "${PYPI_MIRROR:-}" ]; then export PIP_INDEX_URL="$PYPI_MIRROR"; fi \\
    && pip install --quiet --no-cache-dir --disable-pip-version-check \\
        --require-hashes --only-binary :all: -r /load/requirements.txt
COPY loadtests/ /load/loadtests/
COPY src/ /load/src/
COPY worker /load/worker
ENV PYTHONPATH=/load/src PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 HOME=/tmp
WORKDIR /tmp
USER 65534:65534
ENTRYPOINT ["sh", "/load/worker"]
"""

WORKER: Final = """\
# Serve one master after the other, until the container is taken away.
# $1: port of the master, on this machine's own address
# $2: how many processes; 0 for one for each processor
# shellcheck shell=sh

port=$1
case $2 in
    1) set -- ;;
    0) set -- --processes -1 ;;
    *) set -- --processes "$2" ;;
esac
while :; do
    python -m locust -f /load/loadtests --worker \\
        --master-host 127.0.0.1 --master-port "$port" "$@" || sleep 0.2
done
"""


def context(source: Path, loadtests: Path, lock: Path) -> Context:
    """Return all of it as a build context.

    Raises InputError without the lock file, whose checksums are what makes the image safe.
    """
    files = {
        "Dockerfile": DOCKERFILE,
        "worker": WORKER,
        "requirements.txt": requirements(_read(lock), DISTRIBUTIONS),
        **{f"src/{path}": text for path, text in modules(source, STARTS).items()},
        **{
            f"loadtests/{path.relative_to(loadtests).as_posix()}": path.read_text(encoding="utf-8")
            for path in sorted(loadtests.rglob("*.py"))
        },
    }
    return made_of({path: ContextFile(text.encode()) for path, text in files.items()})


def _read(lock: Path) -> str:
    try:
        return lock.read_text(encoding="utf-8")
    except OSError:
        raise InputError(
            f"{lock} is not there, and --workers installs only what it pins; restore it"
        ) from None


def requirements(lock: str, wanted: Iterable[str]) -> str:
    """Return the lines of a lock file for these distributions and all that they need.

    Raises InputError if one of them is not pinned there.
    """
    blocks, wanted = _blocks(lock), tuple(wanted)
    if missing := [name for name in wanted if name not in blocks]:
        raise InputError(f"{LOCK} does not pin {', '.join(missing)}, which load generators need")
    needed: dict[str, set[str]] = {}
    left: list[tuple[str, frozenset[str]]] = [(_plain(name), frozenset()) for name in wanted]
    while left:
        name, extras = left.pop()
        if name not in blocks or (name in needed and extras <= needed[name]):
            continue
        needed.setdefault(name, set()).update(extras)
        left += _needs(name, needed[name])
    return "".join(blocks[name] for name in sorted(needed))


def _blocks(lock: str) -> dict[str, str]:
    """Cut a lock file into the lines of each distribution."""
    blocks: dict[str, str] = {}
    name = ""
    for line in lock.splitlines(keepends=True):
        if match := _NAME.match(line):
            name = _plain(match[1])
        if name:
            blocks[name] = blocks.get(name, "") + line
    return blocks


def _needs(name: str, extras: set[str]) -> Iterator[tuple[str, frozenset[str]]]:
    """Yield what a distribution needs, with extras; other systems' is not in the lock file."""
    try:
        required = importlib.metadata.requires(name) or ()
    except importlib.metadata.PackageNotFoundError:
        return
    for each in required:
        wanted, match = _EXTRA.findall(each), _REQUIRED.match(each)
        if match and (not wanted or extras & {_plain(extra) for extra in wanted}):
            theirs = (match[2] or "").split(",")
            yield _plain(match[1]), frozenset(_plain(extra) for extra in theirs if extra)


def _plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name.strip()).lower()


def modules(source: Path, starts: Iterable[str]) -> dict[str, str]:
    """Return the files of modules of ours and of all of ours that they import, by path."""
    found: dict[str, str] = {}
    left = list(starts)
    while left:
        name = left.pop()
        path = _file(source, name)
        if path is None or path.relative_to(source).as_posix() in found:
            continue
        text = path.read_text(encoding="utf-8")
        found[path.relative_to(source).as_posix()] = text
        left += [name.rpartition(".")[0], *_imported(ast.parse(text))]
    return dict(sorted(found.items()))


def _file(source: Path, name: str) -> Path | None:
    base = source.joinpath(*name.split("."))
    for path in (base / "__init__.py", base.with_suffix(".py")):
        if name.startswith(PACKAGE) and path.is_file():
            return path
    return None


def _imported(tree: ast.AST) -> Iterator[str]:
    """Yield what a module imports when it runs, inside of functions too."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            continue
        if isinstance(node, ast.Import):
            yield from (each.name for each in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{each.name}" for each in node.names)
        else:
            yield from _imported(node)
