"""What runs on this machine. `inv --list` names the tasks, `inv --help TASK` explains one."""

from __future__ import annotations

import sys

from invoke import Collection, task

from rondo import desk
from rondo.positional import ProofWordTask, WordTask

INVENTORY = "inventory to use: 'staging' for inventory.staging.yaml, or a path"


@task(
    help={
        "inventory": INVENTORY,
        "check": "write nothing; show the difference and exit 1 if build/ is out of date",
    }
)
def render(_, inventory="", check=False):
    """Write every rendered file under build/; needs no network."""
    sys.exit(desk.run(desk.render, inventory, check=check))


@task(help={"inventory": INVENTORY})
def lint(_, inventory=""):
    """Prove the rendered files: nginx -t in a container, gixy, hadolint, shellcheck."""
    sys.exit(desk.run(desk.lint, inventory))


@task(help={"check": "write nothing; exit 1 if the files are out of date"})
def schema(_, check=False):
    """Write the JSON Schemas and docs/inventory.md from the models."""
    sys.exit(desk.run(desk.schema, check=check))


@task(
    help={
        "inventory": INVENTORY,
        "servers": "names with commas; all of them without it",
        "yes": "pin without asking",
    }
)
def trust(_, servers="", inventory="", yes=False):
    """Show the fingerprints of servers, and pin those that you agree to."""
    sys.exit(desk.run(desk.trust, inventory, servers, yes=yes))


@task(klass=WordTask, help={"servers": "how many"})
def up(_, servers=2):
    """Start servers as containers on this machine; run twice, it does nothing."""
    sys.exit(desk.run(desk.lab_up, servers))


@task(help={"images": "also remove every image that the lab made"})
def down(_, images=False):
    """Remove the lab's servers and all that is on them."""
    sys.exit(desk.run(desk.lab_down, images=images))


@task
def status(_):
    """Show the lab's servers."""
    sys.exit(desk.run(desk.lab_status))


@task(positional=["name"], help={"name": "a server of the lab, like web-1"})
def ssh(_, name):
    """Log in to a server of the lab."""
    sys.exit(desk.run(desk.lab_ssh, name))


@task(positional=["name"], help={"name": "a server of the lab, like web-1"})
def reboot(_, name):
    """Reboot a server of the lab."""
    sys.exit(desk.run(desk.lab_reboot, name))


@task(
    klass=ProofWordTask,
    help={
        "inventory": INVENTORY,
        "host": "what to load, like https://staging.example.com; the inventory's site without it",
        "server": "load this server of the inventory alone",
        "duration": "how long, like 60 or 5m (of each window); as the inventory says without it",
        "rate": "requests a second, with --knee to begin with; as the inventory says without it",
        "versus": "compare two servers, groups or releases in turn, like web-1:web-2",
        "pairs": "windows of each side, with --versus",
        "connections": "that ask without a pause, with --versus",
        "knee": "search for the highest rate that holds the limits",
    },
)
def prove(
    _,
    host="",
    server="",
    duration="",
    rate="",
    versus="",
    pairs=8,
    connections=16,
    knee=False,
    inventory="",
):
    """Load the site like its users, and judge it: exits 0 PASS, 1 FAIL, 2 usage, 3 INVALID."""
    options = {"host": host, "server": server, "duration": duration, "rate": rate}
    wish = {"versus": versus, "pairs": pairs, "connections": connections, "knee": knee}
    sys.exit(desk.run(desk.prove, inventory, wish=wish, **options))


@task(
    klass=ProofWordTask,
    help={
        "runs": "of each fault",
        "healthy": "runs in all of the healthy site, in its four forms",
        "only": "these rows alone, with commas",
        "lanes": "servers that are loaded at the same time, 1 or 2",
        "short": "a few rows, each once, and nothing is written into docs/",
        "fresh": "count from nothing; without it a run goes on where the last one was stopped",
    },
)
def selftest(_, runs=20, healthy=100, only="", lanes=2, short=False, fresh=False):
    """Make every fault of the matrix on a lab, and see whether `inv prove` calls it by its name."""
    options = {"runs": runs, "healthy": healthy, "lanes": lanes, "short": short, "fresh": fresh}
    sys.exit(desk.run(desk.selftest, only, **options))


@task
def demo(_):
    """Two servers as containers, the example shop on both, a rolling restart under load."""
    sys.exit(desk.run(desk.demo))


@task(
    klass=WordTask,
    positional=["run", "other"],
    help={
        "run": "a run's folder, its id, or 'last'",
        "other": "a second run, to set beside it",
    },
)
def report(_, run="last", other=""):
    """Show a past run's verdict and open its report; given two runs, set them side by side."""
    sys.exit(desk.run(desk.report, run, other))


namespace = Collection(render, lint, schema, report, demo)
proofs = Collection("prove", selftest)
proofs.add_task(prove, "site", default=True)
namespace.add_collection(proofs)
namespace.add_collection(Collection("hosts", trust))
namespace.add_collection(Collection("lab", up, down, status, ssh, reboot))
