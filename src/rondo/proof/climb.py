"""`inv prove --knee`: rate after rate, until it is known how much a site can take."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from rondo.proof import knee
from rondo.proof.conduct import interruptible
from rondo.proof.knee import Held, Search
from rondo.proof.report import windowed
from rondo.proof.runs import new_run
from rondo.proof.windowing import Load, Windowing, Witnessed

if TYPE_CHECKING:
    from pathlib import Path

    from rondo.proof.aim import Aim
    from rondo.proof.knee import Knee, Stage
    from rondo.proof.windowing import Setting

STAGE: Final = 10.0
"""Seconds of each stage."""
MOST: Final = 100_000.0


@dataclass(frozen=True, slots=True)
class Options:
    """How the knee is looked for."""

    start: float | None = None
    """Rate to begin with; half of the inventory's without it."""
    seconds: float = STAGE
    most: float = MOST


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a search."""

    knee: Knee
    folder: Path
    page: Path


def climb(setting: Setting, options: Options) -> Outcome:
    """Find the highest rate that holds the objectives. Raises RondoError where no load was made."""
    loaded, aim, say = setting.loaded, setting.aim, setting.say
    limits = loaded.inventory.proof.limits
    search = Search(options.start or loaded.inventory.proof.rate / 2, most=options.most)
    run = new_run(loaded.root)
    windowing = Windowing(setting, run)
    say(f"run {run.run}: how much {aim.host} can take ({knee.objectives(limits)})")
    stages: list[Stage] = []
    with interruptible():
        while (rate := knee.next_rate(search, stages)) is not None:
            load = Load(options.seconds, rate=rate)
            window = windowing.make(aim, f"{rate:g}", load, Witnessed())
            stages.append(knee.judge(rate, window, limits, options.seconds))
            say(told(stages[-1]))
    found = knee.conclude(search, stages, limits)
    command = setting.command or _command(aim, search, options)
    page = windowed.write_knee(run.path, found, limits, command)
    return Outcome(found, run.path, page)


def told(stage: Stage) -> str:
    """Say how a stage came out."""
    why = "" if stage.held is Held.YES else f": {stage.why}"
    return f"{stage.rate:g} requests a second: {stage.held.value}{why}"


def _command(aim: Aim, search: Search, options: Options) -> str:
    words = ["inv", "prove", "--knee", "--host", aim.host, "--rate", f"{search.start:g}"]
    return shlex.join([*words, "--duration", f"{options.seconds:g}"])
