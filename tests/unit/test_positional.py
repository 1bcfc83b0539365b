"""A positional word that may be left away, which Invoke itself does not know."""

from __future__ import annotations

import pytest
from invoke import Collection
from invoke.parser import Parser

from rondo.fab import ClusterTask


def logs(session: object, service: str = "", tail: int = 20, follow: bool = False) -> None:  # noqa: FBT001, FBT002
    """Stand for a task with a word that may be left away."""


@pytest.mark.parametrize(
    ("words", "service"),
    [
        ("logs", ""),
        ("logs backend", "backend"),
        ("logs --follow backend", "backend"),
        ("logs --tail 5", ""),
        ("logs --tail=5", ""),
        ("logs --tail 5 backend", "backend"),
        ("logs backend --tail 5", "backend"),
        ("logs -t 5 backend -f", "backend"),
        ("logs --service backend", "backend"),
        ("logs -- backend", ""),
    ],
)
def test_word_is_taken_where_it_stands(
    words: str, service: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.argv", ["fab", *words.split()])
    namespace = Collection(ClusterTask(logs, positional=["service"]))
    result = Parser(contexts=namespace.to_contexts()).parse_argv(words.split())
    assert result[0].args["service"].value == service


def diff(session: object, old: str = "", new: str = "", inventory: str = "") -> None:
    """Stand for a task with two words that may be left away."""


@pytest.mark.parametrize(
    ("words", "old", "new"),
    [
        ("diff", "", ""),
        ("diff one", "one", ""),
        ("diff one two", "one", "two"),
        ("diff --inventory staging one", "one", ""),
        ("diff one --inventory staging two", "one", "two"),
    ],
)
def test_two_words_are_taken_in_their_order(
    words: str, old: str, new: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.argv", ["fab", *words.split()])
    namespace = Collection(ClusterTask(diff, positional=["old", "new"]))
    result = Parser(contexts=namespace.to_contexts()).parse_argv(words.split())
    assert (result[0].args["old"].value, result[0].args["new"].value) == (old, new)
