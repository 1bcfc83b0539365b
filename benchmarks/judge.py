"""How long reading and judging a run of a million requests takes, and how much memory.

    python benchmarks/judge.py [--requests 1000000] [--rounds 3]

A made-up healthy run is written to a folder as witnesses leave it: the clients' rows and the JSON
logs of two servers. A child process reads and judges it, so that its time and its peak of memory
are its own, the start of Python included.
"""

from __future__ import annotations

import argparse
import pickle
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from _common import ROOT, Sample, machine, note, run, verdict

if TYPE_CHECKING:
    from rondo.proof.evidence import Evidence

RATE = 5_000
SECONDS, MEGABYTES = 5.0, 300.0


def child(folder: Path) -> None:
    """Read a run from its folder, judge it, and say what came of it."""
    from rondo.proof.collect import read_log, read_requests  # noqa: PLC0415 - the child's alone
    from rondo.proof.judge import judge  # noqa: PLC0415

    evidence: Evidence = pickle.loads((folder / "evidence.pickle").read_bytes())  # noqa: S301 - ours
    requests, _ = read_requests(folder)
    witnesses = tuple(
        replace(each, lines=read_log(folder / "servers" / f"{each.server}.log", evidence.run))
        for each in evidence.witnesses
    )
    found = judge(replace(evidence, requests=requests, witnesses=witnesses))
    lines = sum(len(each.lines.rows) for each in witnesses)
    print(f"{found.status.value} {len(requests.rows)} {lines}")


def prepare(folder: Path, requests: int) -> None:
    """Write a run of about so many requests."""
    sys.path.insert(0, str(ROOT / "tests" / "unit"))
    import proofs  # noqa: PLC0415 - shared with the tests of the judge

    evidence = proofs.evidence(rate=RATE, duration=requests / (RATE + proofs.PROBES), users=2_500)
    proofs.leave(folder, evidence)
    (folder / "evidence.pickle").write_bytes(pickle.dumps(proofs.without_rows(evidence)))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--requests", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--prepare", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.prepare:
        prepare(options.prepare, options.requests)
        return
    if options.child:
        child(options.child)
        return
    print(machine())
    with tempfile.TemporaryDirectory(prefix="rondo-judge-") as name:
        folder = Path(name)
        note("making up a run")
        # In a child, too: a process counts the memory of the one that started it as its own.
        run(
            (sys.executable, __file__, "--prepare", name, "--requests", str(options.requests)), ROOT
        )
        size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 1e6
        words = (sys.executable, __file__, "--child", str(folder))
        ran = [run(words, ROOT) for _ in range(options.rounds)]
    seconds = Sample(tuple(each.seconds for each in ran))
    processor = Sample(tuple(each.processor for each in ran))
    memory = Sample(tuple(each.megabytes for each in ran))
    print(f"judged            {ran[0].said.strip()} (status, requests, lines), {size:.0f} MB")
    print(f"seconds           {seconds.show()}  {verdict(seconds.median, SECONDS, at_most=True)}")
    print(f"processor seconds {processor.show()}")
    print(f"megabytes         {memory.show('.0f')}  ", end="")
    print(verdict(memory.median, MEGABYTES, at_most=True))


if __name__ == "__main__":
    main()
