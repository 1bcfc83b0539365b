"""All servers of a proof as witnesses: opened together, heard together, closed in every case."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from rondo import cluster
from rondo.proof import witness
from rondo.proof.evidence import ServerWitness
from rondo.proof.records import no_lines

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

    from rondo.errors import RondoError
    from rondo.fleet import Fleet
    from rondo.proof.aim import Aim
    from rondo.proof.evidence import Installed
    from rondo.proof.records import Lines
    from rondo.proof.witness import Heard, Opened
    from rondo.state import ServerState


class Witnesses:
    """The servers of a proof. A context manager: leaving it takes the secret from each of them."""

    def __init__(self, fleet: Fleet, aim: Aim, run: str, secret: str) -> None:
        self.notes: list[str] = []
        """What kept one of them from being heard."""
        self.versions: dict[str, str] = {}
        """Of Nginx, by server."""
        self._fleet = fleet
        self._aim = aim
        self._run = run
        self._secret = secret
        self._opened: dict[str, Opened] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let no server accept the secret any more."""
        for opened in self._opened.values():
            opened.hold.close()

    def open(self) -> None:
        """Let every server accept the run's secret.

        One that does not is noted: the load will tell how it does. Raises the RondoError of the
        first if none does.
        """
        aim, run, secret = self._aim, self._run, self._secret
        found = self._fleet.each(
            lambda remote: witness.open_to(remote, aim.place, run, secret), aim.servers
        )
        self._opened = {name: result.get() for name, result in found.items() if result}
        errors = [result.error for result in found.values() if result.error]
        if errors and not self._opened:
            raise errors[0]
        self._note(errors)

    def observe(self) -> dict[str, ServerState]:
        """Ask each server what runs there; one that cannot be asked is left out."""
        project = self._aim.place.project
        found = self._fleet.each(
            lambda remote: cluster.observe(self._fleet, [remote.name], project)[remote.name],
            tuple(self._opened),
        )
        self._note(result.error for result in found.values() if result.error)
        return {name: result.get() for name, result in found.items() if result}

    def hear(self, folder: Path) -> dict[str, Heard]:
        """Fetch what each server logged of the run, into SERVER.log below a folder."""

        def ask(name: str) -> Heard:
            path = folder / f"{name}.log"
            remote, opened = self._fleet[name], self._opened[name]
            return witness.read_log(remote, self._aim.place, self._run, opened, path)

        found = self._fleet.each(lambda remote: ask(remote.name), tuple(self._opened))
        self._note(result.error for result in found.values() if result.error)
        heard = {name: result.get() for name, result in found.items() if result}
        self.versions = {name: each.nginx for name, each in heard.items() if each.nginx}
        return heard

    def testimony(
        self, heard: Mapping[str, Heard], lines: Mapping[str, Lines]
    ) -> tuple[ServerWitness, ...]:
        """Put together what each server that was opened has to say."""
        return tuple(
            _testimony(name, opened, heard.get(name), lines.get(name))
            for name, opened in self._opened.items()
        )

    def _note(self, errors: Iterable[RondoError]) -> None:
        self.notes += map(str, errors)


def _testimony(
    name: str, opened: Opened, heard: Heard | None, lines: Lines | None
) -> ServerWitness:
    if heard is None:
        return ServerWitness(
            name, complete=False, reason="its log could not be fetched", clock=opened.clock
        )
    return ServerWitness(
        server=name,
        lines=lines or no_lines(),
        others=heard.others,
        installed=heard.installed,
        nginx_workers=heard.workers,
        reloads=heard.reloads,
        complete=not heard.reason,
        reason=heard.reason,
        clock=opened.clock,
    )


def changed(
    before: Mapping[str, tuple[Installed, ...]], heard: Mapping[str, Heard]
) -> Iterator[str]:
    """Say on which servers somebody changed the upstreams while the load ran."""
    for name, each in heard.items():
        if name in before and before[name] != each.installed:
            yield f"{name}: its upstreams were changed during the run; those of the end are judged"
