"""run.json: what a run was and came to. The models are its schema (docs/run.schema.json)."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Literal

import orjson
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from rondo.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path

RUN_FILE = "run.json"
DIALECT = "https://json-schema.org/draft/2020-12/schema"
Word = Literal["PASS", "FAIL", "INVALID", "SKIPPED"]
Optional = tuple[float | None, ...]


class Part(BaseModel):
    """A part of run.json: immutable, and closed to unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class Step(Part):
    """One request of a scenario."""

    name: str
    method: str
    share: float
    """Share of all requests that it was meant to have."""


class Load(Part):
    """The load as it was meant to be."""

    host: str
    server: str
    """The one server that was loaded; empty for all."""
    rate: float
    """Requests a second."""
    duration: float
    """Seconds from the first intended start to the last."""
    warm_up: float
    """Seconds at the beginning that latency and throughput are not judged on."""
    users: int
    workers: int
    steps: tuple[Step, ...]


class CheckResult(Part):
    """One question to the evidence, and its answer."""

    key: str
    title: str
    status: Word
    sentence: str
    expected: str
    observed: str
    bound: str
    """What would still have passed, and why just that."""
    power: str
    """The smallest fault that it would have seen, and how surely."""
    details: tuple[str, ...]


class Oddity(Part):
    """Something out of the ordinary, verbatim."""

    at: float
    """Seconds since the run began."""
    kind: str
    text: str
    count: int


class Moment(Part):
    """Something that a deploy under load did."""

    at: float
    """Seconds since the run began."""
    kind: str
    text: str
    server: str
    slot: str


class Backend(Part):
    """How many requests were given to a slot first, and how many should have been."""

    server: str
    service: str
    upstream: str
    policy: str
    slot: str
    weight: int
    requests: int
    """Those of others, which take turns like ours, are counted in."""
    expected: float
    """Its weight's part of them."""
    bound: float | None
    """How far a healthy round robin may be off; null where nothing bounds it."""


class Stranger(Part):
    """An address that answered, but is none of the inventory's."""

    server: str
    address: str
    requests: int


class Shares(Part):
    """Requests that were given to each slot of one upstream first, interval by interval."""

    server: str
    upstream: str
    counts: dict[str, tuple[int, ...]]
    """By slot."""


class Series(Part):
    """What clients saw, interval by interval; every list is equally long."""

    width: float
    """Seconds of one interval; 1 for runs of up to five minutes."""
    sent: tuple[int, ...]
    """By the time of sending."""
    right: tuple[int, ...]
    """Answered as expected, by the time of the answer."""
    wrong: tuple[int, ...]
    """Answered otherwise, by the time of the answer."""
    lost: tuple[int, ...]
    """Without a whole answer, by the time at which the client gave up."""
    p50: Optional
    """Seconds from the intended start to the end, by intended start; null without requests."""
    p95: Optional
    p99: Optional


class Span(Part):
    """A time in which a slot answered with the same release."""

    begin: float
    """Seconds since the run began."""
    end: float
    releases: tuple[str, ...]
    """More than one where they cannot be told apart in time."""


class Releases(Part):
    """Which release answered from a slot."""

    server: str
    slot: str
    spans: tuple[Span, ...]


class Histogram(Part):
    """Latency in logarithmic buckets: bucket i begins at 10 ** ((first + i) / per_decade) s."""

    per_decade: int
    first: int
    intended: tuple[int, ...]
    """From the intended start: what a user would have waited."""
    service: tuple[int, ...]
    """From the moment of sending: what the servers took."""


class Reconciled(Part):
    """What clients say that a server answered, against what it logged."""

    server: str
    sent: int | None
    """Answers that clients have from it; null where servers did not say who they are."""
    logged: int
    """Requests of the run in its log, each counted once."""
    missing: int | None
    """Answers that clients have and that its log has not."""
    twice: int
    """Lines of requests that are in a log already."""
    unsent: int
    """Lines of the run that belong to no request of a client."""


