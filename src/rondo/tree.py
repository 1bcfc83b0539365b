"""YAML as a tree of nodes that know where they were written.

Stricter than YAML where YAML surprises: a key may be given once, a plain scalar stays the text
that was written unless it is a whole number (so `1.20`, `on` and `022` mean what they look like),
and tags, a second document and anything that grows without bounds are refused.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import yaml

from rondo.problems import Place, Problem

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rondo.problems import Path

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_DEEPEST = 24
_LARGEST = 20_000
_NULLS = frozenset({"", "~", "null", "Null", "NULL"})
_WHOLE_NUMBER = re.compile(r"0|-?[1-9][0-9]{0,15}")
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f\ufeff\ufffe\uffff]")
_TAB_INDENT = re.compile(r"^ *\t")
_SYNTAX = (
    ("cannot start any token", "a value cannot start with {character}; put the value in quotes"),
    (
        "mapping values",
        'a second ": " stands here; put the value in quotes, or mend the indentation',
    ),
    ("unexpected end of stream", "the quote opened {context} is never closed"),
    ("could not find expected ':'", "the line before is no key with a value; add a colon to it"),
    ("escape", "this backslash means nothing in double quotes; use single quotes, or double it"),
    ("did not find expected key", "the indentation does not fit the lines above"),
    ("expected '-' indicator", "the indentation does not fit the list opened {context}"),
    ("block end", "the indentation does not fit the lines above"),
    ("alphabetic or numeric", "a value cannot start with {character}; put the value in quotes"),
    ("',' or", "the bracket opened {context} is never closed, or a comma is missing"),
    ("node content", "{character} stands where a value is wanted; put the value in quotes"),
)


@dataclass(frozen=True, slots=True)
class Entry:
    """A key of a mapping with what it holds."""

    place: Place
    node: Node


@dataclass(frozen=True, slots=True)
class Node:
    """A mapping, a list, or a scalar: text, whole number or nothing."""

    place: Place
    value: dict[str, Entry] | list[Node] | str | int | None
    size: int = 1
    deletes: bool = False  # written as `null`, not merely left empty


class _Refused(Exception):  # noqa: N818 - it carries the problem out of the recursion
    def __init__(self, problem: Problem) -> None:
        self.problem = problem


def parse(data: bytes, file: str, problems: list[Problem]) -> Node | None:
    """Make the tree of a file; what is wrong with it is added to the problems."""
    try:
        text = _decode(data, file)
        return _Composer(file, text, problems).document()
    except _Refused as refused:
        problems.append(refused.problem)
    except yaml.MarkedYAMLError as error:
        problems.append(_syntax(error, data.decode(errors="replace"), file))
    except yaml.YAMLError:
        problems.append(Problem((), "is not YAML that can be read", Place(file, 1)))
    return None


def _decode(data: bytes, file: str) -> str:
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        place = Place(file, data.count(b"\n", 0, error.start) + 1)
        message = f"the byte 0x{data[error.start]:02x} is not UTF-8; save the file as UTF-8"
        raise _Refused(Problem((), message, place)) from None
    if control := _CONTROL.search(text):
        place = Place(file, text.count("\n", 0, control.start()) + 1)
        message = f"holds the control character U+{ord(control[0]):04X}; remove it"
        raise _Refused(Problem((), message, place))
    return text


def _syntax(error: yaml.MarkedYAMLError, text: str, file: str) -> Problem:
    """Say what the parser stumbled over in words of somebody who writes YAML, not parsers."""
    mark = error.problem_mark or error.context_mark
    if mark is None:
        return Problem((), "is not YAML that can be read", Place(file, 1))
    lines = text.replace("\r\n", "\n").split("\n")
    line = lines[mark.line] if mark.line < len(lines) else ""
    if _TAB_INDENT.match(line):
        message = "a tab is used for indentation; use spaces"
    else:
        context = error.context_mark or mark
        known = next((text for sign, text in _SYNTAX if sign in (error.problem or "")), None)
        message = (known or f"{error.problem}").format(
            character=repr(line[mark.column]) if mark.column < len(line) else "the line's end",
            context=f"on line {context.line + 1}",
        )
    return Problem((), message, Place(file, mark.line + 1, mark.column + 1))


class _Composer:
    """One walk over the parser's events."""

    def __init__(self, file: str, text: str, problems: list[Problem]) -> None:
        self._file = file
        self._events: Iterator[yaml.Event] = iter(yaml.parse(text, Loader=_LOADER))
        self._problems = problems
        self._anchors: dict[str, Node] = {}

    def document(self) -> Node:
        """Take the one document of the file, a mapping."""
        next(self._events)
        if isinstance(next(self._events), yaml.StreamEndEvent):
            raise self._refuse((), "is empty; begin with `project: NAME`")
        root = self._node(next(self._events), ())
        next(self._events)
        after = next(self._events)
        if not isinstance(after, yaml.StreamEndEvent):
            raise self._refuse((), "a second document begins; keep one in a file", after)
        if root.value is None:
            raise self._refuse((), "is empty; begin with `project: NAME`")
        if not isinstance(root.value, dict):
            raise self._refuse((), "holds no keys; begin with `project: NAME`")
        return root

    def _refuse(self, path: Path, message: str, event: yaml.Event | None = None) -> _Refused:
        place = self._place(event) if event else Place(self._file, 1)
        return _Refused(Problem(path, message, place))

    def _place(self, event: yaml.Event) -> Place:
        mark = event.start_mark
        return Place(self._file, mark.line + 1, mark.column + 1) if mark else Place(self._file, 1)

    def _node(self, event: yaml.Event, path: Path) -> Node:
        if isinstance(event, yaml.AliasEvent):
            return self._alias(event, path)
        if len(path) > _DEEPEST:
            raise self._refuse(path, f"is nested more than {_DEEPEST} levels deep", event)
        if getattr(event, "tag", None) not in {None, "!"}:
            raise self._refuse(path, "has a tag (!); the inventory uses none, remove it", event)
        node = self._value(event, path)
        if isinstance(event, yaml.NodeEvent) and event.anchor is not None:
            self._anchors[event.anchor] = node
        return node

    def _alias(self, event: yaml.AliasEvent, path: Path) -> Node:
        node = self._anchors.get(event.anchor or "")
        if node is None:
            message = f"*{event.anchor} names no anchor (&{event.anchor}) that ends above it"
            raise self._refuse(path, message, event)
        return node

    def _value(self, event: yaml.Event, path: Path) -> Node:
        if isinstance(event, yaml.MappingStartEvent):
            return self._mapping(event, path)
        if isinstance(event, yaml.SequenceStartEvent):
            return self._list(event, path)
        return _scalar(event, self._place(event))

    def _list(self, event: yaml.Event, path: Path) -> Node:
        items: list[Node] = []
        size = 1
        while not isinstance(child := next(self._events), yaml.SequenceEndEvent):
            items.append(self._node(child, (*path, len(items))))
            # Counted as if aliases were written out, so that a small file cannot mean a huge one.
            size = self._grown(size, items[-1], path, child)
        return Node(self._place(event), items, size)

    def _grown(self, size: int, child: Node, path: Path, event: yaml.Event) -> int:
        if size + child.size > _LARGEST:
            raise self._refuse(path, f"holds more than {_LARGEST} values", event)
        return size + child.size

    def _mapping(self, event: yaml.Event, path: Path) -> Node:
        entries: dict[str, Entry] = {}
        merged: list[Node] = []
        size = 1
        while not isinstance(child := next(self._events), yaml.MappingEndEvent):
            key, merges = self._key(child, path)
            place = self._place(child)
            node = self._node(next(self._events), (*path, key))
            size = self._grown(size, node, (*path, key), child)
            if merges:
                merged += self._merged(node, path)
            elif key in entries:
                message = f"is given twice, first on line {entries[key].place.line}; keep one"
                self._problems.append(Problem((*path, key), message, place))
            else:
                entries[key] = Entry(place, node)
        return Node(self._place(event), _merge(entries, merged), size)

    def _key(self, event: yaml.Event, path: Path) -> tuple[str, bool]:
        if not isinstance(event, yaml.ScalarEvent) or event.anchor or event.tag not in {None, "!"}:
            message = "a key is not plain text; put text that begins with { [ * & or ! in quotes"
            raise self._refuse(path, message, event)
        return event.value, event.value == "<<" and event.implicit[0]

    def _merged(self, node: Node, path: Path) -> list[Node]:
        nodes = node.value if isinstance(node.value, list) else [node]
        if not all(isinstance(each.value, dict) for each in nodes):
            message = "can only merge mappings; give an alias such as `<<: *defaults`"
            raise _Refused(Problem((*path, "<<"), message, node.place))
        return nodes


def _scalar(event: yaml.Event, place: Place) -> Node:
    text, plain = (
        (event.value, event.implicit[0]) if isinstance(event, yaml.ScalarEvent) else ("", False)
    )
    if not plain:
        return Node(place, text)
    if text in _NULLS:
        return Node(place, None, deletes=text != "")
    return Node(place, int(text) if _WHOLE_NUMBER.fullmatch(text) else text)


def _merge(entries: dict[str, Entry], merged: list[Node]) -> dict[str, Entry]:
    """Add what `<<` brings; keys written out win, then the first mapping that has one."""
    for node in merged:
        if isinstance(node.value, dict):
            for key, entry in node.value.items():
                entries.setdefault(key, entry)
    return entries
