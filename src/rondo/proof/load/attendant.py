"""The run's witnesses, in a process of their own: they watch the servers, and judge at the end.

They speak SSH, which does not go with Locust's patched sockets. When they are ready they write one
line of JSON; when their standard input is closed they collect, judge and report.
"""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

from rondo.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path

_log = logging.getLogger("rondo")


class Attendant:
    """One `python -m rondo.proof.attend`."""

    def __init__(self, folder: Path, host: str, inventory: Path | None) -> None:
        words = [sys.executable, "-m", "rondo.proof.attend", str(folder), "--host", host]
        chosen = {"RONDO_INVENTORY": str(inventory)} if inventory else {}
        # Ctrl-C is for the load; the judge still has to speak after it.
        self._child = subprocess.Popen(
            words,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, **chosen},
            text=True,
            start_new_session=True,
        )

    def ready(self) -> dict[str, Any]:
        """Wait for the witnesses and return what they found: secret, addresses, authority."""
        line = self._child.stdout.readline() if self._child.stdout else ""
        try:
            found = json.loads(line)
        except ValueError:
            found = {"error": f"the witnesses did not start: {line.strip() or 'no word of them'}"}
        if not isinstance(found, dict) or found.get("error"):
            self.dismiss()
            raise InputError(str(found.get("error") if isinstance(found, dict) else line))
        return found

    def judge(self) -> int:
        """Say that all rows are written, pass on the verdict, and return the exit code."""
        if self._child.stdin:
            self._child.stdin.close()
        for line in self._child.stdout or ():
            sys.stdout.write(line)
        sys.stdout.flush()
        return self._child.wait()

    def dismiss(self) -> None:
        """Send the witnesses away without a verdict."""
        self._child.terminate()
        self._child.wait()
