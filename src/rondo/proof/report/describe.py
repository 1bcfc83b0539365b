"""Evidence and verdict to the run that run.json holds. Pure."""

from __future__ import annotations

import math
import shlex
from typing import TYPE_CHECKING

from rondo.proof.case import Case
from rondo.proof.report import origins, series
from rondo.proof.report.runfile import (
    CheckResult,
    Generator,
    Load,
    Moment,
    Oddity,
    Run,
    Server,
    Step,
)
from rondo.units import duration_text

if TYPE_CHECKING:
    from rondo.proof.evidence import Evidence, Planned, WorkerReport
    from rondo.proof.verdict import Verdict


def describe(evidence: Evidence, verdict: Verdict) -> Run:
    """Return the run as run.json holds it; nothing in it is secret."""
    cut = series.grid(evidence)
    case = Case(evidence)
    return Run(
        schema=1,
        run=evidence.run,
        status=verdict.status.value,
        sentence=verdict.sentence,
        exit_code=verdict.exit_code,
        began=round(evidence.began, 3),
        ended=round(evidence.ended, 3),
        command=command(evidence),
        load=_load(evidence.planned),
        limits=evidence.limits.model_dump(mode="json"),
        figures={key: _number(value) for key, value in verdict.figures.items()},
        checks=_checks(verdict),
        anomaly_count=verdict.anomaly_count,
        anomalies=_anomalies(evidence, verdict),
        notes=evidence.notes,
        marks=_marks(evidence),
        backends=origins.backends(case),
        strangers=origins.strangers(case),
        series=series.series(evidence, cut),
        shares=origins.shares(case, cut),
        releases=origins.releases(case, cut),
        histogram=series.histogram(evidence),
        reconciled=origins.reconciled(case),
        unlogged=origins.unlogged(case),
        servers=_servers(evidence),
        generators=tuple(_generator(each) for each in evidence.workers),
        versions=dict(evidence.versions),
    )


def command(evidence: Evidence) -> str:
    """Return what makes such a run again."""
    planned = evidence.planned
    if evidence.command:
        return evidence.command
    if any(mark.kind == "phase" for mark in evidence.marks):
        return "fab deploy --prove"
    words = ["inv", "prove", "--host", planned.host]
    words += ["--rate", f"{planned.rate:g}", "--duration", duration_text(planned.duration)]
    return shlex.join(words + (["--server", planned.server] if planned.server else []))


def _load(planned: Planned) -> Load:
    return Load(
        host=planned.host,
        server=planned.server,
        rate=planned.rate,
        duration=planned.duration,
        warm_up=planned.warm_up,
        users=planned.users,
        workers=planned.workers,
        steps=tuple(
            Step(name=name, method=method, share=series.significant(share))
            for name, method, share in zip(
                planned.steps, planned.methods, planned.shares, strict=True
            )
        ),
    )


def _checks(verdict: Verdict) -> tuple[CheckResult, ...]:
    return tuple(
        CheckResult(
            key=each.key,
            title=each.title,
            status=each.status.value,
            sentence=each.sentence,
            expected=each.expected,
            observed=each.observed,
            bound=each.bound,
            power=each.power,
            details=each.details,
        )
        for each in verdict.checks
    )


def _anomalies(evidence: Evidence, verdict: Verdict) -> tuple[Oddity, ...]:
    return tuple(
        Oddity(at=_since(evidence, each.at), kind=each.kind, text=each.text, count=each.count)
        for each in verdict.anomalies
    )


def _marks(evidence: Evidence) -> tuple[Moment, ...]:
    return tuple(
        Moment(
            at=_since(evidence, each.at),
            kind=each.kind,
            text=each.text,
            server=each.server,
            slot=each.slot,
        )
        for each in evidence.marks
    )


def _servers(evidence: Evidence) -> tuple[Server, ...]:
    return tuple(
        Server(
            name=each.server,
            nginx_workers=each.nginx_workers,
            reloads=each.reloads,
            complete=each.complete,
            reason=each.reason,
            clock=None if each.clock is None else round(each.clock, 4),
        )
        for each in evidence.witnesses
    )


def _generator(worker: WorkerReport) -> Generator:
    return Generator(
        name=worker.name,
        planned=worker.planned,
        sent=worker.sent,
        cpu=round(max(worker.cpu), 3) if worker.cpu else None,
        lag=series.significant(worker.lag[2]) if len(worker.lag) > 2 else None,
        lost=worker.lost,
    )


def _since(evidence: Evidence, at: float) -> float:
    return round(at - evidence.began, 3)


def _number(value: float) -> float | None:
    """Leave out what JSON cannot say."""
    return float(value) if math.isfinite(value) else None
