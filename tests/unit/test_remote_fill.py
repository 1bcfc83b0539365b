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


def test_all_workers_are_warm_before_visitors_come(server: Server) -> None:
    on_socket(server)
    with listening(server.folder / "new" / "app.sock"):
        said = server.fill()
    assert said[-1] == "code 0", said
    assert server.warmed == "8 at once, old/app.sock\n"


def test_a_slow_health_check_is_not_asked_eight_times(server: Server) -> None:
    """Some of the questions would still be under way when the visitors come."""
    on_socket(server)
    with listening(server.folder / "new" / "app.sock"):
        said = server.fill(overrides="export TOOK=0.512345")
    assert said[-1] == "code 0", said
    assert not server.warmed


def test_warming_up_is_no_second_gate(server: Server) -> None:
    """An application with one worker may answer the last of them too late."""
    on_socket(server)
    with listening(server.folder / "new" / "app.sock"):
        said = server.fill(overrides="export WARM=28")
    assert said[-1] == "code 0", said
    assert server.warmed
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


def test_a_slot_that_went_from_a_port_to_a_socket_keeps_its_new_container(server: Server) -> None:
    """The file of the port is not left to tell of the container that was there."""
    on_port(server)
    with listening(server.folder / "new" / "app.sock"):
        said = server.fill()
    assert said[-1] == "code 0", said
    assert not server.port_file.exists()
    assert server.settle() == 0
    assert server.containers == {"cc": "new"}


def test_a_slot_that_went_from_a_socket_to_a_port_has_no_socket_left(server: Server) -> None:
    on_socket(server)
    said = server.fill("8000")
    assert said[-1] == "code 0", said
    assert server.port_file.read_text() == "new"
    assert not server.link.is_symlink()
    assert server.settle() == 0
    assert server.containers == {"cc": "new"}


@pytest.mark.parametrize("port", ["", "8000"], ids=["to a socket", "to a port"])
def test_the_old_container_serves_until_the_new_one_is_healthy_on_the_other_way(
    server: Server, port: str
) -> None:
    (on_socket if port else on_port)(server)
    with listening(server.folder / "new" / "app.sock"):
        said = server.fill(port)
    assert said[-1] == "code 0", said
    assert server.containers == {"cc": "new"}
    started = next(at for at, line in enumerate(server.done) if line.startswith("run "))
    assert started < server.done.index("stop aa")


@pytest.mark.parametrize("port", ["", "8000"], ids=["to a socket", "to a port"])
def test_a_failed_switch_to_the_other_way_leaves_the_slot_as_it_was(
    server: Server, port: str
) -> None:
    (on_socket if port else on_port)(server)
    # What became of the slot is still healthy, then not any more.
    overrides = "stays_healthy() { reason=wrong; return 1; }\n"
    with listening(server.folder / "new" / "app.sock"):
        said = server.fill(port, overrides, min_healthy=1)
    assert said[-2].startswith("wrong; the old container was not touched, the new one ")
    assert said[-1] == "code 10"
    assert server.containers["aa"] == "old"
    assert server.link.is_symlink() == bool(port)
    assert server.port_file.exists() == (not port)
    assert server.settle() == 0
    assert server.containers == {"aa": "old"}


def test_in_place_a_slot_leaves_its_port_though_no_neighbour_has_a_socket(server: Server) -> None:
    """There is no memory for two, and none is asked over a socket yet."""
    on_port(server)
    with listening(server.folder / "new" / "app.sock"):
        said = server.fill(how="in_place")
    assert said[-1] == "code 0", said
    started = next(at for at, line in enumerate(server.done) if line.startswith("run "))
    assert started > server.done.index("remove aa")
    assert str(server.link.readlink()) == "new/app.sock"
    assert server.containers == {"cc": "new"}


def test_in_place_a_neighbour_serves_while_the_slot_has_no_container(server: Server) -> None:
    on_socket(server)
    neighbour = server.folder.with_name("backend-2")
    with (
        listening(neighbour / "its" / "app.sock"),
        listening(server.folder / "new" / "app.sock"),
    ):
        (neighbour / "slot.sock").symlink_to("its/app.sock")
        # Asked when the new one is started.
        asked = f'docker() {{ readlink "{server.link}" >>"$SERVER/done"; command docker "$@"; }}'
        said = server.fill(overrides=asked, how="in_place")
    assert said[-1] == "code 0", said
    assert "../backend-2/its/app.sock" in server.done
    assert str(server.link.readlink()) == "new/app.sock"
    assert server.containers == {"cc": "new"}


def test_a_file_that_an_earlier_version_left_behind_is_not_believed(server: Server) -> None:
    on_socket(server, "serving")
    server.port_file.write_text("long gone")
    assert server.settle() == 0
    assert server.containers == {"aa": "serving"}


def test_what_may_be_all_that_serves_is_not_seen_off(server: Server) -> None:
    server.has("aa", "serving")
    server.port_file.write_text("long gone")
    assert server.settle() == 0
    assert server.containers == {"aa": "serving"}


def test_on_the_same_port_the_old_container_goes_first(server: Server) -> None:
    on_port(server)
    said = server.fill("8000")
    assert said[-1] == "code 0", said
    started = next(at for at, line in enumerate(server.done) if line.startswith("run "))
    assert started > server.done.index("remove aa")
    assert server.containers == {"cc": "new"}


