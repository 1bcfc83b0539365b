"""One deploy with something going wrong in it, and what became of the site: what cases share."""

from __future__ import annotations

import contextlib
import http.client
import json
import re
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import IO, TYPE_CHECKING

from clients import Site, Watch
from shop import DATA, Done, ended, merged, until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from shop import Declared, Operator

USUAL: Declared = {
    "services": {
        "backend": {
            "environment": {"SHOP_DRILLS": "1", "SHOP_UNLIMITED_STOCK": "1", "TRY": "usual"},
            "processes": 1,
            "stop_grace": 10,
            "health": {"interval": "50ms", "deadline": 20},
        },
        "frontend": {"health": {"interval": "50ms"}},
    }
}
# Nobody wants to wait for a roll when only its end counts; one slot is left where it is in place.
AT_ONCE: Declared = {"settings": {"roll": {"parallel": "67%", "servers_at_once": "100%"}}}
PATIENCE = 240.0
# A server that comes back from a reboot starts its database first.
AGAIN = 90.0
LEAST = 10
SPECS = '{{.Label "rondo.slot"}} {{.Label "rondo.spec"}} {{.Label "rondo.release"}} {{.Image}}'
TRUTH = f"""
docker ps --filter label=rondo.project=shop --format '{SPECS}' | grep -v ^database | sort
sha256sum /etc/nginx/conf.d/rondo-shop*.conf
readlink {DATA}/releases/current
"""


@dataclass(frozen=True)
class Moment:
    """A line of a deploy's journal: what begins there, or what a server says."""

    text: str
    """How the line begins, as a regular expression."""
    server: str = ""
    """On any, when empty."""
    kind: str = "start"
    name: str = ""
    """What to call it in a table, where that is not the text."""

    def __str__(self) -> str:
        where = f" on {self.server}" if self.server else ""
        return (self.name or self.text).rstrip("-") + where

    def is_at(self, event: Mapping[str, str]) -> bool:
        """Tell whether this is the line."""
        return (
            event["kind"] == self.kind
            and self.server in {"", event["server"]}
            and re.match(self.text, event["text"]) is not None
        )


Act = Callable[["Operator", "subprocess.Popen[str]"], contextlib.AbstractContextManager[None]]
"""Does something to a deploy or its servers; it is over when left, after the deploy's end."""


@dataclass(frozen=True)
class Case:
    """Something that goes wrong, and what has to become of it."""

    name: str
    change: Declared = field(default_factory=dict)
    """What is deployed, beside an environment that is new each time."""
    edits: bool = False
    """Whether a source file changes, so that a context is sent and an image built."""
    reloads: bool = False
    """Whether the site's configuration changes."""
    moment: Moment | None = None
    act: Act | None = None
    before: Callable[[Operator], contextlib.AbstractContextManager[None]] | None = None
    """What a server must be like from before the deploy on."""
    codes: frozenset[int] = frozenset({1})
    said: tuple[str, ...] = ()
    """Regular expressions for what the operator must be told."""
    may_lose: Mapping[str, int | None] = field(default_factory=dict)
    """Requests that a server may lose at most, None for any number; the others lose none."""
    back: bool = True
    """Whether the old release serves everywhere afterwards, with nothing left to do."""


@dataclass(frozen=True)
class Outcome:
    """What became of a case."""

    case: str
    wrong: tuple[str, ...]
    """What is not as it has to be."""
    code: int
    asked: int
    lost: int
    mixed: bool
    """Whether the cluster was mixed after the next command."""
    back: bool
    """Whether the old release served everywhere before the next command."""
    seconds: float
    mended: float
    """Seconds that the next command took."""


def truth(operator: Operator) -> list[str]:
    """Give what each server serves, whichever containers do it."""
    return [machine.run(TRUTH) for machine in operator.machines]


def leftovers(operator: Operator) -> list[str]:
    """Name the containers that fill no slot."""
    form = "{{.ID}} {{.Names}} {{.Status}}"
    look = f"docker ps --all --no-trunc --filter label=rondo.project=shop --format '{form}'"
    return [
        f"{machine.name}: {line.partition(' ')[2]}"
        for machine in operator.machines
        for line in machine.run(look).splitlines()
        if line.split()[0] not in machine.containers().values()
    ]


def marks(operator: Operator) -> Counter[str]:
    """Count the backends in each environment, by its mark."""
    return Counter(
        machine.run(f"docker exec {identity} printenv TRY || :")
        for machine in operator.machines
        for slot, identity in machine.containers().items()
        if slot.startswith("backend")
    )


class Journal:
    """What a run that has just begun writes down, as it comes."""

    def __init__(self, operator: Operator) -> None:
        self._folder = operator.folder / ".rondo" / "runs"
        self._sizes = {path: path.stat().st_size for path in self._paths()}

    def _paths(self) -> Iterator[Path]:
        return self._folder.glob("*/events.jsonl")

    def events(self) -> Iterator[dict[str, str]]:
        """Yield all that is there by now; half a line is left for later."""
        for path in sorted(self._paths()):
            text = path.read_text()[self._sizes.get(path, 0) :]
            whole, _, _ = text.rpartition("\n")
            yield from map(json.loads, whole.splitlines())


