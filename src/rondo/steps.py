"""The steps of a plan: each says what it does, where and why. Pure data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from rondo.docker import Container
    from rondo.release import BuiltImage, Slot, Upkeep, Worker


@dataclass(frozen=True, slots=True)
class Step:
    """One thing to do on one server, and why."""

    words: ClassVar[str]
    """What is done, as an operator would say it; fields of the step stand in braces."""

    server: str
    reason: str

    @property
    def title(self) -> str:
        """What is done, as an operator would say it."""
        return self.words.format(step=self)

    @property
    def place(self) -> str:
        """What on the server it is about: a slot, a worker, a file."""
        return self.title


@dataclass(frozen=True, slots=True)
class SendFiles(Step):
    """Send environments and certificates."""

    words: ClassVar[str] = "send {step.counted}"

    environments: tuple[str, ...] = ()
    certificates: tuple[str, ...] = ()

    @property
    def counted(self) -> str:
        """How many files of each kind."""
        kinds = (("environment", self.environments), ("certificate", self.certificates))
        return " and ".join(
            f"{len(names)} {kind}{'s' * (len(names) > 1)}" for kind, names in kinds if names
        )


@dataclass(frozen=True, slots=True)
class SendContext(Step):
    """Send a build context, whole or only what changed."""

    words: ClassVar[str] = "send the context of {step.image.service}"

    image: BuiltImage
    base: str = ""
    """Digest of the manifest that the server has; empty when it has no earlier context."""


@dataclass(frozen=True, slots=True)
class BuildImage(Step):
    """Build an image on the server."""

    words: ClassVar[str] = "build {step.image.reference}"

    image: BuiltImage


@dataclass(frozen=True, slots=True)
class CarryImage(Step):
    """Carry an image from the server that built it."""

    words: ClassVar[str] = "carry {step.reference} over from {step.origin}"

    reference: str
    origin: str


@dataclass(frozen=True, slots=True)
class PullImage(Step):
    """Pull an image from its registry."""

    words: ClassVar[str] = "pull {step.reference}"

    reference: str


@dataclass(frozen=True, slots=True)
class TagImage(Step):
    """Give an image the tag again under which a release knew it."""

    words: ClassVar[str] = "tag {step.identity} as {step.reference} again"

    reference: str
    identity: str
    """Its id, which no tag can move."""


@dataclass(frozen=True, slots=True)
class StartAccessory(Step):
    """Start an accessory, and wait until it is ready."""

    words: ClassVar[str] = "start {step.container.name} ({step.container.image})"

    accessory: Upkeep

    @property
    def container(self) -> Container:
        """What is started."""
        return self.accessory.container


@dataclass(frozen=True, slots=True)
class RunReleaseCommand(Step):
    """Run a service's release command in its new image."""

    words: ClassVar[str] = "run `{step.line}` of {step.container.service}"

    container: Container
    deadline: float

    @property
    def line(self) -> str:
        """The command as it would be typed."""
        return " ".join(self.container.command)


@dataclass(frozen=True, slots=True)
class InstallConfig(Step):
    """Put a configuration file of Nginx in place and reload it."""

    words: ClassVar[str] = "install {step.path} and reload Nginx"

    path: str
    text: str
    before: str | None = None
    """Text on the server now; None when there is no file."""

    @property
    def place(self) -> str:
        """The file."""
        return self.path


@dataclass(frozen=True, slots=True)
class FillSlot(Step):
    """Start a container, gate it, and switch the slot to it."""

    words: ClassVar[str] = "fill {step.slot.name}"

    slot: Slot
    release: str = ""
    """Release that the container tells; the plan's own when empty."""
    in_place: bool = False
    """Whether the old container stops first, as there is no room for two."""
    min_healthy: float = 0.0
    """Seconds that the container must stay healthy in the slot before the old one stops."""
    lane: int = 0
    """Its place among those that are filled at the same time on its server."""

    @property
    def place(self) -> str:
        """The slot."""
        return self.slot.name


@dataclass(frozen=True, slots=True)
class StartWorker(Step):
    """Stop a worker's old container and start the new one."""

    words: ClassVar[str] = "start {step.worker.container.name}"

    worker: Worker
    release: str = ""
    """Release that the container tells; the plan's own when empty."""

    @property
    def place(self) -> str:
        """The worker."""
        return self.worker.container.name


@dataclass(frozen=True, slots=True)
class EmptySlot(Step):
    """Drain a slot that is no longer declared, and remove its container."""

    words: ClassVar[str] = "empty {step.slot}"

    slot: str

    @property
    def place(self) -> str:
        """The slot."""
        return self.slot


@dataclass(frozen=True, slots=True)
class Settle(Step):
    """Wait until the replaced containers, which stop in the background, are gone."""

    words: ClassVar[str] = "see the replaced containers off"

    slots: tuple[str, ...]
    stop_grace: float


@dataclass(frozen=True, slots=True)
class WriteRecord(Step):
    """Write the release record and make the release the one in force."""

    words: ClassVar[str] = "record release {step.release}"

    release: str

    @property
    def place(self) -> str:
        """The record."""
        return "the release in force"


@dataclass(frozen=True, slots=True)
class EnforceRelease(Step):
    """Make a recorded release the one in force."""

    words: ClassVar[str] = "make {step.release} the release in force"

    release: str

    @property
    def place(self) -> str:
        """The record."""
        return "the release in force"


@dataclass(frozen=True, slots=True)
class Prune(Step):
    """Remove images, environments and records that no kept release needs."""

    words: ClassVar[str] = "prune what no kept release needs"

    releases: tuple[str, ...]
