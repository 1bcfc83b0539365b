"""Secrets that were planted are found nowhere but where the containers read them."""

from __future__ import annotations

import os
import secrets
import subprocess
import threading
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
from shop import DATA, until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from shop import Machine, Operator

pytestmark = pytest.mark.e2e

# What an unlucky programmer might write.
BLAB = (
    "import os, sys; given = os.environ; "
    "print('I was given', given['PLANTED_ENV'], given['PLANTED_COMMAND']); "
    "print('and read', open('/run/secrets/planted_file').read(), file=sys.stderr); sys.exit(1)"
)
FAULT = """
import rondo.apply
def pack(files):
    kept = [(file.path, file.content) for file in files]
    raise ZeroDivisionError("a fault made on purpose")
rondo.apply.pack = pack
"""
SEARCHED = "/var /etc /root /home /tmp /run /opt /srv /usr/local"
# Where the Docker Engine keeps what a container is: its variables are a part of that.
OF_DOCKER = ("/var/lib/docker/", "/var/lib/containerd/", "/run/containerd/", "/run/docker/")


@dataclass(frozen=True)
class Planted:
    """Values that appear nowhere else, by the way in which they are given."""

    values: dict[str, str]

    def found_in(self, text: str) -> list[str]:
        return [name for name, value in self.values.items() if value in text]


@pytest.fixture
def planted(shop: Operator) -> Planted:
    """Give the backend a secret from each source, as file and as variable."""
    plants = Planted(
        {name: f"{secrets.token_hex(12)}-{name}" for name in ("env", "file", "command")}
    )
    shop.edit("planted/file", plants.values["file"] + "\n")
    shop.edit("planted/command", plants.values["command"] + "\n")
    shop.environment["PLANTED"] = plants.values["env"]
    given = {
        "planted_env": {"env": "PLANTED", "mount": "env"},
        "planted_file": {"file": "planted/file"},
        "planted_command": {"command": ["cat", "planted/command"], "mount": "env"},
    }
    shop.declare({"services": {"backend": {"secrets": given}}})
    return plants


class Lists:
    """Process lists, looked at again and again while something goes on."""

    def __init__(self, machines: tuple[Machine, ...]) -> None:
        words = ("ps", "-eww", "-o", "args")
        self._commands = [words, *(("docker", "exec", m.container, *words) for m in machines)]
        self.seen: list[set[str]] = [set() for _ in self._commands]
        self.looks = [0 for _ in self._commands]
        self._stop = threading.Event()

    @contextmanager
    def watched(self) -> Iterator[None]:
        threads = [
            threading.Thread(target=self._look, args=(number,))
            for number in range(len(self._commands))
        ]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self._stop.set()
            for thread in threads:
                thread.join()

    def _look(self, number: int) -> None:
        while not self._stop.is_set():
            done = subprocess.run(
                self._commands[number], capture_output=True, text=True, check=True
            )
            self.seen[number].update(done.stdout.splitlines())
            self.looks[number] += 1
            self._stop.wait(0.1)  # looking costs the servers something, too


def holders(machine: Machine, plants: Planted, user: str = "root") -> set[str]:
    """Give the files of a server in which a user can read one of the values."""
    patterns = "\n".join(plants.values.values()).encode()
    machine.run("cat >/dev/shm/patterns", stdin=patterns)
    # What images are made of is asked of their histories, and what containers write is theirs.
    grep = f"grep -rlaF --exclude-dir=overlay2 -D skip -f /dev/shm/patterns {SEARCHED} 2>/dev/null"
    found = machine.run(f"setpriv --reuid={user} --regid={user} --clear-groups {grep}; :")
    machine.run("rm /dev/shm/patterns")
    return set(found.splitlines())


def kept(folder: Path, plants: Planted) -> set[str]:
    """Give the files of the operator's project that hold one of the values."""
    found = set()
    for parent, _, names in os.walk(folder):
        for name in names:
            path = os.path.join(parent, name)  # noqa: PTH118 - as os.walk gives it
            with open(path, errors="replace", encoding="utf-8") as file:  # noqa: PTH123
                if plants.found_in(file.read()):
                    found.add(os.path.relpath(path, folder))
    return found


