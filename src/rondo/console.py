"""Commands as the operator sees them: what `fab` tasks do, and what they print."""

from __future__ import annotations

import dataclasses
import datetime
import difflib
import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rondo import certificates, cluster, looking
from rondo.deploy import Intent, bytes_to_send, deploy, faults, intend, refuse_faults
from rondo.errors import EXIT_CHANGES, EXIT_DONE, EXIT_FAILED
from rondo.events import Emit, Event, fan_out, journal
from rondo.plan import InstallConfig, Plan, SendContext, Step
from rondo.status import ServerStatus, duration, mebibytes, summarise

if TYPE_CHECKING:
    from rondo.fab import Session
    from rondo.state import ServerState
    from rondo.ui import Ui


def showing(ui: Ui, *, verbose: bool = False) -> Emit:
    """Return a sink that shows events on the terminal."""

    def start(event: Event) -> None:
        ui.step(event.server, event.text)

    def line(event: Event) -> None:
        if verbose or not event.text.startswith("#"):
            ui.line(event.server, event.text)

    actions: Mapping[str, Callable[[Event], None]] = {
        "phase": lambda event: ui.note(f"-- {event.text}"),
        "start": start,
        "line": line,
        "done": lambda event: ui.done(event.server, event.text, event.seconds or 0.0),
        "failed": lambda event: ui.error(f"{event.server}: {event.text.splitlines()[0]}"),
        "note": lambda event: ui.warn(f"{event.server}: {event.text}" if event.server else event.text),
    }

    def emit(event: Event) -> None:
        actions[event.kind](event)

    return emit


def run_journal(root: Path) -> Path:
    """Return the file that this run's events go to."""
    stamp = datetime.datetime.now(datetime.UTC).strftime("%Y%m%dT%H%M%SZ")
    return root / ".rondo" / "runs" / stamp / "events.jsonl"


def describe(step: Step, sizes: Mapping[tuple[str, str], int]) -> Iterator[str]:
    """Yield the lines by which `fab plan` shows one step."""
    extra = ""
    if isinstance(step, SendContext):
        size = sizes.get((step.server, step.image.service), 0)
        extra = f", {size / 1000:.1f} kB" + (" of changes" if step.base else "")
    yield f"{step.title}: {step.reason}{extra}"
    if isinstance(step, InstallConfig) and step.before is not None:
        yield from difflib.unified_diff(
            step.before.splitlines(), step.text.splitlines(), "on the server", "rendered", lineterm=""
        )


def show_plan(session: Session, intent: Intent) -> None:
    """Print the steps of a plan with their reasons, the file differences and the bytes to send."""
    sizes = bytes_to_send(intent, session.fleet)
    session.ui.note(f"release {intent.plan.release}")
    for phase in intent.plan.phases:
        session.ui.note(f"-- {phase.name}, {phase.order.value}")
        for step in phase.steps:
            for text in describe(step, sizes):
                session.ui.line(step.server, text)


def run_plan(session: Session, *, as_json: bool = False) -> int:
    """Print what a deploy would do, change nothing; return 2 if there is something to do."""
    intent = intend(session.loaded, session.fleet, session.names)
    if as_json:
        print(json.dumps(plan_data(intent.plan), indent=2))  # noqa: T201 - the answer itself
    elif intent.plan:
        show_plan(session, intent)
        found = faults(intent, time.time())
        for fault in found:
            session.ui.warn(str(fault))
    else:
        session.ui.note(nothing_to_do(intent.states))
    return EXIT_CHANGES if intent.plan else EXIT_DONE


def plan_data(plan: Plan) -> dict[str, Any]:
    """Return a plan as JSON can hold it."""
    return {
        "release": plan.release,
        "phases": [
            {
                "name": phase.name,
                "order": phase.order.value,
                "steps": [
                    {
                        "server": step.server,
                        "step": type(step).__name__,
                        "title": step.title,
                        "reason": step.reason,
                    }
                    for step in phase.steps
                ],
            }
            for phase in plan.phases
        ],
    }


def nothing_to_do(states: Mapping[str, ServerState]) -> str:
    """Say that every server already runs what is declared."""
    releases = sorted({state.current for state in states.values()})
    return (
        f"nothing to do: {', '.join(states)} already run{'s' * (len(states) == 1)} release "
        f"{', '.join(releases)}; nothing was sent, built, started or reloaded"
    )


def run_deploy(session: Session, *, verbose: bool = False) -> int:
    """Deploy, show it as it goes, and say in the end what runs where."""
    path = run_journal(session.loaded.root)
    began = time.monotonic()
    emit = fan_out(showing(session.ui, verbose=verbose), journal(path))
    outcome = deploy(session.loaded, session.fleet, session.names, emit)
    if not outcome.plan:
        session.ui.note(nothing_to_do(outcome.states))
        return EXIT_DONE
    took = time.monotonic() - began
    names = ", ".join(session.names)
    session.ui.note(f"release {outcome.plan.release} is on {names} ({took:.1f} s)")
    return EXIT_DONE


def observe_status(session: Session) -> list[ServerStatus]:
    """Ask every server what runs there and how it does."""
    project = session.loaded.inventory.project
    states = cluster.observe(session.fleet, session.names, project)
    probes = looking.probe(session.fleet, states, project)
    now = datetime.datetime.now(datetime.UTC)
    return [
        summarise(
            name,
            states[name],
            probes[name].slots,
            {site: certificates.days_left(pem, now) for site, pem in probes[name].pems.items()},
            now,
        )
        for name in session.names
    ]


def run_status(session: Session, *, as_json: bool = False) -> int:
    """Print what runs where; return 1 if anything is down or has drifted from the record."""
    found = observe_status(session)
    if as_json:
        data = [dataclasses.asdict(each) for each in found]
        print(json.dumps(data, indent=2))  # noqa: T201 - the answer itself
    else:
        _print_status(session.ui, found)
    return EXIT_DONE if all(each.sound for each in found) else EXIT_FAILED


def _print_status(ui: Ui, found: Sequence[ServerStatus]) -> None:
    header = ("server", "slot", "release", "health", "uptime", "memory", "in flight")
    rows = [
        (
            row.server,
            row.slot,
            row.release,
            row.health or row.state,
            duration(row.uptime),
            mebibytes(row.memory),
            "-" if row.in_flight is None else str(row.in_flight),
        )
        for each in found
        for row in each.rows
    ]
    ui.table([header, *rows])
    for each in found:
        for site, days in each.certificates.items():
            ui.note(f"{each.server}: certificate of {site}: {days} days left")
        for text in each.drift:
            ui.warn(f"{each.server}: {text}")


def run_history(session: Session) -> int:
    """Print the releases that each server can tell of, newest first."""
    project = session.loaded.inventory.project
    states = cluster.observe(session.fleet, session.names, project)
    rows = [("server", "release", "deployed", "by", "")]
    for name, state in states.items():
        ordered = sorted(
            state.records.items(), key=lambda item: str(item[1].get("created", "")), reverse=True
        )
        for identity, record in ordered:
            mark = "in force" if identity == state.current else ""
            created, author = str(record.get("created", "")), str(record.get("by", ""))
            rows.append((name, identity, created, author, mark))
    session.ui.table(rows)
    return EXIT_DONE


__all__ = [
    "refuse_faults",
    "run_deploy",
    "run_history",
    "run_plan",
    "run_status",
]
