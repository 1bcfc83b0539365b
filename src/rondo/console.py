"""Commands as the operator sees them: what `fab` tasks do, and what they print."""

from __future__ import annotations

import dataclasses
import datetime
import difflib
import json
import re
import textwrap
import time
from collections import deque
from contextlib import nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from rondo import bootstrap, certificates, cluster, looking, terminal
from rondo.apply import new_instance
from rondo.audit import audited
from rondo.change import Manner, manner_of
from rondo.deploy import Intent, bytes_to_send, deploy, faults, intend
from rondo.docker import Instance
from rondo.errors import EXIT_CHANGES, EXIT_DONE, EXIT_FAILED, InputError, of_a_proof
from rondo.events import Event, fan_out, journal
from rondo.proved import make_proved
from rondo.scripts import changing
from rondo.status import ServerStatus, duration, mebibytes, summarise
from rondo.steps import InstallConfig, SendContext, Step

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from rondo.change import Outcome
    from rondo.errors import RondoError
    from rondo.events import Emit
    from rondo.inventory import Inventory
    from rondo.plan import Plan
    from rondo.server import Remote
    from rondo.session import Session
    from rondo.source import Loaded
    from rondo.state import ServerState
    from rondo.ui import Ui


SHOWN_AFTER_FAILURE = 30
SHOWN_WIDTH = 110
# What BuildKit and the older builder call a step; the rest of a build is shown when it fails.
_BUILD_STEP = re.compile(r"#\d+ \[|Step \d+/\d+ :")
_BUILD_LINE = re.compile(r"#\d+ |\[[0-9;]+m|sha256:|[0-9a-f]{12}: ")


class Screen:
    """Shows events on the terminal: steps as they go, a build's details only when it fails."""

    def __init__(self, ui: Ui, *, verbose: bool = False) -> None:
        self._ui = ui
        self._verbose = verbose
        self._hidden: dict[str, deque[str]] = {}
        self._shown: dict[str, set[str]] = {}

    def __call__(self, event: Event) -> None:
        """Show one event."""
        getattr(self, f"_{event.kind}")(event)

    def _phase(self, event: Event) -> None:
        self._ui.note(f"-- {event.text}")

    def _start(self, event: Event) -> None:
        self._hidden.pop(event.server, None)
        self._shown.pop(event.server, None)
        self._ui.step(event.server, event.text)

    def _line(self, event: Event) -> None:
        if not event.text.strip():
            return
        if self._verbose or not _BUILD_LINE.match(event.text):
            self._ui.line(event.server, event.text)
        elif _BUILD_STEP.match(event.text):
            self._build_step(event)
        else:
            kept = self._hidden.setdefault(event.server, deque(maxlen=SHOWN_AFTER_FAILURE))
            kept.append(event.text)

    def _build_step(self, event: Event) -> None:
        """Show a step of a build once, cut to a line; BuildKit names it again with each news."""
        number = event.text.split(maxsplit=1)[0]
        if number not in self._shown.setdefault(event.server, set()) or number == "Step":
            self._shown[event.server].add(number)
            self._ui.line(
                event.server, textwrap.shorten(event.text, SHOWN_WIDTH, placeholder=" ...")
            )

    def _done(self, event: Event) -> None:
        self._ui.done(event.server, event.text, event.seconds or 0.0)

    def _failed(self, event: Event) -> None:
        for text in self._hidden.pop(event.server, ()):
            self._ui.line(event.server, text)
        self._ui.error(f"{event.server}: {event.text.splitlines()[0]}")

    def _note(self, event: Event) -> None:
        self._ui.warn(f"{event.server}: {event.text}" if event.server else event.text)


def run_journal(root: Path) -> Path:
    """Return the file that this run's events go to."""
    stamp = datetime.datetime.now(datetime.UTC).strftime("%Y%m%dT%H%M%SZ")
    return root / ".rondo" / "runs" / stamp / "events.jsonl"


