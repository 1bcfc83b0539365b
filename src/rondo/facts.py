"""Facts of a server that do not depend on any project, parsed from what facts.sh prints. Pure."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

MARK = "fact\t"
_LISTENER = re.compile(r"\S+\s+\d+\s+\d+\s+\S*:(\d+)\s+\S+(?:\s+users:\(\(\"([^\"]*)\")?")
_NUMBERS = re.compile(r"(\d+)\.(\d+)(?:\.(\d+))?")
# A client from 18.09 on brings BuildKit itself; from 23 on it needs the buildx plugin.
_BUILDKIT_INSIDE = ((18, 9), (23, 0))


@dataclass(frozen=True, slots=True)
class Facts:
    """What a server is and has, at the moment it was asked."""

    hostname: str
    os_id: str
    os_version: str
    architecture: str
    cores: int
    memory_total: int
    """Bytes."""
    memory_available: int
    """Bytes that new processes may take without swapping."""
    disk_docker: int
    """Bytes free where Docker keeps images."""
    disk_rondo: int
    """Bytes free at /var/lib/rondo."""
    docker_version: str | None
    """Version of the engine; None when it is missing or does not answer."""
    docker_error: str
    """What the engine or its client said instead of a version; empty when docker is missing."""
    nginx_version: str | None
    nginx_user: str
    nginx_running: bool
    systemd: bool
    listeners: tuple[tuple[int, str], ...]
    """Who listens on 80 and 443: port and name of the process, which may be empty."""
    clock: float
    """The server's clock, in seconds since 1970."""
    bootstrapped: bool
    """Whether the folders that bootstrap makes are there."""
    missing: tuple[str, ...]
    """Tools that are not installed."""
    buildkit: bool
    """Whether `docker build` can use BuildKit."""
    conf_d_included: bool
    """Whether nginx.conf includes conf.d/*.conf."""

    @property
    def disk_free(self) -> int:
        """Bytes free on the fuller of the two file systems."""
        return min(self.disk_docker, self.disk_rondo)


def version_numbers(version: str | None) -> tuple[int, ...]:
    """Return a version's leading numbers, () when it has none: "20.10.24+dfsg1" is (20, 10, 24)."""
    match = _NUMBERS.match(version or "")
    return tuple(int(number) for number in match.groups() if number) if match else ()


def parse_facts(lines: Iterable[str]) -> Facts:
    """Read the facts among the lines of an answer; lines of another kind are passed over."""
    single: dict[str, str] = {}
    several: dict[str, list[str]] = {"listener": [], "missing": []}
    for line in lines:
        if line.startswith(MARK):
            key, _, value = line.removeprefix(MARK).rstrip("\n").partition("\t")
            several[key].append(value) if key in several else single.update({key: value})
    return _facts(single, several)


def _facts(single: Mapping[str, str], several: Mapping[str, list[str]]) -> Facts:
    docker_version, docker_error = _docker(single)
    return Facts(
        hostname=single.get("hostname", ""),
        os_id=single.get("os_id", ""),
        os_version=single.get("os_version", ""),
        architecture=single.get("architecture", ""),
        cores=_number(single.get("cores", "")) or 1,
        memory_total=_number(single.get("memory_total", "")) * 1024,
        memory_available=_number(single.get("memory_available", "")) * 1024,
        disk_docker=_number(single.get("disk_docker", "")),
        disk_rondo=_number(single.get("disk_rondo", "")),
        docker_version=docker_version,
        docker_error=docker_error,
        nginx_version=_nginx(single.get("nginx_version", "")),
        nginx_user=single.get("nginx_user", ""),
        nginx_running="nginx_running" in single,
        systemd="systemd" in single,
        listeners=_listeners(several["listener"]),
        clock=_seconds(single.get("clock", "")),
        bootstrapped="bootstrapped" in single,
        missing=tuple(several["missing"]),
        buildkit="buildx" in single or _buildkit_inside(docker_version),
        conf_d_included="conf_d_included" in single,
    )


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() else 0


def _seconds(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return 0.0


def _nginx(text: str) -> str | None:
    """Drop what some distributions put behind the version: "1.24.0 (Ubuntu)"."""
    return text.split(" ", 1)[0] or None


def _docker(single: Mapping[str, str]) -> tuple[str | None, str]:
    """Return the engine's version, or None and what was said instead."""
    answer = single.get("docker", "")
    try:
        version = json.loads(answer)["Version"]
    except (ValueError, LookupError, TypeError):
        if "docker_client" not in single:
            return None, ""
        return None, answer.strip() or "no answer"
    return str(version), ""


def _buildkit_inside(docker_version: str | None) -> bool:
    first, beyond = _BUILDKIT_INSIDE
    return first <= version_numbers(docker_version) < beyond


def _listeners(lines: Iterable[str]) -> tuple[tuple[int, str], ...]:
    """Return each port and holder once, although IPv4 and IPv6 have a line each."""
    matches = (_LISTENER.match(line) for line in lines)
    return tuple(sorted({(int(match[1]), match[2] or "") for match in matches if match}))
