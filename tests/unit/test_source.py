"""The inventory's file: chosen, read, merged, and every problem told at once."""

from __future__ import annotations

import string
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rondo.errors import InputError
from rondo.reference import SMALLEST
from rondo.source import Loaded, load, select

if TYPE_CHECKING:
    from pathlib import Path

MINIMUM = "project: shop\nservers:\n  web-1: {address: 203.0.113.10}\n"


def read(folder: Path, text: str | bytes, name: str = "inventory.yaml") -> Loaded:
    data = text if isinstance(text, bytes) else text.encode()
    (folder / name).write_bytes(data)
    return load(f"./{name}", start=folder)


def problems(folder: Path, text: str | bytes, name: str = "inventory.yaml") -> list[str]:
    with pytest.raises(InputError) as caught:
        read(folder, text, name)
    lines = str(caught.value).split("\n")
    if len(lines) > 1:
        assert lines[0] == f"The inventory has {len(lines) - 1} problems:"
        return [line.removeprefix("  ") for line in lines[1:]]
    return lines


def with_service(lines: str, kind: str = "uwsgi") -> str:
    """Return an inventory whose line 7 and the next ones are keys of the service backend."""
    head = f"{MINIMUM}services:\n  backend:\n    kind: {kind}\n"
    return head + "".join(f"    {line}\n" for line in lines.splitlines()) + "    context: backend\n"


SYNTAX = {
    "tab": ("a:\n\tb: 1\n", "line 2, column 1: a tab is used for indentation; use spaces"),
    "tab after spaces": (
        "a:\n  b: 1\n \tc: 1\n",
        "line 3, column 2: a tab is used for indentation; use spaces",
    ),
    "at sign": (
        "a: @x\n",
        "line 1, column 4: a value cannot start with '@'; put the value in quotes",
    ),
    "second colon": (
        "a: b: c\n",
        (
            'line 1, column 5: a second ": " stands here;'
            " put the value in quotes, or mend the indentation"
        ),
    ),
    "indentation": (
        "a:\n  b: 1\n c: 2\n",
        "line 3, column 2: the indentation does not fit the lines above",
    ),
    "open quote": ("a: 'x\n", "line 2, column 1: the quote opened on line 1 is never closed"),
    "no colon": (
        "a: 1\nfoo\nb: 2\n",
        "line 3, column 1: the line before is no key with a value; add a colon to it",
    ),
    "open bracket": (
        "a: [1, 2\nb: 3\n",
        "line 2, column 2: the bracket opened on line 1 is never closed, or a comma is missing",
    ),
    "backslash": (
        'a: "\\q"\n',
        (
            "line 1, column 5: this backslash means nothing in double quotes;"
            " use single quotes, or double it"
        ),
    ),
    "tag handle": ("a: !foo!bar x\n", "line 1, column 4: found undefined tag handle"),
    "control character": (
        "a: 1\nb: \x01\n",
        "line 2: holds the control character U+0001; remove it",
    ),
    "not UTF-8": (
        b"a: 1\nb: caf\xe9\n",
        "line 2: the byte 0xe9 is not UTF-8; save the file as UTF-8",
    ),
    "two documents": (
        "a: 1\n---\nb: 2\n",
        "line 2, column 1: a second document begins; keep one in a file",
    ),
    "empty": ("", "line 1: is empty; begin with `project: NAME`"),
    "comments only": ("# nothing\n", "line 1: is empty; begin with `project: NAME`"),
    "null": ("---\n", "line 1: is empty; begin with `project: NAME`"),
    "list": ("- a\n", "line 1: holds no keys; begin with `project: NAME`"),
    "text": ("hello\n", "line 1: holds no keys; begin with `project: NAME`"),
    "too large": (
        b"# " + b"x" * 1024**2,
        "line 1: inventory.yaml cannot be read: it is larger than 1 MiB",
    ),
}