def test_planted_secrets_reach_the_containers_and_nothing_else(
    shop: Operator, planted: Planted
) -> None:
    lists = Lists(shop.machines)
    said = [shop.fab("plan", code=2), shop.fab("plan", "--json", code=2)]
    with lists.watched():
        said.append(shop.fab("deploy", "--verbose"))
    assert min(lists.looks) >= 3
    assert any("docker run" in line for seen in lists.seen[1:] for line in seen), "it was looked at"
    tasks = (("status",), ("status", "--json"), ("history",), ("logs",), ("plan",))
    said += [shop.fab(*task) for task in tasks]

    assert [planted.found_in(done.said) for done in said if planted.found_in(done.said)] == []
    assert [planted.found_in("\n".join(seen)) for seen in lists.seen] == [[], [], []]
    assert kept(shop.folder, planted) == {"planted/file", "planted/command"}
    for machine in shop.machines:
        _only_in_the_environment(machine, planted)


def _only_in_the_environment(machine: Machine, plants: Planted) -> None:
    assert holders(machine, plants, "deploy") == holders(machine, plants, "www-data") == set()
    found = {name for name in holders(machine, plants) if not name.startswith(OF_DOCKER)}
    assert all(name.startswith(f"{DATA}/environments/") for name in found), found
    assert len(found) == 2, "the env file and the mounted one"
    for name in found:
        wanted = "400" if "/secrets/" in name else "600"
        assert machine.run(f"stat -c %a {name}") == wanted
    assert machine.run(f"stat -c '%a %U' {DATA}/environments") == "700 root"
    histories = "docker image ls --quiet | sort -u | xargs -n1 docker image history --no-trunc"
    assert plants.found_in(machine.run(f"{histories} --format '{{{{.CreatedBy}}}}'")) == []
    identity = machine.containers()["backend-2"]
    inside = f"docker exec {identity} sh -c 'printenv; cat /run/secrets/planted_file'"
    assert plants.found_in(machine.run(inside)) == ["env", "file", "command"]


def test_what_a_failing_container_says_of_its_secrets_is_redacted(
    shop: Operator, planted: Planted
) -> None:
    shop.declare({"services": {"backend": {"command": ["python", "-c", BLAB]}}})
    done = shop.fab("deploy", code=1)
    assert "I was given" in done.said
    assert "and read" in done.said
    assert planted.found_in(done.said) == []
    assert kept(shop.folder, planted) == {"planted/file", "planted/command"}


def test_a_failing_release_command_is_redacted_too(shop: Operator, planted: Planted) -> None:
    shop.declare({"services": {"backend": {"release_command": ["python", "-c", BLAB]}}})
    done = shop.fab("deploy", code=1)
    assert "I was given" in done.said
    assert planted.found_in(done.said) == []
    assert planted.found_in(str(shop.events())) == []


def test_a_fault_of_ours_shows_no_secret(shop: Operator, planted: Planted) -> None:
    shop.edit("fault/sitecustomize.py", FAULT)
    shop.environment["PYTHONPATH"] = str(shop.folder / "fault")
    done = shop.fab("deploy", code=None)
    assert done.code == 70
    assert "Traceback" in done.err
    assert "a fault made on purpose" in done.said
    assert planted.found_in(done.said) == []
    until(lambda: planted.found_in(str(shop.events())) == [], "the journal has none")


def test_a_failing_source_tells_its_complaint_but_not_its_output(
    shop: Operator, planted: Planted
) -> None:
    script = "cat planted/command; echo no key for it >&2; exit 9"
    given = {"planted_command": {"command": ["sh", "-c", script], "mount": "env"}}
    shop.declare({"services": {"backend": {"secrets": given}}})
    done = shop.fab("deploy", code=3)
    assert "planted_command" in done.err
    assert "no key for it" in done.err
    assert planted.found_in(done.said) == []
