"""The local Docker Engine, through its command line."""

from __future__ import annotations

import json
import subprocess
import threading
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from rondo.errors import RondoError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

LABEL = "rondo.lab"
_NO_ENGINE = "no Docker Engine answers; run scripts/docker, then this again"
_running: set[subprocess.Popen[bytes]] = set()
_running_lock = threading.Lock()
_stopping = threading.Event()


class LabError(RondoError):
    """The lab could not be made, changed or looked at."""


@contextmanager
def process(arguments: Iterable[str], **options: Any) -> Iterator[subprocess.Popen[bytes]]:  # noqa: ANN401
    """Start a process that `stop_all` can end."""
    command = list(arguments)
    if _stopping.is_set():
        raise LabError(f"{command[0]} was not started: the lab command is ending")
    try:
        child = subprocess.Popen(command, **options)
    except FileNotFoundError as error:
        raise LabError(f"{command[0]} is not installed; run scripts/docker once") from error
    with _running_lock:
        _running.add(child)
    try:
        with child:
            try:
                yield child
            except BaseException:
                _end(child)
                raise
    finally:
        with _running_lock:
            _running.discard(child)


def stopping() -> bool:
    """Whether the lab command is ending before its time."""
    return _stopping.is_set()


def stop_all() -> None:
    """End every process that is under way, in whatever thread, and start no other."""
    _stopping.set()
    with _running_lock:
        for child in _running:
            _end(child)


def _end(child: subprocess.Popen[bytes]) -> None:
    # Not by a gentler signal: unshare keeps those from what it runs. An engine stops what it does
    # for a client that is gone.
    with suppress(PermissionError):  # sudo is not ours to kill; Ctrl-C reaches it by the terminal
        child.kill()


def run(
    arguments: Iterable[str],
    *,
    data: bytes | None = None,
    deadline: float = 60,
    what: str | None = None,
) -> str:
    """Run a command to its end and give what it printed; a failure tells its last words."""
    command = list(arguments)
    task = what or " ".join(command[:2])
    with process(
        command,
        stdin=subprocess.DEVNULL if data is None else subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as child:
        try:
            output, errors = child.communicate(data, timeout=deadline)
        except subprocess.TimeoutExpired:
            raise LabError(f"{task} took longer than {deadline:.0f} s and was ended") from None
    if child.returncode:
        raise LabError(f"{task} failed: {last_words(errors or output)}")
    return output.decode(errors="replace")


def last_words(output: bytes, lines: int = 3) -> str:
    """Give the last lines of an output, on one line."""
    text = output.decode(errors="replace").strip().splitlines()
    return " / ".join(line.strip() for line in text[-lines:]) or "it said nothing"


def docker(*arguments: str, data: bytes | None = None, deadline: float = 60) -> str:
    """Run one docker command."""
    return run(("docker", *arguments), data=data, deadline=deadline)


def lines(*arguments: str) -> list[str]:
    """Run one docker command that lists things, and give its lines."""
    return docker(*arguments).split("\n")[:-1]


def inspect(kind: str, names: Iterable[str]) -> list[dict[str, Any]]:
    """Look at containers, networks or images."""
    wanted = list(names)
    return json.loads(docker(kind, "inspect", *wanted)) if wanted else []


def try_docker(*arguments: str) -> str | None:
    """Run one docker command that may fail."""
    try:
        return docker(*arguments)
    except LabError:
        return None


def require() -> dict[str, Any]:
    """Begin a lab command: an engine must answer; give what it says about itself."""
    _stopping.clear()
    try:
        output = run(("docker", "info", "--format", "{{json .}}"), deadline=20)
    except LabError as error:
        raise LabError(f"{_NO_ENGINE} ({error})") from error
    answer: dict[str, Any] = json.loads(output)
    if answer.get("ServerErrors"):
        raise LabError(f"{_NO_ENGINE} ({answer['ServerErrors'][0]})")
    return answer


def parallel(jobs: Iterable[Callable[[], object]]) -> None:
    """Run jobs at the same time; the first failure, or Ctrl-C, ends all of them."""
    work = list(jobs)
    with ThreadPoolExecutor(max_workers=max(1, len(work))) as pool:
        futures: list[Future[object]] = [pool.submit(job) for job in work]
        try:
            done, _ = wait(futures, return_when=FIRST_EXCEPTION)
            for future in done:
                future.result()
        except BaseException:
            stop_all()
            raise
