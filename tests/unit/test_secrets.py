"""Secret values: where they come from, and that nobody sees them who should not."""

from __future__ import annotations

import base64
import copy
import json
import pickle
import sys
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rondo import secrets
from rondo.errors import InputError
from rondo.inventory import Secret
from rondo.redaction import Redactor
from rondo.secrets import SecretValue, environment_files, redact, resolve

if TYPE_CHECKING:
    from collections.abc import Callable

PLANTED = "planted-5ecret/ü+ 'x'"
VALUE = SecretValue(PLANTED.encode())


def python(code: str) -> tuple[str, ...]:
    return (sys.executable, "-S", "-c", code)


def resolve_one(secret: Secret, root: Path = Path()) -> bytes:
    return resolve({"it": secret}, root)["it"].reveal()


def problem_of(secret: Secret, root: Path = Path()) -> str:
    with pytest.raises(InputError) as caught:
        resolve({"it": secret}, root)
    shown = traceback.TracebackException.from_exception(caught.value, capture_locals=True)
    assert PLANTED not in "".join(shown.format())
    return str(caught.value)


@dataclass(frozen=True, slots=True)
class Holder:
    value: SecretValue


@pytest.mark.parametrize(
    "show",
    [
        repr,
        str,
        "{}".format,
        "{!r:>40}".format,
        lambda value: f"{value:x}",
        lambda value: "%s" % value,  # noqa: UP031
        lambda value: repr(Holder(value)),
        lambda value: repr({"a": [value]}),
        lambda value: repr(copy.deepcopy(Holder(value))),
        lambda value: str(dir(value)),
    ],
)
def test_a_value_never_shows_itself(show: Callable[[object], str]) -> None:
    assert "planted" not in show(VALUE)


@pytest.mark.parametrize("store", [pickle.dumps, copy.copy, json.dumps, vars])
def test_a_value_is_not_stored(store: Callable[[object], object]) -> None:
    if store is copy.copy:
        assert store(VALUE) is VALUE
        return
    with pytest.raises(TypeError) as caught:
        store(VALUE)
    assert "planted" not in str(caught.value)


def test_values_are_compared_by_what_they_hold_and_hash_alike() -> None:
    other = SecretValue(b"other")
    assert SecretValue(PLANTED.encode()) == VALUE
    assert other != VALUE
    assert VALUE != PLANTED
    assert hash(other) == hash(VALUE)


def test_tracebacks_with_local_variables_do_not_show_values() -> None:
    def fail(value: SecretValue) -> None:
        raise InputError(f"cannot use {value}")

    with pytest.raises(InputError) as caught:
        fail(VALUE)
    shown = traceback.TracebackException.from_exception(caught.value, capture_locals=True)
    text = "".join(shown.format())
    assert "value = ***" in text
    assert PLANTED not in text


def test_a_value_comes_from_a_variable_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RONDO_TEST", PLANTED + "\n")
    assert resolve_one(Secret(env="RONDO_TEST")) == PLANTED.encode() + b"\n"


@pytest.mark.parametrize(
    ("content", "value"),
    [
        (b"a\n", b"a"),
        (b"a\n\n", b"a\n"),
        (b"a\r\n", b"a"),
        (b"a", b"a"),
        (b" a ", b" a "),
        (b"\xff\0\n", b"\xff\0"),
    ],
)
def test_one_line_break_at_the_end_of_a_file_or_an_output_is_dropped(
    tmp_path: Path, content: bytes, value: bytes
) -> None:
    (tmp_path / "file").write_bytes(content)
    assert resolve_one(Secret(file="file"), tmp_path) == value
    assert resolve_one(Secret(command=("cat", "file")), tmp_path) == value


def test_a_path_with_a_tilde_is_in_the_home_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "token").write_text("t")
    assert resolve_one(Secret(file="~/token")) == b"t"


def test_a_command_runs_beside_the_inventory_without_a_shell_and_without_input(
    tmp_path: Path,
) -> None:
    code = "import os, sys; print(os.getcwd(), sys.argv[1:], sys.stdin.read())"
    output = resolve_one(Secret(command=(*python(code), "$HOME; echo", "*")), tmp_path)
    assert output.decode() == f"{tmp_path} ['$HOME; echo', '*'] "


