"""How many requests a load generator makes in a second of processor time, and what recording costs.

    python benchmarks/load.py [--rounds 21] [--requests 1000]

One connection to a server in another process, windows with and without the recorder in turn, and
Locust's own FastHttpUser client beside them. Only the client's processor time counts, so that the
server and the rest of the machine do not show.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path

from _common import ROOT, Sample, machine, ratio, run, verdict

# -P: requests.py beside it is a benchmark, not the library that Locust wants.
CHILD = (sys.executable, "-P", str(Path(__file__).with_name("_load.py")))
MOST = 1.05


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=21)
    parser.add_argument("--requests", type=int, default=1000)
    options = parser.parse_args()
    print(machine())
    with subprocess.Popen([*CHILD, "serve"], stdout=subprocess.PIPE, text=True) as server:
        try:
            port = server.stdout.readline().strip() if server.stdout else ""
            words = (*CHILD, "ask", port, str(options.rounds), str(options.requests))
            rounds = json.loads(run(words, ROOT).said)
        finally:
            server.terminate()
    rates = {name: [each[name] for each in rounds] for name in rounds[0]}
    for name, values in rates.items():
        print(f"{name:<11} {Sample(tuple(values)).show('.0f')} requests a processor second")
    cost = ratio(rates["unrecorded"], rates["recorded"])
    print(
        f"recording   {cost.show('.3f')} times the time  {verdict(cost.median, MOST, at_most=True)}"
    )
    faster = ratio(rates["recorded"], rates["stock"])
    print(f"recorded    {faster.show()} times as fast as Locust's FastHttpUser")


if __name__ == "__main__":
    main()
