"""What runs on servers. `fab --list` names the tasks, `fab --help TASK` explains one.

Without -H a task means the whole inventory; -H takes names and groups of the inventory.
"""

from __future__ import annotations

from invoke import task

from rondo.fab import ClusterTask, ProofTask, command

NO_REVERT = "when something fails, leave the slots that have moved where they are"
WAIT = "how long to wait for somebody else's change to end, like 5m"
OUTAGE = "go on where a service is left without any slot on a server for a moment"
PROVE = "load the site meanwhile, and fail if it does not hold"
INVENTORY = "inventory to use: 'staging' for inventory.staging.yaml, or a path"


@task(
    klass=ClusterTask,
    help={
        "inventory": INVENTORY,
        "apply": "make the changes without asking (scripts need it)",
        "login": "user to log in as the first time, like root; the inventory's user is created",
    },
)
def bootstrap(session, inventory="", apply=False, login=""):
    """Make bare Debian or Ubuntu servers ready: shows what it will change, then changes it."""
    return command("bootstrap")(session, assume_yes=apply, login=login)


@task(klass=ClusterTask, help={"inventory": INVENTORY, "json": "print the plan as JSON"})
def plan(session, inventory="", json=False):
    """Show what a deploy would do and why; changes nothing, exits 2 if there is something to do."""
    return command("plan")(session, as_json=json)


@task(
    klass=ClusterTask,
    help={
        "inventory": INVENTORY,
        "plan": "only show what would be done, like `fab plan`",
        "verbose": "show every line of the builds",
        "prove": "load the site meanwhile; fail and put all back if it does not hold",
        "no-revert": NO_REVERT,
        "wait": WAIT,
        "outage": OUTAGE,
    },
)
def deploy(
    session,
    inventory="",
    plan=False,
    verbose=False,
    outage=False,
    prove=False,
    no_revert=False,
    wait="",
):
    """Make the servers run what the inventory declares; a second run does nothing."""
    if plan:
        return command("plan")(session)
    options = {"prove": prove, "no_revert": no_revert, "wait": wait, "outage": outage}
    return command("deploy")(session, verbose=verbose, **options)


@task(
    klass=ClusterTask,
    positional=["service"],
    help={
        "inventory": INVENTORY,
        "service": "service or slot, like backend or backend-2; all of them without it",
        "plan": "only show what would be done",
        "prove": PROVE,
        "no-revert": NO_REVERT,
        "wait": WAIT,
        "outage": OUTAGE,
    },
)
def restart(
    session,
    service="",
    inventory="",
    plan=False,
    outage=False,
    prove=False,
    no_revert=False,
    wait="",
):
    """Replace every container by a fresh one of the release in force, slot by slot."""
    options = {"prove": prove, "no_revert": no_revert, "wait": wait, "outage": outage}
    return command("restart", "live")(session, service=service, plan=plan, **options)


@task(
    klass=ClusterTask,
    positional=["release"],
    help={
        "inventory": INVENTORY,
        "release": "release of `fab history`, or a part of its name; without it the one before",
        "plan": "only show what would be done",
        "prove": PROVE,
        "no-revert": NO_REVERT,
        "wait": WAIT,
        "outage": OUTAGE,
    },
)
def rollback(
    session,
    release="",
    inventory="",
    plan=False,
    outage=False,
    prove=False,
    no_revert=False,
    wait="",
):
    """Make the servers run a release again that they have recorded; no source tree is needed."""
    options = {"prove": prove, "no_revert": no_revert, "wait": wait, "outage": outage}
    return command("rollback", "live")(session, release=release, plan=plan, **options)


@task(
    klass=ClusterTask,
    positional=["old", "new"],
    help={
        "inventory": INVENTORY,
        "old": "release to compare; without it the one before the one in force",
        "new": "release to compare it with; without it the one in force",
    },
)
def diff(session, old="", new="", inventory=""):
    """Show what tells two recorded releases apart; environments by their digests, never values."""
    return command("diff", "live")(session, old=old, new=new)


@task(
    klass=ClusterTask,
    help={
        "inventory": INVENTORY,
        "tail": "commands of the past to show",
        "json": "print them as JSON",
    },
)
def audit(session, inventory="", tail=20, json=False):
    """Show who changed the servers, when, from where and with which result."""
    return command("audit", "console_audit")(session, tail=tail, as_json=json)


