"""How long changes of a live site take, beside what their containers take by themselves.

    .venv/bin/python benchmarks/roll.py [--rounds 5] [--latency 200] [--keep]

It starts a lab of its own with two servers beside that of `make demo`, deploys the example there,
and measures, in turns:

* alone: each of the six containers of the backend started by `docker run` with the product's own
  options, one after the other, and asked for its health through Nginx as the product's gate asks,
  until it is healthy; timed on the servers, so that no way there is in it;
* roll: `fab restart backend` of the same six slots, the whole process on the wall clock: start of
  Python, login, lock, observation, six transactions, and the end of the last old container;
* far: the same restart with --latency ms of round trip added between the operator and the servers;
* switch: the commands of the product's script that move a slot, on a slot that serves, in a loop on
  the server;
* rollback: `fab rollback` of one server with three slots to a release whose slots all differ, and
  forth again.

Servers that are far are servers behind a relay on this machine: it passes each byte on half of the
latency later, either way, and lets a new connection wait one and a half round trips, as a TCP
handshake does. The kernel's own delay (`tc qdisc add ... netem`) is no part of many kernels and
stays behind when a script is killed; the relay needs no rights and is gone with this process. What
it does not show is TCP's slow start, which costs a far operator of big uploads more.

Exits 1 if a target is missed. Nothing but this machine's containers is loaded.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import shlex
import sys
import threading
from collections import deque
from typing import TYPE_CHECKING, Any, Self

import yaml
from _common import (
    DATA,
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
from rondo.scripts import changing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from rondo.lab import LabServer
    from rondo.release import Slot

TIMES_ALONE = 1.3
TIMES_NEAR = 1.3
SWITCH_MILLISECONDS = 5
ROLLBACK_SECONDS = 5
SWITCHES = 200
FAR = "far.yaml"

# One container beside the one that serves; what it says is the seconds until it was healthy.
ALONE = """
mkdir -p {folder}/alone; chmod 0777 {folder}/alone
healthy() {{
    seen=$(curl -s -o /dev/null -w '%{{http_code}}' --max-time {gate.timeout} \\
        --unix-socket {socket} -H 'Host: {gate.host}' "http://localhost/gate/{slot}{gate.path}")
    [ "$seen" = {gate.status} ]
}}
began=$(date +%s%N)
docker run --detach --restart no {options} >/dev/null
ln -sfn alone/app.sock {folder}/candidate.sock
limit=$(($(date +%s) + {deadline}))
right=0
while [ $right -lt {gate.successes} ]; do
    [ "$(date +%s)" -lt $limit ]
    if [ ! -S {folder}/alone/app.sock ]; then sleep 0.02; continue; fi
    if healthy; then right=$((right + 1)); else right=0; fi
    [ $right -ge {gate.successes} ] || sleep {gate.interval}
done
echo "seconds $(($(date +%s%N) - began))"
ln -sfn "$(readlink {folder}/slot.sock)" {folder}/candidate.sock
docker rm --force --volumes {slot}-alone >/dev/null
rm -rf {folder}/alone
"""
CLEAN = "docker ps -aq --filter label=by-hand.project | xargs -r docker rm -fv >/dev/null"

# The product's own script, told to do nothing, and then its function in a loop: a slot is switched
# to what it serves already.
SWITCH = """
set -- :
{script}
folder={folder}
target=$(readlink "$folder/slot.sock")
for _ in 1 2 3 4 5; do
    left={times}
    began=$(date +%s%N)
    while [ $left -gt 0 ]; do switch_socket "$target"; left=$((left - 1)); done
    echo "seconds $((($(date +%s%N) - began) / {times}))"
