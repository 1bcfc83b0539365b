"""The script that keeps a context on a server, run here by sh as a server would run it."""

from __future__ import annotations

import signal
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from rondo import context
from rondo.errors import RemoteError
from rondo.scripts import changing

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path


@dataclass(frozen=True)
class Output:
    stdout: str
    stderr: str
    code: int


class Here:
    """Runs scripts on this machine, with what a Remote takes and gives."""

    def __init__(self, kept: Path) -> None:
        self.kept = kept
        self.ran: list[str] = []

    def run(
        self,
        script: str,
        *arguments: str,
        step: str,
        deadline: float = 60,
        stdin: Iterable[bytes] = (),
        check: bool = True,
    ) -> Output:
        self.ran.append(arguments[0])
        content = b"".join(stdin)
        done = subprocess.run(
            ("sh", "-c", script, "_", *arguments), input=content, capture_output=True, check=False
        )
        output = Output(done.stdout.decode(), done.stderr.decode(), done.returncode)
        if check and output.code:
            raise RemoteError(output.stderr)
        return output


@pytest.fixture
def here(tmp_path: Path) -> Here:
    return Here(tmp_path / "server" / "contexts" / "backend")


@pytest.fixture
def source(tmp_path: Path) -> Path:
    root = tmp_path / "source"
    (root / "src").mkdir(parents=True)
    (root / "src" / "app.py").write_text("1")
    (root / "run").write_text("#!/bin/sh\n")
    (root / "run").chmod(0o755)
    (root / "link").symlink_to("run")
    (root / "old").mkdir()
    (root / "old" / "file").write_text("old")
    return root


def known(here: Here) -> str:
    return context.fetch_manifest(here, str(here.kept))  # type: ignore[arg-type]


def send(here: Here, source: Path) -> int:
    read = context.read(source, {})
    sent = context.send(here, str(here.kept), read, known(here))  # type: ignore[arg-type]
    assert holds(here.kept) == known(here) == context.manifest(read)
    assert sorted(path.name for path in here.kept.parent.iterdir()) == [
        "backend",
        "backend.manifest",
    ]
    return sent


def holds(folder: Path) -> str:
    """Return the manifest of what really is in a folder."""
    return context.manifest(context.read(folder, {})) if folder.exists() else ""


def test_a_context_arrives_whole(here: Here, source: Path) -> None:
    assert send(here, source) == 1 + 10 + 3 + 3
    assert (here.kept / "link").is_symlink()
    assert here.kept.parent.stat().st_mode & 0o777 == 0o700
    assert here.kept.stat().st_mode & 0o777 == 0o755


def test_only_what_changed_is_sent_the_second_time(here: Here, source: Path) -> None:
    send(here, source)
    untouched = (here.kept / "run").stat().st_ino
    (source / "src" / "app.py").write_text("22")
    assert send(here, source) == 2
    assert here.ran[-2] == "changes"
    assert (here.kept / "run").stat().st_ino == untouched


def test_every_kind_of_change_arrives(here: Here, source: Path) -> None:
    send(here, source)
    (source / "old" / "file").unlink()
    (source / "old").rmdir()
    (source / "old").write_text("a file where a folder was")
    (source / "run").unlink()
    (source / "run").mkdir()
    (source / "run" / "inside").write_text("a folder where a file was")
    (source / "link").unlink()
    (source / "link").symlink_to("elsewhere")
    (source / "src" / "app.py").chmod(0o755)
    (source / "a\nline break").write_text("x")
    (source / "-rf").write_text("x")
    send(here, source)
    (source / "link").unlink()
    (source / "link").mkdir()
    (source / "link" / "x").touch()
    (source / "a\nline break").unlink()
    (source / "-rf").unlink()
    send(here, source)
    (source / "link" / "x").unlink()
    (source / "link").rmdir()
    (source / "link").write_text("x")
    send(here, source)
    assert here.ran.count("whole") == 1


def test_more_files_can_go_than_one_command_can_name(here: Here, source: Path) -> None:
    send(here, source)
    removed = tuple(f"{number:0200}" for number in range(700))
    for name in removed:
        (here.kept / name).touch()
    read = context.read(source, {})
    here.run(
        changing("context"),
        *("changes", str(here.kept), read.digest, read.digest),
        step="",
        stdin=context._parcel(read, context.Difference((), removed, (), 0)),
    )
    assert holds(here.kept) == context.manifest(read)


