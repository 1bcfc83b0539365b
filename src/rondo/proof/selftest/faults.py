"""How each fault is made for real. What a fault leaves on a server is put back by `Bench.heal`."""

from __future__ import annotations

import os
import signal
import threading
from contextlib import contextmanager, suppress
from importlib.resources import files
from typing import TYPE_CHECKING, Final

from rondo import restore
from rondo.docker import Instance, run_options
from rondo.errors import RondoError
from rondo.proof.selftest import siteedits

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from contextlib import AbstractContextManager

    from rondo.proof.selftest.bench import Bench
    from rondo.proof.selftest.siteedits import Edit

    Fault = Callable[[Bench], AbstractContextManager[None]]

PROXY_COST: Final = 0.0006
"""Seconds that an answer takes longer through slowly.py without any delay."""
_OTHER: Final = "selftest-other"


def _before(action: Callable[[Bench], object]) -> Fault:
    """Make a fault that is there before the load, and stays."""

    @contextmanager
    def fault(bench: Bench) -> Iterator[None]:
        action(bench)
        yield

    return fault


def _meanwhile(action: Callable[[Bench], object]) -> Fault:
    """Make a fault beside the load; that it could not be made is an error of the run."""

    @contextmanager
    def fault(bench: Bench) -> Iterator[None]:
        errors: list[Exception] = []

        def work() -> None:
            try:
                action(bench)
            except (RondoError, OSError) as error:
                errors.append(error)

        thread = threading.Thread(target=work, daemon=True)
        thread.start()
        try:
            yield
        finally:
            bench.over.set()
            thread.join()
        if errors:
            raise RondoError(str(errors[0])) from errors[0]

    return fault


def _held(action: str, *arguments: str, slots: bool = False) -> Fault:
    """Make a fault that goes on for as long as the run."""

    @contextmanager
    def fault(bench: Bench) -> Iterator[None]:
        with bench.hold(action, *arguments, *(bench.slots if slots else ())) as hold:
            yield
            if hold.lost:
                raise RondoError(f"{bench.remote.name}: {action} ended before the run did")

    return fault


def _edited(edit: Callable[[Bench], Edit]) -> Fault:
    return _before(lambda bench: bench.configure(edit(bench)))


def _workers(number: int, edit: Edit | None = None) -> Fault:
    def action(bench: Bench) -> None:
        if edit is not None:
            bench.configure(edit)
        bench.do("workers", str(number))

    return _before(action)


def _slower(factor: float) -> Fault:
    def action(bench: Bench) -> None:
        delay = max(0.0, bench.service_time * (factor - 1) - PROXY_COST)
        _between(bench, "delay", delay, bench.victim)

    return _before(action)


def _between(bench: Bench, mode: str, value: float, *slots: str) -> None:
    code = files("rondo").joinpath("proof", "selftest", "slowly.py").read_bytes()
    bench.do("between", mode, f"{value:.6f}", *slots, data=code)


def _certified(forge: Callable[[Bench], bytes]) -> Fault:
    return _before(lambda bench: bench.do("certify", bench.site, data=forge(bench)))


def _offer_old_tls(bench: Bench) -> None:
    bench.do("old_tls", data=siteedits.old_tls(bench.configuration).encode())


def _run_older(bench: Bench) -> None:
    """Start the container that a release before would start, in the place of one of this one's."""
    for release, record in bench.state.records.items():
        slots = record["server"]["slots"]  # type: ignore[index]  # as Rondo wrote it
        found = next(each for each in slots if each["container"]["name"] == bench.victim)
        container = restore.container(found["container"])
        there = bench.state.in_slot(bench.victim)
        if there is not None and container.digest != there.spec:
            instance = Instance(_OTHER, bench.remote.name, release)
            words = run_options(bench.project, container, instance)
            gate = (found["gate"]["host"], found["gate"]["path"])
            bench.do("other", bench.victim, _OTHER, *gate, "--", *words)
            return
    raise RondoError(f"{bench.remote.name}: there is no release with another {bench.service}")


def _kill_backend(bench: Bench) -> None:
    bench.await_load()
    bench.elapse(3)
    bench.do("kill", bench.victim)


def _truncate_log(bench: Bench) -> None:
    bench.await_load()
    bench.elapse(3)
    bench.do("truncate")


def _slow_client(bench: Bench) -> None:
    """Let the load generator have 50 of every 150 ms, like a machine that has no more to give."""
    bench.await_load()
    generators = bench.load()
    try:
        while not bench.over.is_set():
            _signal(generators, signal.SIGSTOP)
            bench.elapse(0.1)
            _signal(generators, signal.SIGCONT)
            bench.elapse(0.05)
    finally:
        _signal(generators, signal.SIGCONT)


def _kill_worker(bench: Bench) -> None:
    bench.await_load()
    bench.elapse(2)
    # The first is the master of the others.
    _signal(bench.load()[-1:], signal.SIGKILL)


def _kill_generator(bench: Bench) -> None:
    bench.await_generator()
    _signal(bench.load(), signal.SIGKILL)


def _signal(processes: tuple[int, ...], number: signal.Signals) -> None:
    for process in processes:
        with suppress(ProcessLookupError):
            os.kill(process, number)


FAULTS: Final[Mapping[str, Fault]] = {
    "healthy-zone-1w": _workers(1),
    "healthy-zone-2w": _workers(2),
    "healthy-nozone-1w": _workers(1, siteedits.unshared),
    "healthy-nozone-2w": _workers(2, siteedits.unshared),
    "dead-from-start": _before(lambda bench: bench.do("kill", bench.victim)),
    "killed-mid-run": _meanwhile(_kill_backend),
    "marked-down": _edited(lambda bench: siteedits.down(bench.victim)),
    "marked-backup": _edited(lambda bench: siteedits.backup(bench.victim)),
    "left-out": _edited(lambda bench: siteedits.without(bench.victim)),
    "weights-211": _edited(lambda bench: siteedits.weights(bench.service, 2, 1, 1)),
    "weights-11-10-10": _edited(lambda bench: siteedits.weights(bench.service, 11, 10, 10)),
    "ip-hash": _edited(lambda bench: siteedits.balance(bench.service, "ip_hash")),
    "random": _edited(lambda bench: siteedits.balance(bench.service, "random")),
    "least-conn": _edited(lambda bench: siteedits.balance(bench.service, "least_conn")),
    "slow-2x": _slower(2),
    "slow-1.3x": _slower(1.3),
    "hung": _before(lambda bench: bench.do("freeze", bench.victim)),
    "old-release": _before(_run_older),
    "errors-1-percent": _before(lambda bench: _between(bench, "errors", 0.01, *bench.slots)),
    "drops-10-percent": _edited(lambda _: siteedits.dropping),
    "stall-1-in-5": _held("stall", "4", "1", slots=True),
    "unknown-ca": _certified(lambda bench: bench.certificates.of_a_stranger()),
    "expired": _certified(lambda bench: bench.certificates.expired()),
    "wrong-name": _certified(lambda bench: bench.certificates.of_another_name()),
    "tls-1.0": _before(_offer_old_tls),
    "no-redirect": _edited(lambda _: siteedits.unredirected),
    "server-missing": _before(lambda bench: bench.do("away")),
    "reloads": _held("reloads", "0.5"),
    "client-too-slow": _meanwhile(_slow_client),
    "worker-killed": _meanwhile(_kill_worker),
    "no-requests": _meanwhile(_kill_generator),
    "log-truncated": _meanwhile(_truncate_log),
    "clock-off": _before(lambda bench: bench.do("clock", "+60s")),
}
