"""A proof from end to end: servers opened, load made, witnesses heard, judged, reported."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from rondo.errors import InputError, Interrupted, RondoError
from rondo.proof.aim import Aim, aim_at
from rondo.proof.brief import Brief, make_brief
from rondo.proof.generator import Generator, loadtests_of
from rondo.proof.inquiry import Inquiry, Outcome
from rondo.proof.runs import new_run, span
from rondo.units import seconds_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rondo.fleet import Fleet

__all__ = ["Aim", "Options", "Outcome", "aim_at", "interruptible", "options", "prove"]

Say = Callable[[str], None]
PROGRESS: Final = 5.0
"""Seconds between two words about how it goes."""
_MOST: Final = 100_000.1
"""Above the highest rate that an inventory may have."""
_MARGIN: Final = 60.0
_LOOK: Final = 0.2


@dataclass(frozen=True, slots=True)
class Options:
    """What was asked for on the command line, over what the inventory says."""

    duration: float | None = None
    rate: float | None = None
    processes: int = 1
    """Processes that make the load."""
    led: tuple[str, ...] = ()
    """Options of a Locust master whose workers wait for it elsewhere; none to make it here."""


_HERE: Final = Options()


def options(*, duration: str = "", rate: str = "") -> Options:
    """Read what was typed.

    Raises InputError for what is no duration or no rate.
    """
    return Options(_number("--duration", duration), _number("--rate", rate))


def _number(option: str, text: str) -> float | None:
    if not text:
        return None
    with suppress(ValueError):
        value = float(str(seconds_of(text)) if option == "--duration" else text)
        if 0 < value < (math.inf if option == "--duration" else _MOST):
            return value
    like = "60 or 5m" if option == "--duration" else "200"
    raise InputError(f"{option}: {text!r} cannot be used; give it like {like}")


def prove(aim: Aim, fleet: Fleet | None, options: Options, say: Say, command: str = "") -> Outcome:
    """Load a site as its inventory says and judge what all witnesses saw; `command` asked for it.

    Raises RondoError where no load could be made, Interrupted at Ctrl-C: then nothing is judged.
    """
    assert aim.loaded  # noqa: S101 - aims without an inventory are for loads made by hand
    run = new_run(aim.loaded.root)
    with interruptible(), Inquiry(aim, fleet, run) as inquiry:
        inquiry.command = command
        inquiry.open()
        brief = write_brief(inquiry, options)
        say(told(aim, brief))
        with generate(inquiry, brief, options) as generator:
            inquiry.look()
            Load(generator, brief, inquiry, say).wait()
        say("the load has ended; hearing the witnesses")
        return inquiry.conclude()


@contextmanager
def interruptible() -> Iterator[None]:
    """Say what Ctrl-C leaves behind."""
    try:
        yield
    except KeyboardInterrupt:
        raise Interrupted(
            "interrupted; the load is ended, no server accepts its secret any more, and nothing "
            "is judged"
        ) from None
    except Interrupted as error:
        raise Interrupted(f"{error}; nothing is judged") from None


def write_brief(inquiry: Inquiry, options: Options) -> Brief:
    """Write what the load generators are told."""
    aim, run = inquiry.aim, inquiry.run
    assert aim.loaded  # noqa: S101 - as above
    inventory, authority = aim.loaded.inventory, aim.authority
    brief = make_brief(
        inventory.proof,
        inventory,
        run=run.run,
        secret=inquiry.secret,
        host=aim.host,
        addresses=aim.addresses,
        authority=str(authority) if authority else None,
        rate=options.rate,
        duration=options.duration,
    )
    brief.write(run.brief)
    return brief


def generate(inquiry: Inquiry, brief: Brief, options: Options = _HERE) -> Generator:
    """Start the load."""
    assert inquiry.aim.loaded  # noqa: S101 - as above
    root = inquiry.aim.loaded.root
    several = ("--processes", str(options.processes)) if options.processes > 1 else ()
    more = options.led or several
    return Generator(inquiry.run.path, loadtests_of(root), ("--host", brief.host, *more))


def told(aim: Aim, brief: Brief) -> str:
    """Say what is about to be done."""
    where = f" on {', '.join(aim.servers)}" if aim.servers else ""
    return f"run {brief.run}: {brief.rate:g} requests a second to {aim.host}{where}"


@dataclass(slots=True)
class Load:
    """A load under way, and what is said of it."""

    generator: Generator
    brief: Brief
    inquiry: Inquiry
    say: Say
    _told: float = 0.0
    _requests: int = 0

    def wait(self) -> None:
        """Wait for its end; one that does not come in time is made.

        That it asked for nothing at all is for the judge to say: such a run proves nothing.
        """
        longest = self.brief.duration + self.brief.timeout + _MARGIN
        if not self._wait(longest):
            self.inquiry.notes.append("the load generator did not end in time, and was ended")
            self.generator.kill()
        try:
            self._demand()
        except RondoError as error:
            self.inquiry.notes.append(str(error))

    def steady(self, seconds: float) -> None:
        """Wait until it has gone on for so long.

        Raises RondoError if it ended instead.
        """
        end = time.monotonic() + self.brief.timeout + _MARGIN
        while not span(self.inquiry.run.path) and time.monotonic() < end:
            if self.generator.wait(_LOOK):
                break
        self._wait(seconds)
        self._demand()

    def stop(self) -> None:
        """End it before its time; what is under way finishes."""
        self.generator.stop()
        self._wait(self.brief.timeout + _MARGIN)

    def _wait(self, seconds: float) -> bool:
        self._told = self._told or time.monotonic()
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if self.generator.wait(min(_LOOK, seconds)):
                return True
            self._progress()
        return False

    def _progress(self) -> None:
        past = time.monotonic() - self._told
        if past < PROGRESS:
            return
        count = self.generator.count()
        rate = (count.requests - self._requests) / past
        self._told, self._requests = time.monotonic(), count.requests
        wrong = f"{count.wrong:,} wrong" if count.wrong else "none wrong"
        self.say(f"{count.requests:,} requests answered, {rate:.0f} a second, {wrong}")

    def _demand(self) -> None:
        self.generator.demand()