done
"""


def seconds_in(said: str) -> list[float]:
    """Read what a script on a server has timed."""
    lines = (line.split() for line in said.splitlines() if line.startswith("seconds "))
    return [int(words[1]) / 1e9 for words in lines]


class Alone:
    """The containers of the backend without the product around them."""

    def __init__(self, bench: Project) -> None:
        self._bench = bench
        loaded = source.load(start=bench.folder)
        servers = gather(loaded, templates_of(loaded.root)).release.servers
        self._scripts = {
            name: "\n".join(
                [CLEAN, *(_alone(slot, name) for slot in server.slots if _is_backend(slot))]
            )
            for name, server in servers.items()
        }

    def start_each(self, _: int) -> float:
        """Start one after the other; give the sum of their seconds."""
        found: list[float] = []
        for server in self._bench.lab.servers:
            if server.name in self._scripts:
                found += seconds_in(self._bench.on(server, self._scripts[server.name]).said)
        if len(found) != 6:
            sys.exit(f"six containers were to become healthy, and {len(found)} did")
        return sum(found)


def _is_backend(slot: Slot) -> bool:
    return slot.container.service == "backend"


def _alone(slot: Slot, server: str) -> str:
    words = run_options("shop", slot.container, Instance("alone", server, "by-hand"))
    text = shlex.join(word.replace("=rondo.", "=by-hand.") for word in words)
    text = text.replace(f"--name=shop-{slot.name}-alone", f"--name={slot.name}-alone")
    return ALONE.format(
        folder=f"{DATA}/sockets/{slot.name}",
        gate=slot.gate,
        slot=slot.name,
        socket="/run/rondo/shop.sock",
        deadline=round(slot.gate.deadline),
        options=text,
    )


class Relay:
    """Ports of this machine that lead to the servers' sshd, later than they might."""

    def __init__(self, targets: Mapping[str, str], round_trip: float) -> None:
        self._targets = targets
        self._one_way = round_trip / 2
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.ports: dict[str, int] = {}

    def __enter__(self) -> Self:
        self._thread.start()
        self._ready.wait()
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        for name, address in self._targets.items():
            self.ports[name] = self._loop.run_until_complete(self._listen(address))
        self._loop.call_soon(self._ready.set)
        self._loop.run_forever()
        left = asyncio.all_tasks(self._loop)
        for task in left:
            task.cancel()
        self._loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
        self._loop.close()

    async def _listen(self, address: str) -> int:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            with contextlib.suppress(asyncio.CancelledError, OSError):
                # The first byte of either side comes after the handshake.
                await asyncio.sleep(3 * self._one_way)
                far_reader, far_writer = await asyncio.open_connection(address, 22)
                await asyncio.gather(
                    self._pass_on(reader, far_writer), self._pass_on(far_reader, writer)
                )

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        port: int = server.sockets[0].getsockname()[1]
        return port

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Carry bytes one way, each piece as long after it came as the others."""
        waiting: deque[tuple[float, bytes]] = deque()
        come = asyncio.Event()

        async def send() -> None:
            while True:
                while not waiting:
                    come.clear()
                    await come.wait()
                due, data = waiting.popleft()
                await asyncio.sleep(due - self._loop.time())
                if not data:
                    break
                writer.write(data)
                await writer.drain()
            writer.close()

        sending = asyncio.ensure_future(send())
        data = b"."
        while data:
            try:
                data = await reader.read(1 << 16)
            except OSError:
                data = b""
            waiting.append((self._loop.time() + self._one_way, data))
            come.set()
        with contextlib.suppress(OSError):
            await sending


@contextlib.contextmanager
def far(bench: Project, milliseconds: float) -> Iterator[Callable[..., float]]:
    """Give a `fab` whose servers are far away: an inventory of their relayed ports."""
    servers = {each.name: each for each in bench.lab.servers[:2]}
    with Relay({n: each.address for n, each in servers.items()}, milliseconds / 1000) as relay:
        known = bench.folder / "far.known_hosts"
        known.write_text(_known(bench, servers, relay.ports))
        change: dict[str, Any] = {
            "extends": "inventory.yaml",
            "servers": {
                name: {"address": "127.0.0.1", "port": port} for name, port in relay.ports.items()
            },
            "settings": {"ssh": {"known_hosts": str(known)}},
        }
        (bench.folder / FAR).write_text(yaml.safe_dump(change))

        def fab(*words: str) -> float:
            os.environ["RONDO_INVENTORY"] = FAR
            try:
                return bench.fab(*words).seconds
            finally:
                del os.environ["RONDO_INVENTORY"]

        yield fab


def _known(bench: Project, servers: Mapping[str, LabServer], ports: Mapping[str, int]) -> str:
    """Give the servers' keys as those of the relayed ports."""
    lines = [line.split() for line in bench.lab.known_hosts.read_text().splitlines()]
    return "".join(
        f"[127.0.0.1]:{ports[name]} {' '.join(words[1:])}\n"
        for name, server in servers.items()
        for words in lines
        if server.address in words[0].split(",")
    )


def say(name: str, sample: Sample, unit: str, target: float | None = None) -> bool:
    """Print a line of the table; tell whether the target was reached."""
    told = f"   [{verdict(sample.median, target, at_most=True)}]" if target else ""
    print(f"{name:46} {sample.show()}{unit}{told}", flush=True)
    return target is None or sample.median <= target


