"""The rows of the fault matrix: what is done to a site, and which check must say so. Pure data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from rondo.proof.verdict import Status

SHORT: Final = 6.0
"""Seconds of load that most faults need."""
USUAL_RATE: Final = 100.0
"""Requests a second: two lanes, their servers and the judge share one machine."""


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the matrix."""

    name: str
    what: str
    """What is done to the site, for people."""
    verdict: Status
    keys: tuple[str, ...] = ()
    """Checks of which one at least must speak; others may, too."""
    never: tuple[str, ...] = ()
    """Checks that would be wrong to speak."""
    seconds: float = SHORT
    rate: float = USUAL_RATE
    wide: bool = False
    """Whether it loads the whole cluster, and so has the lab to itself."""
    workers: int = 1
    """Processes that make the load."""
    brief: bool = False
    """Whether the short form of the self-test has it."""

    @property
    def healthy(self) -> bool:
        """Whether nothing is wrong, so that nothing may be said."""
        return self.verdict is Status.PASS


def _healthy(name: str, what: str, *, brief: bool = False) -> Row:
    return Row(name, what, Status.PASS, brief=brief)


def _failing(  # noqa: PLR0913 - a row has this many columns
    name: str,
    what: str,
    *keys: str,
    never: tuple[str, ...] = (),
    seconds: float = SHORT,
    rate: float = USUAL_RATE,
    wide: bool = False,
    brief: bool = False,
) -> Row:
    return Row(name, what, Status.FAIL, keys, never, seconds, rate, wide=wide, brief=brief)


def _invalid(name: str, what: str, *, workers: int = 1, brief: bool = False) -> Row:
    return Row(name, what, Status.INVALID, ("sound",), workers=workers, brief=brief)


ROWS: Final = (
    _healthy("healthy-zone-1w", "nothing; counters shared, 1 Nginx worker"),
    _healthy("healthy-zone-2w", "nothing; counters shared, 2 Nginx workers", brief=True),
    _healthy("healthy-nozone-1w", "nothing; no `zone`, 1 Nginx worker"),
    _healthy("healthy-nozone-2w", "nothing; no `zone`, 2 Nginx workers", brief=True),
    _failing(
        "dead-from-start", "a backend is killed before the load starts", "everyone", brief=True
    ),
    _failing(
        "killed-mid-run",
        "a backend is killed (SIGKILL) halfway through the load",
        *("lost", "everyone", "round_robin"),
        seconds=8,
    ),
    _failing("marked-down", "a backend is `down` in the upstream", "everyone"),
    _failing("marked-backup", "a backend is `backup` in the upstream", "everyone"),
    _failing("left-out", "a backend is not in the upstream", "everyone"),
    _failing("weights-211", "weights 2:1:1 where 1:1:1 is declared", "round_robin"),
    _failing(
        "weights-11-10-10",
        "weights 11:10:10 where 1:1:1 is declared",
        "round_robin",
        seconds=10,
        brief=True,
    ),
    _failing("ip-hash", "`ip_hash` where round robin is declared", "round_robin"),
    _failing("random", "`random` where round robin is declared", "round_robin"),
    _failing("least-conn", "`least_conn` where round robin is declared", "round_robin"),
    _failing(
        "slow-2x",
        "a backend takes twice the time of the others",
        "slow_backend",
        seconds=40,  # its lower limit must be over 1.1 also where the machine does other things
        rate=120,
    ),
    _failing(
        "slow-1.3x",
        "a backend takes 1.3 times the time of the others",
        "slow_backend",
        seconds=60,
        rate=120,
    ),
    _failing("hung", "a backend is stopped (SIGSTOP) and stays so", "lost"),
    _failing("old-release", "a slot runs a release that is not recorded", "one_release"),
    _failing(
        "errors-1-percent",
        "1 % of the backends' answers are 500",
        "lost",
        seconds=12,  # a thousand answers: none of them is 500 in one run of 20,000
        rate=150,
        brief=True,
    ),
    _failing(
        "drops-10-percent",
        "10 % of GETs on kept-alive connections are dropped without an answer",
        "lost",
        brief=True,
    ),
    _failing(
        "stall-1-in-5", "all backends stand still for 1 s in every 5", "throughput", seconds=10
    ),
    _failing("unknown-ca", "the certificate is of an unknown authority", "tls"),
    _failing("expired", "the certificate has expired", "tls", brief=True),
    _failing("wrong-name", "the certificate is for another name", "tls"),
    _failing("tls-1.0", "TLS 1.0 is offered", "tls"),
    _failing("no-redirect", "http:// does not lead to https://", "tls"),
    _failing("server-missing", "one of two servers does not answer", "everyone", wide=True),
    _failing(
        "reloads",
        "Nginx is reloaded every 0.5 s",
        "lost",
        never=("round_robin",),
        seconds=16,  # a reload cuts few connections in the one moment that counts
        rate=150,
    ),
    _invalid("client-too-slow", "the load generator gets a third of its time"),
    _invalid("worker-killed", "one of two load generators is killed (SIGKILL)", workers=2),
    _invalid("no-requests", "the load generator is killed before its first request"),
    _invalid("log-truncated", "the access log is truncated during the load", brief=True),
    _invalid("clock-off", "the server's clock is a minute ahead"),
)
BY_NAME: Final = {row.name: row for row in ROWS}
