"""What is loaded, by what, and what of a change becomes a mark."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from inventories import ONE_NAME, TWO_NAMES

from rondo.errors import InputError, Interrupted, RemoteError, RondoError
from rondo.events import Event
from rondo.facts import parse_facts
from rondo.inventory import Inventory
from rondo.layout import Layout
from rondo.proof import expect
from rondo.proof.aim import aim_at
from rondo.proof.change import Course, Marks, loadable, slot_in
from rondo.proof.conduct import Options, options
from rondo.proof.evidence import Mark, Planned, WorkerReport
from rondo.proof.generator import Generator
from rondo.proof.inquiry import cut_short
from rondo.proof.load.starting import known_host
from rondo.proof.records import REQUEST, Outcome, Requests
from rondo.proof.runs import new_run, span, typed
from rondo.proof.visits import default_scenario
from rondo.source import Loaded
from rondo.state import ServerState

if TYPE_CHECKING:
    from collections.abc import Callable

PLANNED = Planned(
    rate=100,
    duration=3600,
    warm_up=2,
    users=50,
    workers=1,
    steps=("GET /", "probe"),
    methods=("GET", "GET"),
    shares=(1.0, 0.0),
    host="https://shop.example.com",
)


def loaded(raw: dict[str, Any], path: Path = Path("/nowhere/inventory.yaml")) -> Loaded:
    return Loaded(Inventory.model_validate(raw), path, {})


class TestAim:
    def test_the_inventory_says_what_is_loaded_and_where_its_servers_are(self) -> None:
        aim = aim_at(loaded(ONE_NAME))
        assert aim.host == "https://shop.example.com"
        assert aim.addresses == ("192.0.2.1:443",)
        assert (aim.site, aim.servers) == ("shop", ("web-1",))

    def test_a_host_that_is_a_site_is_loaded_on_its_servers(self) -> None:
        aim = aim_at(loaded(TWO_NAMES), host="https://api.example.com")
        assert (aim.site, aim.addresses) == ("api", ("192.0.2.1:443",))

    def test_another_host_is_loaded_where_its_name_leads(self) -> None:
        aim = aim_at(loaded(ONE_NAME), host="https://staging.example.com:8443")
        assert (aim.site, aim.servers, aim.addresses) == ("", (), ())
        assert aim.doors == {"staging.example.com": ("staging.example.com", 8443)}
        assert aim.expected({}, {}).upstreams == ()

    def test_a_host_without_an_inventory_can_be_loaded(self) -> None:
        aim = aim_at(None, host="http://localhost:8000")
        assert (aim.host, aim.tls, aim.authority) == ("http://localhost:8000", False, None)

    def test_a_name_alone_is_taken_for_https(self) -> None:
        assert aim_at(loaded(ONE_NAME), host="shop.example.com").host == "https://shop.example.com"

    def wild(self, *names: str) -> dict[str, Any]:
        site = ONE_NAME["sites"]["shop"] | {"server_names": list(names)}
        return ONE_NAME | {"sites": {"shop": site}}

    def test_a_name_below_a_wildcard_leads_to_its_site_and_all_its_witnesses(self) -> None:
        aim = aim_at(loaded(self.wild("*.example.com")), host="https://shop.example.com")
        assert (aim.site, aim.servers) == ("shop", ("web-1",))
        assert aim.place.name == "shop.example.com"

    def test_which_name_below_a_wildcard_has_pages_is_not_guessed(self) -> None:
        said = r"the site shop .* only \*\.example\.com.*--host https://www\.example\.com"
        with pytest.raises(InputError, match=said):
            aim_at(loaded(self.wild("*.example.com")))

    def test_a_plain_name_beside_a_wildcard_is_loaded(self) -> None:
        aim = aim_at(loaded(self.wild("*.example.com", "shop.example.com")))
        assert aim.host == "https://shop.example.com"

    def test_locust_by_hand_takes_the_same_name(self, tmp_path: Path) -> None:
        path = tmp_path / "inventory.yaml"
        for names, host in (
            (["*.example.com"], None),
            (["*.example.com", "shop.example.com"], "https://shop.example.com"),
        ):
            path.write_text(json.dumps(self.wild(*names)))
            assert known_host(str(path)) == host

    def test_without_a_scenario_the_pages_of_the_site_that_is_loaded_are_asked_for(self) -> None:
        inventory = Inventory.model_validate(TWO_NAMES)
        for host, paths in (("https://www.example.com", {"/"}), ("https://api.example.com", {"/"})):
            (scenario,) = default_scenario(inventory.proof, inventory, host).values()
            assert {step.get for step in scenario.steps} == paths
            assert any(step.assets for step in scenario.steps) == ("www" in host)

    def test_the_authority_lies_beside_the_inventory(self, tmp_path: Path) -> None:
        raw = ONE_NAME | {"proof": {"authority": "tls/ca.pem"}}
        found = aim_at(loaded(raw, tmp_path / "inventory.yaml")).authority
        assert found == (tmp_path / "tls/ca.pem").resolve()

    @pytest.mark.parametrize(
        ("given", "said"),
        [
            ({"host": "ftp://shop.example.com"}, "no site to load"),
            ({"host": "https://shop.example.com/path"}, "no site to load"),
            ({"host": "https://shop.example.com:port"}, "no site to load"),
            ({"host": "https://"}, "no site to load"),
            ({"server": "web-9"}, "no server web-9"),
            ({"host": "https://other.example.com", "server": "web-1"}, "leave one of them away"),
            ({"names": ["db-1"]}, "nothing would be proved"),
        ],
    )
    def test_what_cannot_be_loaded_is_refused(self, given: dict[str, Any], said: str) -> None:
        with pytest.raises(InputError, match=said):
            aim_at(loaded(ONE_NAME), **given)


class TestOptions:
    def test_durations_and_rates_are_read(self) -> None:
        assert options(duration="2m", rate="0.5") == Options(120, 0.5)
        assert options(duration="90") == Options(90, None)
        assert options() == Options()

    @pytest.mark.parametrize("text", ["x", "0", "-1", "inf", "nan", "1 0"])
    def test_what_is_no_number_above_zero_is_refused(self, text: str) -> None:
        for given in ({"duration": text}, {"rate": text}):
            with pytest.raises(InputError, match="give it like"):
                options(**given)


class TestMarks:
    def test_events_of_a_deploy_become_marks_of_the_same_moment(self) -> None:
        marks: list[Mark] = []
        take = Marks("my-shop", marks)
        for event in (
            Event("phase", "roll", at=1),
            Event("start", "fill backend-1 (new)", "web-1", at=2),
            Event("line", "started my-shop-backend-1-0a1b2c3d", "web-1", at=3),
            Event("line", "switched my-shop-backend-1-0a1b2c3d", "web-1", at=4),
            Event("line", "drained backend-1", "web-1", at=5),
            Event("done", "fill backend-1", "web-1", at=6),
            Event("failed", "fill backend-2 failed\nwith more", "web-1", at=7),
            Event("note", "a note", at=8),
        ):
            take(event)
        assert [(each.at, each.kind, each.slot) for each in marks] == [
            (1, "phase", ""),
            (2, "start", ""),
            (4, "switched", "backend-1"),
            (5, "drained", "backend-1"),
            (6, "done", ""),
            (7, "failed", ""),
        ]
        assert marks[-1].text == "fill backend-2 failed"

    @pytest.mark.parametrize(
        ("name", "slot"),
        [("shop-a-1-2-0123abcd", "a-1-2"), ("backend-1", "backend-1"), ("shop-a-1", "shop-a-1")],
    )
    def test_a_slot_is_found_in_the_name_of_its_container(self, name: str, slot: str) -> None:
        assert slot_in("shop", name) == slot

    def test_a_change_that_fails_has_an_end_as_well(self) -> None:
        marks: list[Mark] = []

        def fails(_: object) -> bool:
            raise RemoteError("no")

        with pytest.raises(RemoteError):
            Marks("shop", marks).around(fails, lambda _: None)
        assert [each.kind for each in marks] == ["begin", "end"]


class TestCourse:
    def test_an_end_after_the_change_says_that_it_is_in_force(self) -> None:
        course = Course()
        assert not course.told
        assert course.go(lambda _: True, lambda _: None)
        assert "done and in force" in course.told

    def test_a_change_with_nothing_to_do_is_not_called_done(self) -> None:
        course = Course()
        course.go(lambda _: False, lambda _: None)
        assert not course.told

    def test_a_change_that_failed_is_told_with_its_reason_even_if_nothing_is_judged(self) -> None:
        def fails(_: object) -> bool:
            raise RemoteError("web-1: no space left")

        course = Course()
        course.go(fails, lambda _: None)
        assert isinstance(course.failure, RemoteError)
        assert "had failed before: web-1: no space left" in course.told

    def test_a_change_that_was_interrupted_tells_that_itself(self) -> None:
        def stops(_: object) -> bool:
            raise Interrupted("interrupted; nothing was switched")

        course = Course()
        with pytest.raises(Interrupted):
            course.go(stops, lambda _: None)
        assert (course.failure, course.told) == (None, "")

    def test_what_was_typed_is_what_makes_such_a_run_again(self) -> None:
        assert typed(["/usr/bin/fab", "-H", "web-1", "restart", "--prove"]) == (
            "fab -H web-1 restart --prove"
        )
        assert typed(["/venv/site-packages/fabric/__main__.py", "deploy", "--prove"]) == (
            "fab deploy --prove"
        )
        assert not typed(["pytest", "-q"])
        assert not typed([])


class TestLoadable:
    def state(self, raw: dict[str, Any], *services: str, current: str = "r1") -> ServerState:
        inventory = Inventory.model_validate(raw)
        (site,) = inventory.sites
        text = "".join(
            f"upstream {each.name} {{ server {next(iter(each.addresses))}; }}\n"
            for each in expect.upstreams(inventory, site, ["web-1"])
            if each.service in services
        )
        path = Layout(inventory.project).site_file
        return ServerState(facts=parse_facts([]), files={path: text}, current=current)

    def two(self) -> dict[str, Any]:
        (server,) = ONE_NAME["servers"].values()
        other = server | {"address": "192.0.2.2"}
        return ONE_NAME | {"servers": {"web-1": server, "web-2": other}}

    def test_a_server_that_serves_nothing_yet_is_not_loaded_and_that_is_told(self) -> None:
        aim = aim_at(loaded(self.two()))
        whole = self.state(self.two(), "frontend", "backend")
        found, said = loadable(aim, {"web-1": whole, "web-2": ServerState(parse_facts([]))})
        assert found.servers == ("web-1",)
        assert said[0].startswith("web-2: ")
        assert loadable(aim, {"web-1": whole, "web-2": whole}) == (aim, ())

    @pytest.mark.parametrize(
        "there", [{"services": ("frontend",)}, {"services": ("frontend", "backend"), "current": ""}]
    )
    def test_a_first_deploy_under_load_is_refused_with_what_to_do(
        self, there: dict[str, Any]
    ) -> None:
        state = self.state(ONE_NAME, *there.pop("services"), **there)
        with pytest.raises(InputError, match=r"nothing was touched.*without --prove.*inv prove"):
            loadable(aim_at(loaded(ONE_NAME)), {"web-1": state})


def rows(*intended: float, step: int = 0, outcome: Outcome = Outcome.RIGHT) -> Any:  # noqa: ANN401
    made = np.zeros(len(intended), REQUEST)
    made["intended"], made["step"], made["outcome"] = intended, step, outcome
    return made


class TestCutShort:
    def test_only_what_was_due_by_then_was_planned(self) -> None:
        seen = Requests(np.concatenate([rows(10, 12.99), rows(99, step=1)]))
        report = WorkerReport("one", planned=360_000, sent=300)
        planned, reports = cut_short(PLANNED, [report], seen, 10.0, 1)
        assert planned.duration == pytest.approx(3.0)
        assert reports == (replace(report, planned=300),)

    def test_a_load_that_sent_nothing_keeps_its_plan(self) -> None:
        assert cut_short(PLANNED, [], Requests(rows()), 10.0, 1) == (PLANNED, ())


class TestRuns:
    def test_a_run_has_a_folder_that_is_its_owners_alone(self, tmp_path: Path) -> None:
        run = new_run(tmp_path)
        assert run.path.parent == tmp_path / ".rondo/runs"
        assert run.path.name.endswith(f"-{run.run}")
        assert run.path.stat().st_mode & 0o777 == 0o700
        assert (len(run.run), len(run.secret)) == (12, 32)
        assert new_run(tmp_path).secret != run.secret

    def test_a_load_spans_from_the_first_generator_to_the_last(self, tmp_path: Path) -> None:
        assert span(tmp_path) is None
        (tmp_path / "clients").mkdir()
        for name, began, ended in (("a", 5, 9), ("b", 4, 8), ("c", 0, 0)):
            told = {"began": began, "ended": ended}
            (tmp_path / f"clients/{name}.json").write_text(json.dumps(told))
        assert span(tmp_path) == (4, 9)


def until(true: Callable[[], object]) -> None:
    end = time.monotonic() + 20
    while not true():
        assert time.monotonic() < end
        time.sleep(0.02)


def gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().split()[2] == "Z"
    except OSError:
        return True


@pytest.fixture
def _waiting(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Put a program in Locust's place that tells its number and waits."""
    (tmp_path / "locust.py").write_text(
        "import os, pathlib, signal, sys\n"
        "folder = pathlib.Path(os.environ['RONDO_RUN'])\n"
        "if sys.argv[-1] == 'fail': sys.exit('no such option')\n"
        "signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))\n"
        "(folder / 'part').write_text(str(os.getpid()))\n"
        "(folder / 'part').rename(folder / 'pid')\n"
        "signal.pause()\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))


@pytest.mark.usefixtures("_waiting")
class TestGenerator:
    def test_it_is_told_to_end_and_ends_well(self, tmp_path: Path) -> None:
        with Generator(tmp_path, tmp_path) as generator:
            until((tmp_path / "pid").exists)
            assert not generator.wait(0)
            generator.stop()
            assert generator.wait(10)
            assert generator.code == 0

    def test_what_clients_have_told_is_counted_once(self, tmp_path: Path) -> None:
        (tmp_path / "clients").mkdir()
        path = tmp_path / "clients/a.rows"
        with Generator(tmp_path, tmp_path) as generator:
            assert generator.count().requests == 0
            path.write_bytes(rows(1, 2).tobytes() + b"half a row")
            assert generator.count().requests == 2
            path.write_bytes(rows(1, 2).tobytes() + rows(3, outcome=Outcome.TRANSPORT).tobytes())
            found = generator.count()
            assert (found.requests, found.wrong) == (3, 1)

    def test_it_does_not_outlive_the_one_who_started_it(self, tmp_path: Path) -> None:
        script = (
            "import sys, signal; from pathlib import Path\n"
            "from rondo.proof.generator import Generator\n"
            "Generator(Path(sys.argv[1]), Path(sys.argv[1])); signal.pause()\n"
        )
        parent = subprocess.Popen([sys.executable, "-c", script, str(tmp_path)])
        until((tmp_path / "pid").exists)
        child = int((tmp_path / "pid").read_text())
        assert not gone(child)
        os.kill(parent.pid, signal.SIGKILL)
        parent.wait()
        until(lambda: gone(child))

    def test_one_that_cannot_begin_is_told_with_its_last_words(self, tmp_path: Path) -> None:
        with Generator(tmp_path, tmp_path, ["fail"]) as generator:
            assert generator.wait(20)
            with pytest.raises(RondoError, match=r"(?s)before its first request.*no such option"):
                generator.demand()
