"""Secret values: where they come from, how containers get them, and that nobody else sees them.

A value is wrapped as soon as it is read; what is printed, logged, recorded or raised shows `***`.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from subprocess import DEVNULL, PIPE, Popen, TimeoutExpired
from typing import TYPE_CHECKING, NoReturn, Self

from rondo.errors import InputError
from rondo.redaction import HIDDEN, printable, redact

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from rondo.inventory import Secret

__all__ = ["Environment", "SecretValue", "environment_files", "known", "redact", "resolve"]

SECRETS_FOLDER = "/run/secrets"
COMMAND_DEADLINE = 60.0

_WORKERS = 8
_LONGEST_LINE = 65_000  # Docker reads lines of up to 64 KiB
_SALT = b"rondo environment 1"


class SecretValue:
    """Bytes that show themselves to no one who does not ask with `reveal`."""

    __slots__ = ("_value",)

    def __init__(self, value: bytes) -> None:
        self._value = value

    def reveal(self) -> bytes:
        """Return the bytes."""
        return self._value

    def __repr__(self) -> str:
        return HIDDEN

    def __format__(self, specification: str) -> str:
        return HIDDEN

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, SecretValue):
            return NotImplemented
        return hmac.compare_digest(self._value, other._value)

    def __hash__(self) -> int:
        return hash(SecretValue)  # a hash of the value would say something about it

    def __bool__(self) -> bool:
        return bool(self._value)

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: object) -> Self:
        return self

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError("a secret value is not to be stored")


@dataclass(frozen=True, slots=True)
class Environment:
    """What a container gets: an env file, mounted secrets, and a digest that tells nothing."""

    env_file: SecretValue
    files: Mapping[str, SecretValue]
    digest: str


class _Unusable(Exception):  # noqa: N818 - becomes part of an InputError
    """Why a secret has no value."""


def resolve(secrets: Mapping[str, Secret], root: Path) -> dict[str, SecretValue]:
    """Get the values of secrets from the operator's machine, side by side.

    Raises InputError naming every secret that has no value and what to do about it.
    """
    if not secrets:
        return {}
    with ThreadPoolExecutor(min(_WORKERS, len(secrets))) as pool:
        answers = list(pool.map(lambda secret: _attempt(secret, root), secrets.values()))
    pairs = list(zip(secrets, answers, strict=True))
    problems = [f"secret {name}: {answer}" for name, answer in pairs if isinstance(answer, str)]
    if problems:
        raise InputError("\n".join(problems))
    return {name: answer for name, answer in pairs if isinstance(answer, SecretValue)}


def known(secrets: Iterable[Secret], root: Path) -> tuple[SecretValue, ...]:
    """Get the values of those secrets that can be had on this machine; leave out the others."""
    # Several owners may share one: a command that asks a vault is run once for all of them.
    each = {(one.env, one.file, one.command): one for one in secrets}
    if not each:
        return ()
    with ThreadPoolExecutor(min(_WORKERS, len(each))) as pool:
        answers = list(pool.map(lambda secret: _attempt(secret, root), each.values()))
    return tuple(answer for answer in answers if isinstance(answer, SecretValue))


def _attempt(secret: Secret, root: Path) -> SecretValue | str:
    """Return the value, or in words why there is none."""
    try:
        return _value(secret, root)
    except _Unusable as problem:
        return str(problem)


def _value(secret: Secret, root: Path) -> SecretValue:
    if secret.env is not None:
        return _from_variable(secret.env)
    if secret.file is not None:
        return _from_file(root / Path(secret.file).expanduser())
    if secret.command:
        return _from_command(secret.command, root)
    raise _Unusable("has no source; give env, file or command")


def _from_variable(name: str) -> SecretValue:
    value = SecretValue(os.environb.get(name.encode(), b""))
    if not value:
        state = "is empty" if name in os.environ else "is not set"
        raise _Unusable(f"the variable {name} {state} here; export {name}=... and try again")
    return value


def _from_file(path: Path) -> SecretValue:
    try:
        value = _without_line_break(path.read_bytes())
    except OSError as error:
        raise _Unusable(f"{path} cannot be read: {error.strerror}") from None
    if not value:
        raise _Unusable(f"{path} is empty; write the value into it")
    return value


def _without_line_break(content: bytes) -> SecretValue:
    return SecretValue(content.removesuffix(b"\n").removesuffix(b"\r"))


def _from_command(command: tuple[str, ...], root: Path) -> SecretValue:
    process = _started(command, root)
    output, errors = _finished(process, command[0])
    if process.returncode != 0:
        raise _Unusable(_failure(command[0], process.returncode, output, errors))
    value = _without_line_break(output.reveal())
    if not value:
        raise _Unusable(f"{command[0]} printed nothing; its standard output is the value")
    return value


def _started(command: tuple[str, ...], root: Path) -> Popen[bytes]:
    """Start a command without a shell; a path with a slash is relative to the inventory."""
    program = str(root / command[0]) if "/" in command[0] else command[0]
    try:
        return Popen((program, *command[1:]), cwd=root, stdin=DEVNULL, stdout=PIPE, stderr=PIPE)
    except FileNotFoundError:
        problem = f"the program {command[0]} is not here; install it or give its path"
    except OSError as error:
        problem = f"{command[0]} cannot be started: {error.strerror}"
    raise _Unusable(problem)


def _finished(process: Popen[bytes], name: str) -> tuple[SecretValue, SecretValue]:
    """Wait for a command; its output is wrapped before anything can go wrong with it."""
    with process:
        try:
            output, errors = map(SecretValue, process.communicate(timeout=COMMAND_DEADLINE))
        except TimeoutExpired:
            process.kill()
        else:
            return output, errors
    raise _Unusable(f"{name} took longer than {COMMAND_DEADLINE:.0f} s and was stopped")


def _failure(name: str, code: int, output: SecretValue, errors: SecretValue) -> str:
    """Tell how a command failed; its last words only when they do not repeat its output."""
    lines = errors.reveal().decode("utf-8", "replace").splitlines()
    last = next((line for line in reversed(lines) if line.strip()), "")
    said = f": {printable(last)}" if last and redact(last, [output]) == last else ""
    return f"{name} ended with code {code}{said}"


def environment_files(
    variables: Mapping[str, str], secrets: Mapping[str, Secret], values: Mapping[str, SecretValue]
) -> Environment:
    """Make the env file and the mounted files of a container.

    A secret `db_password` is the variable DB_PASSWORD, or the file /run/secrets/db_password with
    its path in DB_PASSWORD_FILE. Raises InputError for what an env file cannot hold.
    """
    mounted = {name for name, secret in secrets.items() if secret.mount == "file"}
    files = {name: values[name] for name in sorted(mounted)}
    lines = {name: SecretValue(text.encode()) for name, text in variables.items()}
    for name, variable, value in _secret_variables(secrets, values):
        if variable in lines:
            raise InputError(f"secret {name}: environment sets {variable} as well; remove one")
        lines[variable] = value
    _check(lines)
    env_file = SecretValue(b"".join(_line(name, lines[name]) for name in sorted(lines)))
    return Environment(env_file, files, _digest(env_file, files, secret=bool(secrets)))


def _secret_variables(
    secrets: Mapping[str, Secret], values: Mapping[str, SecretValue]
) -> list[tuple[str, str, SecretValue]]:
    """Give the variables that secrets need: secret, variable, value."""
    return [
        (name, f"{name.upper()}_FILE", SecretValue(f"{SECRETS_FOLDER}/{name}".encode()))
        if secret.mount == "file"
        else (name, name.upper(), values[name])
        for name, secret in secrets.items()
    ]


def _line(name: str, value: SecretValue) -> bytes:
    return b"%b=%b\n" % (name.encode(), value.reveal())


def _check(lines: Mapping[str, SecretValue]) -> None:
    checks = {name: _why_not_a_line(value) for name, value in lines.items()}
    problems = [
        f"{name} {reason}, which a variable cannot hold; make it a secret with `mount: file`"
        for name, reason in checks.items()
        if reason
    ]
    if problems:
        raise InputError("\n".join(problems))


def _why_not_a_line(value: SecretValue) -> str | None:
    reasons: tuple[tuple[str, Callable[[bytes], bool]], ...] = (
        ("has a line break", lambda text: b"\n" in text or b"\r" in text),
        ("has a zero byte", lambda text: b"\0" in text),
        ("is no UTF-8 text", lambda text: not _is_text(text)),
        (f"is longer than {_LONGEST_LINE} bytes", lambda text: len(text) > _LONGEST_LINE),
    )
    return next((reason for reason, holds in reasons if holds(value.reveal())), None)


def _is_text(content: bytes) -> bool:
    return content.decode("utf-8", "ignore").encode() == content


def _digest(env_file: SecretValue, files: Mapping[str, SecretValue], *, secret: bool) -> str:
    """Digest everything; with secrets in it slowly, since the digest is public in labels.

    A guess at a short secret costs 16 MiB and some 40 ms, not a microsecond.
    """
    mounted = {name: value.reveal().hex() for name, value in files.items()}
    content = json.dumps([env_file.reveal().hex(), mounted], sort_keys=True)
    if not secret:
        return hashlib.sha256(content.encode()).hexdigest()[:32]
    return hashlib.scrypt(content.encode(), salt=_SALT, n=2**14, r=8, p=1, dklen=16).hex()
