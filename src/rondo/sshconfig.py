"""The operator's ssh_config, with what it includes; paramiko would pass over `Include`."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Final

import paramiko
from paramiko.ssh_exception import ConfigParseError

from rondo.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator

_OWN: Final = Path("~/.ssh/config")
_SYSTEM: Final = Path("/etc/ssh/ssh_config")
_DEEPEST: Final = 16
_INCLUDE: Final = re.compile(r"\s*include[\s=]\s*(.+)", re.IGNORECASE)
_BLOCK: Final = re.compile(r"\s*(host|match)[\s=]", re.IGNORECASE)


def load(path: Path | None = None) -> paramiko.SSHConfig:
    """Read one file, or the operator's own and the system's, as OpenSSH does."""
    chosen = (path,) if path else (_OWN, _SYSTEM)
    files = [file.expanduser() for file in chosen]
    text = "\n".join(line for file in files for line in (*_lines(file, file.parent, 0), "Host *"))
    try:
        return paramiko.SSHConfig.from_text(text)
    except ConfigParseError as error:
        raise InputError(f"{files[0]} cannot be used: {error}") from None


def _lines(path: Path, folder: Path, depth: int) -> Iterator[str]:
    block = "Host *"
    for line in _read(path):
        included = _INCLUDE.match(line)
        if not included:
            block = line if _BLOCK.match(line) else block
            yield line
        elif depth < _DEEPEST:
            for file in _found(included[1], folder):
                yield from _lines(file, folder, depth + 1)
            # What follows belongs to the block in which the Include stands.
            yield block


def _found(patterns: str, folder: Path) -> Iterator[Path]:
    for pattern in shlex.split(patterns, comments=True):
        path = folder / Path(pattern).expanduser()
        yield from sorted(Path(path.anchor).glob(str(path.relative_to(path.anchor))))


def _read(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8", errors="replace").splitlines()
    except (FileNotFoundError, IsADirectoryError):
        return []
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}); check its owner") from None
