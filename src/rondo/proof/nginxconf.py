"""The upstreams of an Nginx file as it lies on a server, whoever wrote it. Pure."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, get_args

from rondo.proof.evidence import Installed, Member, Policy

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

_WORD: Final = re.compile(
    r"""(?P<space>\s+) | (?P<comment>\#[^\n]*)
      | "(?P<double>(?:\\.|[^"\\])*)" | '(?P<single>(?:\\.|[^'\\])*)'
      | (?P<mark>[{};]) | (?P<plain>(?:\$\{\w+\}|\\.|[^\s{};])+)""",
    re.VERBOSE | re.DOTALL,
)
_POLICIES: Final[tuple[Policy, ...]] = get_args(Policy)


def upstreams(text: str) -> tuple[Installed, ...]:
    """Return the upstream blocks of a file; what is commented out is not there."""
    return tuple(
        _installed(words[1], body)
        for words, body in _blocks(_statements(text))
        if len(words) == 2 and words[0] == "upstream"
    )


Statement = tuple[tuple[str, ...], str]
"""The words of a statement, and what ends it: `;`, `{` or `}`."""


def _statements(text: str) -> Iterator[Statement]:
    words: list[str] = []
    for found in _WORD.finditer(text):
        kind = found.lastgroup
        if kind == "mark":
            yield tuple(words), found["mark"]
            words.clear()
        elif kind not in {"space", "comment", None}:
            words.append(found[str(kind)])


def _blocks(
    statements: Iterable[Statement],
) -> Iterator[tuple[tuple[str, ...], list[tuple[str, ...]]]]:
    """Yield each block's head with the statements that are directly in it."""
    heads: list[tuple[str, ...]] = []
    bodies: list[list[tuple[str, ...]]] = [[]]
    for words, end in statements:
        if end == "{":
            heads.append(words)
            bodies.append([])
        elif end == ";":
            bodies[-1].append(words)
        elif heads:
            yield heads.pop(), bodies.pop()


def _installed(name: str, body: Sequence[Sequence[str]]) -> Installed:
    first = [words[0] for words in body if words]
    return Installed(
        name=name,
        policy=next((policy for policy in _POLICIES if policy in first), "round_robin"),
        members=tuple(_member(words) for words in body if words and words[0] == "server"),
        zone="zone" in first,
    )


def _member(words: Sequence[str]) -> Member:
    options = words[2:]
    weights = (each.removeprefix("weight=") for each in options if each.startswith("weight="))
    weight = next(weights, "1")
    return Member(
        address=words[1] if len(words) > 1 else "",
        weight=int(weight) if weight.isdigit() else 1,
        down="down" in options,
        backup="backup" in options,
    )
