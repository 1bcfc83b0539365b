"""Disk: it does not grow with the number of deploys, not even with those that fail."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from shop import DATA

if TYPE_CHECKING:
    from shop import Machine, Operator

KEPT = 2
COUNTS = {
    "images": "docker image ls --quiet --filter label=rondo.project=shop | sort -u | wc -l",
    "containers": "docker ps --all --quiet --filter label=rondo.project=shop | wc -l",
    "volumes": "docker volume ls --quiet | wc -l",
    "sockets": f"find {DATA}/sockets -mindepth 2 -maxdepth 2 -type d | wc -l",
    "environments": f"ls {DATA}/environments | wc -l",
    "releases": f"find {DATA}/releases -mindepth 1 -maxdepth 1 -type d | wc -l",
    "contexts": f"ls {DATA}/contexts | wc -l",
    "incoming": f"find {DATA} -maxdepth 1 -name 'incoming*' | wc -l",
}


def footprint(machine: Machine) -> dict[str, int]:
    """Count all that deploys put on a server."""
    script = "\n".join(COUNTS.values())
    return dict(zip(COUNTS, map(int, machine.run(script).split()), strict=True))


def change(shop: Operator, mark: str, **backend: object) -> None:
    """Make a release that needs a new image and a new environment."""
    shop.edit("examples/shop/backend/mark.txt", mark)
    service = {"environment": {"DRILL": mark}, **backend}
    shop.declare({"services": {"backend": service}, "settings": {"keep_releases": KEPT}})


def test_disk_does_not_grow_with_the_number_of_deploys(shop: Operator) -> None:
    machine = shop.machines[0]
    seen = []
    for number in range(KEPT + 3):
        change(shop, f"deploy {number}")
        shop.fab("-H", "web-1", "deploy")
        seen.append(footprint(machine))
    assert seen[-1]["releases"] == KEPT
    assert seen[-1] == seen[-2] == seen[-3]


def test_disk_does_not_grow_with_deploys_that_fail(shop: Operator) -> None:
    """Each builds an image that nothing will ever run."""
    machine = shop.machines[0]
    seen = []
    for number in range(3):
        change(shop, f"failure {number}", release_command=["false"])
        shop.fab("-H", "web-1", "deploy", code=1)
        seen.append(footprint(machine))
    assert seen[-1] == seen[-2] == seen[-3]


def test_what_an_interrupted_change_left_is_removed(shop: Operator) -> None:
    machine = shop.machines[0]
    before = footprint(machine)
    machine.run(f"mkdir -p {DATA}/sockets/backend-1/0badcafe {DATA}/incoming.dead")
    change(shop, "leftovers")
    shop.fab("-H", "web-1", "deploy")
    after = footprint(machine)
    assert after["sockets"] == before["sockets"]
    assert after["incoming"] == 0


def build_cache(machine: Machine) -> float:
    """Give the size of the build cache in megabytes."""
    said = machine.run(
        "docker system df --format '{{.Type}} {{.Size}}' | sed -n 's|^Build Cache ||p'"
    )
    number, unit = re.fullmatch(r"([0-9.]+)([kMG]?B)", said).groups()
    return float(number) * {"B": 1e-6, "kB": 1e-3, "MB": 1, "GB": 1e3}[unit]


def test_the_build_cache_has_a_bound(shop: Operator) -> None:
    """What a build has just used may stay, what nothing needs any more goes."""
    machine = shop.machines[0]
    image = "docker image ls --format '{{.Repository}}:{{.Tag}}' --filter label=rondo.project=shop"
    dockerfile = (
        f'"FROM $({image} | head -n 1)\\nUSER root\\nRUN head -c 30000000 /dev/urandom >/big\\n"'
    )
    machine.run(
        f"printf {dockerfile} | DOCKER_BUILDKIT=1 docker build --quiet --tag unwanted -"
        " && docker image rm unwanted"
    )
    before = build_cache(machine)
    change(shop, "cache")
    shop.declare({"settings": {"build": {"cache": "1m"}}})
    shop.fab("-H", "web-1", "deploy")
    assert build_cache(machine) < before - 25


def published(machine: Machine, name: str) -> str:
    """Give an image of the registry by its digest, and leave no copy of it on the server."""
    form = "--format '{{index .RepoDigests 0}}'"
    return machine.run(
        f"docker pull --quiet {name} >/dev/null; docker image inspect {form} {name};"
        f" docker image rm {name} >/dev/null 2>&1 || :"
    ).split()[-1]


def has(machine: Machine, image: str) -> bool:
    return bool(machine.run(f"docker image inspect --format x {image} 2>/dev/null || :"))


def test_a_pulled_image_goes_with_the_last_release_that_names_it(shop: Operator) -> None:
    machine = shop.machines[0]
    old, new = (published(machine, name) for name in ("debian:bookworm-slim", "nginx:stable"))
    for number, image in enumerate((old, new, new)):
        worker = {"kind": "worker", "image": image, "command": ["sleep", "infinity"]}
        mark = {"environment": {"DRILL": f"pulled {number}"}}
        shop.declare({"services": {"sleeper": worker | mark}, "settings": {"keep_releases": KEPT}})
        shop.fab("-H", "web-1", "deploy")
        assert has(machine, image)
        assert has(machine, old) == (number < KEPT)


def test_a_pulled_image_that_somebody_else_needs_stays(shop: Operator) -> None:
    """Whether a release of another project names it, or a container was made of it."""
    machine = shop.machines[0]
    for name in ("unneeded", "recorded", "contained"):
        machine.run(
            f"printf 'FROM scratch\\nLABEL drill={name}\\n' | docker build -qt pulled/{name}:1 - &&"
            f" echo pulled/{name}:1 >>{DATA}/pulled"
        )
    other = "/var/lib/rondo/other"
    machine.run(
        "docker create --name others pulled/contained:1 true;"
        f" mkdir -p {other}/releases/r1;"
        f""" echo '{{"images": {{"pulled/recorded:1": ""}}}}' >{other}/releases/r1/record.json"""
    )
    try:
        change(shop, "somebody else")
        shop.fab("-H", "web-1", "deploy")
        assert not has(machine, "pulled/unneeded:1")
        assert has(machine, "pulled/recorded:1")
        assert has(machine, "pulled/contained:1")
    finally:
        machine.run(f"docker rm others; rm -r {other}")
    change(shop, "nobody else")
    shop.fab("-H", "web-1", "deploy")
    assert not has(machine, "pulled/recorded:1")
    assert not has(machine, "pulled/contained:1")
