"""The documents against the code: links, commands, inventories, tables and messages are true."""

from __future__ import annotations

import ast
import importlib.util
import inspect
import re
import shlex
import subprocess
import sys
import textwrap
import xml.etree.ElementTree as ET
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import fabric.main
import invoke.main
import pytest
from invoke import Collection
from invoke.parser import ParseError, Parser

from rondo import errors, fab, plan
from rondo.layout import Layout
from rondo.source import load

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
READMES = ("README.md", "README.zh-CN.md")
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^)\s]+)\)")
HEADING = re.compile(r"^(#{1,6}) (.+)$", re.MULTILINE)
INLINE = re.compile(r"`([^`\n]+)`")


def text_of(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def documents() -> list[str]:
    """Every Markdown file that is, or is about to be, part of the repository."""
    words = ("git", "ls-files", "--cached", "--others", "--exclude-standard", "*.md")
    listed = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return sorted(name for name in listed.splitlines() if (ROOT / name).exists())


DOCUMENTS = documents()


def prose(text: str) -> str:
    """Return a document without its fenced blocks."""
    return FENCE.sub("", text)


def anchors(text: str) -> set[str]:
    """Return the anchors that GitHub makes of the headings."""
    plain = (
        re.sub(r"[`*]", "", title).strip().lower() for _, title in HEADING.findall(prose(text))
    )
    return {re.sub(r"[^\w\- ]", "", title).replace(" ", "-") for title in plain}


def section(text: str, title: str) -> str:
    """Return what stands under a heading, up to the next one of the same depth."""
    found = re.search(
        rf"^(#+) {re.escape(title)}\n(.*?)(?=^\1 |\Z)", text, re.MULTILINE | re.DOTALL
    )
    assert found, title
    return found[2]


def first_column(table: str) -> list[str]:
    """Return the first cells of a table, without its head."""
    rows = [line for line in table.splitlines() if line.startswith("|")]
    return [re.split(r"(?<!\\)\|", row)[1].strip().strip("`") for row in rows[2:]]


@pytest.mark.parametrize("name", DOCUMENTS)
def test_every_relative_link_leads_somewhere(name: str) -> None:
    """Files exist, and so do the headings that a link names."""
    broken = []
    for target in LINK.findall(INLINE.sub("", prose(text_of(name)))):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        file = (ROOT / name).parent / path if path else ROOT / name
        if not file.exists() or (anchor and anchor not in anchors(file.read_text("utf-8"))):
            broken.append(target)
    assert not broken


def test_both_readmes_have_the_same_parts() -> None:
    """Headings, code blocks, links, table rows and commands agree between the languages."""
    english, chinese = map(text_of, READMES)
    depths = [
        [len(marks) for marks, _ in HEADING.findall(prose(each))] for each in (english, chinese)
    ]
    assert depths[0] == depths[1]
    assert FENCE.findall(english) == FENCE.findall(chinese)
    links = [
        [each for each in LINK.findall(text) if each not in READMES] for text in (english, chinese)
    ]
    assert links[0] == links[1]
    rows = [
        [line.count("|") for line in text.splitlines() if line.startswith("|")]
        for text in (english, chinese)
    ]
    assert rows[0] == rows[1]
    assert set(INLINE.findall(prose(english))) == set(INLINE.findall(prose(chinese)))


@cache
def collection(program: str) -> Collection:
    """Load what `fab` or `inv` would load."""
    path = ROOT / ("fabfile/__init__.py" if program == "fab" else "tasks.py")
    name = f"documented_{program}"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return Collection.from_module(module)


def parse(words: list[str]) -> None:
    """Read a command line as `fab` or `inv` would; a task alone, as in prose, must be there."""
    program = {"fab": fabric.main.program, "inv": invoke.main.program}[words[0]]
    with pytest.MonkeyPatch.context() as typed:
        # Whether a word stands behind a task's name is looked up in what was typed.
        typed.setattr(sys, "argv", words)
        contexts = collection(words[0]).to_contexts()
    if len(words) == 2 and words[1] in {context.name for context in contexts}:
        return
    parser = Parser(contexts=contexts, initial=program.initial_context)
    parser.parse_argv(words[1:])


def commands(text: str) -> Iterator[str]:
    """Yield every command line of a document: in blocks, at a line's begin; or inline."""
    for kind, block in FENCE.findall(text):
        if kind in {"sh", "console"}:
            yield from (line.removeprefix("$ ") for line in block.splitlines())
    yield from INLINE.findall(prose(text))


def documented(*programs: str) -> list[tuple[str, str]]:
    pairs = ((name, line) for name in DOCUMENTS for line in commands(text_of(name)))
    return sorted(
        {(name, line) for name, line in pairs if line.split(" ")[0] in programs and " " in line}
    )


@pytest.mark.parametrize(("name", "line"), documented("fab", "inv"))
def test_every_command_and_option_in_the_documents_exists(name: str, line: str) -> None:
    """`fab` and `inv` themselves read each command line that is shown."""
    words = shlex.split(re.split(r"\s*\\?\||\s+#", line)[0])
    try:
        parse(words)
    except ParseError as error:
        pytest.fail(f"{name}: {line}: {error}")


def python_texts(path: Path) -> Iterator[str]:
    """Yield the strings of a module as they are written, each inserted value as an ellipsis."""
    inner: set[int] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.JoinedStr):
            parts = [each.value if isinstance(each, ast.Constant) else "…" for each in node.values]
            inner.update(id(each) for each in node.values)
            yield "".join(map(str, parts))
        elif (
            isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in inner
        ):
            yield node.value


