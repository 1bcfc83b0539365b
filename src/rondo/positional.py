"""Tasks whose words on the command line may be left away, which Invoke itself does not know."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from invoke.tasks import Task

if TYPE_CHECKING:
    from collections.abc import Sequence

    from invoke.parser.argument import Argument


class WordTask(Task[Any]):
    """A task with positional parameters that may have defaults."""

    def get_arguments(self, ignore_unknown_help: bool | None = None) -> list[Argument]:  # noqa: FBT001
        """Describe the parameters; a positional one with a default may be left away.

        Invoke demands every positional parameter, so it is one only when a word is there for it.
        """
        arguments: list[Argument] = super().get_arguments(ignore_unknown_help)
        given = _words_behind(self.name, arguments, sys.argv)
        for place, argument in enumerate(each for each in arguments if each.positional):
            if argument.default is not None:
                argument.positional = place < given
                argument.default = None if argument.positional else argument.default
        return arguments


def _words_behind(task: str, arguments: Sequence[Argument], words: Sequence[str]) -> int:
    """Count the words behind a task's name that belong to none of its flags."""
    taking = {
        f"{'-' if len(name) == 1 else '--'}{name.replace('_', '-')}"
        for argument in arguments
        if argument.takes_value
        for name in argument.names
    }
    rest = iter(words[words.index(task) + 1 :] if task in words else ())
    count = 0
    for word in rest:
        if word == "--":
            break
        if not word.startswith("-"):
            count += 1
        elif word in taking:
            next(rest, None)
    return count
