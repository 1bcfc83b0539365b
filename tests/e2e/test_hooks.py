"""Hooks of the operator around a deploy, a restart and a failure, on real servers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from shop import Operator

TELL = """\
#!/bin/sh
echo "$0 of $RONDO_COMMAND: $RONDO_OUTCOME"
about="$RONDO_PROJECT $RONDO_RELEASE $RONDO_SERVERS"
echo "$0 $RONDO_COMMAND $about $RONDO_OUTCOME$RONDO_PROOF" >>told
env >>environment
"""
HOOKS = ("before", "after", "failure")


@pytest.fixture
def hooked(shop: Operator) -> Operator:
    """Give the shop with three hooks that tell what they know."""
    for name in HOOKS:
        shop.edit(name, TELL)
        (shop.folder / name).chmod(0o755)
    shop.edit("told", "")
    shop.edit("environment", "")
    hooks = {
        "before_deploy": ["./before"],
        "after_deploy": ["./after"],
        "on_failure": ["./failure"],
    }
    shop.declare({"hooks": hooks})
    return shop


def told(shop: Operator) -> list[list[str]]:
    return [line.split(" ") for line in (shop.folder / "told").read_text().splitlines()]


def test_a_deploy_runs_the_hooks_before_and_after_it(hooked: Operator) -> None:
    """Each knows the release and the servers, none a secret; without a change none runs."""
    hooked.declare({"services": {"backend": {"environment": {"DRILL": "hooks"}}}})
    said = hooked.fab("deploy").said
    release = hooked.machines[0].current()
    assert told(hooked) == [
        ["./before", "deploy", "shop", release, "web-1,web-2", ""],
        ["./after", "deploy", "shop", release, "web-1,web-2", "done"],
    ]
    assert "./after of deploy: done" in said
    password = (hooked.lab.folder / "secrets/database_password").read_text().strip()
    assert password not in (hooked.folder / "environment").read_text()
    hooked.fab("deploy")
    assert len(told(hooked)) == 2


def test_a_hook_before_that_fails_stops_everything_untouched(hooked: Operator) -> None:
    hooked.declare(
        {
            "hooks": {"before_deploy": ["sh", "-c", "echo not on Fridays; exit 3"]},
            "services": {"backend": {"environment": {"DRILL": "friday"}}},
        }
    )
    before = [each.state() for each in hooked.machines]
    done = hooked.fab("deploy", code=5)
    assert "not on Fridays" in done.said
    assert "hooks.before_deploy ended with code 3; what it said is above; nothing was" in done.err
    assert [each.state() for each in hooked.machines] == before


def test_a_failure_is_told_to_its_hook(hooked: Operator) -> None:
    hooked.declare({"services": {"backend": {"release_command": ["false"]}}})
    hooked.replace("examples/shop/backend/shop/wsgi.py", "import os", "import os  # hooks")
    hooked.fab("deploy", code=1)
    assert [line[0] for line in told(hooked)] == ["./before", "./failure"]
    assert told(hooked)[-1][-1] == "failed"


def test_a_restart_has_the_hooks_as_well(hooked: Operator) -> None:
    hooked.fab("restart", "frontend")
    assert [line[:2] for line in told(hooked)] == [["./before", "restart"], ["./after", "restart"]]
    assert told(hooked)[-1][3] == hooked.machines[0].current()


def test_a_deploy_whose_proof_fails_tells_the_hook_for_failures_alone(hooked: Operator) -> None:
    """It is back when the hook runs; nobody was told before that all went well."""
    before = hooked.machines[0].current()
    hooked.declare(
        {
            "services": {"backend": {"environment": {"DRILL": "unproved"}}},
            "proof": {"rate": 40, "limits": {"p50": "0.01ms"}},
        }
    )
    hooked.fab("-H", "web-1", "deploy", "--prove", code=1)
    assert [(line[0], line[-1]) for line in told(hooked)] == [
        ("./before", ""),
        ("./failure", "failedFAIL"),
    ]
    assert hooked.machines[0].current() == before


def test_a_rollback_whose_proof_fails_stays_and_tells_the_hook_for_failures(
    hooked: Operator,
) -> None:
    """What somebody goes back from is worse than a limit that was missed."""
    old = hooked.machines[0].current()
    hooked.declare(
        {
            "services": {"backend": {"environment": {"DRILL": "to be rolled back"}}},
            "proof": {"rate": 40, "limits": {"p50": "0.01ms"}},
        }
    )
    hooked.fab("-H", "web-1", "deploy")
    assert hooked.machines[0].current() != old
    err = hooked.fab("-H", "web-1", "rollback", "no-such-release", "--prove", code=2).err
    assert "no-such-release" in err
    done = hooked.fab("-H", "web-1", "rollback", old, "--prove", code=1)
    assert f"release {old} is back on web-1" in done.said
    assert "the change itself is done; what did not hold under load stands above" in done.said
    assert [(line[0], line[1], line[-1]) for line in told(hooked)[-2:]] == [
        ("./before", "rollback", ""),
        ("./failure", "rollback", "failedFAIL"),
    ]
    assert hooked.machines[0].current() == old