@cache
def texts() -> tuple[str, ...]:
    """Return all that Rondo, or Invoke's parser on its behalf, can say."""
    source = ROOT / "src" / "rondo"
    python = [*source.rglob("*.py"), Path(inspect.getfile(Parser))]
    others = [*source.rglob("*.sh"), *(ROOT / "templates").rglob("*.j2")]
    said = [text for path in python for text in python_texts(path)]
    return (*said, *(line for path in others for line in path.read_text("utf-8").splitlines()))


def advised() -> list[str]:
    """Return the commands that messages tell operators to run."""
    command = re.compile(r"(?<![\w./-])(?:fab|inv)(?: -H …)? [a-z][a-z.]*(?: --?[a-z]+(?: …)?)*")
    return sorted({found for text in texts() for found in command.findall(text)})


@pytest.mark.parametrize("line", advised())
def test_every_command_that_a_message_advises_exists(line: str) -> None:
    """A remedy that fails is worse than none."""
    parse(line.split(" "))


def test_a_command_that_does_not_exist_is_noticed() -> None:
    """The check above can fail: on a task, on an option."""
    for words in (["fab", "polish"], ["fab", "deploy", "--now"], ["inv", "hosts.greet"]):
        with pytest.raises(ParseError):
            parse(words)


@pytest.mark.parametrize(("name", "line"), documented("make"))
def test_every_make_target_in_the_documents_exists(name: str, line: str) -> None:
    """`make TARGET` means a target of the Makefile."""
    targets = set(re.findall(r"^([a-z0-9]+):", text_of("Makefile"), re.MULTILINE))
    words = [
        word for word in line.removeprefix("make -C rondo").removeprefix("make").split() if word
    ]
    assert set(words) <= targets, name


def inventories(name: str) -> list[str]:
    return [block for kind, block in FENCE.findall(text_of(name)) if kind == "yaml"]


@pytest.mark.parametrize("name", ["README.md", "docs/tutorial.md", "docs/inventory.md"])
def test_every_inventory_in_the_documents_is_valid(name: str, tmp_path: Path) -> None:
    """The first is whole, the others extend it."""
    first, *others = inventories(name)
    (tmp_path / "inventory.yaml").write_text(first, encoding="utf-8")
    assert load(start=tmp_path).inventory.sites
    for number, other in enumerate(others):
        assert "extends: inventory.yaml" in other
        (tmp_path / f"inventory.n{number}.yaml").write_text(other, encoding="utf-8")
        assert load(f"n{number}", start=tmp_path).inventory.project == "shop"


