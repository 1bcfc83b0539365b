"""Tasks as Invoke does not know them: words may be left away, numbers are read in plain words."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, ClassVar

from invoke.exceptions import Exit
from invoke.tasks import Task

from rondo.errors import InputError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from invoke.parser.argument import Argument


class WordTask(Task[Any]):
    """A task with positional parameters that may have defaults."""

    mistake: ClassVar[int] = InputError.exit_code
    """Exit code for a value that cannot be used."""

    def arg_opts(self, name: str, default: Any, taken_names: set[str]) -> dict[str, Any]:  # noqa: ANN401
        """Describe a parameter to the parser; numbers are read with a plain error."""
        options: dict[str, Any] = super().arg_opts(name, default, taken_names)
        if options.get("kind") is int:
            options["kind"] = _whole_number(name, self.mistake)
        return options

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


class ProofWordTask(WordTask):
    """The same for a proof, where 3 says that a run was not sound."""

    mistake = UsageError.exit_code


def _whole_number(name: str, code: int) -> Callable[[object], int]:
    def read(text: object) -> int:
        try:
            return int(str(text))
        except ValueError:
            message = f"--{name.replace('_', '-')}: {text!r} is not a whole number"
            raise Exit(message, code=code) from None

    return read


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
