"""What is asked around a load: servers opened before it, heard after it, everything judged."""

from __future__ import annotations

import importlib.metadata
import platform
import time
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final, Self

import numpy as np

from rondo.events import Event, journal
from rondo.layout import Layout
from rondo.objectives import Proof
from rondo.proof import collect, expect, judge, nginxconf, report, tls, witnesses
from rondo.proof.brief import Brief
from rondo.proof.evidence import Evidence
from rondo.proof.runs import span
from rondo.proof.witnesses import Witnesses

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from rondo.fleet import Fleet
    from rondo.proof.aim import Aim
    from rondo.proof.evidence import (
        Expected,
        Installed,
        Mark,
        Planned,
        ServerWitness,
        TlsFinding,
        WorkerReport,
    )
    from rondo.proof.records import Requests
    from rondo.proof.runs import RunFolder
    from rondo.proof.verdict import Verdict
    from rondo.state import ServerState

_PLAIN_PORT: Final = 80


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a proof."""

    verdict: Verdict
    evidence: Evidence
    folder: Path
    page: Path


@dataclass(slots=True)
class Inquiry:
    """All witnesses of one run but its clients. Leaving it, as a context, closes the servers."""

    aim: Aim
    fleet: Fleet | None
    run: RunFolder
    marks: list[Mark] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    command: str = ""
    """What was typed for it."""
    before: dict[str, ServerState] = field(default_factory=dict)
    _servers: Witnesses | None = None
    _looks: list[Future[TlsFinding]] = field(default_factory=list)
    _pool: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(max_workers=8))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._servers:
            self._servers.close()
        self._pool.shutdown(wait=False, cancel_futures=True)

    @property
    def secret(self) -> str:
        """What makes the servers speak of backends; empty where none of them was asked to."""
        return self.run.secret if self._servers else ""

    def open(self) -> None:
        """Let the servers accept the run's secret. Raises RondoError if none of them does."""
        if not self.aim.servers or not self.fleet:
            self.notes.append(
                f"{self.aim.host} is no site of the inventory: only its clients were heard"
            )
            return
        self._servers = Witnesses(self.fleet, self.aim, self.run.run, self.run.secret)
        self._servers.open()

    def look(self) -> None:
        """Ask the servers what runs there, and see what their TLS shows."""
        if self.aim.tls:
            self._looks = [
                self._pool.submit(
                    tls.probe,
                    *(server, self.aim.name, address, self.aim.authority, (port, _PLAIN_PORT)),
                )
                for server, (address, port) in self.aim.doors.items()
            ]
        self.before = self._observe()

    def _observe(self) -> dict[str, ServerState]:
        return self._servers.observe() if self._servers else {}

    def conclude(self, *, cut: bool = False, undone: bool = False) -> Outcome:
        """Hear the witnesses, judge and report.

        `cut`: the load was ended before its time; `undone`: the change that it saw has failed.
        """
        brief = Brief.read(self.run.brief)
        testimony, after = self._hear(brief.run)
        requests, reports = collect.read_requests(self.run.path)
        now = time.time()
        began, ended = span(self.run.path) or (now, now)
        planned = brief.planned(workers=max(1, len(reports)), server=self.aim.only)
        if cut:
            planned, reports = cut_short(planned, reports, requests, began, brief.probe)
        self._write_events()
        evidence = Evidence(
            run=brief.run,
            began=began,
            ended=ended,
            planned=planned,
            limits=self._proof.limits,
            expected=self._expected(after, undone=undone),
            requests=requests,
            witnesses=testimony,
            marks=tuple(self.marks),
            tls=tuple(look.result() for look in self._looks),
            workers=reports,
            notes=tuple(self.notes),
            versions=self._versions(),
            command=self.command,
        )
        verdict = judge.judge(evidence)
        page = report.write(self.run.path, evidence, verdict)
        return Outcome(verdict, evidence, self.run.path, page)

    def _expected(self, after: Mapping[str, ServerState], *, undone: bool) -> Expected:
        """Return what must be seen; after a change that failed, the shape that was there before."""
        expected = self.aim.expected(self.before, after)
        had = expect.former(expected.upstreams, self._had()) if self.marks else ()
        return expect.put_back(expected, had) if undone else replace(expected, former=had)

    @property
    def _proof(self) -> Proof:
        loaded = self.aim.loaded
        return loaded.inventory.proof if loaded else Proof()

    def _hear(self, run: str) -> tuple[tuple[ServerWitness, ...], dict[str, ServerState]]:
        """Hear the servers; the state of each afterwards is asked for at the same time."""
        servers = self._servers
        if not servers:
            return (), {}
        observing = self._pool.submit(servers.observe)
        heard = servers.hear(self.run.servers)
        lines = {name: collect.read_log(self.run.servers / f"{name}.log", run) for name in heard}
        after = observing.result()
        servers.close()
        self.notes += [*servers.notes, *witnesses.changed(self._installed(), heard)]
        return servers.testimony(heard, lines), after

    def _installed(self) -> Mapping[str, tuple[Installed, ...]]:
        """Return the upstreams that each server must have kept; none with a change to come."""
        return {} if self.marks else self._had()

    def _had(self) -> Mapping[str, tuple[Installed, ...]]:
        """Return the upstreams that each server had before the load."""
        if not self.aim.loaded:
            return {}
        path = Layout(self.aim.loaded.inventory.project).site_file
        return {
            name: nginxconf.upstreams(state.files[path])
            for name, state in self.before.items()
            if path in state.files
        }

    def _versions(self) -> dict[str, str]:
        ours = {name: importlib.metadata.version(name) for name in ("rondo", "locust")}
        found = self._servers.versions if self._servers else {}
        theirs = {f"nginx on {name}": version for name, version in found.items()}
        return {**ours, "python": platform.python_version(), **theirs}

    def _write_events(self) -> None:
        emit = journal(self.run.events)
        for note in self.notes:
            emit(Event("note", note))


def cut_short(
    planned: Planned,
    reports: Sequence[WorkerReport],
    requests: Requests,
    began: float,
    probe: int,
) -> tuple[Planned, tuple[WorkerReport, ...]]:
    """Take for planned what was due until the load was ended; the probe has no plan."""
    rows = requests.rows[requests.rows["step"] != probe]
    if not len(rows):
        return planned, tuple(reports)
    duration = float(np.max(rows["intended"])) - began + 1 / planned.rate
    share = duration / planned.duration
    return (
        replace(planned, duration=duration),
        tuple(replace(each, planned=round(each.planned * share)) for each in reports),
    )
