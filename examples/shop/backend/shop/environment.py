"""Read the container's environment, with secrets in files."""

from __future__ import annotations

import os
from pathlib import Path

from django.core.exceptions import ImproperlyConfigured

SECRETS = Path("/run/secrets")


def text(name: str, default: str = "") -> str:
    """The variable's value without surrounding blanks."""
    return os.environ.get(name, default).strip()


def flag(name: str, *, default: bool = False) -> bool:
    """Whether the variable says yes."""
    value = text(name).lower()
    if value in {"1", "true", "yes", "on"}:
        return True
    if value in {"0", "false", "no", "off"}:
        return False
    if value:
        raise ImproperlyConfigured(f"{name} is {value!r}; use 1 or 0.")
    return default


def number(name: str, default: int) -> int:
    """The variable's value as a whole number."""
    value = text(name, str(default))
    try:
        return int(value)
    except ValueError:
        raise ImproperlyConfigured(f"{name} is {value!r}; use a whole number.") from None


def items(name: str) -> list[str]:
    """A comma-separated list."""
    return [item.strip() for item in text(name).split(",") if item.strip()]


def secret(name: str) -> str:
    """The secret from the file `NAME_FILE` or /run/secrets/name, else from the variable `NAME`.

    A file that was named but cannot be read is an error; the usual place may be empty.
    """
    named = text(f"{name}_FILE")
    path = Path(named) if named else SECRETS / name.lower()
    try:
        return path.read_text(encoding="utf-8").strip()
    except OSError as error:
        if named:
            raise ImproperlyConfigured(
                f"{name}_FILE: cannot read {path}: {error.strerror}."
            ) from error
    return text(name)
