"""What a `.dockerignore` leaves out of a build context, decided as Docker itself decides.

The rules, oddities included, are those of the `patternmatcher` that Docker's client and BuildKit
share: the last pattern that matches wins, and what matched a folder holds for all inside it.
"""

from __future__ import annotations

import posixpath
import re
from dataclasses import dataclass
from itertools import groupby

from rondo.errors import InputError

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_CLASS_CHARACTER = r"(?:\\.|[^\\\]-])"
_SYNTAX = re.compile(
    rf"(?:[^\\\[]|\\.|\[\^?(?:{_CLASS_CHARACTER}(?:-{_CLASS_CHARACTER})?)+\])*", re.DOTALL
)
_SPECIAL = re.compile(r"[*?\[\]\\^{|]")
_TOKEN = re.compile(r"\*\*/?|\*|\?|\\.|\{\d+(?:,\d*)?\}|.", re.DOTALL)
_ANYTHING = "(?s:.*)"

Inherited = tuple[bool, ...]
"""For each run of rules, whether one of them matched a folder above."""


@dataclass(frozen=True, slots=True)
class _Run:
    """Neighbouring patterns of one sign, as one regular expression."""

    keeps: bool
    matcher: re.Pattern[str]
    prefixes: tuple[str, ...]

    def may_match_inside(self, folder: str) -> bool:
        """Tell whether a path below the folder could match."""
        inside = folder + "/"
        return any(
            inside.startswith(prefix) or prefix.startswith(inside) for prefix in self.prefixes
        )


@dataclass(frozen=True, slots=True)
class Rules:
    """The patterns of one file, in order."""

    runs: tuple[_Run, ...] = ()

    @property
    def nothing_inherited(self) -> Inherited:
        """What the entries of the top folder inherit."""
        return (False,) * len(self.runs)

    def judge(self, path: str, inherited: Inherited) -> tuple[bool, Inherited]:
        """Decide whether a path is left out, and what its own entries inherit."""
        left_out = False
        matches = []
        for run, above in zip(self.runs, inherited, strict=True):
            match = above or (run.keeps == left_out and run.matcher.match(path) is not None)
            matches.append(match)
            if match:
                left_out = not run.keeps
        return left_out, tuple(matches)

    def may_keep_inside(self, folder: str, matches: Inherited) -> bool:
        """Tell whether a later negation could bring back something in a folder left out."""
        for run, match in zip(reversed(self.runs), reversed(matches), strict=True):
            if match and not run.keeps:
                return False
            if run.keeps and run.may_match_inside(folder):
                return True
        return False

    def leaves_out(self, path: str) -> bool:
        """Decide about one path, the folders above it considered."""
        inherited = self.nothing_inherited
        left_out = False
        parts = path.split("/")
        for end in range(1, len(parts) + 1):
            left_out, inherited = self.judge("/".join(parts[:end]), inherited)
        return left_out


def parse(content: bytes, name: str) -> Rules:
    """Read a `.dockerignore`; the name is for the messages about patterns that are wrong."""
    lines = content.removeprefix(_BYTE_ORDER_MARK).split(b"\n")
    found = [
        (number, pattern)
        for number, line in enumerate(lines, start=1)
        if (pattern := _pattern(line.decode("utf-8", "surrogateescape")))
    ]
    problems = [problem for number, text in found if (problem := _problem(text, number, name))]
    if problems:
        raise InputError("\n".join(problems))
    patterns = [text for _, text in found]
    runs = groupby(patterns, key=lambda text: text.startswith("!"))
    return Rules(
        tuple(_run(keeps, [text.removeprefix("!") for text in run]) for keeps, run in runs)
    )


def _run(keeps: bool, patterns: list[str]) -> _Run:  # noqa: FBT001 - the sign, not a switch
    patterns = [
        pattern[1:] if keeps and pattern.startswith("!!") else pattern for pattern in patterns
    ]
    matcher = re.compile("|".join(f"(?:{_expression(text)})" for text in patterns), re.ASCII)
    return _Run(keeps, matcher, tuple(_literal_prefix(text) for text in patterns))


def _pattern(line: str) -> str:
    """Bring a line to the form `path` or `!path`, cleaned; empty for comments and blank lines."""
    text = "" if line.startswith("#") else line.strip()
    negated = text.startswith("!")
    text = text[1:].strip() if negated else text
    if text:
        text = posixpath.normpath(re.sub(r"^/+", "/", text))
        text = text[1:] if len(text) > 1 and text.startswith("/") else text
    return "!" + text if negated else text


def _problem(pattern: str, number: int, name: str) -> str | None:
    if pattern == "!":
        return f"{name} (line {number}): ! alone excludes nothing; write !PATTERN"
    text = pattern.removeprefix("!")
    try:
        valid = _SYNTAX.fullmatch(text) and re.compile(_expression(text), re.ASCII)
    except re.error:
        valid = None
    if valid:
        return None
    return f"{name} (line {number}): {pattern!r} is no pattern; escape a literal [ or \\ with \\"


def _literal_prefix(pattern: str) -> str:
    """Give the start that every match has; a | makes Docker match anywhere."""
    return "" if "|" in pattern else _SPECIAL.split(pattern, maxsplit=1)[0]


def _expression(pattern: str) -> str:
    """Translate a pattern to a regular expression for `match`."""
    if not _SPECIAL.search(pattern.replace("^", "").replace("{", "").replace("|", "")):
        return re.escape(pattern) + r"\Z"
    inner = pattern.replace("**", "", 1)
    plain = not re.search(r"[*?\[\]\\]", inner)
    if plain and pattern.startswith("**"):
        return _suffix(pattern[2:])
    if plain and pattern.endswith("**"):
        return re.escape(pattern[:-2])
    return _translated(pattern)


def _suffix(text: str) -> str:
    """Match `**text`: what ends so; `**/text` also at the top."""
    if text.startswith("/"):
        return rf"(?:{_ANYTHING}/)?{re.escape(text[1:])}\Z"
    return rf"{_ANYTHING}{re.escape(text)}\Z"


def _translated(pattern: str) -> str:
    tokens = _TOKEN.findall(pattern)
    translated = [_token(text, last=at == len(tokens) - 1) for at, text in enumerate(tokens)]
    expression = _without_nested_classes("".join(translated)) + r"\Z"
    # Docker does not escape |, so that its halves are anchored at one end each.
    return f"{_ANYTHING}(?:^{expression})" if "|" in pattern else expression


def _token(text: str, *, last: bool) -> str:
    match text:
        case "**" | "**/":
            return ".*" if last else "(.*/)?"
        case "*":
            return "[^/]*"
        case "?":
            return "[^/]"
        case "." | "+" | "(" | ")" | "$" | "{":
            return "\\" + text
        case _:
            return text


def _without_nested_classes(expression: str) -> str:
    """Escape in character classes what only Python would take for an operator."""
    parts = []
    inside = False
    for part in re.findall(r"\\.|.", expression, re.DOTALL):
        parts.append("\\" + part if inside and part in "[&|~" else part)
        inside = part == "[" or (inside and part != "]")
    return "".join(parts)
