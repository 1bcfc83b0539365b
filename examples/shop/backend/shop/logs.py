"""Log records as lines of JSON, to stdout and to a file that several processes may share."""

from __future__ import annotations

import fcntl
import json
import logging
from datetime import UTC, datetime
from logging.handlers import WatchedFileHandler
from pathlib import Path

from . import identity

_ORDINARY = frozenset(vars(logging.makeLogRecord({}))) | {
    "message",
    "asctime",
    "request",
    "taskName",
}


class JSONFormatter(logging.Formatter):
    """One record as one line of JSON, with what `extra=` brought along."""

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            "backend": identity.BACKEND,
            "release": identity.RELEASE,
            "server": identity.SERVER,
        }
        line |= {key: value for key, value in vars(record).items() if key not in _ORDINARY}
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str, ensure_ascii=False)


class SharedRotatingHandler(WatchedFileHandler):
    """A log file that rotates by size, safe with several processes and containers on it.

    The standard library's rotating handler assumes that it alone holds the file. Here one
    process rotates under a file lock, and the others notice that the file is another one.
    """

    def __init__(self, filename: str, max_bytes: int, keep: int) -> None:
        self._max_bytes = max_bytes
        self._keep = max(keep, 1)
        super().__init__(filename, encoding="utf-8")

    def emit(self, record: logging.LogRecord) -> None:
        try:
            self.reopenIfNeeded()
            if self.stream.tell() >= self._max_bytes:
                self._rotate()
        except OSError:
            self.handleError(record)
        super().emit(record)

    def _rotate(self) -> None:
        path = Path(self.baseFilename)
        with Path(f"{path}.lock").open("a", encoding="utf-8") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            # Another process may have done it while this one waited for the lock.
            if path.exists() and path.stat().st_size >= self._max_bytes:
                for number in range(self._keep - 1, 0, -1):
                    older = Path(f"{path}.{number}")
                    if older.exists():
                        older.replace(f"{path}.{number + 1}")
                path.replace(f"{path}.1")
        self.reopenIfNeeded()