@pytest.mark.parametrize(("text", "expected"), SYNTAX.values(), ids=SYNTAX.keys())
def test_a_file_that_is_no_yaml_mapping_is_refused_by_line(
    tmp_path: Path, text: str | bytes, expected: str
) -> None:
    assert problems(tmp_path, text) == [f"inventory.yaml {expected}"]


STRUCTURE = {
    "tag": (
        MINIMUM + "settings: !!python/object:os.system x\n",
        "settings (inventory.yaml line 4): has a tag (!); the inventory uses none, remove it",
    ),
    "key that is a mapping": (
        MINIMUM + "settings: {{ x }}\n",
        (
            "settings (inventory.yaml line 4): a key is not plain text;"
            " put text that begins with { [ * & or ! in quotes"
        ),
    ),
    "unknown anchor": (
        MINIMUM + "settings: *x\n",
        "settings (inventory.yaml line 4): *x names no anchor (&x) that ends above it",
    ),
    "anchor within itself": (
        MINIMUM + "settings: &x {a: [*x]}\n",
        "settings.a[0] (inventory.yaml line 4): *x names no anchor (&x) that ends above it",
    ),
    "merged scalar": (
        MINIMUM + "settings: {<<: 3}\n",
        (
            'settings."<<" (inventory.yaml line 4): can only merge mappings;'
            " give an alias such as `<<: *defaults`"
        ),
    ),
    "key given twice": (
        MINIMUM + "project: other\n",
        "project (inventory.yaml line 4): is given twice, first on line 1; keep one",
    ),
    "key given twice below": (
        "project: shop\nservers:\n  web-1:\n    address: a\n    address: b\n",
        "servers.web-1.address (inventory.yaml line 5): is given twice, first on line 4; keep one",
    ),
}


@pytest.mark.parametrize(("text", "expected"), STRUCTURE.values(), ids=STRUCTURE.keys())
def test_what_yaml_allows_and_an_inventory_does_not_is_told_with_its_path(
    tmp_path: Path, text: str, expected: str
) -> None:
    assert problems(tmp_path, text) == [expected]


def test_deep_nesting_ends_in_a_problem(tmp_path: Path) -> None:
    for text in (
        "a: " + "[" * 25 + "]" * 25,
        "[" * 5000,
        "a: " + "[" * 900 + "]" * 900,
        "- " * 2000,
        "a: " + "{b: " * 500,
    ):
        (problem,) = problems(tmp_path, text)
        assert problem.endswith("is nested more than 24 levels deep")


@pytest.mark.parametrize("shape", ["[{}]", "{{{}}}"], ids=["lists", "mappings"])
def test_a_small_file_cannot_mean_a_huge_one(tmp_path: Path, shape: str) -> None:
    text = "x-a: &a {a: 1}\n"
    for above, here in zip(string.ascii_lowercase, string.ascii_lowercase[1:], strict=False):
        parts = [f"*{above}" if shape[0] == "[" else f"k{index}: *{above}" for index in range(9)]
        text += f"x-{here}: &{here} {shape.format(', '.join(parts))}\n"
    (problem,) = problems(tmp_path, text)
    assert problem.endswith("holds more than 20000 values")


