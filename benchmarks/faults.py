"""What becomes of a site when a deploy goes wrong: every kind of fault, with visitors at it.

    .venv/bin/python benchmarks/faults.py [--times 10] [--only REGEX] [--write docs/faults.md]

It starts a lab of its own with two servers beside that of `make demo`, deploys the example there,
and tries one case after the other, while a visitor of each server asks without a pause:

* `fab deploy` is killed (-9) at every step of its way, 10 times each, every time a little later;
* a container crashes, hangs, fails the gate, or dies soon after it: on every slot of both servers;
* SSH is cut, Docker or Nginx stopped, a server rebooted, a disk filled, in the middle of a roll.

After each the next command has to leave nothing to be done by hand. What came out is kept in a
ledger; a run that was ended goes on where it was, and --afresh forgets it. All of it takes about
two hours; --minutes ends it earlier. Prints a table, and puts it between the markers of a file with
--write. Exits 1 if anything came out otherwise than it has to.

The cases themselves are data, in tests/e2e/fault_cases.py; the tests try a few of them each time.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from _common import ROOT, common_options, machine, note, wait_until_quiet

from rondo import lab
from rondo.lab import places

# The cases belong to the tests.
sys.path.insert(0, str(ROOT / "tests" / "e2e"))

from fault_cases import CASES, CONTAINERS, CUTS, DISKS, KILLS, STOPS
from faulting import USUAL, Outcome, Trial
from shop import settle

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from faulting import Case
    from shop import Operator

BEGIN, END = "<!-- faults -->", "<!-- /faults -->"
LATER = 0.05
"""Seconds by which each time is later than the one before, so that a step is hit all over."""
KINDS: dict[str, tuple[Case, ...]] = {
    "The command is killed (-9)": KILLS,
    "A container fails": CONTAINERS,
    "The network is cut": CUTS,
    "Something stops": STOPS,
    "The disk is full": DISKS,
}


class Ledger:
    """What came out so far, a line of JSON for each trial."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.outcomes: defaultdict[str, list[Outcome]] = defaultdict(list)
        if path.exists():
            for line in path.read_text().splitlines():
                self._take(json.loads(line))

    def _take(self, told: dict[str, Any]) -> None:
        told.pop("version")
        outcome = Outcome(**{**told, "wrong": tuple(told["wrong"])})
        self.outcomes[outcome.case].append(outcome)

    def add(self, outcome: Outcome) -> None:
        """Keep one more."""
        self.outcomes[outcome.case].append(outcome)
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._path.open("a") as file:
            file.write(json.dumps(asdict(outcome) | {"version": version()}) + "\n")


def forget(path: Path, only: str) -> None:
    """Drop what a ledger has about cases whose names match."""
    lines = path.read_text().splitlines() if path.exists() else []
    kept = [line for line in lines if not re.search(only, json.loads(line)["case"])]
    path.write_text("".join(f"{line}\n" for line in kept))


def version() -> str:
    """Give the commit that is tried, or nothing where there is no Git."""
    words = ("git", "-C", str(ROOT), "rev-parse", "--short", "HEAD")
    return subprocess.run(words, capture_output=True, text=True, check=False).stdout.strip()


def wanted(case: Case, options: argparse.Namespace) -> int:
    """Say how often a case is to be tried."""
    if not re.search(options.only, case.name):
        return 0
    return int(options.times or (10 if case in KILLS else 1))


def due(ledger: Ledger, options: argparse.Namespace) -> Iterator[tuple[Case, int]]:
    """Yield what is still to be tried: every case once, then every case again."""
    most = max((wanted(case, options) for case in CASES.values()), default=0)
    for number in range(most):
        for case in CASES.values():
            if len(ledger.outcomes[case.name]) <= number < wanted(case, options):
                yield case, number


def tried(operator: Operator, case: Case, delay: float) -> Outcome:
    """Try a case; a command that ended before it could be killed is killed sooner the next time."""
    while True:
        outcome = Trial(operator, case, f"try-{time.time_ns():x}", delay).run()
        if case not in KILLS or outcome.code or not delay:
            return outcome
        note(f"again {case.name}: it ended before it was killed")
        delay = delay / 2 if delay > LATER else 0.0


def try_all(operator: Operator, ledger: Ledger, options: argparse.Namespace) -> None:
    """Try what is due, and tell of each as it comes out."""
    end = time.monotonic() + options.minutes * 60
    for case, number in due(ledger, options):
        if time.monotonic() > end:
            note("the time is up; the next run goes on here")
            return
        outcome = tried(operator, case, number * LATER)
        ledger.add(outcome)
        note(f"{'ok   ' if not outcome.wrong else 'WRONG'} {case.name} ({outcome.seconds} s)")
        for line in outcome.wrong:
            note(f"      {line}")


