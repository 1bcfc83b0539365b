"""What clients lost while a site was changed under load: measured, kept, and put into tables. Pure.

A load holds several changes. Everything that ends between the beginning of one and the beginning
of the next is charged to the first of them, so that what comes late is not forgiven.
"""

from __future__ import annotations

import json
import math
import os
import statistics
from collections import Counter
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from rondo.proof.records import Outcome

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from rondo.proof.brief import Brief
    from rondo.proof.records import Requests

BEGIN, END = "<!-- measured -->", "<!-- /measured -->"
SETTLED = 1.0
"""Seconds after a change that count neither as the change nor as steady."""
GAP, TIMES_STEADY = 0.250, 2.0
"""What Rondo promises: the longest gap between successes, and p99 during by steady p99."""
_MOST_NAMED = 4


@dataclass(frozen=True, slots=True)
class Mark:
    """One change, by the operator's clock."""

    kind: str
    begin: float
    end: float
    code: int = 0
    said: str = ""
    """The last words of one that failed."""


@dataclass(frozen=True, slots=True)
class Toll:
    """What clients saw of one change, up to the beginning of the next."""

    kind: str
    seconds: float
    code: int
    requests: int
    posts: int
    lost: int
    """Not answered, or not as the scenario expects."""
    lost_posts: int
    twice: int
    """Orders that were executed more than once."""
    gap: float
    """Seconds without a right answer, at most."""
    server_gap: float
    """The same by server, that of the worst one."""
    p99: float
    """From the intended start, while the change was made."""
    how: Mapping[str, int] = field(default_factory=dict)
    """What was wrong, and how often."""
    said: str = ""


