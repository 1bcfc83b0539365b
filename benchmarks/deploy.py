"""How long a deploy takes: with nothing to do, and after one line of the backend was changed.

    .venv/bin/python benchmarks/deploy.py [--rounds 7] [--pairs 5] [--keep]

It starts a lab of its own with two servers beside that of `make demo`, deploys the example there,
and prints:

* `fab --list`, and a second `fab deploy` on one server and on two: the whole process on the wall
  clock, and the peak of its memory;
* a deploy to one server after a one-line change of the backend, against the same docker commands
  in one shell script over one ssh (build, migrate, and slot by slot: run, wait until it answers
  through Nginx, switch, stop, remove), in pairs, each with a change of its own.

The script by hand has nothing to find out and keeps no record, no lock, no drain and no way back.
Exits 1 if a target is missed.
"""

from __future__ import annotations

import argparse
import re
import shlex
import sys
import time
from dataclasses import replace
from typing import TYPE_CHECKING

from _common import (
    DATA,
    HOST,
    Project,
    Sample,
    common_options,
    interleaved,
    machine,
    note,
    project,
    ratio,
    verdict,
    wait_until_quiet,
)

from rondo import source
from rondo.deploy import templates_of
from rondo.docker import Instance, run_options
from rondo.gather import gather

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rondo.release import Container

HAND = "/var/lib/by-hand"
LIST, ONE, TWO = "fab --list", "nothing to do, one server", "nothing to do, two servers"
LIMITS = {LIST: 0.4, ONE: 1.0, TWO: 1.3}
MEGABYTES = 150
TIMES_BY_HAND = 1.25
# The file of the example that gets one more line for each deploy.
CHANGED = "shop/views.py"

SLOT_BY_HAND = """
mkdir -p {folder}/{id}; chmod 0777 {folder}/{id}
docker run --detach --restart unless-stopped {options} >/dev/null
ln -sfn {id}/app.sock {folder}/candidate.sock
healthy() {{ curl -sf -o /dev/null --unix-socket {hand}/gate.sock -H 'Host: {host}' "$1"; }}
tries=0
until healthy http://localhost/gate/{slot}/health; do
    tries=$((tries + 1)); [ $tries -lt 300 ]; sleep 0.1
done
old=$(readlink {folder}/slot.sock || :)
ln -sfn {id}/app.sock {folder}/next.sock; mv -fT {folder}/next.sock {folder}/slot.sock
if [ -n "$old" ]; then
    docker stop {slot}-"${{old%/*}}" >/dev/null
    docker rm {slot}-"${{old%/*}}" >/dev/null
fi
"""

# A gate for the containers by hand, made from that of the product; and a copy of the context.
PREPARE = f"""
docker ps --all --quiet --filter label=by-hand.project | xargs -r docker rm --force >/dev/null
rm -rf {HAND}/context {HAND}/sockets; mkdir -p {HAND}/sockets
cp -a {DATA}/contexts/backend {HAND}/context
sed -e 's|{DATA}/sockets|{HAND}/sockets|' -e 's|unix:/run/rondo/shop.sock|unix:{HAND}/gate.sock|' \\
    -e 's|rondo-shop-gate.invalid|by-hand.invalid|' -e 's|rondo_slot|hand_slot|g' \\
    /etc/nginx/conf.d/rondo-shop-gate.conf >/etc/nginx/conf.d/by-hand.conf
nginx -t 2>/dev/null; nginx -s reload
"""


class ByHand:
    """The docker commands of a deploy, as somebody would write them into a script."""

    def __init__(self, bench: Project) -> None:
        self._bench = bench
        self._server = bench.server()
        bench.on(self._server, PREPARE)
        loaded = source.load(start=bench.folder)
        material = gather(loaded, templates_of(loaded.root))
        released = material.release.servers[self._server.name]
        self._image = material.release.images["backend"]
        self._slots = [s.container for s in released.slots if s.container.service == "backend"]
        command = next(c for c in material.release.commands if c.service == "backend")
        self._command = command.containers[self._server.name]

    def options(self, container: Container, number: int) -> str:
        """Give the product's own options of docker run, with other folders, names and labels."""
        changed = replace(container, image=f"by-hand:{number}")
        words = run_options("shop", changed, Instance(str(number), self._server.name, "by-hand"))
        text = shlex.join(word.replace("=rondo.", "=by-hand.") for word in words)
        name = f"--name={container.name}-{number}"
        text = text.replace(f"--name=shop-{container.name}-{number}", name)
        return text.replace(f"{DATA}/sockets", f"{HAND}/sockets")

    def script(self, number: int) -> str:
        """Write the script of one deploy."""
        arguments = shlex.join(f"--build-arg={k}={v}" for k, v in self._image.arguments)
        file = f"--file={HAND}/context/{self._image.dockerfile}"
        tag = f"--tag=by-hand:{number}"
        lines = [
            "set -e; export DOCKER_BUILDKIT=1",
            f"echo '# by hand {number} at {time.time_ns()}' >>{HAND}/context/{CHANGED}",
            f"docker build --quiet {file} {tag} {arguments} {HAND}/context >/dev/null",
            f"docker run --rm {self.options(self._command, number)} >/dev/null",
        ]
        for each in self._slots:
            options = self.options(each, number)
            folder = f"{HAND}/sockets/{each.name}"
            lines.append(
                SLOT_BY_HAND.format(
                    folder=folder, id=number, options=options, host=HOST, slot=each.name, hand=HAND
                )
            )
        return "\n".join(lines)

    def deploy(self, number: int) -> float:
        """Run it on the server; give its seconds."""
        return self._bench.on(self._server, self.script(number)).seconds