WRONG = {
    "too small": ("replicas: 0", "replicas", "0 is not allowed; give 1 to 64"),
    "too large": ("replicas: 65", "replicas", "65 is not allowed; give 1 to 64"),
    "no whole number": (
        "replicas: 1.5",
        "replicas",
        '"1.5" does not fit; give a whole number from 1 to 64',
    ),
    "huge number": (
        "replicas: 99999999999999999999",
        "replicas",
        '"99999999999999999999" is not allowed; give 1 to 64',
    ),
    "empty": (
        "replicas:",
        "replicas",
        "is empty; give a whole number from 1 to 64, or remove the key",
    ),
    "no boolean": ("lazy: maybe", "lazy", '"maybe" does not fit; give true or false'),
    "no number": (
        "limits: {cpus: .nan}",
        "limits.cpus",
        '".nan" does not fit; give a number from 0.01 to 1024',
    ),
    "endless number": (
        "limits: {cpus: inf}",
        "limits.cpus",
        '"inf" is not allowed; give 0.01 to 1024',
    ),
    "no choice": (
        "listen: sock",
        "listen",
        '"sock" is not allowed; did you mean socket? Give one of socket, tcp',
    ),
    "no choice at all": ("listen: [a]", "listen", "a list is not allowed; give one of socket, tcp"),
    "no duration": (
        "drain: 5 minutes",
        "drain",
        '"5 minutes" is not a duration; give one like 500ms, 30s or 5m',
    ),
    "long duration": ("drain: 25h", "drain", '"25h" is not allowed; give 0s to 1d'),
    "negative duration": ("drain: -1", "drain", "-1s is not allowed; give 0s to 1d"),
    "no size": (
        "limits: {memory: big}",
        "limits.memory",
        '"big" is not a size; give one like 512k, 50m or 2g',
    ),
    "bytes for megabytes": (
        "limits: {memory: 512}",
        "limits.memory",
        "512 is not allowed; give 6m to 1024g",
    ),
    "no list": (
        "command: run it",
        "command",
        '"run it" does not fit; give a list like [python, worker.py]',
    ),
    "empty list": (
        "command: []",
        "command",
        "is empty; give a list like [python, worker.py]",
    ),
    "no numbers": ("weights: 3", "weights", "3 does not fit; give a list like [2, 1, 1]"),
    "no list of mappings": (
        "volumes: data",
        "volumes",
        '"data" does not fit; give a list of mappings, each beginning with a dash',
    ),
    "no mapping": (
        "health: /health",
        "health",
        (
            '"/health" does not fit; give a mapping with keys such as'
            " path, status, successes, interval"
        ),
    ),
    "no variables": (
        "environment: [A]",
        "environment",
        "a list does not fit; give a mapping like DJANGO_SETTINGS_MODULE: ...",
    ),
    "no text": ("environment: {A: [1]}", "environment.A", "a list does not fit; give text"),
    "empty text": ("environment: {A: }", "environment.A", "is empty; give text, or remove the key"),
    "key of no form": (
        "environment: {a b: 1}",
        'environment."a b"',
        "this value (not shown) is not a name of a variable; give one like DJANGO_SETTINGS_MODULE",
    ),
    "list item": (
        "volumes: [{source: a, target: /a}, {source: /../b, target: /b}]",
        "volumes[1].source",
        '"/../b" is not a volume (a name, or an absolute path on the server); give one like data',
    ),
    "missing": (
        "volumes: [{source: a}]",
        "volumes[0].target",
        "is missing; give an absolute path like /srv/uploads",
    ),
    "misspelt": ("replica: 3", "replica", "is not a key here; did you mean replicas?"),
    "dashes": (
        "release-command: [a]",
        "release-command",
        "is not a key here; did you mean release_command?",
    ),
    "of another kind": ("output: dist", "output", "is a key of static services only; remove it"),
    "unknown": (
        "build: {colour: red}",
        "build.colour",
        "is not a key here; the keys are args, target",
    ),
}


@pytest.mark.parametrize(("line", "path", "expected"), WRONG.values(), ids=WRONG.keys())
def test_a_wrong_value_is_told_with_what_would_be_right(
    tmp_path: Path, line: str, path: str, expected: str
) -> None:
    text = with_service(line)
    assert problems(tmp_path, text) == [
        f"services.backend.{path} (inventory.yaml line 7): {expected}"
    ]


def test_an_unknown_kind_is_told_with_the_kinds(tmp_path: Path) -> None:
    kinds = "http, static, uwsgi, worker"
    assert problems(tmp_path, with_service("", "uwsg")) == [
        (
            "services.backend.kind (inventory.yaml line 6): "
            f'"uwsg" is not allowed; did you mean uwsgi? Give one of {kinds}'
        )
    ]
    assert problems(tmp_path, MINIMUM + "services:\n  backend:\n    context: b\n") == [
        f"services.backend.kind (inventory.yaml line 5): is missing; give one of {kinds}"
    ]
    assert problems(tmp_path, MINIMUM + "services: {backend: []}\n") == [
        (
            "services.backend (inventory.yaml line 4): a list does not fit;"
            " give a mapping with kind: http or static or uwsgi or worker"
        )
    ]