@task(
    klass=ClusterTask,
    positional=["server"],
    help={
        "inventory": INVENTORY,
        "server": "server to take out of the rotation of every edge",
        "deadline": "longest wait in seconds for requests in flight",
    },
)
def drain(session, server, inventory="", deadline=60):
    """Take a server out of the edges' rotation; done when nothing goes to it any more."""
    return command("drain", "console_rotation")(session, server=server, deadline=deadline)


@task(
    klass=ClusterTask,
    positional=["server"],
    help={
        "inventory": INVENTORY,
        "server": "server to put back into the rotation of every edge",
        "deadline": "longest wait in seconds for old workers of Nginx",
    },
)
def fill(session, server, inventory="", deadline=60):
    """Put a server back into the edges' rotation."""
    return command("fill", "console_rotation")(session, server=server, deadline=deadline)


@task(
    klass=ClusterTask,
    positional=["state"],
    help={
        "inventory": INVENTORY,
        "state": "on or off; without it the state is shown",
        "site": "site of the inventory; all of them without it",
    },
)
def maintenance(session, state="", inventory="", site=""):
    """Close sites with a page of yours, or open them again: fab maintenance on."""
    return command("maintenance", "console_maintenance")(session, state=state, site=site)


@task(klass=ClusterTask, help={"inventory": INVENTORY, "json": "print it as JSON"})
def lock(session, inventory="", json=False):
    """Show who is changing the servers, since when and for what; exits 2 if somebody is."""
    return command("lock", "live")(session, as_json=json)


@task(klass=ClusterTask, help={"inventory": INVENTORY, "json": "print it as JSON"})
def status(session, inventory="", json=False):
    """Show what runs where, how it does, and what drifted; exits 1 if anything did."""
    return command("status")(session, as_json=json)


@task(
    klass=ClusterTask,
    positional=["service"],
    help={
        "inventory": INVENTORY,
        "service": "service or slot, like backend or backend-2; all of them without it",
        "follow": "go on showing new lines until Ctrl-C",
        "timestamps": "begin each line with its time",
        "tail": "lines of the past to show from each container",
    },
)
def logs(session, service="", inventory="", follow=False, tail=20, timestamps=False):
    """Show the output of containers, merged over all servers."""
    options = {"follow": follow, "tail": tail, "timestamps": timestamps}
    return command("logs")(session, service=service, **options)


@task(
    klass=ClusterTask,
    name="exec",
    positional=["service"],
    help={"inventory": INVENTORY, "service": "service or slot; the first container that runs"},
)
def exec_(session, service, inventory=""):
    """Run a command in a running container: fab exec backend -- python manage.py shell."""
    return command("exec")(session, service=service)


@task(
    klass=ClusterTask,
    positional=["service"],
    help={"inventory": INVENTORY, "service": "service or slot of the release in force"},
)
def run(session, service, inventory=""):
    """Run a command in a new container of a service: fab run backend -- python manage.py check."""
    return command("run")(session, service=service)


@task(
    klass=ProofTask,
    help={
        "inventory": INVENTORY,
        "host": "what to load, like https://staging.example.com; the inventory's site without it",
        "duration": "how long, like 60 or 5m (of each window); as the inventory says without it",
        "rate": "requests a second, with --knee to begin with; as the inventory says without it",
        "versus": "compare two servers, groups or releases in turn, like web-1:web-2",
        "pairs": "windows of each side, with --versus",
        "connections": "that ask without a pause, with --versus",
        "knee": "search for the highest rate that holds the limits",
        "workers": "make the load on these servers of the inventory, like group:load",
        "processes": "load generators on each of them; one for each processor without it",
        "keep-image": "leave the image of the load generators there, for the next time",
    },
)
def prove(
    session,
    host="",
    duration="",
    rate="",
    versus="",
    pairs=8,
    connections=16,
    knee=False,
    workers="",
    processes=0,
    keep_image=False,
    inventory="",
):
    """Load the servers' site like its users, and judge it: 0 PASS, 1 FAIL, 2 usage, 3 INVALID."""
    wish = {"versus": versus, "pairs": pairs, "connections": connections, "knee": knee}
    place = {"workers": workers, "processes": processes, "keep_image": keep_image}
    typed = {"duration": duration, "rate": rate}
    return command("prove", "proof.fleetwide")(session, host=host, wish=wish, place=place, **typed)


@task(klass=ClusterTask, help={"inventory": INVENTORY})
def history(session, inventory=""):
    """Show the releases that each server can tell of."""
    return command("history")(session)
