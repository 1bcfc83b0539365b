"""How long a build context of 5,000 files and 50 MB takes to a server.

    python benchmarks/context.py [--server web-1] [--inventory inventory.yaml]

The folder it fills on the server, /var/lib/rondo/benchmark, is removed at the end. Times are
medians of interleaved rounds; the yardstick is `tar | ssh tar` done by hand in the same round.
"""

from __future__ import annotations

import argparse
import random
import statistics
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING

from rondo import context, source
from rondo.fleet import Fleet

if TYPE_CHECKING:
    from collections.abc import Callable

    from rondo.server import Remote

FILES = 5_000
BYTES = 10_300
FOLDER = "/var/lib/rondo/benchmark"
KEPT = f"{FOLDER}/contexts/app"
RULES = ".git\nnode_modules\n**/*.pyc\n**/__pycache__\n*.md\n!README.md\ndist\n.venv\n"
BY_HAND = f"mkdir -p {FOLDER}/hand; tar -x -f - -C {FOLDER}/hand"


def make_tree(root: Path) -> None:
    """Write 5,000 files of random bytes in 350 folders."""
    source_of_bytes = random.Random(1)  # noqa: S311 - no secret
    for number in range(FILES):
        path = root / f"part{number % 50}" / f"module{number % 7}" / f"file{number}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(source_of_bytes.randbytes(BYTES))
    (root / ".dockerignore").write_text(RULES)


def seconds(action: Callable[[], object]) -> float:
    """Time one action."""
    begin = time.perf_counter()
    action()
    return time.perf_counter() - begin


def send_whole(remote: Remote, root: Path) -> None:
    """Read the tree and send it to a server that has nothing of it."""
    context.send(remote, KEPT, context.read(root, {}))


def send_changes(remote: Remote, root: Path) -> None:
    """Read the tree, ask for what the server has, and send what differs."""
    context.send(remote, KEPT, context.read(root, {}), context.fetch_manifest(remote, KEPT))


def measure(remote: Remote, root: Path, rounds: int) -> dict[str, list[float]]:
    """Run every case in every round."""
    times: dict[str, list[float]] = defaultdict(list)
    for number in range(rounds):
        remote.run(f"rm -rf {FOLDER}", step="start from nothing")
        content = list(context.tar(context.read(root, {})))
        by_hand = seconds(lambda: remote.run(BY_HAND, step="unpack by hand", stdin=content))  # noqa: B023
        times["tar | ssh tar, by hand"].append(by_hand)
        times["read and digest"].append(seconds(lambda: context.read(root, {}).digest))
        times["first context"].append(seconds(lambda: send_whole(remote, root)))
        (root / "part1" / "module1" / "file1.py").write_text(str(number))
        times["one file changed"].append(seconds(lambda: send_changes(remote, root)))
    return dict(times)


def main() -> None:
    """Measure, print, tidy up."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--inventory", default="inventory.yaml")
    parser.add_argument("--server", help="by default the first of the inventory")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    loaded = source.load(options.inventory)
    name = options.server or next(iter(loaded.inventory.servers))
    with (
        tempfile.TemporaryDirectory() as folder,
        Fleet(loaded.inventory, loaded.root, [name]) as fleet,
    ):
        make_tree(Path(folder))
        remote = fleet[name]
        remote.open()
        try:
            times = measure(remote, Path(folder), options.rounds)
        finally:
            remote.run(f"rm -rf {FOLDER}", step="tidy up")
    yardstick = statistics.median(times["tar | ssh tar, by hand"])
    for case, found in times.items():
        median = statistics.median(found)
        print(f"{case:24} {median:6.2f} s   {median / yardstick:5.2f}   (worst {max(found):.2f} s)")


if __name__ == "__main__":
    main()