REFUSING = 'reload_nginx() { echo reload >>"$SERVER/done"; echo "no memory"; return 1; }'
"""An Nginx that takes no reload."""


def in_rotation(server: Server, mark: str = "") -> str:
    """Let Nginx know the slot's port; return the text of its file."""
    text = f"upstream backend {{\n    server 127.0.0.1:8000 max_fails=0{mark};\n}}\n"
    server.site.write_text(text)
    return text


def test_a_container_that_nginx_still_sends_to_is_not_stopped(server: Server) -> None:
    on_port(server)
    text = in_rotation(server)
    said = server.fill("8000", REFUSING)
    assert said == [
        "Nginx does not take a reload, so backend-1 cannot leave the rotation: no memory",
        "code 11",
    ]
    assert server.containers == {"aa": "old"}
    assert server.port_file.read_text() == "old"
    assert server.site.read_text() == text
    assert server.done == ["reload", "reload"]


def test_a_slot_that_nginx_does_not_take_into_the_rotation_is_told(server: Server) -> None:
    text = in_rotation(server)
    in_rotation(server, " down")
    said = server.fill("8000", REFUSING)
    assert said[-2].startswith("Nginx does not take a reload, so backend-1, whose new container ")
    assert said[-2].endswith(": no memory")
    assert said[-1] == "code 11"
    assert server.containers == {"cc": "new"}
    assert server.site.read_text() == text, "the next reload takes it in"
    assert list(server.path.glob("site.conf*")) == [server.site]


def test_a_slot_on_a_port_leaves_the_rotation_and_comes_back(server: Server) -> None:
    on_port(server)
    text = in_rotation(server)
    said = server.fill("8000")
    assert said[-1] == "code 0", said
    assert server.site.read_text() == text
    assert [line.split()[0] for line in server.done] == [
        "reload",
        "stop",
        "remove",
        "run",
        "reload",
    ]
    assert list(server.path.glob("site.conf*")) == [server.site]


def notes(said: list[str]) -> list[str]:
    return [line for line in said if line.startswith("note\t")]


def test_a_socket_that_a_reboot_would_close_to_nginx_is_told_once(server: Server) -> None:
    path = server.folder / "new" / "app.sock"
    with listening(path, 0o755):
        said = server.fill()
        assert said[-1] == "code 0", said
        assert path.stat().st_mode & 0o777 == 0o666
    [note] = notes(said)
    assert "the program of backend-1 made its socket with mode 0755, which keeps Nginx out" in note
    assert "umask 0 or a chmod after its bind" in note


@pytest.mark.parametrize("mode", [0o666, 0o777])
def test_a_socket_that_nginx_may_use_is_left_as_it_is(server: Server, mode: int) -> None:
    path = server.folder / "new" / "app.sock"
    with listening(path, mode):
        said = server.fill()
        assert path.stat().st_mode & 0o777 == mode
    assert (said[-1], notes(said)) == ("code 0", [])


def test_a_program_that_opens_its_socket_a_moment_later_has_nothing_to_mend(
    server: Server,
) -> None:
    path = server.folder / "new" / "app.sock"
    # It does so while it is asked for the first time.
    overrides = f'ask_gate() {{ sleep 0.02; chmod 0666 "{path}"; echo 200; }}'
    with listening(path, 0o755):
        said = server.fill(overrides=overrides)
    assert (said[-1], notes(said)) == ("code 0", [])


@pytest.mark.parametrize("words", ["alone", "settle shop $root $grace backend-1"])
def test_a_container_that_may_take_long_to_stop_is_waited_for_so_long(
    server: Server, words: str
) -> None:
    flock = 'flock() { echo "flock $*" >>"$SERVER/done"; }'
    given = f"root={server.root} slot=backend-1 grace=1800"
    assert server.do(f"{given}\n{words}", flock).returncode == 0
    assert server.done
    assert all("-w 2400" in line for line in server.done), server.done


def test_a_switch_is_on_disk_before_the_old_container_goes(server: Server) -> None:
    on_socket(server)
    with listening(server.folder / "new" / "app.sock"):
        said = server.fill(overrides='sync() { echo "sync $*" >>"$SERVER/done"; }')
    assert said[-1] == "code 0", said
    assert server.done[1:] == [f"sync {server.folder}", "stop aa", "remove aa"]


UWSGI = """
sh -c 'trap "echo woken >>$SERVER/woken" TERM; while :; do sleep 0.01; done' &
main=$!
container_api() { printf '{"State":{"Pid":%s},"Labels":{"rondo.kind":"KIND"}}' "$main"; }
grep() { [ "$*" = "-q OWNER /proc/$main/cgroup" ]; }
"""


@pytest.mark.parametrize(
    ("kind", "whose", "woken"), [("uwsgi", "aa", 5), ("dockerfile", "aa", 0), ("uwsgi", "bb", 0)]
)
def test_uwsgi_is_woken_as_long_as_its_number_is_its_own(
    server: Server, kind: str, whose: str, woken: int
) -> None:
    overrides = UWSGI.replace("KIND", kind).replace("OWNER", whose)
    done = server.do("wake_uwsgi aa; sleep 0.2; kill -9 $main", overrides)
    assert not done.stdout + done.stderr
    log = server.path / "woken"
    assert (log.read_text().split() if log.exists() else []) == ["woken"] * woken