def test_all_problems_are_told_at_once_in_the_order_of_the_file(tmp_path: Path) -> None:
    text = (
        "servers:\n  Web: {addres: a, port: 0}\nproject: Shop\nsites:\n  shop:\n"
        "    routes: {/a b: x}\n    server_names: []\n"
    )
    name = "lower-case letters, digits and dashes, starting with a letter, up to 30"
    assert problems(tmp_path, text) == [
        f'servers.Web (inventory.yaml line 2): "Web" is not a name ({name}); give one like web-1',
        "servers.Web.addres (inventory.yaml line 2): is not a key here; did you mean address?",
        "servers.Web.port (inventory.yaml line 2): 0 is not allowed; give 1 to 65535",
        f'project (inventory.yaml line 3): "Shop" is not a name ({name}); give one like web-1',
        (
            'sites.shop.routes."/a b" (inventory.yaml line 6): "/a b" is not a path prefix (no ..);'
            " give one like /api/"
        ),
        (
            "sites.shop.server_names (inventory.yaml line 7): is empty;"
            " give a list like [shop.example.com]"
        ),
    ]


def test_a_service_named_like_a_kind_keeps_its_path(tmp_path: Path) -> None:
    text = MINIMUM + "services:\n  uwsgi: {kind: uwsgi, context: a, replicas: 0}\n"
    assert problems(tmp_path, text) == [
        "services.uwsgi.replicas (inventory.yaml line 5): 0 is not allowed; give 1 to 64"
    ]


PLANTED = "pl4nted-s3cret"
LEAKS = {
    "environment": with_service(f'environment: {{PASSWORD: "{PLANTED}\\n"}}'),
    "environment that is a list": with_service(f"environment: [{PLANTED}]"),
    "harmless name": with_service(f'environment: {{PLAIN: "{PLANTED}\\n"}}'),
    "secret given as text": with_service(f"secrets: {{db: {PLANTED}}}"),
    "secret's file": with_service(f'secrets: {{db: {{file: "{PLANTED}\\n"}}}}'),
    "private key": MINIMUM + f'sites: {{s: {{tls: {{key: "{PLANTED}\\n"}}}}}}\n',
    "header": MINIMUM + f"sites: {{s: {{headers: {{X-A: $ {PLANTED}}}}}}}\n",
    "URL": MINIMUM + f'settings: {{build: {{mirrors: {{pypi: "https://me:{PLANTED}@a b"}}}}}}\n',
    "unknown key": MINIMUM + f"password: {PLANTED}\n",
    "syntax": MINIMUM + f"password: @{PLANTED}\n",
    "duplicate": with_service(f"environment: {{A: {PLANTED}, A: {PLANTED}}}"),
}


@pytest.mark.parametrize("text", LEAKS.values(), ids=LEAKS.keys())
def test_a_problem_never_tells_a_secret(tmp_path: Path, text: str) -> None:
    with pytest.raises(InputError) as caught:
        read(tmp_path, text)
    assert PLANTED not in str(caught.value)
    assert caught.value.__context__ is None


def test_text_stays_what_was_written(tmp_path: Path) -> None:
    text = with_service(
        "environment: {A: on, B: 1.20, C: 022, D: 0x1F, E: 1_000, F: 2024-01-01, G: no,"
        " H: 12:30:00,"
        ' I: 7, J: "", K: "null", L: .inf, M: -0, N: 1e3}\npython: 3.10\nlazy: off\n'
        "threads: 010\nharakiri: 1.5\nstop_grace: 90"
    )
    service = read(tmp_path, text).inventory.services["backend"]
    written = "A on,B 1.20,C 022,D 0x1F,E 1_000,F 2024-01-01,G no,H 12:30:00,I 7,J ,K null,L .inf"
    assert service.environment == {
        **dict(pair.split(" ") for pair in written.split(",")),
        "M": "-0",
        "N": "1e3",
    }
    assert (service.python, service.lazy, service.threads) == ("3.10", False, 10)
    assert (service.harakiri, service.stop_grace) == (1.5, 90)