def test_a_context_that_is_another_than_told_is_replaced_whole(here: Here, source: Path) -> None:
    send(here, source)
    stale = known(here)
    (source / "src" / "app.py").write_text("2")
    send(here, source)
    (source / "run").unlink()
    read = context.read(source, {})
    assert context.send(here, str(here.kept), read, stale) == read.size  # type: ignore[arg-type]
    assert here.ran[-2:] == ["changes", "whole"]
    assert known(here) == context.manifest(read)


@pytest.mark.parametrize("command", ["whole", "changes"])
@pytest.mark.parametrize(
    "part",
    [(b"manifest", 0), (b"tree/src/app.py", 0), (b"tree/src/app.py", 700)],
    ids=["before the manifest", "before a file", "in a file"],
)
def test_a_send_that_breaks_off_leaves_the_earlier_context(
    here: Here, source: Path, command: str, part: tuple[bytes, int]
) -> None:
    send(here, source)
    before = known(here)
    (source / "src" / "app.py").write_bytes(bytes(20_000))
    read = context.read(source, {})
    wanted = context.difference(read, before) if command == "changes" else None
    stream = b"".join(context._parcel(read, wanted))
    cut = stream[: stream.index(part[0] + b"\0") + part[1]]
    with pytest.raises(RemoteError, match="the context"):
        here.run(
            changing("context"),
            *(command, str(here.kept), read.digest, context._digest(before)),
            step="",
            stdin=[cut],
        )
    assert known(here) == before == holds(here.kept)


@pytest.mark.parametrize(
    "when",
    [
        ("changes", "rm", 2),
        ("changes", "cp", 1),
        ("changes", "mv", 1),
        ("whole", "rm", 3),
        ("whole", "mv", 1),
        ("whole", "mv", 2),
    ],
)
def test_a_send_that_is_killed_never_leaves_a_manifest_that_lies(
    here: Here, source: Path, tmp_path: Path, when: tuple[str, str, int]
) -> None:
    send(here, source)
    command, tool, nth = when
    before = known(here)
    (source / "src" / "app.py").write_text("2")
    (source / "link").unlink()
    read = context.read(source, {})
    count = tmp_path / "count"
    # The tool is a function that kills the shell instead of running for the nth time.
    trap = f"""
    {tool}() {{
        printf x >>{count}
        [ "$(wc -c <{count})" -ne {nth} ] || kill -KILL $$
        command {tool} "$@"
    }}
    """
    killed = subprocess.run(
        (
            *("sh", "-c", trap + changing("context"), "_"),
            *(command, str(here.kept), read.digest, context._digest(before)),
        ),
        input=b"".join(
            context._parcel(
                read, context.difference(read, before) if command == "changes" else None
            )
        ),
        capture_output=True,
        check=False,
    )
    assert killed.returncode == -signal.SIGKILL
    assert known(here) in {"", holds(here.kept)}
    send(here, source)


@pytest.mark.parametrize(
    "path", ["/etc/victim", "../victim", "old/../../victim", "", "way/out/victim", "."]
)
def test_nothing_outside_of_the_folder_can_be_removed(
    here: Here, source: Path, tmp_path: Path, path: str
) -> None:
    send(here, source)
    victim = tmp_path / "out" / "victim"
    victim.parent.mkdir()
    victim.write_text("precious")
    (here.kept / "way").mkdir()
    (here.kept / "way" / "out").symlink_to(victim.parent)
    (here.kept.parent / "victim").write_text("precious")
    before = known(here)
    read = context.read(source, {})
    hostile = context.Difference((), (path,), (), 0)
    with pytest.raises(RemoteError, match="could not be removed"):
        here.run(
            changing("context"),
            *("changes", str(here.kept), read.digest, context._digest(before)),
            step="",
            stdin=context._parcel(read, hostile),
        )
    assert victim.read_text() == (here.kept.parent / "victim").read_text() == "precious"
    assert (here.kept / "src" / "app.py").exists()
    assert known(here) == ""