def test_a_program_with_a_slash_is_relative_to_the_inventory(tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    script = tmp_path / "bin" / "token"
    script.write_text("#!/bin/sh\necho t\n")
    script.chmod(0o755)
    assert resolve_one(Secret(command=("bin/token",)), tmp_path) == b"t"


def test_what_is_missing_is_named_with_its_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RONDO_EMPTY", "")
    (tmp_path / "empty").write_text("\n")
    (tmp_path / "plain").touch()
    wrong = {
        "one": Secret(env="RONDO_MISSING"),
        "two": Secret(env="RONDO_EMPTY"),
        "three": Secret(file="missing"),
        "four": Secret(file="empty"),
        "five": Secret(file="."),
        "six": Secret(command=("rondo-no-such-program", "x")),
        "seven": Secret(command=("true",)),
        "eight": Secret(command=("./plain",)),
        "nine": Secret(),
    }
    with pytest.raises(InputError) as caught:
        resolve(wrong, tmp_path)
    assert str(caught.value).splitlines() == [
        (
            "secret one: the variable RONDO_MISSING is not set here;"
            " export RONDO_MISSING=... and try again"
        ),
        "secret two: the variable RONDO_EMPTY is empty here; export RONDO_EMPTY=... and try again",
        f"secret three: {tmp_path}/missing cannot be read: No such file or directory",
        f"secret four: {tmp_path}/empty is empty; write the value into it",
        f"secret five: {tmp_path} cannot be read: Is a directory",
        "secret six: the program rondo-no-such-program is not here; install it or give its path",
        "secret seven: true printed nothing; its standard output is the value",
        "secret eight: ./plain cannot be started: Permission denied",
        "secret nine: has no source; give env, file or command",
    ]


FAILURES = {
    "says why": ("a\nno key for it\n\n", ": no key for it"),
    "repeats the value": (f"not valid: {PLANTED}\n", ""),
    "says nothing": ("", ""),
    "says control characters": ("\x1b[31mred\x07\n", ": [31mred"),
    "says a lot": ("y" * 5000, ": " + "y" * 200 + "..."),
}


@pytest.mark.parametrize(("errors", "said"), FAILURES.values(), ids=FAILURES)
def test_a_failing_command_is_told_without_its_output(
    tmp_path: Path, errors: str, said: str
) -> None:
    (tmp_path / "output").write_text(PLANTED)
    (tmp_path / "errors").write_text(errors)
    (tmp_path / "fail").write_text("cat output; cat errors >&2; exit 3")
    problem = problem_of(Secret(command=("sh", "fail")), tmp_path)
    assert problem == f"secret it: sh ended with code 3{said}"


def test_a_command_that_hangs_is_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(secrets, "COMMAND_DEADLINE", 0.05)
    problem = problem_of(Secret(command=("sleep", "60")))
    assert problem == "secret it: sleep took longer than 0 s and was stopped"


def test_a_command_sees_nothing_of_the_other_secrets(tmp_path: Path) -> None:
    (tmp_path / "file").write_text(PLANTED)
    code = (
        "from pathlib import Path; import sys;"
        "[sys.stdout.buffer.write(Path(f'/proc/self/{name}').read_bytes())"
        " for name in ('cmdline', 'environ')]"
    )
    values = resolve({"a": Secret(file="file"), "b": Secret(command=python(code))}, tmp_path)
    assert values["a"].reveal().decode() == PLANTED
    assert b"PATH=" in values["b"].reveal()
    assert PLANTED.encode() not in values["b"].reveal()


SECRETS = {"db_password": Secret(env="A"), "token": Secret(env="B", mount="env")}
VALUES = {"db_password": VALUE, "token": SecretValue(b"t o=k'\"$en")}


def test_an_environment_is_an_env_file_and_mounted_files() -> None:
    made = environment_files({"DEBUG": "no", "EMPTY": ""}, SECRETS, VALUES)
    assert made.env_file.reveal().decode().splitlines() == [
        "DB_PASSWORD_FILE=/run/secrets/db_password",
        "DEBUG=no",
        "EMPTY=",
        "TOKEN=t o=k'\"$en",
    ]
    assert made.files == {"db_password": VALUE}
    assert "t o=k" not in repr(made)


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (b"a\nb", "has a line break"),
        (b"a\rb", "has a line break"),
        (b"a\0b", "has a zero byte"),
        (b"a\xff", "is no UTF-8 text"),
        (b"a" * 65_001, "is longer than 65000 bytes"),
    ],
)
def test_what_a_variable_cannot_hold_has_to_be_a_file(value: bytes, reason: str) -> None:
    with pytest.raises(InputError) as caught:
        environment_files({}, SECRETS, VALUES | {"token": SecretValue(value)})
    remedy = "which a variable cannot hold; make it a secret with `mount: file`"
    assert str(caught.value) == f"TOKEN {reason}, {remedy}"
    made = environment_files({}, SECRETS, VALUES | {"db_password": SecretValue(value)})
    assert made.files["db_password"].reveal() == value


