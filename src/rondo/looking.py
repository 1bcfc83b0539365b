"""Look at what runs: health, logs, a command in a container. Changes nothing by itself."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from rondo import restore
from rondo.cluster import everywhere
from rondo.docker import ONCE, Container, Instance, container_name, run_options
from rondo.errors import InputError
from rondo.layout import Layout
from rondo.scripts import changing
from rondo.status import Probe, parse_probes, probe_arguments

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from rondo.fleet import Fleet
    from rondo.server import Remote
    from rondo.state import RunningContainer, ServerState

PROBE_DEADLINE = 60.0

# One stream of all containers, each line behind the slot it came from.
LOGS = """
tail=$1 flags=$2
shift 2
while [ "$#" -ge 2 ]; do
    docker logs $flags --tail "$tail" "$1" 2>&1 | sed -u "s/^/$2\t/" &
    shift 2
done
wait
"""


@dataclass(frozen=True, slots=True)
class Probes:
    """What one server said of its slots and certificates."""

    slots: Mapping[str, Probe]
    pems: Mapping[str, str]


def probe(fleet: Fleet, states: Mapping[str, ServerState], project: str) -> dict[str, Probes]:
    """Ask every slot of every server for its health, its connections and its memory."""
    layout = Layout(project)

    def ask(remote: Remote) -> Probes:
        answer = remote.run(
            changing("status"),
            project,
            layout.root,
            layout.gate,
            *probe_arguments(states[remote.name]),
            step="ask for health",
            deadline=PROBE_DEADLINE,
        )
        return Probes(*parse_probes(answer.stdout))

    return everywhere(fleet, tuple(states), ask)


def containers_of(state: ServerState, service: str | None) -> list[RunningContainer]:
    """Return the containers of a service or slot (all without one) that a server has."""
    return [
        each for each in state.containers if service is None or service in {each.service, each.slot}
    ]


def log_arguments(
    containers: Sequence[RunningContainer], tail: int, flags: Sequence[str]
) -> tuple[str, ...]:
    """Return the words for the log script."""
    words = [word for each in containers for word in (each.id, each.slot or each.name)]
    return (str(tail), " ".join(flags), *words)


def read_logs(  # noqa: PLR0913 - each is named where it is called
    fleet: Fleet,
    states: Mapping[str, ServerState],
    service: str | None,
    show: Callable[[str, str, str], None],
    *,
    tail: int,
    flags: Sequence[str],
) -> None:
    """Show the output of containers, merged over all servers, each line with server and slot.

    The inventory's secrets, as far as they can be had here, are taken out of it.
    """
    chosen = {name: containers_of(state, service) for name, state in states.items()}
    if not any(chosen.values()):
        known = sorted({each.service for state in states.values() for each in state.containers})
        raise InputError(f"no container of {service!r} is there; there are: {', '.join(known)}")

    def read(remote: Remote) -> None:
        def line(text: str) -> None:
            slot, _, rest = text.partition("\t")
            show(remote.name, slot, fleet.redact(rest))

        words = log_arguments(chosen[remote.name], tail, flags)
        remote.stream(LOGS, *words, step="logs", on_line=line)

    everywhere(fleet, [name for name, found in chosen.items() if found], read)


def first_container(
    states: Mapping[str, ServerState], service: str
) -> tuple[str, RunningContainer]:
    """Return the first running container of a service or slot, and its server."""
    for name, state in states.items():
        for each in containers_of(state, service):
            filled = state.slots.get(each.slot)
            if each.running and each.kind != ONCE and filled in (None, each.instance):
                return name, each
    raise InputError(f"no running container of {service!r} on {', '.join(states)}; see fab status")


def exec_words(container: RunningContainer, command: Sequence[str], *, terminal: bool) -> list[str]:
    """Return the words of a command in a running container."""
    flags = ["--interactive", *(["--tty"] if terminal else [])]
    return ["docker", "exec", *flags, container.id, *command]


def recorded_container(state: ServerState, service: str) -> Container:
    """Return the spec of a service as the release in force records it."""
    server: Any = state.record.get("server", {})
    for each in (*server.get("slots", ()), *server.get("workers", ())):
        if service in {each["container"]["service"], each["container"]["name"]}:
            return restore.container(each["container"])
    raise InputError(f"the release in force has no service {service!r}; see fab status")


def run_words(
    project: str, container: Container, instance: Instance, *, terminal: bool
) -> tuple[str, ...]:
    """Return the words for `once`: a new container of a service, gone when its command ends."""
    flags = ("--interactive", *(("--tty",) if terminal else ()))
    layout = Layout(project)
    # Docker takes the last label of a name. By a slot's it would be removed with what fills that
    # by whoever deploys meanwhile, or taken for the worker itself.
    apart = ("--label=rondo.slot=", f"--label=rondo.kind={ONCE}")
    container = replace(container, options=(*container.options, *apart))
    return (
        project,
        layout.network,
        container_name(project, container, instance),
        container.image,
        layout.environment(container.environment),
        "2",
        "--",
        *flags,
        *run_options(project, container, instance),
    )