def test_durations_and_sizes_are_read_in_their_units(tmp_path: Path) -> None:
    text = with_service("drain: 1m\nhealth: {interval: 250ms}\nlimits: {memory: 2G}")
    service = read(tmp_path, text).inventory.services["backend"]
    assert (service.drain, service.health.interval) == (60, 0.25)
    assert service.limits.memory == 2 * 1024**3


def test_anchors_and_merge_keys_are_followed(tmp_path: Path) -> None:
    text = (
        "project: shop\nx-server: &server {address: a.example, port: 2222, user: root}\n"
        "x-other: &other {user: deploy, groups: [web]}\n"
        "servers:\n  web-1: *server\n  web-2:\n    <<: [*other, *server]\n    port: 99999\n"
    )
    assert problems(tmp_path, text) == [
        "servers.web-2.port (inventory.yaml line 8): 99999 is not allowed; give 1 to 65535"
    ]
    text = text.replace("99999", "22").replace("web-2:\n", "web-2:\n    address: b.example\n")
    servers = read(tmp_path, text).inventory.servers
    assert (servers["web-1"].port, servers["web-1"].user) == (2222, "root")
    assert (servers["web-2"].address, servers["web-2"].user) == ("b.example", "deploy")


def test_an_extending_file_changes_deletes_and_replaces(tmp_path: Path) -> None:
    (tmp_path / "inventory.yaml").write_text(
        SMALLEST.replace(
            "    kind: uwsgi\n", "    kind: uwsgi\n    weights: [1, 2, 3]\n    threads: 4\n"
        )
    )
    loaded = read(
        tmp_path,
        "extends: inventory.yaml\nservices:\n  backend:\n    threads: null\n    weights: [5]\n"
        "    replicas: 1\nsites: {shop: {tls: ~}}\n",
        "inventory.staging.yaml",
    )
    backend = loaded.inventory.services["backend"]
    assert (backend.threads, backend.weights, backend.replicas) == (2, (5,), 1)
    assert backend.module == "shop.wsgi:application"
    assert loaded.inventory.sites["shop"].tls is None
    assert str(loaded.place("services", "backend", "weights")) == "inventory.staging.yaml line 5"
    assert str(loaded.place("services", "backend", "module")) == "inventory.yaml line 11"
    assert str(loaded.place("services", "backend", "drain")) == "inventory.staging.yaml line 3"
    assert loaded.lines["services", "backend", "module"] == 11
    assert loaded.root == tmp_path


def test_an_empty_key_deletes_nothing_by_mistake(tmp_path: Path) -> None:
    (tmp_path / "inventory.yaml").write_text(SMALLEST)
    text = "extends: inventory.yaml\nservices:\n  backend:\n    module:\n"
    assert problems(tmp_path, text, "inventory.staging.yaml") == [
        (
            "services.backend.module (inventory.staging.yaml line 4): is empty;"
            " give a WSGI callable like shop.wsgi:application, or remove the key"
        )
    ]


def test_a_problem_names_the_file_that_holds_it(tmp_path: Path) -> None:
    (tmp_path / "base").mkdir()
    (tmp_path / "base" / "main.yaml").write_text(MINIMUM + "settings: {keep_releases: 0}\n")
    text = "extends: base/main.yaml\nservers: {web-1: {port: 0}}\n"
    assert problems(tmp_path, text) == [
        "settings.keep_releases (base/main.yaml line 4): 0 is not allowed; give 1 to 100",
        "servers.web-1.port (inventory.yaml line 2): 0 is not allowed; give 1 to 65535",
    ]


EXTENDS = {
    "itself": (
        "extends: inventory.yaml\n",
        "leads back to inventory.yaml, so that the files extend each other in a circle",
    ),
    "missing": ("extends: base.yaml\n", "base.yaml cannot be read: there is no such file"),
    "folder": ("extends: .\n", ". cannot be read: it is no file"),
}