def test_the_smallest_inventory_is_small_and_the_same_everywhere() -> None:
    """All that show one begin with the same inventory of some fifteen lines."""
    smallest = inventories("README.md")[0]
    assert inventories("docs/tutorial.md")[0] == inventories("docs/inventory.md")[0] == smallest
    assert len(smallest.splitlines()) <= 16


def kinds(parent: type[errors.RondoError]) -> Iterator[type[errors.RondoError]]:
    yield parent
    for child in parent.__subclasses__():
        yield from kinds(child)


def test_the_table_of_exit_codes_is_that_of_the_code() -> None:
    """No code is missing, none is made up."""
    told = [int(code) for code in first_column(section(text_of("docs/deploy.md"), "Exit codes"))]
    declared = {kind.exit_code for kind in kinds(errors.RondoError)}
    declared |= {errors.EXIT_DONE, errors.EXIT_FAILED, errors.EXIT_CHANGES}
    declared |= {fab.EXIT_FAULT, fab.EXIT_PIPE}
    assert told == sorted(declared)


def test_the_table_of_phases_is_that_of_the_plan() -> None:
    """In the order in which a deploy takes them."""
    told = first_column(section(text_of("docs/deploy.md"), "The phases"))
    taken = re.findall(
        r'yield (?:_phase\(\s*"([a-z ]+)"|(roll|settle)_phase)', inspect.getsource(plan)
    )
    assert told == ["".join(names) for names in taken]


def test_the_table_of_paths_is_that_of_the_layout() -> None:
    """Every path of a server that Rondo owns is told."""
    told = set(first_column(section(text_of("docs/deploy.md"), "What lies where on a server")))
    layout = Layout("PROJECT")
    given = {"slot_socket": ("SLOT",), "instance": ("SLOT", "INSTANCE"), "certificate": ("SITE",)}
    given |= {"private_key": ("SITE",), "context": ("SERVICE",), "environment": ("DIGEST",)}
    given |= {"container_logs": ("SLOT",)}
    for name in vars(Layout):
        if name.startswith("_") or name in {"project", "network"}:
            continue
        value = getattr(layout, name)
        assert (value(*given[name]) if callable(value) else value) in told, name


def messages() -> list[str]:
    titles = (title for _, title in HEADING.findall(prose(text_of("docs/troubleshooting.md"))))
    return [message for title in titles for message in INLINE.findall(title) if " " in message]


@pytest.mark.parametrize("message", messages())
def test_every_message_in_troubleshooting_is_one_that_rondo_gives(message: str) -> None:
    """Text that was reworded in the code is reworded there, too."""
    if message.startswith("fab "):
        return
    pattern = re.compile(".*".join(map(re.escape, message.strip("… ").split("…"))), re.DOTALL)
    assert any(pattern.search(text) for text in texts())


@pytest.mark.parametrize("name", [*DOCUMENTS, "docs/architecture.svg"])
def test_no_document_names_a_folder_of_the_machine_it_was_written_on(name: str) -> None:
    """Only paths of servers and relative ones."""
    assert not re.search(r"(?<![\w.])/(work|tmp|home|root)/", text_of(name))


def test_the_drawing_is_sound_and_follows_the_readers_colours() -> None:
    """It parses, tells screen readers what it shows, and has a dark form."""
    drawing = ET.fromstring(text_of("docs/architecture.svg"))  # noqa: S314 - our own file
    names = {child.tag.rpartition("}")[2] for child in drawing}
    assert {"title", "desc", "style"} <= names
    assert "prefers-color-scheme: dark" in textwrap.dedent(text_of("docs/architecture.svg"))
