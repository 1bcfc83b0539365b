"""The processes of benchmarks/load.py: a server, and a client that counts its own processor time.

A process of its own, because Locust has to be imported before anything that imports ssl.
"""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

ANSWER = b"""HTTP/1.1 200 OK\r
Server: nginx\r
Content-Type: text/html\r
Content-Length: 200\r
Connection: keep-alive\r
X-Rondo-Backend: web-1;unix:/var/lib/rondo/shop/sockets/backend-1/slot.sock;f5d3e1a\r
X-Content-Type-Options: nosniff\r
\r
""" + bytes(200)


def serve() -> None:
    """Answer everything alike, and say on which port."""

    class Conversation(asyncio.Protocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            self._transport = transport

        def data_received(self, data: bytes) -> None:
            self._transport.write(ANSWER * data.count(b"\r\n\r\n"))

    async def forever() -> None:
        server = await asyncio.get_running_loop().create_server(Conversation, "127.0.0.1")
        print(server.sockets[0].getsockname()[1], flush=True)
        await server.serve_forever()

    asyncio.run(forever())


def ask(port: int, rounds: int, requests: int) -> None:
    """Print requests a processor second, round by round: recorded, not recorded, stock client."""
    from locust.contrib.fasthttp import FastHttpSession  # noqa: PLC0415 - first, as in loadtests/
    from locust.env import Environment  # noqa: PLC0415

    from rondo.objectives import Proof  # noqa: PLC0415
    from rondo.proof.brief import make_brief  # noqa: PLC0415
    from rondo.proof.load.crew import Crew, Orders  # noqa: PLC0415
    from rondo.proof.load.ledger import Ledger  # noqa: PLC0415
    from rondo.proof.load.scenario import Journey  # noqa: PLC0415
    from rondo.proof.load.users import Person  # noqa: PLC0415

    class Silent:
        """Records nothing."""

        def add(self, *_: float) -> None:
            """Drop a row."""

        def backend(self, _: str) -> int:
            """Drop a text."""
            return 0

    host = f"http://127.0.0.1:{port}"
    environment = Environment()
    environment.create_local_runner()
    steps = {"steps": [{"get": "/"}, {"get": "/api/products/"}, {"post": "/api/orders/"}]}
    proof = Proof.model_validate({"scenario": {"visit": steps}})
    brief = make_brief(proof, None, run="0123456789ab", secret="0" * 32, host=host, closed=1)
    with tempfile.TemporaryDirectory(prefix="rondo-load-") as folder:
        ledger = Ledger(Path(folder))
        ledger.open("only")
        crew = Crew(Orders(brief), lambda *rows: ledger.add("only", *rows))
        person = Person(crew, environment, 0)
        journey = Journey(brief, brief.scenarios[0].steps, person.values)
        recorder, silent = crew.recorder, Silent()
        stock = FastHttpSession(host, environment.events.request, None)

        def recorded() -> None:
            crew.recorder = recorder
            _ours(requests, person, journey)
            crew.hand_over()

        def unrecorded() -> None:
            crew.recorder = silent  # type: ignore[assignment]
            _ours(requests, person, journey)

        def stocked() -> None:
            for _ in range(requests):
                stock.get("/")

        for case in (recorded, unrecorded, stocked):
            case()
        cases = {"recorded": recorded, "unrecorded": unrecorded, "stock": stocked}
        print(json.dumps([_round(cases, requests, turn) for turn in range(rounds)]))


def _ours(requests: int, person: object, journey: object) -> None:
    for _ in range(requests):
        step, _ = journey.ask()  # type: ignore[attr-defined]
        person.request(step, time.time(), journey)  # type: ignore[attr-defined]


def _round(cases: dict[str, Callable[[], None]], requests: int, turn: int) -> dict[str, float]:
    """Run each case once; every second round the other way around."""
    rates = {}
    for name in (*cases,) if turn % 2 else reversed(cases):
        used = time.process_time()
        cases[name]()
        rates[name] = requests / (time.process_time() - used)
    return rates


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        serve()
    else:
        ask(*(int(word) for word in sys.argv[2:]))
