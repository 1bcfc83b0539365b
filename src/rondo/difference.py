"""What two recorded releases differ in, line by line, for people. Pure."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from rondo.record import config_texts

if TYPE_CHECKING:
    from rondo.release import ServerRelease, Slot, Upkeep, Worker

OWN = "that of the image"

Fields = Mapping[str, Any]


def _described(server: ServerRelease) -> dict[str, dict[str, Any]]:
    """Return what each container of a server is made of, flat, by its name."""
    found = {}
    every: tuple[Slot | Worker | Upkeep, ...] = (
        *server.slots,
        *server.workers,
        *server.accessories,
    )
    for each in every:
        fields: dict[str, Any] = asdict(each)
        flat = {**fields.pop("container"), **fields}
        gate = flat.pop("gate", {})
        found[flat["name"]] = {**flat, **{f"health.{key}": value for key, value in gate.items()}}
    return found


def _lists(key: str, old: tuple[str, ...], new: tuple[str, ...]) -> Iterator[str]:
    if key == "command":
        yield f"command: {' '.join(old) or OWN} -> {' '.join(new) or OWN}"
        return
    yield from (f"{key}: without {each}" for each in old if each not in new)
    yield from (f"{key}: with {each}" for each in new if each not in old)


def _changes(old: Fields, new: Fields) -> Iterator[str]:
    for key in dict.fromkeys((*old, *new)):
        before, after = old.get(key), new.get(key)
        if before == after:
            continue
        if isinstance(before, tuple) and isinstance(after, tuple):
            yield from _lists(key, before, after)
        else:
            yield f"{key}: {before} -> {after}"


def container_differences(old: ServerRelease, new: ServerRelease) -> dict[str, list[str]]:
    """Return what changes, by the names of the containers to which the same happens."""
    before, after = _described(old), _described(new)
    found: dict[tuple[str, ...], list[str]] = {}
    for name in dict.fromkeys((*before, *after)):
        if name not in after:
            lines = ["is gone"]
        elif name not in before:
            lines = [f"is new, of image {after[name]['image']}"]
        else:
            named = {"name": "", "port": ""}
            lines = list(_changes({**before[name], **named}, {**after[name], **named}))
        if lines:
            found.setdefault(tuple(lines), []).append(name)
    return {", ".join(names): list(lines) for lines, names in found.items()}


def config_differences(project: str, old: ServerRelease, new: ServerRelease) -> Iterator[str]:
    """Yield the lines in which the configuration files of Nginx differ."""
    before, after = config_texts(project, old), config_texts(project, new)
    for path, text in before.items():
        yield from difflib.unified_diff(
            text.splitlines(), after[path].splitlines(), path, path, lineterm=""
        )


def image_differences(old: Fields, new: Fields) -> Iterator[str]:
    """Yield the images that go by the same tag in both records and yet are not the same."""
    before, after = old.get("images", {}), new.get("images", {})
    for reference in before.keys() & after.keys():
        if before[reference] != after[reference]:
            yield f"{reference}: {before[reference]} -> {after[reference]}"


def differences(
    project: str, old: tuple[ServerRelease, Fields], new: tuple[ServerRelease, Fields]
) -> tuple[str, ...]:
    """Return all lines that tell one server's part of two releases apart; none when it is the same.

    Environments are told by their digests; their values are in no record.
    """
    return (
        *(
            f"{names}: {line}"
            for names, lines in container_differences(old[0], new[0]).items()
            for line in lines
        ),
        *image_differences(old[1], new[1]),
        *config_differences(project, old[0], new[0]),
    )