class Server(Part):
    """What a server says of itself during the run."""

    name: str
    nginx_workers: int
    reloads: int
    complete: bool
    """Whether every byte of its log was read."""
    reason: str
    clock: float | None
    """Its clock minus the operator's, in seconds; null if it was not asked."""


class Generator(Part):
    """How one load generator did."""

    name: str
    planned: int
    sent: int
    cpu: float | None
    """The most of one processor that it used in any second."""
    lag: float | None
    """99th percentile of its own lateness, in seconds."""
    lost: bool


class Run(Part):
    """One run, whole."""

    version: Literal[1] = Field(alias="schema")
    """Version of this format."""
    run: str
    """Id of the run: it is in every request and in every line of the logs."""
    status: Word
    sentence: str
    exit_code: int
    began: float
    """First intended start, seconds since 1970."""
    ended: float
    command: str
    """What makes such a run again."""
    load: Load
    limits: dict[str, Any]
    """What had to hold: the inventory's proof.limits."""
    figures: dict[str, float | None]
    """The judge's figures in SI units: requests, rate, p50, p95, p99, ..."""
    checks: tuple[CheckResult, ...]
    anomaly_count: int
    anomalies: tuple[Oddity, ...]
    """The first of each kind."""
    notes: tuple[str, ...]
    """What kept a witness from being heard."""
    marks: tuple[Moment, ...]
    backends: tuple[Backend, ...]
    strangers: tuple[Stranger, ...]
    series: Series
    shares: tuple[Shares, ...]
    releases: tuple[Releases, ...]
    histogram: Histogram
    reconciled: tuple[Reconciled, ...]
    unlogged: int
    """Requests that stand in no log."""
    servers: tuple[Server, ...]
    generators: tuple[Generator, ...]
    versions: dict[str, str]

    def text(self) -> str:
        """Return the file's text: the same for the same run, with lists of numbers on one line."""
        return _laid_out(self.model_dump(mode="json", by_alias=True)) + "\n"


def read(folder: Path) -> Run:
    """Read the run of a folder."""
    path = folder / RUN_FILE
    try:
        return Run.model_validate(orjson.loads(path.read_bytes()))
    except OSError as error:
        raise InputError(
            f"{path}: there is no run to report ({error.strerror}); the runs are in .rondo/runs"
        ) from error
    except (orjson.JSONDecodeError, ValidationError) as error:
        raise InputError(
            f"{path}: it is no run of this version of Rondo; make the run again, or report it with "
            "the version that made it"
        ) from error


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema of run.json."""
    schema = Run.model_json_schema(by_alias=True, mode="serialization")
    return {"$schema": DIALECT, **_untitled(schema), "title": "A proof's run.json"}


def _untitled(part: Any) -> Any:  # noqa: ANN401 - any part of a schema
    """Take out the titles that pydantic makes of the keys: they say the same again."""
    if isinstance(part, list):
        return [_untitled(each) for each in part]
    if not isinstance(part, dict):
        return part
    return {
        key: _untitled(value)
        for key, value in part.items()
        if not (key == "title" and isinstance(value, str))
    }


def _laid_out(value: Any, indent: int = 0) -> str:  # noqa: ANN401 - any JSON
    """Write JSON as a person would: one key a line, but a row of numbers in one."""
    pad = "\n" + "  " * (indent + 1)
    end = "\n" + "  " * indent
    if isinstance(value, dict) and value:
        inner = (f"{_plain(key)}: {_laid_out(each, indent + 1)}" for key, each in value.items())
        return "{" + pad + f",{pad}".join(inner) + end + "}"
    if isinstance(value, list) and any(isinstance(each, dict) for each in value):
        return "[" + pad + f",{pad}".join(_laid_out(each, indent + 1) for each in value) + end + "]"
    return _plain(value)


def _plain(value: Any) -> str:  # noqa: ANN401 - any JSON
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
