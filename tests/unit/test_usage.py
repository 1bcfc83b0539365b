"""What is typed wrongly: one sentence and the command's own exit code, never a traceback."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from invoke import Collection
from invoke.exceptions import Exit
from invoke.parser import Parser

from rondo import console, desk, errors, live
from rondo.proof import fleetwide

ROOT = Path(__file__).parents[2]
FILES = {"fab": "fabfile/__init__.py", "inv": "tasks.py"}
WISH = {"versus": "", "pairs": 8, "connections": 16, "knee": False}


def parse(line: str) -> None:
    """Read a command line as the program would."""
    program, *words = line.split()
    spec = importlib.util.spec_from_file_location(f"typed_{program}", ROOT / FILES[program])
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    with pytest.MonkeyPatch.context() as typed:
        typed.setattr(sys, "argv", [program, *words])
        contexts = Collection.from_module(module).to_contexts()
    Parser(contexts=contexts).parse_argv(words)


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("inv prove --pairs x", 2),
        ("inv prove --connections 1.5", 2),
        ("inv prove.selftest --runs many", 2),
        ("fab prove --pairs x", 2),
        ("fab prove --processes x", 2),
        ("inv lab.up --servers two", 3),
        ("fab audit --tail x", 3),
        ("fab drain web-1 --deadline soon", 3),
    ],
)
def test_a_number_that_is_none_is_named_with_its_option(line: str, code: int) -> None:
    with pytest.raises(Exit) as ended:
        parse(line)
    *_, option, text = line.split()
    assert ended.value.message == f"{option}: {text!r} is not a whole number"
    assert ended.value.code == code


@pytest.mark.parametrize(
    "given",
    [
        {"rate": "abc"},
        {"rate": "1e12"},
        {"duration": "x"},
        {"server": "nowhere"},
        {"host": "ftp://shop.example.com"},
        {"selection": "no-such-file.yaml"},
    ],
    ids=str,
)
def test_a_proof_that_is_asked_for_wrongly_ends_with_its_own_code(
    given: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    """Its code 3 says that a run was not sound."""
    options = {"selection": str(ROOT / "inventory.yaml"), "host": "", "server": "", **given}
    selection = options.pop("selection")
    assert desk.run(desk.prove, selection, wish=WISH, **options) == errors.UsageError.exit_code == 2
    assert len(capsys.readouterr().err.strip().splitlines()) == 1


def test_a_self_test_that_is_asked_for_wrongly_does_as_well() -> None:
    asked = {"runs": 0, "healthy": 1, "lanes": 1, "short": True, "fresh": False}
    assert desk.run(desk.selftest, "", **asked) == 2


class TestOnServers:
    @property
    def session(self) -> object:
        """Nothing may be asked of it: what is typed is looked at first."""
        return SimpleNamespace()

    def test_a_proof_of_the_cluster_ends_with_its_own_code(self) -> None:
        place = {"workers": "", "processes": 0, "keep_image": False}
        with pytest.raises(errors.UsageError, match="--rate: 'x'"):
            fleetwide.run_prove(self.session, host="", wish=WISH, place=place, rate="x")  # type: ignore[arg-type]

    @pytest.mark.parametrize(("prove", "code"), [(True, 2), (False, 3)])
    def test_a_change_ends_with_that_code_only_under_load(self, prove: bool, code: int) -> None:  # noqa: FBT001
        for run in (console.run_deploy, live.run_restart):
            with pytest.raises(errors.InputError, match="--wait") as found:
                run(self.session, prove=prove, wait="soon")  # type: ignore[operator]
            assert found.value.exit_code == code
