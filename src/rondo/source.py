"""The inventory's file: chosen, read, merged with what it extends, validated and checked.

Everything that is wrong is told at once, in one `InputError`.
"""

from __future__ import annotations

import difflib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rondo.errors import InputError
from rondo.problems import Place, Problem, input_error

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rondo import problems
    from rondo.inventory import Inventory
    from rondo.tree import Entry, Node

VARIABLE = "RONDO_INVENTORY"
DEFAULT = "inventory.yaml"
_LARGEST_FILE = 1024**2


@dataclass(frozen=True, slots=True)
class Loaded:
    """An inventory with where it was written."""

    inventory: Inventory
    path: Path
    places: Mapping[problems.Path, Place]

    @property
    def root(self) -> Path:
        """Folder of the selected file: relative paths of the inventory begin here."""
        return self.path.parent

    @property
    def lines(self) -> Mapping[problems.Path, int]:
        """Line on which each path was written, in the selected file or one that it extends."""
        return {path: place.line for path, place in self.places.items()}

    def place(self, *path: str | int) -> Place:
        """Return where a path was written, or the nearest part of the inventory around it."""
        return _nearest(self.places, path)


def load(
    selection: str | None = None, *, start: Path | None = None, check_files: bool = False
) -> Loaded:
    """Read and check the selected inventory; an InputError lists all that is wrong with it."""
    path = select(selection, start or Path.cwd())
    found: list[Problem] = []
    tree = _Reader(path.parent, found).read(path)
    if tree is None:
        raise input_error(found)
    places: dict[problems.Path, Place] = {}
    data = _plain(tree, (), places)
    inventory = _validated(data, found)
    if inventory is not None:
        found += _checked(inventory, path.parent, check_files=check_files)
    if found or inventory is None:
        raise input_error(each.located(lambda path: _nearest(places, path)) for each in found)
    return Loaded(inventory, path, places)


def select(selection: str | None, start: Path) -> Path:
    """Find the file: one named outright, an environment's, the variable's or the default one."""
    chosen = selection or os.environ.get(VARIABLE) or DEFAULT
    is_file_name = "/" in chosen or chosen.endswith((".yaml", ".yml"))
    name = chosen if is_file_name else f"inventory.{chosen}.yaml"
    path = Path(os.path.normpath(start / Path(name).expanduser()))
    if not path.exists():
        raise InputError(f"{name} is not there (looked in {path.parent}); {_remedy(name, start)}")
    return path


def _remedy(name: str, start: Path) -> str:
    there = sorted(each.name for each in start.glob("inventory*.y*ml"))
    if near := difflib.get_close_matches(name, there, n=1, cutoff=0.85):
        return f"did you mean {near[0]}?"
    if there:
        return f"there are {', '.join(there)}"
    return f"go to the folder that holds it, or name it with the option or ${VARIABLE}"


class _Reader:
    """Reads a file and what it extends into one tree."""

    def __init__(self, root: Path, found: list[Problem]) -> None:
        self._root = root
        self._found = found
        self._chain: list[Path] = []

    def read(self, path: Path, named_at: Place | None = None) -> Node | None:
        """Return the merged tree, or None when there is none for the problems found."""
        from rondo import tree  # noqa: PLC0415 - YAML is not wanted for `fab --list`

        file = _shown(path, self._root)
        if path.resolve() in self._chain:
            message = f"leads back to {file}, so that the files extend each other in a circle"
            self._refuse(message, file, named_at)
            return None
        self._chain.append(path.resolve())
        try:
            data = _read_bytes(path)
        except (OSError, ValueError) as error:
            self._refuse(f"{file} cannot be read: {_reason(error)}", file, named_at)
            return None
        node = tree.parse(data, file, self._found)
        return node and self._extended(node, path)

    def _refuse(self, message: str, file: str, named_at: Place | None) -> None:
        path = ("extends",) if named_at else ()
        self._found.append(Problem(path, message, named_at or Place(file, 1)))

    def _extended(self, node: Node, path: Path) -> Node | None:
        entries = node.value if isinstance(node.value, dict) else {}
        base = entries.get("extends")
        if base is None or not isinstance(base.node.value, str):
            return node
        name = Path(base.node.value).expanduser()
        below = self.read(Path(os.path.normpath(path.parent / name)), base.place)
        return below and _over(below, node)


def _shown(path: Path, root: Path) -> str:
    """Name a file the way that is shorter to read."""
    relative = os.path.relpath(path, root)
    return str(path) if relative.startswith("../../") else relative


def _read_bytes(path: Path) -> bytes:
    if not path.is_file():
        raise ValueError("it is no file" if path.exists() else "there is no such file")
    with path.open("rb") as file:
        data = file.read(_LARGEST_FILE + 1)
    if len(data) > _LARGEST_FILE:
        raise ValueError("it is larger than 1 MiB")
    return data


def _reason(error: Exception) -> str:
    return error.strerror or str(error) if isinstance(error, OSError) else str(error)


def _over(base: Node, top: Node) -> Node:
    """Lay one tree over another: mappings merge, null deletes, all else replaces."""
    if not isinstance(base.value, dict) or not isinstance(top.value, dict):
        return top
    merged: dict[str, Entry] = dict(base.value)
    for key, entry in top.value.items():
        if entry.node.deletes:
            merged.pop(key, None)
        elif key in merged:
            merged[key] = type(entry)(entry.place, _over(merged[key].node, entry.node))
        else:
            merged[key] = entry
    return type(top)(top.place, merged, top.size)


def _plain(node: Node, path: problems.Path, places: dict[problems.Path, Place]) -> object:
    """Make what the models take, and remember where each part was written."""
    places.setdefault(path, node.place)
    if isinstance(node.value, list):
        return [_plain(each, (*path, index), places) for index, each in enumerate(node.value)]
    if not isinstance(node.value, dict):
        return node.value
    data: dict[str, object] = {}
    for key, entry in node.value.items():
        # As in Compose files: a place for anchors, which means nothing by itself.
        if path or not key.startswith("x-"):
            places[*path, key] = entry.place
            data[key] = _plain(entry.node, (*path, key), places)
    return data


def _nearest(places: Mapping[problems.Path, Place], path: problems.Path) -> Place:
    while path not in places:
        path = path[:-1]
    return places[path]


def _validated(data: object, found: list[Problem]) -> Inventory | None:
    from pydantic import ValidationError  # noqa: PLC0415 - a fifth of a second: only when needed

    from rondo.inventory import Inventory  # noqa: PLC0415 - as above

    try:
        return Inventory.model_validate(data)
    except ValidationError as error:
        from rondo.sentences import problems_of  # noqa: PLC0415 - as above

        found += problems_of(error)
    return None


def _checked(inventory: Inventory, root: Path, *, check_files: bool) -> list[Problem]:
    from rondo import checks, files  # noqa: PLC0415 - as above

    found = list(checks.check(inventory))
    return [*found, *files.check(inventory, root)] if check_files else found
