"""One server over SSH: scripts run on it as root, over one connection, each with a deadline."""

from __future__ import annotations

import threading
import time
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Self

import paramiko

from rondo import elevation, terminal
from rondo.channel import Exchange, Lines, Output, pieces
from rondo.errors import AccessError, DeadlineError, RemoteError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from rondo.ssh import Connection

__all__ = ["Hold", "Output", "Remote"]

CHANNELS: Final = 8
"""Channels at a time on one connection: sshd allows 10 (MaxSessions) and is slow to count down."""
_PAUSE: Final = 0.05
_AHEAD: Final = 5.0
_TOLD_LINES: Final = 5
_LOST: Final = -1


@dataclass(frozen=True, slots=True)
class _Task:
    """What is asked of a server."""

    script: str
    arguments: tuple[str, ...]
    step: str
    deadline: float | None
    survive: bool = False


class Hold:
    """A script that goes on running on a server until it is closed, or until we are gone."""

    def __init__(self, line: str, close: Callable[[], None], lost: Callable[[], bool]) -> None:
        self.line = line
        self._close = close
        self._lost = lost

    @property
    def lost(self) -> bool:
        """Whether the script has ended by itself, or the connection with it."""
        return self._lost()

    def close(self) -> None:
        """End the script."""
        self._close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Remote:
    """One server: one connection a run, opened when first needed, shared by threads.

    Scripts are POSIX sh and run as root. They and their arguments can be seen in the server's list
    of processes, so secrets go over `stdin`, which has no limit.
    """

    def __init__(self, name: str, connection: Connection) -> None:
        self.name = name
        self._connection = connection
        self._places = threading.BoundedSemaphore(CHANNELS)
        self._opening = threading.Lock()
        self._spare: paramiko.Channel | None = None
        self._way = elevation.FIND

    @property
    def address(self) -> str:
        """Where it is: user@host:port."""
        return self._connection.address

    def open(self) -> None:
        """Connect and log in, unless that is done."""
        self._connection.open()

    def run(  # noqa: PLR0913 - each says what it is for where it is called
        self,
        script: str,
        *arguments: str,
        step: str,
        deadline: float = 60,
        stdin: bytes | Iterable[bytes] = b"",
        on_line: Callable[[str], None] | None = None,
        check: bool = True,
        survive: bool = False,
    ) -> Output:
        """Run a script as root to its end and return what it said; `on_line` sees stdout live.

        It is ended when the deadline passes and when the client goes away; with `survive` it goes
        on then, and does not notice. With `check`, a code that is not 0 raises a RemoteError.
        """
        task = _Task(script, arguments, step, deadline, survive)
        output = self._run(task, stdin, Lines(on_line))
        if check:
            self._demand(task, output)
        return output

    def stream(
        self, script: str, *arguments: str, step: str, on_line: Callable[[str], None]
    ) -> Output:
        """Run a script without a deadline, passing on its stdout line by line, keeping none."""
        task = _Task(script, arguments, step, deadline=None)
        return self._run(task, b"", Lines(on_line, keep=False))

    def read(self, script: str, *arguments: str, step: str, deadline: float) -> Iterator[bytes]:
        """Run a script and give the bytes of its stdout as they come, as fast as they are taken.

        Raises at the end if the script failed, so that nothing half is taken for whole.
        """
        task = _Task(script, arguments, step, deadline)
        stderr = Lines()
        with self._exchange(task) as exchange:
            self._start(exchange, task)
            exchange.feed(())
            with self._in_time(task):
                for is_stdout, data in exchange.chunks(stdout=True, stderr=False):
                    if is_stdout:
                        yield data
                    else:
                        stderr.feed(data)
            code = exchange.code() if exchange.whole else _LOST
        self._demand(task, self._settle(task, Output("", stderr.finish(), code)))

    def hold(
        self, script: str, *arguments: str, step: str, deadline: float, stdin: bytes = b""
    ) -> Hold:
        """Run a script that tells one line and then holds something until it is closed."""
        task = _Task(script, arguments, step, deadline)
        said: list[str] = []
        stdout, stderr = Lines(said.append, keep=False), Lines()
        with ExitStack() as stack:
            exchange = stack.enter_context(self._exchange(task))
            self._start(exchange, task)
            # Without an end mark, which would end the script's standard input and so the hold.
            exchange.type(b"%d\n%s" % (len(stdin), stdin) if stdin else b"")
            with self._in_time(task):
                exchange.pump(stdout, stderr, until=said.__len__)
            stdout.finish()
            output = Output("", stderr.finish(), 0 if said else exchange.code())
            output = self._settle(task, output)
            if not said:
                raise RemoteError(f"{self.name}: {step} failed {_told(output)}")
            return Hold(said[0], stack.pop_all().close, exchange.has_ended)

    def interactive(self, script: str, *arguments: str) -> int:
        """Run a script for the operator: on their terminal if there is one, or in a pipe."""
        task = _Task(script, arguments, "the command", deadline=None)
        self._find_way()
        with self._exchange(task) as exchange:
            if not terminal.is_there():
                self._start(exchange, task)
                return terminal.pipe(exchange)
            terminal.announce(exchange)
            line = elevation.plain_command(script, arguments, way=self._way)
            with self._unbroken(task):
                exchange.start(line)
            return terminal.attach(exchange)

    def close(self) -> None:
        """Close the connection; what still runs on the server is ended."""
        self._connection.abandon()

    def _run(self, task: _Task, stdin: bytes | Iterable[bytes], stdout: Lines) -> Output:
        stderr = Lines()
        with self._exchange(task) as exchange:
            self._start(exchange, task)
            exchange.feed(pieces(stdin))
            with self._in_time(task):
                exchange.pump(stdout, stderr)
            output = Output(stdout.finish(), stderr.finish(), exchange.code())
        return self._settle(task, output)

    def _start(self, exchange: Exchange, task: _Task) -> None:
        line = elevation.command(task.script, task.arguments, way=self._way, survive=task.survive)
        with self._in_time(task), self._unbroken(task):
            self._look_ahead()
            exchange.start(line)

    def _find_way(self) -> None:
        if self._way == elevation.FIND:
            self.run(":", step="becoming root", deadline=30)

    def _settle(self, task: _Task, output: Output) -> Output:
        """Tell the command's own end from one that the connection or the login made."""
        if output.code == _LOST:
            raise RemoteError(
                f"{self.name}: the connection was lost during {task.step}; {_after(task)}"
            )
        if self._way != elevation.FIND:
            return output
        stderr = self._learn(output.stderr)
        if self._way == elevation.FIND and output.code:
            raise AccessError(
                f"{self.name}: the login shell of {self.address} does not run commands "
                f"{_told(output)}; give it one, like: usermod --shell /bin/sh"
            )
        return Output(output.stdout, stderr, output.code)

    def _demand(self, task: _Task, output: Output) -> None:
        if not output:
            raise RemoteError(f"{self.name}: {task.step} failed {_told(output)}")

    def _learn(self, stderr: str) -> str:
        """Take the prelude's word about the way to root out of stderr."""
        before, mark, after = stderr.partition(elevation.MARK)
        if self._way != elevation.FIND or not mark:
            return stderr
        line, _, rest = after.partition("\n")
        way, _, user = line.partition(" ")
        if way == "none":
            raise AccessError(
                f"{self.name}: {user} is not root there, may not use sudo without a password and "
                f"is not in the docker group. Log in as root, or run one of these on the server: "
                f"echo '{user} ALL=(ALL) NOPASSWD: ALL' > /etc/sudoers.d/{user}; "
                f"or: usermod -aG docker {user}"
            )
        self._way = way
        return before + rest

    @contextmanager
    def _in_time(self, task: _Task) -> Iterator[None]:
        try:
            yield
        except DeadlineError:
            raise DeadlineError(
                f"{self.name}: {task.step} took longer than {task.deadline:g} s; {_after(task)}"
            ) from None

    @contextmanager
    def _unbroken(self, task: _Task) -> Iterator[None]:
        """Turn what paramiko raises in the middle of things into one sentence."""
        try:
            yield
        except (paramiko.SSHException, EOFError, OSError) as error:
            reason = str(error).rstrip(".") or type(error).__name__
            raise RemoteError(
                f"{self.name}: {task.step} failed as the connection broke ({reason}); "
                f"{_after(task)}"
            ) from error

    @contextmanager
    def _exchange(self, task: _Task) -> Iterator[Exchange]:
        """Take one of the connection's channels for as long as a command runs."""
        self._connection.open()
        end = None if task.deadline is None else time.monotonic() + task.deadline
        with self._in_time(task):
            if not self._places.acquire(timeout=task.deadline):
                raise DeadlineError
        try:
            with self._unbroken(task):
                exchange = Exchange(self._channel(task), end)
            with closing(exchange):
                yield exchange
        finally:
            self._places.release()

    def _channel(self, task: _Task) -> paramiko.Channel:
        """Open a channel; when sshd has not yet noticed that others were closed, ask again."""
        timeout = task.deadline or 60
        end = time.monotonic() + timeout
        while True:
            try:
                with self._opening:
                    channel = self._spare or self._open_channel(timeout)
                    self._spare = None
            except paramiko.ChannelException:
                if time.monotonic() > end:
                    raise
                time.sleep(_PAUSE)
            else:
                if not channel.closed:
                    return channel

    def _open_channel(self, timeout: float) -> paramiko.Channel:
        # One at a time: paramiko keeps the reason of a refusal in one place for all.
        channel: paramiko.Channel = self._connection.transport.open_session(timeout=timeout)
        return channel

    def _look_ahead(self) -> None:
        """Open the next command's channel while one runs: that is a round trip less for each."""
        threading.Thread(target=self._open_spare, daemon=True).start()

    def _open_spare(self) -> None:
        # Without one the next command opens its own, and is told what is wrong.
        with suppress(paramiko.SSHException, EOFError, OSError, AttributeError), self._opening:
            self._spare = self._spare or self._open_channel(_AHEAD)


def _after(task: _Task) -> str:
    if task.survive:
        return "it goes on there by itself; look at the server's state before the next change"
    return "the server ends what ran; look at its load and try again"


def _told(output: Output) -> str:
    said = output.stderr.strip() or output.stdout.strip()
    tail = "\n  ".join(said.splitlines()[-_TOLD_LINES:])
    return f"with exit code {output.code}" + (f":\n  {tail}" if tail else " and said nothing")
