"""A site's configuration put in place, by the script that servers run, wherever that is killed."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

import pytest

from rondo.scripts import changing

if TYPE_CHECKING:
    from pathlib import Path

OLD, NEW, BAD = "server { old }\n", "server { new }\n", "server { bad }\n"
# Here Nginx does not run yet, so that it takes its files when it is started.
TOOLS = {
    "cp": '/bin/cp "$@"',
    "mv": '/bin/mv "$@"',
    "rm": '/bin/rm "$@"',
    "nginx": '! grep -q bad "$FILE"',
    "systemctl": '[ -z "$STUCK" ] && { /bin/cp "$FILE" "$RUNNING" || /bin/rm -f "$RUNNING"; }',
}


def put(folder: Path, text: str, *, dying: int = 0, stuck: str = "") -> int:
    """Put a text in place where Nginx refuses all that is bad; return the script's exit code.

    All that runs is killed when so many tools have done their work.
    """
    tools = folder / "tools"
    if not tools.exists():
        tools.mkdir(parents=True)
        for tool, does in TOOLS.items():
            (tools / tool).write_text(
                f'#!/bin/sh\nread -r number <"$NOTED"\necho "$((number + 1))" >"$NOTED"\n'
                f'{does} 2>/dev/null || exit\n[ "$number" != "$DYING" ] || kill -s KILL 0\n'
            )
            (tools / tool).chmod(0o755)
        for tool in ("chown", "sync"):
            (tools / tool).symlink_to("/bin/true")
    (folder / "noted").write_text("1\n")
    script = changing("site").replace("/usr/sbin/nginx", "nginx")
    names = {"FILE": "shop.conf", "RUNNING": "running", "NOTED": "noted"}
    return subprocess.run(
        (
            *("sh", "-c", script.replace("/run/", f"{folder}/run-"), "rondo"),
            *(str(folder / "shop.conf"), str(folder / "cache"), "www-data"),
        ),
        check=False,
        capture_output=True,
        input=text,
        text=True,
        timeout=60,
        start_new_session=True,
        env={
            **{key: str(folder / name) for key, name in names.items()},
            "PATH": f"{tools}:{os.environ['PATH']}",
            "DYING": str(dying),
            "STUCK": stuck,
        },
    ).returncode


def there(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in folder.glob("shop.conf*")}


def installed(folder: Path) -> str | None:
    """Give the file as an observation does: not while it is marked as not yet taken."""
    found = there(folder)
    return None if "shop.conf.taking" in found else found.get("shop.conf")


def running(folder: Path) -> str | None:
    """Give the text that Nginx took last."""
    file = folder / "running"
    return file.read_text() if file.exists() else None


def test_a_text_that_nginx_takes_is_there_alone(tmp_path: Path) -> None:
    for text in (OLD, NEW):
        assert put(tmp_path, text) == 0
        assert there(tmp_path) == {"shop.conf": text}
        assert running(tmp_path) == text


@pytest.mark.parametrize("before", [OLD, None], ids=["one before", "none before"])
def test_a_text_that_nginx_refuses_leaves_what_was_there(
    tmp_path: Path, before: str | None
) -> None:
    if before:
        assert put(tmp_path, before) == 0
    assert put(tmp_path, BAD) == 11
    assert there(tmp_path) == ({"shop.conf": before} if before else {})


def test_while_nginx_takes_nothing_at_all_nothing_is_read_as_installed(tmp_path: Path) -> None:
    assert put(tmp_path, OLD) == 0
    assert put(tmp_path, NEW, stuck="yes") == 11
    assert (there(tmp_path)["shop.conf"], installed(tmp_path)) == (OLD, None)
    assert put(tmp_path, NEW) == 0
    assert there(tmp_path) == {"shop.conf": NEW}


@pytest.mark.parametrize(
    ("before", "text"),
    [(OLD, NEW), (OLD, BAD), (None, NEW), (None, BAD)],
    ids=["one before", "a bad one", "none before", "none before a bad one"],
)
def test_what_is_read_as_installed_is_what_nginx_runs_wherever_the_script_is_killed(
    tmp_path: Path, before: str | None, text: str
) -> None:
    """Killed after each of its tools; and so is the next one, with a text that is refused."""
    for number in range(1, 30):
        folder = tmp_path / str(number)
        folder.mkdir()
        if before:
            (folder / "shop.conf").write_text(before)
            (folder / "running").write_text(before)
        code = put(folder, text, dying=number)
        assert installed(folder) in {None, running(folder)}
        put(folder, BAD, dying=number)
        assert installed(folder) in {None, running(folder)}
        assert put(folder, BAD) == 11
        assert there(folder) in ({"shop.conf": before or NEW}, {"shop.conf": NEW}, {})
        assert installed(folder) == running(folder) in {before, NEW}
        if code in {0, 11}:
            return
    pytest.fail("it was not tried at every tool")