def test_a_replacement_character_is_text() -> None:
    environment_files({"A": "\N{REPLACEMENT CHARACTER}"}, {}, {})


def test_a_secret_and_a_variable_of_one_name_are_refused() -> None:
    with pytest.raises(InputError, match="secret token: environment sets TOKEN as well"):
        environment_files({"TOKEN": "x"}, SECRETS, VALUES)


def test_the_digest_changes_with_everything_and_only_then() -> None:
    def digest(variables: dict[str, str], **values: bytes) -> str:
        wrapped = {name: SecretValue(value) for name, value in values.items()}
        return environment_files(variables, SECRETS, VALUES | wrapped).digest

    assert digest({"A": "1", "B": "2"}) == digest({"B": "2", "A": "1"})
    digests = [digest({}), digest({"A": "1"}), digest({}, token=b"x"), digest({}, db_password=b"x")]
    assert len(set(digests)) == 4
    assert len(environment_files({"A": "1"}, {}, {}).digest) == len(digests[0]) == 32


def test_the_digest_of_a_secret_is_slow_to_guess(monkeypatch: pytest.MonkeyPatch) -> None:
    used = []
    real = secrets.hashlib.scrypt

    def scrypt(*arguments: object, **options: object) -> bytes:
        used.append(options)
        return real(*arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(secrets.hashlib, "scrypt", scrypt)
    environment_files({}, SECRETS, VALUES)
    assert [128 * options["n"] * options["r"] for options in used] == [16 * 2**20]  # type: ignore[index]


FORMS = {
    "plain": PLANTED,
    "in base64": base64.b64encode(PLANTED.encode()).decode(),
    "in base64 without padding": base64.b64encode(PLANTED.encode()).decode().rstrip("="),
    "in base64 for URLs": base64.urlsafe_b64encode(PLANTED.encode()).decode(),
    "quoted for a URL": quote(PLANTED),
    "quoted for a URL, slashes too": quote(PLANTED, safe=""),
    "quoted for a form": quote_plus(PLANTED),
    "in JSON": json.dumps(PLANTED)[1:-1],
    "in hexadecimal": PLANTED.encode().hex(),
}


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_a_value_is_redacted_in_every_form(form: str) -> None:
    assert redact(f"before {form} after", [VALUE]).rstrip("=") in {
        "before *** after",
        "before ***= after",
        "before ***== after",
    }


@pytest.mark.parametrize("user", ["a", "ab", "abc", "abcd"])
def test_a_password_is_redacted_in_a_basic_authorization(user: str) -> None:
    header = base64.b64encode(f"{user}:{PLANTED}".encode()).decode()
    core = base64.b64encode(PLANTED.encode()).decode()[4:16]
    shown = redact(f"Authorization: Basic {header}", [VALUE])
    assert core not in shown
    assert "***" in shown
    assert len(shown) < len("Authorization: Basic ***") + 12


def test_a_value_of_many_lines_is_redacted_line_by_line() -> None:
    key = "-----BEGIN KEY-----\nMIIBVwIBADANBg\n  kqhkiG9w0BAQ  \nshort\n-----END KEY-----\n"
    value = SecretValue(key.encode())
    assert redact("x MIIBVwIBADANBg\nkqhkiG9w0BAQ\nshort", [value]) == "x ***\n***\nshort"
    assert redact(key, [value]) == "***"


def test_the_longer_of_two_values_is_redacted_whole() -> None:
    values = [SecretValue(b"pass"), SecretValue(b"password")]
    assert redact("password pass", values) == "*** ***"


def test_very_short_values_do_not_make_text_unreadable() -> None:
    assert redact("a sea of text", [SecretValue(b"a"), SecretValue(b"")]) == "a sea of text"
    assert Redactor([])("x") == "x"


@given(st.text(min_size=6), st.text(), st.text())
def test_no_value_survives_redaction(value: str, before: str, after: str) -> None:
    hidden = redact(before + value + after, [SecretValue(value.encode())])
    # What is left may hold the value by chance only: put together around what was taken out.
    assert all(value not in part for part in hidden.split("***"))


def test_values_that_are_no_text_are_redacted_as_far_as_programs_print_them() -> None:
    value = bytes(range(200, 230))
    shown = redact(f"{value.hex()} {base64.b64encode(value).decode()}", [SecretValue(value)])
    assert shown == "*** ***"