@dataclass(frozen=True, slots=True)
class Load:
    """One load, with the changes that were made meanwhile: a line of the ledger."""

    way: str
    at: str
    rate: float
    closed: int | None
    steady_p99: float
    before: Toll
    """The time before the first change, in which nothing must be lost either."""
    tolls: tuple[Toll, ...]
    answered: int
    """POSTs that were answered with the right status."""
    orders: int
    """Orders of this load in the application's database."""
    lag: float
    """Lateness of the load generator itself, at the 99th percentile."""
    busy: float
    """Load average of the machine before it."""
    versions: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Seen:
    """What clients recorded of one load, and when the changes were made."""

    requests: Requests
    brief: Brief
    began: float
    marks: Sequence[Mark]
    twice: Sequence[float] = ()
    """When each order that was executed more than once was executed last."""

    @property
    def paced(self) -> NDArray[np.bool_]:
        """Tell which requests are of the rate; the probe is not."""
        chosen: NDArray[np.bool_] = self.requests.rows["step"] != self.brief.probe
        return chosen

    @property
    def right(self) -> NDArray[np.bool_]:
        """Tell which were answered as they should."""
        chosen: NDArray[np.bool_] = self.requests.rows["outcome"] == Outcome.RIGHT
        return chosen

    @property
    def posts(self) -> NDArray[np.bool_]:
        """Tell which are POSTs."""
        methods = np.array([step.method == "POST" for step in self.brief.steps])
        chosen: NDArray[np.bool_] = methods[self.requests.rows["step"]]
        return chosen

    @property
    def answered(self) -> int:
        """How many POSTs were answered as they should."""
        return int(np.count_nonzero(self.posts & self.right))

    def charged(self, times: Iterable[float]) -> NDArray[np.int64]:
        """Say for each moment which change it is charged to; -1 before the first."""
        begins = [mark.begin for mark in self.marks]
        return np.searchsorted(begins, np.asarray(times, float), side="right") - 1

    def gaps(self) -> dict[int, tuple[float, float]]:
        """Give the longest gap between successes of each change: of the site, of one server."""
        servers = self.requests.rows["user"] % max(1, len(self.brief.addresses))
        whole = self._gaps(self.paced)
        each = [self._gaps(self.paced & (servers == server)) for server in np.unique(servers)]
        return {
            place: (whole.get(place, 0.0), max(found.get(place, 0.0) for found in each))
            for place in range(-1, len(self.marks))
            if each
        }

    def _gaps(self, chosen: NDArray[np.bool_]) -> dict[int, float]:
        """Charge each gap to the change in which it ends; one without an end lasts to the end."""
        ends = self.requests.rows["end"]
        last = ends.max(initial=self.began)
        times = np.concatenate([[self.began], np.sort(ends[chosen & self.right]), [last]])
        found: dict[int, float] = {}
        for place, gap in zip(self.charged(times[1:]), np.diff(times), strict=True):
            found[int(place)] = max(found.get(int(place), 0.0), float(gap))
        return found

    def steady(self) -> float:
        """Give p99 of the time in which nothing was changed: before, and in the pauses."""
        edges = [self.began + self.brief.warm_up, *(mark.end + SETTLED for mark in self.marks)]
        begins = [*(mark.begin for mark in self.marks), math.inf]
        at = self.requests.rows["intended"]
        within = np.zeros(len(at), np.bool_)
        for edge, begin in zip(edges, begins, strict=True):
            within |= (at >= edge) & (at < begin)
        return self.p99(within)

    def p99(self, within: NDArray[np.bool_]) -> float:
        """Give the 99th percentile of latency; a refused connection is no fast answer."""
        rows = self.requests.rows
        waited = (rows["outcome"] <= Outcome.WRONG) | (rows["outcome"] == Outcome.TIMEOUT)
        taken = rows[within & self.paced & waited]
        late = np.sort(taken["end"] - taken["intended"])
        return float(late[math.ceil(0.99 * len(late)) - 1]) if len(late) else math.nan

    def tolls(self) -> tuple[Toll, ...]:
        """Measure what came before the first change, and each change."""
        end = self.marks[0].begin if self.marks else math.inf
        marks = [Mark("before", self.began, end), *self.marks]
        places = self.charged(self.requests.rows["end"])
        repeated = Counter(self.charged(self.twice).tolist())
        gaps = self.gaps()
        return tuple(
            self._toll(mark, places == place, gaps.get(place, (0.0, 0.0)), repeated[place])
            for place, mark in enumerate(marks, -1)
        )

    def _toll(
        self, mark: Mark, mine: NDArray[np.bool_], gaps: tuple[float, float], twice: int
    ) -> Toll:
        rows, posts = self.requests.rows, self.posts
        lost = mine & ~self.right
        at = rows["intended"]
        how = Counter(self.requests.texts[number] for number in rows["error"][lost])
        return Toll(
            kind=mark.kind,
            seconds=mark.end - mark.begin,
            code=mark.code,
            requests=int(np.count_nonzero(mine)),
            posts=int(np.count_nonzero(mine & posts)),
            lost=int(np.count_nonzero(lost)),
            lost_posts=int(np.count_nonzero(lost & posts)),
            twice=twice,
            gap=gaps[0],
            server_gap=gaps[1],
            p99=self.p99((at >= mark.begin) & (at < mark.end)),
            how=dict(how),
            said=mark.said,
        )


# -- the ledger


class Ledger:
    """A file of loads, one line of JSON each; a half line that a kill left counts for nothing."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def read(self) -> tuple[Load, ...]:
        """Give every load, in the order in which they ended."""
        if not self.path.exists():
            return ()
        lines = self.path.read_text(encoding="utf-8").splitlines()
        return tuple(load for line in lines if (load := _load(line)) is not None)

    def append(self, load: Load) -> None:
        """Write down a load so that no kill can take it away."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("ab+") as file:
            if file.tell() and not self.path.read_bytes().endswith(b"\n"):
                file.write(b"\n")
            file.write(json.dumps(asdict(load)).encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())


def _load(line: str) -> Load | None:
    try:
        read: dict[str, Any] = json.loads(line)
        nested = {
            "before": Toll(**read["before"]),
            "tolls": tuple(Toll(**each) for each in read["tolls"]),
        }
        return Load(**(read | nested))
    except (ValueError, TypeError, KeyError):
        return None