def rolls(bench: Project, rounds: int, milliseconds: float) -> bool:
    """Measure restarts of six slots, near and far, against their containers alone."""
    alone = Alone(bench)
    spent: list[dict[str, float]] = []

    def near(_: int) -> float:
        seconds = bench.fab("restart", "backend").seconds
        spent.append(parts(bench, seconds))
        return seconds

    with far(bench, milliseconds) as fab:
        cases = {
            "alone": alone.start_each,
            "roll": near,
            "far": lambda _: fab("restart", "backend"),
        }
        interleaved(1, cases)
        spent.clear()
        found = interleaved(rounds, cases)
    good = [
        say(
            "roll of six / its containers alone",
            ratio(found["roll"], found["alone"]),
            "",
            TIMES_ALONE,
        ),
        say(
            f"the same, {milliseconds:g} ms away / near",
            ratio(found["far"], found["roll"]),
            "",
            TIMES_NEAR,
        ),
    ]
    for name, values in found.items():
        say(f"  {name}", Sample(values), " s")
    for part in spent[0]:
        say(f"    {part}", Sample(tuple(each[part] for each in spent)), " s")
    return all(good)


def parts(bench: Project, whole: float) -> dict[str, float]:
    """Tell what the last run spent its seconds on, from its journal."""
    newest = max(bench.folder.glob(".rondo/runs/*/events.jsonl"), key=lambda p: p.stat().st_mtime)
    events = [json.loads(line) for line in newest.read_text().splitlines()]
    done = [each for each in events if each["kind"] == "done"]
    fills = sum(each["seconds"] for each in done if each["text"].startswith("fill "))
    settled = max(each["seconds"] for each in done if each["text"].startswith("see "))
    return {
        "six transactions": fills,
        "the last old container's end": settled,
        "start, login, lock, observation, end": whole - fills - settled,
    }


def switches(bench: Project) -> bool:
    """Measure the switch itself, on a server."""
    script = SWITCH.format(
        script=changing("slot"), folder=f"{DATA}/sockets/backend-1", times=SWITCHES
    )
    found = seconds_in(bench.on(bench.server(), script).said)
    milliseconds = Sample(tuple(each * 1000 for each in found))
    return say("switch of a slot, on the server", milliseconds, " ms", SWITCH_MILLISECONDS)


def rollbacks(bench: Project, rounds: int) -> bool:
    """Measure rollbacks of one server between two releases that differ in every slot."""
    server = bench.server()
    inventory = bench.folder / "inventory.yaml"
    declared = inventory.read_text()
    changed = yaml.safe_load(declared)
    services = changed.setdefault("services", {})
    services.setdefault("backend", {})["environment"] = {"BENCHMARK": "another release"}
    first = _in_force(bench)
    inventory.write_text(yaml.safe_dump(changed))
    bench.fab("-H", server.name, "deploy")
    inventory.write_text(declared)
    second = _in_force(bench)
    found = []
    for _ in range(rounds):
        for identity in (first, second):
            ran = bench.fab("-H", server.name, "rollback", identity)
            moved = [title for title in bench.steps() if title.startswith("fill backend-")]
            if len(moved) != 3:
                sys.exit(f"three slots were to move, and {len(moved)} did:\n{ran.said}")
            found.append(ran.seconds)
    bench.fab("-H", server.name, "rollback", first)
    return say("rollback of a server of three slots", Sample(tuple(found)), " s", ROLLBACK_SECONDS)


def _in_force(bench: Project) -> str:
    return bench.on(bench.server(), f"readlink {DATA}/releases/current").said.strip()


def main() -> None:
    """Deploy, measure, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5, help="of each, in turns (default: 5)")
    parser.add_argument(
        "--latency", type=float, default=200, help="ms of round trip to be added (default: 200)"
    )
    common_options(parser)
    options = parser.parse_args()
    with project({}, servers=2, keep=options.keep) as bench:
        note("deploying the example")
        bench.fab("deploy")
        wait_until_quiet(options.quiet_load, 120)
        print(machine(), flush=True)
        good = [
            switches(bench),
            rolls(bench, options.rounds, options.latency),
            rollbacks(bench, max(1, options.rounds // 2)),
        ]
    sys.exit(0 if all(good) else 1)


if __name__ == "__main__":
    main()