def describe(step: Step, sizes: Mapping[tuple[str, str], int]) -> Iterator[str]:
    """Yield the lines by which `fab plan` shows one step."""
    extra = ""
    if isinstance(step, SendContext):
        size = sizes.get((step.server, step.image.service), 0)
        amount = f"{size / 1000:.1f} kB" if size else "removals only"
        extra = f", {amount}" + (" of changes" if step.base and size else "")
    yield f"{step.title}: {step.reason}{extra}"
    if isinstance(step, InstallConfig) and step.before is not None:
        yield from difflib.unified_diff(
            step.before.splitlines(),
            step.text.splitlines(),
            "on the server",
            "rendered",
            lineterm="",
        )


def show_plan(session: Session, intent: Intent) -> None:
    """Print the steps of a plan with their reasons, the file differences and the bytes to send."""
    show_steps(session.ui, intent.plan, bytes_to_send(intent, session.fleet))


def show_steps(ui: Ui, plan: Plan, sizes: Mapping[tuple[str, str], int] | None = None) -> None:
    """Print the steps of a plan with their reasons."""
    ui.note(f"release {plan.release}")
    for phase in plan.phases:
        ui.note(f"-- {phase.name}, {phase.order.value}")
        for step in phase.steps:
            for text in describe(step, sizes or {}):
                ui.line(step.server, text)
        for outage in phase.outages:
            ui.warn(outage)


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


def run_deploy(  # noqa: PLR0913 - the command's options
    session: Session,
    *,
    verbose: bool = False,
    prove: bool = False,
    no_revert: bool = False,
    wait: str = "",
    outage: bool = False,
) -> int:
    """Deploy, show it as it goes, and say in the end what runs where; `prove`: under load."""
    with of_a_proof() if prove else nullcontext():
        manner = manner_of(no_revert=no_revert, wait=wait, outage=outage)
    screen = Screen(session.ui, verbose=verbose)
    loaded = session.loaded

    def make(inventory: Inventory, emit: Emit) -> Outcome:
        return _deploy(session, emit, manner, replace(loaded, inventory=inventory))

    if prove:
        return make_proved(session, "deploy", make, screen, manner if manner.revert else None)
    make(loaded.inventory, fan_out(screen, journal(run_journal(loaded.root))))
    return EXIT_DONE


def _deploy(session: Session, emit: Emit, manner: Manner, loaded: Loaded) -> Outcome:
    began = time.monotonic()
    outcome = deploy(loaded, session.fleet, session.names, emit, manner)
    if not outcome.plan:
        session.ui.note(nothing_to_do(outcome.states))
        return outcome
    took = time.monotonic() - began
    names = ", ".join(session.names)
    session.ui.note(f"release {outcome.plan.release} is on {names} ({took:.1f} s)")
    return outcome


def observe_status(session: Session) -> tuple[list[ServerStatus], RondoError | None]:
    """Ask every server what runs there and how it does; the error tells of those that are gone."""
    project = session.loaded.inventory.project
    states, failure = cluster.look(session.fleet, session.names, project)
    probes = looking.probe(session.fleet, states, project)
    now = datetime.datetime.now(datetime.UTC)
    found = [
        summarise(
            name,
            state,
            probes[name].slots,
            {site: certificates.days_left(pem, now) for site, pem in probes[name].pems.items()},
            now,
        )
        for name, state in states.items()
    ]
    return found, failure


def run_status(session: Session, *, as_json: bool = False) -> int:
    """Print what runs where; return 1 if anything is down, drifted, or of another release.

    Raises the AccessError of servers that are gone, when the others are shown.
    """
    found, failure = observe_status(session)
    if as_json:
        data = [dataclasses.asdict(each) for each in found]
        print(json.dumps(data, indent=2))  # noqa: T201 - the answer itself
    else:
        _print_status(session.ui, found)
    mixed = len({each.release for each in found if each.release}) > 1
    if mixed and not as_json:
        session.ui.warn("the servers are not all of one release; `fab deploy` makes them so")
    if failure:
        raise failure
    return EXIT_DONE if all(each.sound for each in found) and not mixed else EXIT_FAILED


def _print_status(ui: Ui, found: Sequence[ServerStatus]) -> None:
    header = ("server", "slot", "started by", "health", "uptime", "memory", "in flight")
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
        if each.release:
            ui.note(f"{each.server}: release {each.release} in force")
        for site, days in each.certificates.items():
            ui.note(f"{each.server}: certificate of {site}: {days} days left")
        for server, said in each.drained.items():
            ui.warn(f"{each.server}: {server} is out of the rotation {said}")
        for site, said in each.closed.items():
            ui.warn(f"{each.server}: {site} is closed for maintenance {said.strip()}")
        for text in each.drift:
            ui.warn(f"{each.server}: {text}")


