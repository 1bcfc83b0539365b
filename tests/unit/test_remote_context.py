"""The script that keeps a context on a server, run here by sh as a server would run it."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import pytest

from rondo import context
from rondo.errors import RemoteError
from rondo.scripts import changing


@dataclass(frozen=True)
class Output:
    stdout: str
    stderr: str
    code: int


class Here:
    """Runs scripts on this machine, with what a Remote takes and gives."""

    def __init__(self) -> None:
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
def here() -> Here:
    return Here()


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


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    return tmp_path / "server" / "contexts" / "backend"


def known(here: Here, kept: Path) -> str:
    return context.fetch_manifest(here, str(kept))  # type: ignore[arg-type]


def send(here: Here, kept: Path, source: Path) -> int:
    read = context.read(source, {})
    sent = context.send(here, str(kept), read, known(here, kept))  # type: ignore[arg-type]
    assert holds(kept) == known(here, kept) == context.manifest(read)
    assert sorted(path.name for path in kept.parent.iterdir()) == ["backend", "backend.manifest"]
    return sent


def holds(folder: Path) -> str:
    """The manifest of what really is in a folder."""
    return context.manifest(context.read(folder, {})) if folder.exists() else ""


def test_a_context_arrives_whole(here: Here, kept: Path, source: Path) -> None:
    assert send(here, kept, source) == 1 + 10 + 3 + 3
    assert (kept / "link").is_symlink()
    assert kept.parent.stat().st_mode & 0o777 == 0o700
    assert kept.stat().st_mode & 0o777 == 0o755


def test_only_what_changed_is_sent_the_second_time(here: Here, kept: Path, source: Path) -> None:
    send(here, kept, source)
    untouched = (kept / "run").stat().st_ino
    (source / "src" / "app.py").write_text("22")
    assert send(here, kept, source) == 2
    assert here.ran[-2] == "changes"
    assert (kept / "run").stat().st_ino == untouched


def test_every_kind_of_change_arrives(here: Here, kept: Path, source: Path) -> None:
    send(here, kept, source)
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
    send(here, kept, source)
    (source / "link").unlink()
    (source / "link").mkdir()
    (source / "link" / "x").touch()
    (source / "a\nline break").unlink()
    (source / "-rf").unlink()
    send(here, kept, source)
    (source / "link" / "x").unlink()
    (source / "link").rmdir()
    (source / "link").write_text("x")
    send(here, kept, source)
    assert here.ran.count("whole") == 1


def test_more_files_can_go_than_one_command_can_name(here: Here, kept: Path, source: Path) -> None:
    send(here, kept, source)
    removed = tuple(f"{number:0200}" for number in range(700))
    for name in removed:
        (kept / name).touch()
    read = context.read(source, {})
    here.run(
        changing("context"),
        *("changes", str(kept), read.digest, read.digest),
        step="",
        stdin=context._parcel(read, context.Difference((), removed, (), 0)),
    )
    assert holds(kept) == context.manifest(read)


def test_a_context_that_is_another_than_told_is_replaced_whole(
    here: Here, kept: Path, source: Path
) -> None:
    send(here, kept, source)
    stale = known(here, kept)
    (source / "src" / "app.py").write_text("2")
    send(here, kept, source)
    (source / "run").unlink()
    read = context.read(source, {})
    assert context.send(here, str(kept), read, stale) == read.size  # type: ignore[arg-type]
    assert here.ran[-2:] == ["changes", "whole"]
    assert known(here, kept) == context.manifest(read)


@pytest.mark.parametrize("command", ["whole", "changes"])
@pytest.mark.parametrize("last", [b"manifest", b"tree/src/app.py"])
@pytest.mark.parametrize("more", [0, 700], ids=["between files", "inside of a header or file"])
def test_a_send_that_breaks_off_leaves_the_earlier_context(
    here: Here, kept: Path, source: Path, command: str, last: bytes, more: int
) -> None:
    send(here, kept, source)
    before = known(here, kept)
    (source / "src" / "app.py").write_bytes(bytes(20_000))
    read = context.read(source, {})
    wanted = context.difference(read, before) if command == "changes" else None
    stream = b"".join(context._parcel(read, wanted))
    cut = stream[: stream.index(last + b"\0") + more]
    with pytest.raises(RemoteError, match="the context"):
        here.run(
            changing("context"),
            *(command, str(kept), read.digest, context._digest(before)),
            step="",
            stdin=[cut],
        )
    assert known(here, kept) == before == holds(kept)


@pytest.mark.parametrize(
    ("command", "tool", "nth"),
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
    here: Here, kept: Path, source: Path, tmp_path: Path, command: str, tool: str, nth: int
) -> None:
    send(here, kept, source)
    before = known(here, kept)
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
        ("sh", "-c", trap + changing("context"), "_")
        + (command, str(kept), read.digest, context._digest(before)),
        input=b"".join(
            context._parcel(
                read, context.difference(read, before) if command == "changes" else None
            )
        ),
        capture_output=True,
        check=False,
    )
    assert killed.returncode == -signal.SIGKILL
    assert known(here, kept) in {"", holds(kept)}
    send(here, kept, source)


@pytest.mark.parametrize(
    "path", ["/etc/victim", "../victim", "old/../../victim", "", "way/out/victim", "."]
)
def test_nothing_outside_of_the_folder_can_be_removed(
    here: Here, kept: Path, source: Path, tmp_path: Path, path: str
) -> None:
    send(here, kept, source)
    victim = tmp_path / "out" / "victim"
    victim.parent.mkdir()
    victim.write_text("precious")
    (kept / "way").mkdir()
    (kept / "way" / "out").symlink_to(victim.parent)
    (kept.parent / "victim").write_text("precious")
    before = known(here, kept)
    read = context.read(source, {})
    hostile = context.Difference((), (path,), (), 0)
    with pytest.raises(RemoteError, match="could not be removed"):
        here.run(
            changing("context"),
            *("changes", str(kept), read.digest, context._digest(before)),
            step="",
            stdin=context._parcel(read, hostile),
        )
    assert victim.read_text() == (kept.parent / "victim").read_text() == "precious"
    assert (kept / "src" / "app.py").exists()
    assert known(here, kept) == ""
