"""Pages that were open during a deploy: what they ask for later is still there."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from shop import DATA

if TYPE_CHECKING:
    from clients import Site
    from shop import Machine, Operator

KEPT = f"{DATA}/assets/frontend"


def assets(machine: Machine) -> dict[str, str]:
    """Give the digest of each asset in the frontend's container, by the path it is asked by."""
    frontend = machine.containers()["frontend-1"]
    said = machine.run(f"docker exec {frontend} sh -c 'cd /srv/www && sha256sum assets/*'")
    pairs = (line.split() for line in said.splitlines())
    return {f"/{name}": digest for digest, name in pairs if not name.endswith(".gz")}


def digest(machine: Machine, path: str) -> str:
    return machine.run(f"sha256sum {KEPT}{path}").split()[0]


def test_an_asset_of_the_release_before_that_nobody_asked_for_is_still_answered(
    shop: Operator, sites: tuple[Site, ...]
) -> None:
    """The server's cache cannot have it: it is emptied, and was never asked."""
    old = [assets(each) for each in shop.machines]
    for machine in shop.machines:
        machine.run(f"systemctl stop nginx; rm -rf {DATA}/cache/*; systemctl start nginx")
    page = "examples/shop/frontend/src/App.vue"
    text = (shop.folder / page).read_text()
    shop.edit(page, text.replace("<template>", '<template><p hidden class="drill">A</p>', 1))
    shop.fab("deploy")
    for machine, site, before in zip(shop.machines, sites, old, strict=True):
        gone = {path: sum_ for path, sum_ in before.items() if path not in assets(machine)}
        assert gone, "the deploy changed no asset"
        for path, expected in gone.items():
            answer = site.ask(path)
            assert answer.status == 200, path
            assert answer.headers["Cache-Control"] == "max-age=31536000"
            assert answer.headers["Content-Type"] != "application/octet-stream"
            assert answer.headers["X-Content-Type-Options"] == "nosniff"
            assert digest(machine, path) == expected


def test_an_asset_that_never_was_is_not_found(shop: Operator, sites: tuple[Site, ...]) -> None:
    assert shop
    for path in ("/assets/never-was.js", "/assets/", "/assets/.lists", "/.lists/"):
        answer = sites[0].ask(path)
        assert answer.status == 404 or b"<!doctype html>" in answer.body.lower(), path
    assert sites[0].ask("/assets/never-was.js").status == 404


def test_a_restart_copies_nothing_again(shop: Operator) -> None:
    def listed() -> set[str]:
        return set(shop.machines[0].run(f"ls -A {KEPT}/.lists").split())

    shop.fab("restart", "frontend")
    before = listed()
    shop.fab("restart", "frontend")
    assert listed() == before
    assert all(re.fullmatch("[0-9a-f]{64}", name) for name in before)
