"""What the benchmarks share: a lab of their own, a project of the example on it, and medians."""

from __future__ import annotations

import contextlib
import json
import os
import platform
import shlex
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from rondo import demonstration, lab
from rondo.lab import places

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from rondo.lab import Lab, LabServer

ROOT = Path(__file__).parents[1]
HOST = "shop.example.com"
DATA = "/var/lib/rondo/shop"
LITTER = shutil.ignore_patterns("node_modules", "dist", "*.sqlite3", "__pycache__", ".*_cache")
PATIENCE = 900


@dataclass(frozen=True, slots=True)
class Ran:
    """How a command went: its whole process, from start to exit."""

    seconds: float
    processor: float
    """Seconds of this machine's processors, which do not count what runs beside it."""
    megabytes: float
    """Peak of resident memory."""
    code: int
    said: str


def run(words: Sequence[str], folder: Path, *, stdin: str = "", codes: Sequence[int] = (0,)) -> Ran:
    """Run a command to its end and measure it."""
    with tempfile.TemporaryFile("w+") as said, tempfile.TemporaryFile("w+") as given:
        given.write(stdin)
        given.seek(0)
        began = time.perf_counter()
        child = subprocess.Popen(words, cwd=folder, stdin=given, stdout=said, stderr=said)
        _, status, usage = os.wait4(child.pid, 0)
        seconds = time.perf_counter() - began
        child.returncode = os.waitstatus_to_exitcode(status)
        said.seek(0)
        text = said.read()
    if child.returncode not in codes:
        sys.exit(f"{shlex.join(words[:4])} ended with {child.returncode}:\n{text[-4000:]}")
    processor = usage.ru_utime + usage.ru_stime
    return Ran(seconds, processor, usage.ru_maxrss / 1000, child.returncode, text)


@dataclass(frozen=True, slots=True)
class Project:
    """A project folder on the operator's machine, and the lab it is deployed to."""

    folder: Path
    lab: Lab

    def fab(self, *words: str, codes: Sequence[int] = (0,)) -> Ran:
        """Type a `fab` command."""
        program = str(Path(sys.executable).with_name("fab"))
        return run((program, *words), self.folder, codes=codes)

    def server(self, number: int = 0) -> LabServer:
        """Give one of the servers."""
        return self.lab.servers[number]

    def on(self, server: LabServer, script: str) -> Ran:
        """Run a script as root on a server, by one plain `ssh`."""
        options = (f"UserKnownHostsFile={self.lab.known_hosts}", "StrictHostKeyChecking=yes")
        words = (*("ssh", "-i", str(self.lab.key)), *(x for o in options for x in ("-o", o)))
        return run(
            (*words, f"{server.user}@{server.address}", "sudo -n sh -eu"), self.folder, stdin=script
        )

    def steps(self) -> dict[str, float]:
        """Give the seconds of each step of the last run, from its journal."""
        runs = self.folder.glob(".rondo/runs/*/events.jsonl")
        newest = max(runs, key=lambda path: path.stat().st_mtime)
        events = [json.loads(line) for line in newest.read_text().splitlines()]
        return {each["text"]: each["seconds"] for each in events if each["kind"] == "done"}


@contextlib.contextmanager
def project(
    change: Mapping[str, Any],
    *,
    servers: int,
    keep: bool,
    add: Callable[[Path], None] = lambda _: None,
) -> Iterator[Project]:
    """Give the example as a project of its own, on bootstrapped servers of a lab of its own.

    What `make demo` deployed is not touched. The servers are removed in the end, unless they are
    kept for the next benchmark; the images are kept in any case. `add` puts more into the folder.
    """
    os.chdir(ROOT)
    os.environ.setdefault("RONDO_LAB", f"{places.default_name(ROOT)}-bench")
    started = lab.up(servers, report=note)
    try:
        with tempfile.TemporaryDirectory(prefix="rondo-bench-") as folder:
            made = Project(Path(folder), started)
            _furnish(made, change, servers)
            add(made.folder)
            made.fab("bootstrap", "--apply")
            yield made
    finally:
        if not keep:
            lab.down()


def _furnish(made: Project, change: Mapping[str, Any], servers: int) -> None:
    folder = made.folder
    for name in ("examples", "templates", "fabfile"):
        shutil.copytree(ROOT / name, folder / name, ignore=LITTER)
    shutil.copy(ROOT / "fabric.yaml", folder)
    shutil.copy(ROOT / "inventory.yaml", folder / "example.yaml")
    demonstration.furnish(made.lab.folder)
    (folder / ".rondo").mkdir()
    (folder / ".rondo" / "lab").symlink_to(made.lab.folder)
    example = yaml.safe_load((folder / "example.yaml").read_text())
    wanted: dict[str, Any] = dict.fromkeys(example["servers"])
    for each in made.lab.servers[:servers]:
        wanted[each.name] = {"address": each.address, "private_address": each.private_address}
    text = yaml.safe_dump({"extends": "example.yaml", "servers": wanted, **change})
    (folder / "inventory.yaml").write_text(text)


@dataclass(frozen=True, slots=True)
class Sample:
    """Figures of one kind, one of each round."""

    values: tuple[float, ...]

    @property
    def median(self) -> float:
        """The figure in the middle."""
        return statistics.median(self.values)

    def show(self, form: str = ".2f") -> str:
        """Give the median and the range."""
        return f"{self.median:{form}} ({min(self.values):{form}}-{max(self.values):{form}})"


def ratio(upper: Sequence[float], lower: Sequence[float]) -> Sample:
    """Divide round by round: what disturbs the machine in a round disturbs both."""
    return Sample(tuple(a / b for a, b in zip(upper, lower, strict=True)))


def interleaved(
    rounds: int, cases: Mapping[str, Callable[[int], float]]
) -> dict[str, tuple[float, ...]]:
    """Run every case in every round; every second round the other way around."""
    found: dict[str, list[float]] = {name: [] for name in cases}
    for number in range(rounds):
        order = list(cases) if number % 2 == 0 else list(reversed(cases))
        for name in order:
            found[name].append(cases[name](number))
    return {name: tuple(values) for name, values in found.items()}


def verdict(value: float, target: float, *, at_most: bool) -> str:
    """Say whether a figure reaches its target."""
    reached = value <= target if at_most else value >= target
    return f"{'ok' if reached else 'MISSED'}, target {'<=' if at_most else '>='} {target:g}"


def note(text: str) -> None:
    """Tell how it goes, apart from the results."""
    print(text, file=sys.stderr, flush=True)


def machine() -> str:
    """Describe this machine and how busy it is already."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return (
        f"{time.strftime('%Y-%m-%d %H:%M')}, {os.cpu_count()} cores, {memory:.0f} GiB, load "
        f"{os.getloadavg()[0]:.1f} before, Python {platform.python_version()}"
    )


def wait_until_quiet(most: float, seconds: float) -> None:
    """Wait for the machine to come to rest; what runs beside a benchmark is measured with it."""
    end = time.monotonic() + seconds
    while os.getloadavg()[0] > most and time.monotonic() < end:
        time.sleep(2)
    if os.getloadavg()[0] > most:
        note(f"the machine is busy (load {os.getloadavg()[0]:.1f}): take the figures with care")


def common_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that every benchmark with a lab has."""
    parser.add_argument(
        "--keep", action="store_true", help="leave the servers for the next benchmark"
    )
    parser.add_argument(
        "--quiet-load",
        type=float,
        default=1.0,
        help="wait up to 2 minutes until the load is lower than this (default: 1.0)",
    )
