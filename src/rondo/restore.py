"""From the servers' records back to releases, without the source tree they were made of. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rondo.docker import Container
from rondo.errors import PreflightError
from rondo.release import Gate, Recorded, Release, ServerRelease, Slot, Upkeep, Worker
from rondo.steps import TagImage

if TYPE_CHECKING:
    from rondo.state import ServerState

Record = Mapping[str, Any]


def container(data: Mapping[str, Any]) -> Container:
    """Return a container's spec from a record; its digest is the one that it had."""
    lists = {key: tuple(data[key]) for key in ("secrets", "options", "command")}
    return Container(**{**data, **lists})


def _slot(data: Mapping[str, Any]) -> Slot:
    return Slot(
        container(data["container"]), Gate(**data["gate"]), data["drain"], data["stop_grace"]
    )


def _worker(data: Mapping[str, Any]) -> Worker:
    return Worker(container(data["container"]), data["stop_grace"])


def _upkeep(data: Mapping[str, Any]) -> Upkeep:
    return Upkeep(
        container(data["container"]),
        tuple(data["ready"]),
        data["ready_deadline"],
        tuple(data["networks"]),
    )


def server_release(record: Record) -> ServerRelease:
    """Return what one server ran in a release, as its record tells."""
    data = record["server"]
    return ServerRelease(
        slots=tuple(map(_slot, data["slots"])),
        workers=tuple(map(_worker, data["workers"])),
        accessories=tuple(map(_upkeep, data["accessories"])),
        gate_config=data["gate_config"],
        site_config=data["site_config"],
        certificates=tuple((site, digest) for site, digest in data["certificates"]),
    )


def _read(server: str, identity: str, record: Record) -> ServerRelease:
    try:
        return server_release(record)
    except (KeyError, TypeError, ValueError) as error:
        raise PreflightError(
            f"{server}: the record of release {identity} cannot be read ({error!r}): another "
            "version of Rondo wrote it; nothing was touched, deploy once with this one"
        ) from None


def recorded_release(
    project: str, identities: Mapping[str, str], states: Mapping[str, ServerState]
) -> Release:
    """Return a release as the servers' records tell it, from the id that each server goes by.

    Raises PreflightError for a record that is not there or cannot be read.
    """
    refuse_lacking(identities, states)
    records = {name: states[name].records[identity] for name, identity in identities.items()}
    contents = dict.fromkeys(str(record.get("content", "")) for record in records.values())
    return Release(
        project=project,
        servers={name: _read(name, identities[name], record) for name, record in records.items()},
        images={},
        recorded=Recorded(", ".join(dict.fromkeys(identities.values())), ", ".join(contents)),
    )


def refuse_lacking(identities: Mapping[str, str], states: Mapping[str, ServerState]) -> None:
    """Raise PreflightError naming every server that cannot tell of the release it should."""
    lines = []
    for name, identity in identities.items():
        if not identity:
            lines.append(f"{name}: nothing is deployed there; run `fab deploy` first")
        elif identity not in states[name].records:
            lines.append(f"{name}: it has no record of release {identity}; see `fab history`")
    if lines:
        told = "\n".join(f"  {line}" for line in lines)
        raise PreflightError(f"not possible; nothing was touched:\n{told}")


def releases_in_force(states: Mapping[str, ServerState]) -> dict[str, str]:
    """Return the id of the release in force on each server; empty before the first deploy."""
    return {name: state.current for name, state in states.items()}


@dataclass(frozen=True, slots=True)
class Missing:
    """Something that a recorded release needs and its server has no more."""

    server: str
    what: str

    def __str__(self) -> str:
        return f"{self.server}: {self.what} is gone"


def _images_of(record: Mapping[str, object]) -> Mapping[str, object]:
    images = record.get("images")
    return images if isinstance(images, Mapping) else {}


def moved_tags(
    server: str, containers: Iterable[Container], record: Record, state: ServerState
) -> Iterator[TagImage]:
    """Yield the tags that name another image than the one recorded, or none, while it is there."""
    ids = _images_of(record)
    for reference in dict.fromkeys(each.image for each in containers):
        identity = str(ids.get(reference, ""))
        if "@" in reference or identity not in state.images:
            continue
        if state.images.get(reference) != identity:
            reason = "its tag was moved" if reference in state.images else "its tag was removed"
            yield TagImage(server, reason, reference, identity)


def missing(
    server: str, containers: Iterable[Container], record: Record, state: ServerState
) -> Iterator[Missing]:
    """Yield what containers of a recorded release need and cannot have again."""
    ids = _images_of(record)
    wanted = tuple(containers)
    for image in dict.fromkeys(each.image for each in wanted):
        # What a registry keeps by its digest can be pulled again.
        there = {image, str(ids.get(image, ""))} & state.images.keys()
        if not there and "@" not in image:
            yield Missing(server, f"the image {image}")
    for environment in sorted({each.environment for each in wanted} - state.environments):
        yield Missing(server, f"the environment {environment}")


def certified_sites(record: Record) -> tuple[str, ...]:
    """Return the sites whose certificates the Nginx files of a recorded release name."""
    server = record.get("server")
    pairs = server.get("certificates", ()) if isinstance(server, Mapping) else ()
    return tuple(str(site) for site, _ in pairs)


def missing_certificates(server: str, record: Record, state: ServerState) -> Iterator[Missing]:
    """Yield the certificates without which Nginx would refuse a recorded release's files."""
    for site in certified_sites(record):
        if site not in state.certificates:
            yield Missing(server, f"the certificate of the site {site}")


def refuse_missing(found: Iterable[Missing]) -> None:
    """Raise PreflightError naming all that is gone, if anything is."""
    lines = "\n".join(f"  {each}" for each in found)
    if lines:
        raise PreflightError(
            f"not possible; nothing was touched:\n{lines}\n"
            "Check out the source of that release and run `fab deploy`."
        )