def run_history(session: Session) -> int:
    """Print the releases that each server can tell of, newest first."""
    project = session.loaded.inventory.project
    states, failure = cluster.look(session.fleet, session.names, project)
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
    if failure:
        raise failure
    return EXIT_DONE


def run_logs(
    session: Session,
    *,
    service: str = "",
    follow: bool = False,
    tail: int = 20,
    timestamps: bool = False,
) -> int:
    """Print the output of containers, merged over the servers, behind server and slot."""
    project = session.loaded.inventory.project
    states, failure = cluster.look(session.fleet, session.names, project)
    if failure:
        session.ui.warn(str(failure))

    def show(server: str, slot: str, text: str) -> None:
        session.ui.line(server, f"{slot}: {text}")

    wanted = {"--follow": follow, "--timestamps": timestamps}
    flags = [flag for flag, given in wanted.items() if given]
    looking.read_logs(session.fleet, states, service or None, show, tail=tail, flags=flags)
    if failure:
        raise failure
    return EXIT_DONE


def run_exec(session: Session, *, service: str) -> int:
    """Run a command in the first running container of a service; return its exit code."""
    states = _those_that_answer(session)
    name, container = looking.first_container(states, service)
    words = looking.exec_words(container, command_of(session), terminal=terminal.is_there())
    return session.fleet[name].interactive('exec "$@"', *words)


def run_run(session: Session, *, service: str) -> int:
    """Run a command in a new container of a service; return its exit code."""
    states = _those_that_answer(session)
    project = session.loaded.inventory.project
    name, state = next(iter(states.items()))
    container = replace(
        looking.recorded_container(state, service),
        command=command_of(session),
        port=None,
        traffic=False,
    )
    instance = Instance(new_instance(), name, state.current)
    words = looking.run_words(project, container, instance, terminal=terminal.is_there())
    return session.fleet[name].interactive(changing("once"), *words)


def _those_that_answer(session: Session) -> dict[str, ServerState]:
    """Observe the servers, and warn of those that are gone: one that is there is enough."""
    project = session.loaded.inventory.project
    states, failure = cluster.look(session.fleet, session.names, project)
    if failure:
        session.ui.warn(str(failure))
    return states


def command_of(session: Session) -> tuple[str, ...]:
    """Return the words behind `--` on the command line."""
    words: tuple[str, ...] = session.words
    if not words:
        raise InputError("no command; give it behind two dashes: fab exec backend -- ls -l")
    return words


def run_bootstrap(session: Session, *, assume_yes: bool = False, login: str = "") -> int:
    """Show what bootstrap will change, ask, change it; return 1 if a server refused."""
    chosen, inventory = login or None, session.loaded.inventory
    # Logged in as somebody else, bootstrap creates the inventory's own user.
    other = bootstrap.logging_in_as(inventory, chosen)
    fleet = session.open(other) if chosen else session.fleet
    plans = cluster.everywhere(
        fleet, session.names, lambda remote: bootstrap.plan(remote, inventory, login=chosen)
    )
    if not assume_yes:
        for name, found in plans.items():
            for line in found.lines:
                session.ui.line(name, f"{line.item}: {line.text}")
    changes = sum(len(found.changes) for found in plans.values())
    if not changes:
        session.ui.note("nothing to change: every server is ready")
        return EXIT_DONE
    if not assume_yes and not terminal.confirm(f"Make these {changes} changes?"):
        raise InputError("nothing was changed; `fab bootstrap --apply` makes the changes")

    def make(remote: Remote) -> None:
        def tell(line: bootstrap.Line) -> None:
            show = session.ui.line if line.kind == "note" else session.ui.step
            show(remote.name, f"{line.item}: {line.text}")

        bootstrap.apply(remote, inventory, tell, login=chosen)

    changed = [name for name, found in plans.items() if found.changes]
    with audited(fleet, changed, inventory.project, "bootstrap"):
        cluster.everywhere(fleet, session.names, make)
    session.ui.note(f"{', '.join(session.names)} ready")
    return EXIT_DONE
