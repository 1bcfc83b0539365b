"""Take the secrets that an inventory declares out of what its servers say."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rondo.errors import InputError, RondoError
from rondo.redaction import Redactor
from rondo.secrets import known

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from rondo.inventory import Inventory


class Blotter:
    """Replaces an inventory's secrets in text by ***; asks for the values when text first comes.

    A secret that cannot be had on this machine is left out: nothing is sent here, and what is
    shown must not wait for it. They are asked for once, however many texts there are.
    """

    def __init__(self, inventory: Inventory, root: Path) -> None:
        self._inventory = inventory
        self._root = root
        self._lock = threading.Lock()
        self._redactor: Redactor | None = None

    def __call__(self, text: str) -> str:
        """Return the text without the values."""
        with self._lock:
            if self._redactor is None:
                self._redactor = self._made()
        return self._redactor(text)

    def _made(self) -> Redactor:
        inventory = self._inventory
        owners = (*inventory.services.values(), *inventory.accessories.values())
        return Redactor(
            known((each for owner in owners for each in owner.secrets.values()), self._root)
        )


@contextmanager
def blotted(redact: Callable[[str], str]) -> Iterator[None]:
    """Raise what is raised in here without secrets: a container's last words are in errors."""
    try:
        yield
    except InputError:
        # It tells of what the operator wrote, and no server has said anything in it.
        raise
    except RondoError as error:
        raise type(error)(redact(str(error))) from None
