"""A deploy: the first one, one with nothing to do, and those that do only what is needed."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from shop import SITE_FILE, SLOTS, until

if TYPE_CHECKING:
    from clients import Site
    from shop import Done, Operator

pytestmark = pytest.mark.e2e


def migrations(shop: Operator) -> int:
    """Count the times that the last run ran the release command."""
    return sum("migrate" in step for _, step in shop.steps())


def sent(shop: Operator) -> dict[tuple[str, str], int]:
    """Give the bytes that the last run sent, by server and the line before."""
    found = {}
    begun: dict[str, str] = {}
    for event in shop.events():
        if event["kind"] == "start":
            begun[event["server"]] = event["text"].partition(" (")[0]
        elif match := re.fullmatch(r"sent (\d+) bytes", event["text"]):
            found[event["server"], begun[event["server"]]] = int(match[1])
    return found


def test_the_first_deploy_fills_every_slot_of_every_server(shop: Operator, first: Done) -> None:
    for machine in shop.machines:
        there = machine.containers()
        extra = {"database"} if machine.name == "web-1" else set()
        assert set(there) == {*SLOTS, *extra}
        assert machine.current() in first.out
        assert machine.run("cat /run/nginx.pid")
    assert re.search(r"release \S+ is on web-1, web-2", first.out)


def test_the_first_deploy_migrates_once_for_all_servers(first: Done) -> None:
    assert first.out.count("Applying orders.0001_initial") == 1


def test_a_second_deploy_does_nothing_and_says_so(shop: Operator) -> None:
    before = [machine.state() for machine in shop.machines]
    runs = set(shop.folder.glob(".rondo/runs/*"))
    done = shop.fab("deploy")
    assert "nothing to do" in done.out
    assert "web-1, web-2" in done.out
    assert [machine.state() for machine in shop.machines] == before
    assert set(shop.folder.glob(".rondo/runs/*")) == runs
    plan = shop.fab("plan", code=0)
    assert "nothing to do" in plan.out


def test_a_plan_shows_steps_differences_and_bytes_and_changes_nothing(shop: Operator) -> None:
    before = [machine.state() for machine in shop.machines]
    shop.declare({"sites": {"shop": {"body_size": "7m"}}})
    shop.edit("examples/shop/backend/shop/note.py", "NOTE = 1\n")
    for words in (("plan",), ("deploy", "--plan")):
        done = shop.fab(*words, code=2)
        assert re.search(r"web-2.*send the context of backend: .*\d\.\d kB of changes", done.out)
        assert re.search(r"web-1.*run `python manage.py migrate --noinput` of backend", done.out)
        assert re.search(
            r"web-1.*fill backend-3: its image, environment or options changed", done.out
        )
        assert re.search(r"\+    client_max_body_size 7", done.out)
        assert "fill frontend" not in done.out
    steps = shop.fab("plan", "--json", code=2).json
    assert {"web-1", "web-2"} == {
        step["server"] for phase in steps["phases"] for step in phase["steps"]
    }
    assert [machine.state() for machine in shop.machines] == before


def test_a_changed_frontend_leaves_every_backend_alone(
    shop: Operator, sites: tuple[Site, ...]
) -> None:
    before = {machine.name: machine.containers() for machine in shop.machines}
    workers = [machine.workers() for machine in shop.machines]
    shop.replace("examples/shop/frontend/index.html", "<title>", "<title>New: ")
    shop.fab("deploy")
    for machine in shop.machines:
        after = machine.containers()
        changed = {slot for slot in after if after[slot] != before[machine.name].get(slot)}
        assert changed == {"frontend-1"}
    assert all(b"<title>New: " in site.ask("/").body for site in sites)
    assert migrations(shop) == 0
    assert [machine.workers() for machine in shop.machines] == workers, "a release needs no reload"
    assert all(0 < size < 30_000 for size in sent(shop).values())
    assert len(sent(shop)) == 2


def test_a_changed_backend_migrates_once_and_leaves_the_frontend_alone(
    shop: Operator, sites: tuple[Site, ...]
) -> None:
    before = {machine.name: machine.containers() for machine in shop.machines}
    workers = [machine.workers() for machine in shop.machines]
    shop.replace(
        "examples/shop/backend/shop/views.py", '"status": "unavail', '"new": 1, "status": "unavail'
    )
    shop.fab("deploy")
    for machine in shop.machines:
        after = machine.containers()
        changed = {slot for slot in after if after[slot] != before[machine.name].get(slot)}
        assert changed == {"backend-1", "backend-2", "backend-3"}
    assert migrations(shop) == 1
    assert all(site.ask("/health").json["new"] == 1 for site in sites)
    assert [machine.workers() for machine in shop.machines] == workers, "a release needs no reload"
    assert all(0 < size < 30_000 for size in sent(shop).values())
    assert {step for _, step in sent(shop)} == {"send the context of backend"}
    shop.adopt()


def test_a_changed_setting_of_the_site_is_one_reload_and_no_container(shop: Operator) -> None:
    containers = [machine.containers() for machine in shop.machines]
    workers = [machine.workers() for machine in shop.machines]
    shop.declare({"sites": {"shop": {"body_size": "7m"}}})
    shop.fab("deploy")
    assert [machine.containers() for machine in shop.machines] == containers
    assert [step for _, step in shop.steps() if "Nginx" in step] == [
        f"install {SITE_FILE} and reload Nginx"
    ] * 2
    for machine, old in zip(shop.machines, workers, strict=True):
        assert not machine.workers() & old
        assert "client_max_body_size 7" in machine.run(f"cat {SITE_FILE}")


def test_what_somebody_did_by_hand_is_shown_by_status_and_mended_by_deploy(shop: Operator) -> None:
    assert shop.fab("status").code == 0
    first, second = shop.machines
    first.run(f"echo '# mine' >>{SITE_FILE}")
    second.run(f"docker stop --time 0 {second.containers()['backend-2']}")
    kept = {**second.containers(), **first.containers()}
    said = shop.fab("status", code=1).said
    assert re.search(rf"web-1: {SITE_FILE}: was edited on the server", said)
    assert re.search(r"web-2: backend-2: its container is exited \(stopped by hand\?\)", said)
    drift = {each["server"]: each["drift"] for each in shop.fab("status", "--json", code=1).json}
    assert [len(drift["web-1"]), len(drift["web-2"])] == [1, 1]
    assert "somebody edited it on the server" in shop.fab("plan", code=2).out
    shop.fab("deploy")
    assert migrations(shop) == 0, "nothing new runs"
    assert "# mine" not in first.run(f"cat {SITE_FILE}")
    until(lambda: shop.fab("status", code=None).code == 0, "all is well again")
    after = {**second.containers(), **first.containers()}
    assert {slot: after[slot] for slot in kept} == kept


def test_old_releases_are_told_by_history_and_pruned(shop: Operator) -> None:
    shop.declare({"settings": {"keep_releases": 2}})
    seen = []
    for number in range(3):
        shop.declare({"services": {"frontend": {"build": {"args": {"VITE_TRY": str(number)}}}}})
        shop.fab("deploy")
        seen.append(shop.machines[0].current())
    assert len(set(seen)) == 3
    lines = [
        line.split() for line in shop.fab("history").out.splitlines() if line.startswith("web-1")
    ]
    assert [line[1] for line in lines] == [seen[2], seen[1]]
    assert [line[-2:] == ["in", "force"] for line in lines] == [True, False]
    for machine in shop.machines:
        kept = machine.run("cd /var/lib/rondo/shop/releases && ls -d */").split()
        assert set(kept) == {f"{seen[2]}/", f"{seen[1]}/", "current/"}
        frontends = [line for line in machine.images() if "shop/frontend" in line]
        assert len(frontends) == 2
        assert len(machine.run("ls /var/lib/rondo/shop/environments").split()) <= 6
