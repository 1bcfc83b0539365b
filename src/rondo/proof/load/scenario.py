"""What a user asks for next, and whether the answer is right. Pure but for drawn numbers."""

from __future__ import annotations

import json
import random
import re
import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from rondo.proof.load.pages import assets_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from pydantic import JsonValue

    from rondo.proof.brief import Brief, StepPlan

BRACES: Final = re.compile(r"\{([a-z][a-z0-9_:.-]*)\}")
NUMBER: Final = re.compile(r"number:([0-9]{1,15}):([0-9]{1,15})")
BUILT_IN: Final = frozenset({"uuid", "user", "run"})

_UNPRINTABLE = dict.fromkeys(range(32))
_ANYTHING = "*"


class MissingError(Exception):
    """An answer does not hold what was to be saved of it."""


class Values:
    """What stands for {braces}: built-in names, and what was saved of answers."""

    __slots__ = ("_uuid", "random", "run", "saved", "user")

    def __init__(self, run: str, user: int) -> None:
        self.run = run
        self.user = user
        self.random = random.Random(f"{run} {user}")  # noqa: S311 - so that a run can be repeated
        self.saved: dict[str, JsonValue] = {}
        self._uuid = ""

    def next_request(self) -> None:
        """Forget the identifier of the request before."""
        self._uuid = ""

    def __getitem__(self, name: str) -> JsonValue:
        if name in self.saved:
            return self.saved[name]
        if name == "uuid":
            self._uuid = self._uuid or str(uuid.UUID(int=self.random.getrandbits(128), version=4))
            return self._uuid
        if match := NUMBER.fullmatch(name):
            return self.random.randint(int(match[1]), int(match[2]))
        return self.user if name == "user" else self.run


def names_in(value: JsonValue) -> Iterator[str]:
    """Yield the names that stand in braces in a text, or in the texts of a JSON value."""
    if isinstance(value, str):
        yield from BRACES.findall(value)
    elif isinstance(value, dict):
        for part in value.values():
            yield from names_in(part)
    elif isinstance(value, list):
        for part in value:
            yield from names_in(part)


def filled(text: str, values: Values, escape: Callable[[str], str] = str) -> str:
    """Put values in the place of {braces}."""
    if "{" not in text:
        return text
    return BRACES.sub(lambda match: escape(_text(values[match[1]])), text)


def filled_json(value: JsonValue, values: Values) -> JsonValue:
    """Fill the texts of a JSON value; one that is nothing but {braces} becomes what it names."""
    if isinstance(value, str):
        whole = BRACES.fullmatch(value)
        return values[whole[1]] if whole else filled(value, values)
    if isinstance(value, dict):
        return {name: filled_json(part, values) for name, part in value.items()}
    if isinstance(value, list):
        return [filled_json(part, values) for part in value]
    return value


def in_path(text: str) -> str:
    """Quote a value for a path or a query."""
    return quote(text, safe="")


def in_header(text: str) -> str:
    """Drop what would end a header."""
    return text.translate(_UNPRINTABLE)


def _text(value: JsonValue) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def picked(data: JsonValue, path: str, chance: random.Random) -> JsonValue:
    """Follow a dotted path into a JSON answer; * is any one element."""
    for part in path.split("."):
        if part == _ANYTHING and isinstance(data, dict | list) and data:
            data = chance.choice(list(data.values()) if isinstance(data, dict) else data)
        elif isinstance(data, dict) and part in data:
            data = data[part]
        elif isinstance(data, list) and part.isdecimal() and int(part) < len(data):
            data = data[int(part)]
        else:
            raise MissingError(f"the answer has no {path}")
    return data


def wrong(plan: StepPlan, status: int, body: Callable[[], bytes]) -> str:
    """Say what is wrong with an answer; nothing if it is as expected."""
    if plan.status is None and not 200 <= status <= 299:
        return f"{plan.name}: {status} instead of 2xx"
    if plan.status is not None and status != plan.status:
        return f"{plan.name}: {status} instead of {plan.status}"
    if plan.contains is not None and plan.contains.encode() not in body():
        return f"{plan.name}: the answer does not contain {plan.contains!r}"
    return ""


@dataclass(frozen=True, slots=True)
class Ask:
    """One request to make."""

    step: int
    path: str = ""
    """Of an asset; otherwise the step's."""


@dataclass(slots=True)
class Journey:
    """One user's way through the steps of its scenario, over and over, each time as a new visitor.

    Where a step needs what no answer has brought yet, the step that brings it is asked first.
    """

    brief: Brief
    steps: Sequence[int]
    values: Values
    _next: int = 0
    _assets: list[Ask] = field(default_factory=list)
    _needs: Mapping[int, frozenset[str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        # Users begin anywhere, or all of them would walk in step.
        self._next = self.values.random.randrange(len(self.steps))
        self._needs = {step: needed(self.brief.steps[step]) for step in self.steps}

    def ask(self) -> tuple[Ask, bool]:
        """Say what to ask for now, and whether a new visitor begins with it."""
        self.values.next_request()
        if self._assets:
            return self._assets.pop(), False
        wanted = self.steps[self._next]
        begins = self._next == 0
        if begins:
            self.values.saved.clear()
        step = self._possible(wanted)
        if step == wanted:
            self._next = (self._next + 1) % len(self.steps)
        return Ask(step), begins

    def _possible(self, step: int) -> int:
        """Return the step, or the one that must come before it."""
        for name in self._needs[step]:
            if name not in self.values.saved:
                return self._possible(self._provider(name, step))
        return step

    def _provider(self, name: str, step: int) -> int:
        before = self.steps[: self.steps.index(step)]
        return next(each for each in reversed(before) if name in self.brief.steps[each].save)

    def learn(self, ask: Ask, body: Callable[[], bytes]) -> str:
        """Keep what a right answer brings; say what it lacks."""
        plan = self.brief.steps[ask.step]
        if plan.assets is not None:
            found = assets_of(ask.path, body())
            self._assets = [Ask(plan.assets, path) for path in reversed(found)]
        if not plan.save:
            return ""
        try:
            data = json.loads(body())
            found_values = {
                name: picked(data, path, self.values.random) for name, path in plan.save.items()
            }
        except ValueError:
            return f"{plan.name}: the answer is no JSON"
        except MissingError as error:
            return f"{plan.name}: {error}"
        self.values.saved.update(found_values)
        return ""


def needed(plan: StepPlan) -> frozenset[str]:
    """Return the names that a step takes from earlier answers."""
    names = {*names_in(plan.path), *names_in(plan.body)}
    for value in plan.headers.values():
        names.update(names_in(value))
    return frozenset(name for name in names if name not in BUILT_IN and not NUMBER.fullmatch(name))