# -- the tables


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table: every change of one kind."""

    title: str
    wanted: int
    pairs: tuple[tuple[Load, Toll], ...]

    @property
    def tolls(self) -> tuple[Toll, ...]:
        """All changes of this kind."""
        return tuple(toll for _, toll in self.pairs)

    def sum(self, name: str) -> int:
        """Add a figure up."""
        return sum(getattr(toll, name) for toll in self.tolls)

    def worst(self, name: str) -> float:
        """Give the largest figure."""
        return max((getattr(toll, name) for toll in self.tolls), default=math.nan)

    @property
    def ratios(self) -> tuple[float, ...]:
        """Give p99 of each change by the steady p99 of its own load."""
        return tuple(toll.p99 / load.steady_p99 for load, toll in self.pairs)

    @property
    def sound(self) -> bool:
        """Whether all was done that was wanted, each change succeeded, and nothing was lost."""
        done = len(self.pairs) >= self.wanted
        return done and not any(t.code or t.lost or t.twice for t in self.tolls)


COLUMNS = (
    *("Change", "Times", "Requests", "of them POST", "Lost", "of them POST", "Executed twice"),
    *("Longest gap", "on one server", "p99 during / steady", "p99", "Took"),
)


def markdown(rows: Sequence[Row]) -> Iterator[str]:
    """Write the table in Markdown."""
    yield f"| {' | '.join(COLUMNS)} |"
    yield "|---|" + "---:|" * (len(COLUMNS) - 1)
    for row in rows:
        yield f"| {' | '.join(cells(row))} |"


def cells(row: Row) -> Iterator[str]:
    """Write the cells of a line."""
    times = f"{len(row.pairs)}" if len(row.pairs) >= row.wanted else f"{len(row.pairs)} of "
    yield from (row.title, times if times.isdigit() else f"{times}{row.wanted}")
    if not row.pairs:
        yield from ["-"] * (len(COLUMNS) - 2)
        return
    yield from (f"{row.sum('requests'):,}", f"{row.sum('posts'):,}")
    yield from (_counted(row, name) for name in ("lost", "lost_posts", "twice"))
    yield from (f"{row.worst(name) * 1000:,.0f} ms" for name in ("gap", "server_gap"))
    yield _spread(row.ratios)
    yield f"{statistics.median(toll.p99 for toll in row.tolls) * 1000:.0f} ms"
    yield f"{statistics.median(toll.seconds for toll in row.tolls):.1f} s"


def _spread(values: Sequence[float]) -> str:
    """Write the median, and the range of more than one."""
    several = f" ({min(values):.2f} to {max(values):.2f})" if len(values) > 1 else ""
    return f"{statistics.median(values):.2f}{several}"


def _counted(row: Row, name: str) -> str:
    """Write a sum, with how many changes it is of where it is not 0."""
    several = sum(getattr(toll, name) > 0 for toll in row.tolls)
    total = row.sum(name)
    return f"{total:,} (in {several})" if total else "0"


def losses(rows: Sequence[Row]) -> Iterator[str]:
    """Say for each line what was lost, the most frequent first."""
    for row in rows:
        how: Counter[str] = Counter()
        for toll in row.tolls:
            how.update(toll.how)
        if how:
            named = "; ".join(f"{count:,} x {text}" for text, count in how.most_common(_MOST_NAMED))
            more = len(how) - _MOST_NAMED
            yield f"{row.title}: {named}{f'; and {more} other kinds' if more > 0 else ''}"


def failures(rows: Sequence[Row]) -> Iterator[str]:
    """Say which changes did not succeed."""
    for row in rows:
        for toll in row.tolls:
            if toll.code:
                yield f"{row.title}: ended with {toll.code}: {toll.said}"


def put(document: str, measured: str) -> str:
    """Put what was measured between its marks; a document without them gets them at its end."""
    if BEGIN not in document or END not in document:
        document = f"{document.rstrip()}\n\n{BEGIN}\n{END}\n"
    before, _, rest = document.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{measured.strip()}\n{END}{after}"


def version_line(loads: Iterable[Load]) -> str:
    """Say with which versions the loads were made."""
    found: dict[str, list[str]] = {}
    for load in loads:
        for name, version in load.versions.items():
            if version not in found.setdefault(name, []):
                found[name].append(version)
    return "; ".join(f"{name} {', '.join(versions)}" for name, versions in found.items())
