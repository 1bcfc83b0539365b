"""Let Nginx itself read the rendered files, in a container of its own without a network."""

from __future__ import annotations

import datetime as dt
import io
import re
import shutil
import tarfile
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from rondo import edges, render
from rondo.finding import Finding, run
from rondo.inventory import StaticService
from rondo.layout import RUN, Layout

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from rondo.inventory import Inventory

IMAGE = "nginx:stable"
# An Nginx newer than `settings.nginx.version` says this of what the older servers need.
_EXPECTED = re.compile(r'the "listen \.\.\. http2" directive is deprecated')
_LINE = re.compile(
    r"^(?:nginx:|\d{4}/\S+ \S+) \[(warn|error|crit|alert|emerg)\] (?:\d+#\d+: )?"
    r"(.*?)(?: in (\S+):(\d+))?$",
    re.MULTILINE,
)
# Each case has the tree of one server below its folder; -p and the rest of the paths are inside it.
_SCRIPT = """
cd / && tar -xf - || exit 125
for case in /lint/*/; do
    name=${case%/}
    (
        cd "$case" && tar -cf - . | tar -xf - -C /
        nginx -t -c /nginx-lint.conf 2>&1
        echo "exit $?"
        find . -type f | sed 's|^|/|' | xargs rm -f
    ) | sed "s|^|${name##*/}\t|"
done
"""
_SERVER = """
events {}
http {
    include /etc/nginx/mime.types;
    include /etc/nginx/conf.d/rondo-*.conf;
}
"""


@dataclass(frozen=True, slots=True)
class Case:
    """What one start of Nginx reads: files by absolute path, and where they were rendered."""

    name: str
    files: Mapping[str, bytes]
    origins: Mapping[str, str]


def check(inventory: Inventory, files: Mapping[str, bytes], image: str = IMAGE) -> list[Finding]:
    """Let Nginx read the files of every server and frontend, in one container."""
    return try_cases(cases(inventory, files), image)


def cases(inventory: Inventory, files: Mapping[str, bytes]) -> tuple[Case, ...]:
    """Return what to start Nginx with: each server, and each frontend's container."""
    return (*_server_cases(inventory, files), *_frontend_cases(inventory, files))


def try_cases(cases: Sequence[Case], image: str = IMAGE) -> list[Finding]:
    """Let Nginx read each case."""
    if not cases:
        return []
    found = find_image(image)
    if isinstance(found, Finding):
        return [found]
    command = ("docker", "run", "--rm", "--interactive", "--network", "none")
    container = (*command, "--entrypoint", "sh", found, "-c", _SCRIPT)
    answer = run("nginx", container, _packed(cases))
    if isinstance(answer, Finding):
        return [answer]
    return [finding for case in cases for finding in _read_nginx(case, answer)]


def find_image(wanted: str = IMAGE) -> str | Finding:
    """Return an image with Nginx: the wanted one, any other that is here, or the wanted one pulled.

    Any Nginx reads the files as the servers' own does, and the lab's works without a network.
    """
    if shutil.which("docker") is None:
        message = "docker is not installed here, so nginx -t cannot run: install Docker Engine"
        return Finding("nginx", "", None, message)
    if not isinstance(run("nginx", ("docker", "image", "inspect", wanted)), Finding):
        return wanted
    listed = run("nginx", ("docker", "images", "--format", "{{.Repository}} {{.ID}}"))
    for line in () if isinstance(listed, Finding) else listed.splitlines():
        repository, _, image = line.partition(" ")
        if repository == "nginx" or repository.endswith("/nginx"):
            return image
    pulled = run("nginx", ("docker", "pull", "--quiet", wanted))
    if not isinstance(pulled, Finding):
        return wanted
    message = f"the image {wanted} cannot be had, so nginx -t cannot run: {pulled.message}"
    return Finding("nginx", "", None, message)


def _server_cases(inventory: Inventory, files: Mapping[str, bytes]) -> Iterator[Case]:
    layout = Layout(inventory.project)
    certificate = _throwaway_certificate()
    common: dict[str, bytes] = {"/nginx-lint.conf": _SERVER.encode()}
    for name, site in inventory.sites.items():
        if site.tls:
            common[layout.certificate(name)] = common[layout.private_key(name)] = certificate
            common[layout.certificate(edges.entry_of(name))] = certificate
    common |= {f"{layout.root}/.keep": b"", f"{RUN}/.keep": b"", "/var/log/nginx/.keep": b""}
    for server in inventory.servers:
        # An edge has no gate.
        origins = {
            path: origin
            for path in (layout.site_file, layout.gate_file)
            if (origin := f"servers/{server}/{PurePosixPath(path).name}") in files
        }
        if origins:
            rendered = {path: files[origin] for path, origin in origins.items()}
            yield Case(f"server-{server}", common | rendered, origins)


def _frontend_cases(inventory: Inventory, files: Mapping[str, bytes]) -> Iterator[Case]:
    for name, service in inventory.services.items():
        origin = f"services/{name}/{render.FOLDER}/nginx.conf"
        if isinstance(service, StaticService) and origin in files:
            text = files[origin].replace(b"@listen@", b"unix:/tmp/lint.sock")
            path = "/nginx-lint.conf"
            yield Case(f"frontend-{name}", {path: text}, {path: origin})


def _throwaway_certificate() -> bytes:
    """Return a key and a certificate that nobody trusts, in one file."""
    from cryptography import x509  # noqa: PLC0415 - slow to import, and only lint needs it
    from cryptography.hazmat.primitives import hashes, serialization  # noqa: PLC0415
    from cryptography.hazmat.primitives.asymmetric import ec  # noqa: PLC0415

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "lint.invalid")])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now)
        .not_valid_after(now + dt.timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    pem, plain = serialization.Encoding.PEM, serialization.NoEncryption()
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain)
    return private + certificate.public_bytes(pem)


def _packed(cases: Iterable[Case]) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        for case in cases:
            for path, content in case.files.items():
                entry = tarfile.TarInfo(f"lint/{case.name}{path}")
                entry.size = len(content)
                archive.addfile(entry, io.BytesIO(content))
    return stream.getvalue()


def _read_nginx(case: Case, answer: str) -> Iterator[Finding]:
    """Yield what Nginx said about a case; no word of success is a finding as well."""
    mark = f"{case.name}\t"
    lines = [x.removeprefix(mark) for x in answer.splitlines() if x.startswith(mark)]
    said = list(_LINE.finditer("\n".join(lines)))
    for match in said:
        level, message, path, line = match.groups()
        if not (level == "warn" and _EXPECTED.search(message)):
            origin = case.origins.get(path or "", "")
            yield Finding("nginx", origin, int(line) if line else None, f"{level}: {message}")
    serious = any(match[1] != "warn" for match in said)
    if "exit 0" not in lines and not serious:
        yield Finding("nginx", "", None, f"{case.name}: no success: {' '.join(lines)[-300:]}")