@dataclass
class Trial:
    """A case that is tried."""

    operator: Operator
    case: Case
    mark: str
    """What tells this release from others."""
    delay: float = 0.0
    """Seconds between the moment and what goes wrong."""
    news: Declared = field(default_factory=dict)
    """What is new in this release, whatever goes wrong with it."""
    wrong: list[str] = field(default_factory=list)
    back: bool = False
    mixed: bool = False

    def run(self) -> Outcome:
        """Try it: deploy, let it go wrong, look, put it right, look again."""
        began = time.monotonic()
        with self._prepared():
            self._await_answers()
            old = truth(self.operator)
            with Watch(self._sites) as watch:
                done = self._deploy()
                self._judge_failure(done)
                self._await_answers()
                mended = self._mend(old)
            self._judge_visitors(watch)
        return Outcome(
            case=self.case.name,
            wrong=tuple(self.wrong),
            code=done.code,
            asked=watch.asked,
            lost=len(watch.wrong),
            mixed=self.mixed,
            back=self.back,
            seconds=round(time.monotonic() - began, 1),
            mended=round(mended, 1),
        )

    def _prepared(self) -> contextlib.AbstractContextManager[None]:
        act = self.case.before
        return act(self.operator) if act else contextlib.nullcontext()

    @property
    def _sites(self) -> list[Site]:
        authority = self.operator.lab.authority
        return [Site(machine.address, authority) for machine in self.operator.machines]

    def _complain(self, text: str, *, unless: object) -> None:
        if not unless:
            self.wrong.append(text)

    def _declare(self) -> None:
        self.news = {"services": {"backend": {"environment": {"TRY": self.mark}}}}
        if self.case.reloads:
            size = self.operator.declared.get("sites", {}).get("shop", {}).get("body_size")
            self.news["sites"] = {"shop": {"body_size": "5m" if size == "6m" else "6m"}}
        self.operator.declare(merged(self.news, self.case.change))
        if self.case.edits:
            self.operator.edit("examples/shop/backend/mark.txt", self.mark)

    def _deploy(self) -> Done:
        self._declare()
        journal = Journal(self.operator)
        with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
            child = self.operator.start("fab", "deploy", stdout=out, stderr=err)
            with ended(child), self._going_wrong(child, journal):
                try:
                    child.wait(PATIENCE)
                except subprocess.TimeoutExpired:
                    self.wrong.append(f"the deploy did not end within {PATIENCE:g} s")
            return Done(child.returncode, _all(out), _all(err))

    @contextlib.contextmanager
    def _going_wrong(self, child: subprocess.Popen[str], journal: Journal) -> Iterator[None]:
        case = self.case
        if case.moment is None or case.act is None:
            yield
            return

        def reached() -> bool:
            return child.poll() is not None or any(map(case.moment.is_at, journal.events()))

        until(reached, f"the deploy is at: {case.moment}", PATIENCE)
        time.sleep(self.delay)
        if child.poll() is not None:
            self.wrong.append(f"the deploy ended before: {case.moment}")
            yield
            return
        with case.act(self.operator, child):
            yield

    def _judge_failure(self, done: Done) -> None:
        codes = " or ".join(map(str, sorted(self.case.codes)))
        self._complain(
            f"exit code {done.code} instead of {codes}: {done.said[-1500:]}",
            unless=done.code in self.case.codes,
        )
        self._complain(f"a traceback: {done.said[-1500:]}", unless="Traceback" not in done.said)
        for text in self.case.said:
            told = re.search(text, done.said)
            self._complain(f"not told: {text}: {done.said[-1500:]}", unless=told)

    def _await_answers(self) -> None:
        """Servers need a moment to be there again; then they serve without any command."""
        for site in self._sites:
            try:
                until(lambda site=site: _answers(site), "it answers", AGAIN)
            except AssertionError:
                self.wrong.append(f"{site.address} does not answer by itself")

    def _mend(self, old: list[str]) -> float:
        """Give the next command, and look whether it leaves nothing to be done by hand."""
        operator = self.operator
        usual = operator.usual
        self.back = truth(operator) == old
        if self.case.back:
            self._complain("the old release does not serve everywhere", unless=self.back)
            operator.restore()
        else:
            operator.adopt()
            operator.declare(AT_ONCE)
        began = time.monotonic()
        done = operator.fab("deploy", code=None)
        seconds = time.monotonic() - began
        self._complain(f"the next command: {done.said[-1500:]}", unless=done.code == 0)
        if self.case.back:
            self._complain("there was something left to do", unless="nothing to do" in done.said)
        else:
            operator.declare()
            said = operator.fab("deploy", code=None).said
            self._complain(f"still to do: {said[-1500:]}", unless="nothing to do" in said)
            self._complain(f"left: {leftovers(operator)}", unless=not leftovers(operator))
        self._judge_cluster()
        if not self.case.back:
            # The release stays; how it was deployed is of this case alone.
            operator.usual = merged(usual, self.news)
            operator.declare()
        return seconds

    def _judge_cluster(self) -> None:
        operator = self.operator
        there = marks(operator)
        current = {machine.current() for machine in operator.machines}
        wanted = operator.declared["services"]["backend"]["environment"].get("TRY", "")
        self.mixed = there != Counter({wanted: 6}) or len(current) != 1
        self._complain(f"mixed: {dict(there)}, in force {current}", unless=not self.mixed)
        for word in ("status", "lock"):
            done = operator.fab(word, code=None)
            self._complain(f"fab {word}: {done.said[-1500:]}", unless=done.code == 0)

    def _judge_visitors(self, watch: Watch) -> None:
        for machine in self.operator.machines:
            lost = [each for each in watch.wrong if each.startswith(f"{machine.address} ")]
            most = self.case.may_lose.get(machine.name, 0)
            self._complain(
                f"{machine.name} lost {len(lost)} requests: {lost[:3]}",
                unless=most is None or len(lost) <= most,
            )
        self._complain(f"asked only {watch.asked} times", unless=watch.asked >= LEAST)


def _all(file: IO[str]) -> str:
    file.seek(0)
    return file.read()


def _answers(site: Site) -> bool:
    try:
        return all(site.ask(path).status == 200 for path in ("/", "/health"))
    except (OSError, http.client.HTTPException):
        return False
