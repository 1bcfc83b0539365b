"""Make a bare Debian or Ubuntu server ready: say what would change, then change it.

What there is to do is decided on the server, by the scripts remote/bootstrap*.sh: in plan mode
they say each change, in apply mode they make it in the same breath.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias, cast, get_args

from rondo import scripts
from rondo.errors import PreflightError, RemoteError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from rondo.channel import Output
    from rondo.inventory import Inventory
    from rondo.server import Remote

Kind: TypeAlias = Literal["change", "note", "refuse"]
Mode: TypeAlias = Literal["plan", "apply"]

_PARTS = ("words", "checks", "user", "packages", "nginx")
_REFUSED = 65
_NOBODY = "-"
_PLAN_DEADLINE = 60.0
_APPLY_DEADLINE = 1800.0
_TOLD_LINES = 8


@dataclass(frozen=True, slots=True)
class Line:
    """One thing that bootstrap says about a server."""

    kind: Kind
    """`change`: made, or to be made; `note`: left alone; `refuse`: forbids to begin."""
    item: str
    text: str

    def __str__(self) -> str:
        return f"{self.item}: {self.text}"


@dataclass(frozen=True, slots=True)
class Outcome:
    """All that bootstrap said about a server."""

    lines: tuple[Line, ...] = ()

    @property
    def changes(self) -> tuple[Line, ...]:
        """What was changed, or would be; () when the server is ready."""
        return self._of("change")

    @property
    def notes(self) -> tuple[Line, ...]:
        """What was left alone, and deserves to be known."""
        return self._of("note")

    @property
    def refusals(self) -> tuple[Line, ...]:
        """What forbids to begin; nothing was touched."""
        return self._of("refuse")

    def _of(self, kind: Kind) -> tuple[Line, ...]:
        return tuple(line for line in self.lines if line.kind == kind)


def plan(remote: Remote, inventory: Inventory, *, login: str | None = None) -> Outcome:
    """Say what bootstrap would change on a server; changes nothing."""
    output = remote.run(
        script(),
        *arguments("plan", remote.name, inventory, login=login),
        step="looking at what bootstrap would change",
        deadline=_PLAN_DEADLINE,
        check=False,
    )
    return _outcome(remote.name, output)


def apply(
    remote: Remote,
    inventory: Inventory,
    on_line: Callable[[Line], None],
    *,
    login: str | None = None,
) -> Outcome:
    """Make a server ready, telling each change when it begins; a second time changes nothing.

    It goes on if the connection is lost: half an installation is worse than one nobody watches.
    """

    def tell(text: str) -> None:
        for line in parse((text,)):
            on_line(line)

    output = remote.run(
        script(),
        *arguments("apply", remote.name, inventory, login=login),
        step="bootstrap",
        deadline=_APPLY_DEADLINE,
        on_line=tell,
        check=False,
        survive=True,
    )
    return _outcome(remote.name, output)


def logging_in_as(inventory: Inventory, login: str | None) -> Inventory:
    """Return the inventory with which to connect as another user, for a first bootstrap."""
    if login is None:
        return inventory
    servers = {
        name: server.model_copy(update={"user": login})
        for name, server in inventory.servers.items()
    }
    return inventory.model_copy(update={"servers": servers})


def script() -> str:
    """Return the whole script that runs on the server."""
    return scripts.changing(*(f"bootstrap_{part}" for part in _PARTS), "bootstrap")


def arguments(
    mode: Mode, server: str, inventory: Inventory, *, login: str | None = None
) -> tuple[str, ...]:
    """Return the script's arguments; a user is created only when we log in as another one."""
    declared = inventory.servers.get(server)
    user = declared.user if declared and login not in {None, declared.user} else _NOBODY
    settings = inventory.settings
    return (
        mode,
        _NOBODY if user == "root" else user,
        login or _NOBODY,
        settings.docker_packages,
        settings.nginx_packages,
        settings.time_zone,
        "yes" if settings.nginx.ipv6 else "no",
    )


def parse(lines: Iterable[str]) -> tuple[Line, ...]:
    """Read what the script printed; lines of another form are passed over."""
    words = (line.rstrip("\n").split("\t", 2) for line in lines)
    return tuple(
        Line(cast("Kind", word[0]), word[1], word[2])
        for word in words
        if len(word) == 3 and word[0] in get_args(Kind)
    )


def _outcome(server: str, output: Output) -> Outcome:
    outcome = Outcome(parse(output.stdout.splitlines()))
    if output.code == _REFUSED:
        reasons = "; ".join(line.text for line in outcome.refusals)
        raise PreflightError(f"{server}: bootstrap touched nothing: {reasons}")
    if output.code:
        raise RemoteError(_failure(server, outcome, output))
    return outcome


def _failure(server: str, outcome: Outcome, output: Output) -> str:
    during = f" at “{outcome.changes[-1]}”" if outcome.changes else ""
    said = "\n  ".join(output.stderr.strip().splitlines()[-_TOLD_LINES:])
    return (
        f"{server}: bootstrap failed{during} with exit code {output.code}; mend that and run it"
        f" again, it goes on where it stopped\n  {said}"
    )