@pytest.mark.parametrize(("text", "expected"), EXTENDS.values(), ids=EXTENDS.keys())
def test_a_base_that_cannot_be_read_is_told_where_it_is_named(
    tmp_path: Path, text: str, expected: str
) -> None:
    assert problems(tmp_path, text) == [f"extends (inventory.yaml line 1): {expected}"]


def test_two_files_cannot_extend_each_other(tmp_path: Path) -> None:
    (tmp_path / "other.yaml").write_text("extends: inventory.yaml\n")
    assert problems(tmp_path, "extends: other.yaml\n") == [
        (
            "extends (other.yaml line 1): leads back to inventory.yaml,"
            " so that the files extend each other in a circle"
        )
    ]


def test_the_file_is_chosen_by_selection_variable_or_default(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("inventory.yaml", "inventory.staging.yaml", "other.yaml"):
        (tmp_path / name).write_text(MINIMUM)
    monkeypatch.delenv("RONDO_INVENTORY", raising=False)
    assert select(None, tmp_path).name == "inventory.yaml"
    assert select("staging", tmp_path).name == "inventory.staging.yaml"
    assert select("other.yaml", tmp_path) == tmp_path / "other.yaml"
    monkeypatch.setenv("RONDO_INVENTORY", "staging")
    assert select(None, tmp_path).name == "inventory.staging.yaml"
    assert select("./other.yaml", tmp_path) == tmp_path / "other.yaml"
    monkeypatch.chdir(tmp_path)
    assert load().path == tmp_path / "inventory.staging.yaml"


def test_a_file_that_is_not_there_is_told_with_those_that_are(tmp_path: Path) -> None:
    (tmp_path / "inventory.yaml").write_text(MINIMUM)
    (tmp_path / "inventory.staging.yaml").write_text(MINIMUM)
    with pytest.raises(InputError, match=r"did you mean inventory\.staging\.yaml\?"):
        load("stagin", start=tmp_path)
    with pytest.raises(InputError, match=r"there are inventory\.staging\.yaml, inventory\.yaml"):
        load("production", start=tmp_path)
    with pytest.raises(InputError, match=r"go to the folder that holds it"):
        load("other", start=tmp_path / "empty")


documents = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["project", "servers", "a", "kind", ""]), inner, max_size=3
        )
    ),
    max_leaves=5,
)
quick = settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def survives(folder: Path, text: str) -> None:
    told = ""
    try:
        read(folder, text)
    except InputError as error:
        told = str(error)
    assert "Input should" not in told, "pydantic's own words came through"


@quick
@given(st.text(alphabet=":-[]{}&*!|>'\"\\#,?%@` \n\tab<~\x00\ufeff\x85é"))
def test_any_text_is_read_or_refused(tmp_path: Path, text: str) -> None:
    survives(tmp_path, text)


@quick
@given(documents)
def test_any_document_is_read_or_refused(tmp_path: Path, document: object) -> None:
    survives(tmp_path, yaml.safe_dump(document, allow_unicode=True))


def paths_of(value: object, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    pairs = value.items() if isinstance(value, dict) else ()
    pairs = enumerate(value) if isinstance(value, list) else pairs
    return [path] * bool(path) + [
        below for key, inner in pairs for below in paths_of(inner, (*path, key))
    ]


FULL: dict[str, Any] = yaml.safe_load(
    SMALLEST.replace(
        "module:", "limits: {memory: 1g}\n    volumes: [{source: a, target: /a}]\n    module:"
    )
)


@quick
@given(st.sampled_from(paths_of(FULL)), documents)
def test_a_valid_inventory_with_any_part_exchanged_is_read_or_refused(
    tmp_path: Path, path: tuple[Any, ...], document: object
) -> None:
    changed = yaml.safe_load(yaml.safe_dump(FULL))
    parent = changed
    for key in path[:-1]:
        parent = parent[key]
    parent[path[-1]] = document
    survives(tmp_path, yaml.safe_dump(changed, allow_unicode=True))