def deploy_change(bench: Project, name: str, number: int) -> float:
    """Add a line to the backend and deploy it to one server; give the seconds."""
    file = bench.folder / "examples/shop/backend" / CHANGED
    # A line that no deploy before had, of this run or of one that left its servers.
    file.write_text(f"{file.read_text()}# deployed {number} at {time.time_ns()}\n")
    return bench.fab("-H", name, "deploy").seconds


def nothing_to_do(bench: Project, rounds: int) -> bool:
    """Measure commands that change nothing, and print them."""
    peaks: dict[str, float] = {}
    spent: dict[str, list[float]] = {name: [] for name in LIMITS}
    words = {LIST: ("--list",), ONE: ("-H", bench.server().name, "deploy"), TWO: ("deploy",)}

    def case(name: str, number: int) -> float:
        ran = bench.fab(*words[name])
        if name != LIST and "nothing to do" not in ran.said:
            sys.exit(f"round {number} of `{name}` had something to do:\n{ran.said}")
        peaks[name] = max(peaks.get(name, 0), ran.megabytes)
        spent[name].append(ran.processor)
        return ran.seconds

    cases = {name: (lambda number, name=name: case(name, number)) for name in words}
    interleaved(1, cases)
    found = interleaved(rounds, cases)
    for name, values in found.items():
        sample = Sample(values)
        said = verdict(sample.median, LIMITS[name], at_most=True)
        print(f"{name:28} {sample.show()} s, processor {min(spent[name]):.2f} s   [{said}]")
    print(f"{'peak memory':28} {max(peaks.values()):.0f} MB   ", end="")
    print(f"[{verdict(max(peaks.values()), MEGABYTES, at_most=True)}]")
    in_time = all(Sample(found[name]).median <= most for name, most in LIMITS.items())
    return in_time and max(peaks.values()) <= MEGABYTES


def one_line(bench: Project, pairs: int) -> bool:
    """Measure a deploy of a changed backend against the script, and print both."""
    by_hand = ByHand(bench)
    name = bench.server().name
    steps: list[dict[str, float]] = []

    def ours(number: int) -> float:
        seconds = deploy_change(bench, name, number)
        steps.append({_plain(title): spent for title, spent in bench.steps().items()})
        return seconds

    cases = {"rondo": ours, "by hand": by_hand.deploy}
    # The first of each is a warm-up: the containers by hand are not there yet.
    interleaved(1, {"rondo": lambda _: ours(9000), "by hand": lambda _: by_hand.deploy(9000)})
    steps.clear()
    found = interleaved(pairs, cases)
    ratios = ratio(found["rondo"], found["by hand"])
    said = verdict(ratios.median, TIMES_BY_HAND, at_most=True)
    print(f"{'one line changed: ratio':28} {ratios.show()}   [{said}]")
    for kind, values in found.items():
        print(f"  {kind:26} {Sample(values).show()} s")
    _print_steps(steps, found["rondo"])
    return ratios.median <= TIMES_BY_HAND


def _plain(title: str) -> str:
    """Leave away what differs from run to run: tags and ids of releases."""
    return re.sub(r":[0-9a-f]{8,}|(?<=release )\S+", "", title).strip()


def _print_steps(steps: Sequence[dict[str, float]], totals: Sequence[float]) -> None:
    titles = list(dict.fromkeys(text for each in steps for text in each))
    spent = {title: Sample(tuple(s[title] for s in steps if title in s)).median for title in titles}
    for title, seconds in spent.items():
        print(f"    {title[:56]:56} {seconds:5.2f} s")
    print(f"    {'everything else':56} {Sample(totals).median - sum(spent.values()):5.2f} s")


def main() -> None:
    """Deploy, measure, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=7, help="of deploys with nothing to do")
    parser.add_argument("--pairs", type=int, default=5, help="of deploys after a change")
    common_options(parser)
    options = parser.parse_args()
    with project({}, servers=2, keep=options.keep) as bench:
        note("deploying the example")
        bench.fab("deploy")
        wait_until_quiet(options.quiet_load, 120)
        print(machine())
        still = nothing_to_do(bench, options.rounds) if options.rounds else True
        changed = one_line(bench, options.pairs) if options.pairs else True
    sys.exit(0 if still and changed else 1)


if __name__ == "__main__":
    main()