def row(case: Case, outcomes: Sequence[Outcome]) -> str:
    """Give a case's line of the table."""
    right = sum(not each.wrong for each in outcomes)
    asked = sum(each.asked for each in outcomes)
    lost = sum(each.lost for each in outcomes)
    allowed = " (the fault's own)" if lost and right == len(outcomes) else ""
    mixed = sum(each.mixed for each in outcomes)
    codes = ", ".join(str(code) for code in sorted({each.code for each in outcomes}))
    mended = statistics.median(each.mended for each in outcomes)
    cells = (
        case.name.partition(": ")[2] if case in KILLS else case.name,
        f"{right} of {len(outcomes)}",
        codes,
        f"{lost} of {asked}{allowed}",
        "old release" if all(each.back for each in outcomes) else standing(outcomes),
        str(mixed),
        f"{mended:.1f} s",
    )
    return f"| {' | '.join(cells)} |"


def standing(outcomes: Sequence[Outcome]) -> str:
    """Say what serves until the next command, where it is not the old release everywhere."""
    done = all(each.code == 0 for each in outcomes)
    return "new release" if done else "new slots beside old ones"


HEAD = """\
| Case | As it has to be | Exit code | Requests lost | Until the next command | Mixed after it \
| It took |
|---|---|---|---|---|---|---|"""


def table(outcomes: Mapping[str, Sequence[Outcome]]) -> str:
    """Give all that came out, as tables of Markdown."""
    parts = []
    for title, cases in KINDS.items():
        rows = [row(case, outcomes[case.name]) for case in cases if outcomes.get(case.name)]
        if rows:
            parts.append(f"### {title}\n\n{HEAD}\n" + "\n".join(rows))
    return "\n\n".join([summary(outcomes), *parts])


def summary(outcomes: Mapping[str, Sequence[Outcome]]) -> str:
    """Give the figures that matter most."""
    every = [each for case in CASES for each in outcomes.get(case, ())]
    kills = [each for case in KILLS for each in outcomes.get(case.name, ())]
    right = sum(not each.wrong for each in every)
    return (
        f"{machine()}, commit {version()}: {right} of {len(every)} trials came out as they have "
        f"to. Killed {len(kills)} times at {len(KILLS)} places: {sum(each.lost for each in kills)} "
        f"of {sum(each.asked for each in kills)} requests lost, "
        f"{sum(each.mixed for each in kills)} clusters mixed after the next command."
    )


def write(path: Path, text: str) -> None:
    """Put a text between the markers of a file."""
    before, begin, rest = path.read_text().partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        sys.exit(f"{path} has no {BEGIN} and {END} to write between")
    path.write_text(f"{before}{BEGIN}\n{text}\n{END}{after}")


def options_of(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--times", type=int, help="trials of each case (default: 10 of each kill, 1 of the rest)"
    )
    parser.add_argument("--only", default="", help="cases whose names match this expression")
    parser.add_argument("--minutes", type=float, default=600, help="begin nothing new after that")
    parser.add_argument("--write", type=Path, help="file to put the tables in, between its markers")
    parser.add_argument("--list", action="store_true", help="only name the cases")
    parser.add_argument("--table", action="store_true", help="only print what the ledger has")
    parser.add_argument(
        "--afresh", action="store_true", help="forget first what came out for these cases"
    )
    parser.add_argument(
        "--ledger",
        type=Path,
        default=ROOT / ".rondo" / "faults.jsonl",
        help="where outcomes are kept (default: .rondo/faults.jsonl)",
    )
    common_options(parser)
    return parser.parse_args(arguments)


def on_a_lab(ledger: Ledger, options: argparse.Namespace) -> None:
    """Try on servers that nobody else uses."""
    os.chdir(ROOT)
    os.environ.setdefault("RONDO_LAB", f"{places.default_name(ROOT)}-bench")
    started = lab.up(2, report=note)
    try:
        with tempfile.TemporaryDirectory(prefix="rondo-faults-") as folder:
            operator = settle(Path(folder), started, USUAL)
            operator.fab("bootstrap", "--apply")
            operator.fab("deploy")
            wait_until_quiet(options.quiet_load, 120)
            try_all(operator, ledger, options)
    finally:
        if not options.keep:
            lab.down()


def wrong(outcomes: Iterable[Sequence[Outcome]]) -> bool:
    """Tell whether anything came out otherwise than it has to."""
    return any(each.wrong for some in outcomes for each in some)


def main(arguments: Sequence[str] | None = None) -> int:
    """Try, print, write."""
    options = options_of(arguments)
    if options.list:
        print(*CASES, sep="\n")
        return 0
    if options.afresh:
        forget(options.ledger, options.only)
    ledger = Ledger(options.ledger)
    if not options.table:
        on_a_lab(ledger, options)
    text = table(ledger.outcomes)
    print(text)
    if options.write:
        write(options.write, text)
    return int(wrong(ledger.outcomes.values()))


if __name__ == "__main__":
    sys.exit(main())
