"""A slot is filled, and what was there goes: the script, with an engine that pretends."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from slots import Server, listening, make_server

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def server(tmp_path: Path) -> Server:
    return make_server(tmp_path)


def on_socket(server: Server, instance: str = "old") -> None:
    server.has("aa", instance)
    (server.folder / instance).mkdir()
    server.link.symlink_to(f"{instance}/app.sock")


def on_port(server: Server, instance: str = "old") -> None:
    server.has("aa", instance)
    server.port_file.write_text(instance)


def test_a_slot_moves_to_the_new_container_and_the_old_one_goes(server: Server) -> None:
    on_socket(server)
    with listening(server.folder / "new" / "app.sock"):
        said = server.fill()
    assert said[-1] == "code 0", said
    assert str(server.link.readlink()) == "new/app.sock"
    assert server.containers == {"cc": "new"}


def test_an_engine_that_is_silent_is_not_one_without_containers(server: Server) -> None:
    """Or a second worker would start beside the first, and a job run twice."""
    server.has("aa", "old")
    (server.path / "engine.silent").touch()
    started = f"start shop queue-1 new shop-queue-1-new image /none 0 '' {server.root} -- image"
    done = server.do(started)
    assert (done.returncode, done.stderr) == (12, "the Docker Engine does not answer\n")
    assert server.containers == {"aa": "old"}
    assert not server.done
