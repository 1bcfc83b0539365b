"""Going back: by `fab rollback`, and by itself when a change fails."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from clients import Watch
from shop import SITE_FILE

if TYPE_CHECKING:
    from clients import Site
    from shop import Machine, Operator

pytestmark = pytest.mark.e2e

# Runs as ever, but on one slot of one server.
ELSEWHERE = 'if [ "$RONDO_SERVER/$RONDO_SLOT" = {where} ]; then {what}; fi; exec /rondo/start'


def failing(where: str, what: str) -> dict[str, object]:
    """Declare a backend that does something else on one slot."""
    command = ["sh", "-c", ELSEWHERE.format(where=where, what=what)]
    return {"services": {"backend": {"command": command}}}


def specs(machine: Machine) -> str:
    """Give all that a server serves, whichever containers do it."""
    labels = '{{.Label "rondo.slot"}} {{.Label "rondo.spec"}} {{.Image}}'
    return machine.run(
        f"docker ps --filter label=rondo.project=shop --format '{labels}' | sort; "
        "sha256sum /etc/nginx/conf.d/*; readlink /var/lib/rondo/shop/releases/current"
    )


def serving(shop: Operator) -> list[str]:
    return [specs(machine) for machine in shop.machines]


def test_a_rollback_restores_containers_environment_and_configuration_without_the_sources(
    shop: Operator, sites: tuple[Site, ...]
) -> None:
    before = serving(shop)
    old = shop.machines[0].current()
    shop.declare(
        {
            "services": {"backend": {"environment": {"TRY": "worse"}, "stop_grace": 9}},
            "sites": {"shop": {"body_size": "7m"}},
        }
    )
    shop.fab("deploy")
    assert [new != was for new, was in zip(serving(shop), before, strict=True)] == [True, True]
    told = shop.fab("diff", code=2).out
    assert "backend-1, backend-2, backend-3: environment: backend." in told
    assert "worse" not in told, "values are told nowhere"
    assert "+    client_max_body_size 7" in told
    sources = shop.folder / "examples"
    sources.rename(shop.folder / "gone")
    try:
        assert f"make {old} the release in force" in shop.fab("rollback", "--plan", code=2).out
        with Watch(sites) as watch:
            shop.fab("rollback")
    finally:
        (shop.folder / "gone").rename(sources)
    assert watch.wrong == []
    assert serving(shop) == before
    assert shop.fab("status").code == 0
    for machine in shop.machines:
        assert "client_max_body_size 7" not in machine.run(f"cat {SITE_FILE}")
    shop.restore()
    assert "nothing to do" in shop.fab("deploy").out
    assert "nothing to do" in shop.fab("rollback", old).out


def test_a_lost_tag_is_put_back_and_a_lost_image_is_named_before_anything_is_touched(
    shop: Operator,
) -> None:
    web_2 = shop.machine("web-2")
    backend = web_2.containers()["backend-1"]
    tag = web_2.run(f"docker inspect --format '{{{{.Config.Image}}}}' {backend}")
    shop.replace(
        "examples/shop/backend/shop/views.py", '"status": "unavail', '"gone": 1, "status": "unavail'
    )
    shop.fab("deploy")
    touched = [machine.containers() for machine in shop.machines]
    web_2.run(f"docker tag {tag} kept && docker image rm {tag}")
    planned = shop.fab("rollback", "--plan", code=2).out
    assert f"as {tag} again: its tag was removed" in planned
    web_2.run("docker image rm kept")
    err = shop.fab("rollback", code=5).err
    assert f"web-2: the image {tag} is gone" in err
    assert "web-1" not in err
    assert "nothing was touched" in err
    assert [machine.containers() for machine in shop.machines] == touched


def test_a_release_that_fails_on_the_last_slot_of_the_last_server_goes_back_everywhere(
    shop: Operator, sites: tuple[Site, ...]
) -> None:
    before = serving(shop)
    shop.declare(failing("web-2/backend-3", "echo crashed on purpose; exit 3"))
    shop.declare({"sites": {"shop": {"body_size": "8m"}}})
    with Watch(sites) as watch:
        done = shop.fab("deploy", code=1)
    assert watch.wrong == []
    assert serving(shop) == before
    assert "web-2: fill backend-3 failed" in done.err
    assert "web-2 | crashed on purpose" in done.err
    assert "Everything that had moved is back (web-1 backend-1, backend-2, backend-3" in done.err
    assert shop.fab("status").code == 0
    assert shop.fab("lock").code == 0
    shop.restore()
    assert "nothing to do" in shop.fab("deploy").out


def test_without_revert_what_has_moved_stays_and_is_told(
    shop: Operator, sites: tuple[Site, ...]
) -> None:
    before = [machine.containers() for machine in shop.machines]
    shop.declare(failing("web-1/backend-2", "exit 3"))
    with Watch(sites) as watch:
        err = shop.fab("deploy", "--no-revert", code=1).err
    assert watch.wrong == []
    assert "are: web-1 backend-1. Undone, or finished by the server itself: web-1 backend-2." in err
    web_1, web_2 = (machine.containers() for machine in shop.machines)
    assert web_2 == before[1]
    assert {slot for slot in web_1 if web_1[slot] != before[0][slot]} == {"backend-1"}


def test_a_container_that_dies_within_the_minimum_healthy_time_gives_its_slot_back(
    shop: Operator,
) -> None:
    before = serving(shop)
    containers = shop.machines[0].containers()
    dying = failing("web-1/backend-1", "/rondo/start & sleep 8; echo died on purpose; exit 3")
    shop.declare({**dying, "settings": {"roll": {"min_healthy": 30}}})
    done = shop.fab("deploy", code=1)
    assert "within 30s of the switch; the old container was not touched" in done.err
    assert "died on purpose" in done.said
    assert serving(shop) == before
    assert shop.machines[0].containers() == containers, "the old container was there all along"
    assert shop.fab("status").code == 0
