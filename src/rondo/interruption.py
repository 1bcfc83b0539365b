"""Ctrl-C in the middle of a change: once to end soundly, twice to end at once.

So does SIGTERM, by which CI and `timeout` end a command, and SIGHUP, when its terminal is gone.
"""

from __future__ import annotations

import signal
import threading
from typing import TYPE_CHECKING, Self

from rondo.events import Event

if TYPE_CHECKING:
    from types import FrameType

    from rondo.events import Emit

ONCE = "Ctrl-C: what is in hand is finished first; press it again to stop at once"
TOLD = "{name}: what is in hand is finished first; a second one stops at once"
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interruption:
    """Takes Ctrl-C, SIGTERM and SIGHUP for as long as it is entered.

    Until `guard` is called, which is when the first thing on a server changes, and at the second
    time, it is a KeyboardInterrupt as ever; in between it is a request that others look at.
    """

    def __init__(self, emit: Emit) -> None:
        self._emit = emit
        self._guarded = False
        self._asked = threading.Event()

    @property
    def asked(self) -> bool:
        """Whether the operator wants an end."""
        return self._asked.is_set()

    def guard(self) -> None:
        """From now on an end must be a sound one."""
        self._guarded = True

    def wait(self, seconds: float) -> None:
        """Wait, but no longer than until an end is asked for."""
        self._asked.wait(seconds)

    def __enter__(self) -> Self:
        # Signals go to the main thread alone; elsewhere there is nothing to take.
        self._mine = threading.current_thread() is threading.main_thread()
        if self._mine:
            self._before = {
                number: signal.signal(number, self._pressed)
                for number in SIGNALS
                # Under nohup a terminal may go.
                if number == signal.SIGINT or signal.getsignal(number) is not signal.SIG_IGN
            }
        return self

    def __exit__(self, *_: object) -> None:
        if self._mine:
            for number, handler in self._before.items():
                signal.signal(number, handler)

    def _pressed(self, number: int, _frame: FrameType | None) -> None:
        if self.asked or not self._guarded:
            raise KeyboardInterrupt
        self._asked.set()
        name = signal.Signals(number).name
        self._emit(Event("note", ONCE if name == "SIGINT" else TOLD.format(name=name)))
