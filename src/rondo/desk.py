"""What `inv` tasks do on the operator's machine, and what they print."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rondo import lab, terminal
from rondo.deploy import templates_of
from rondo.errors import EXIT_DONE, EXIT_FAILED, InputError, RondoError, of_a_proof
from rondo.source import Loaded, load
from rondo.ui import Ui

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

BUILD = "build"


def run(action: Callable[..., int], *arguments: object, **options: object) -> int:
    """Do one thing and return its exit code; an error is one message on standard error."""
    ui = Ui()
    try:
        return action(ui, *arguments, **options)
    except RondoError as error:
        ui.error(str(error))
        return error.exit_code
    except KeyboardInterrupt:
        ui.error("interrupted")
        return 130


def render(ui: Ui, selection: str, *, check: bool) -> int:
    """Write build/ or, with `check`, show how it differs from what would be written."""
    from rondo import render as rendering

    loaded = load(selection or None)
    files = rendering.render_all(loaded.inventory, templates_of(loaded.root))
    folder = loaded.root / BUILD
    if check:
        difference = rendering.check(files, folder)
        if difference:
            sys.stdout.write(difference)
            ui.error("build/ is out of date; run: inv render")
            return EXIT_FAILED
        ui.note("build/ is up to date")
        return EXIT_DONE
    changed = rendering.write(files, folder)
    ui.note(f"{len(files)} files under {BUILD}/, {len(changed)} of them changed")
    return EXIT_DONE


def lint(ui: Ui, selection: str) -> int:
    """Prove the rendered files with the tools that know them."""
    from rondo import lint as linting

    loaded = load(selection or None)
    findings = linting.lint(loaded.inventory, templates_of(loaded.root), loaded.root, ui.note)
    for finding in findings:
        ui.error(str(finding))
    if not findings:
        ui.note("every rendered file is sound")
    return EXIT_FAILED if findings else EXIT_DONE


def schema(ui: Ui, *, check: bool) -> int:
    """Write the JSON Schema and the reference made from the models."""
    from rondo import schema as schemas

    root = Path.cwd()
    if check:
        schemas.check(root)
        ui.note("inventory.schema.json, docs/inventory.md and docs/run.schema.json are up to date")
        return EXIT_DONE
    schemas.write(root)
    ui.note("wrote inventory.schema.json, docs/inventory.md and docs/run.schema.json")
    return EXIT_DONE


def trust(ui: Ui, selection: str, servers: str, *, yes: bool) -> int:
    """Show and pin the host keys of servers."""
    from rondo import hosts

    loaded = load(selection or None)
    names = _names(loaded, servers)

    def confirm(question: str) -> bool:
        return yes or _ask(question)

    hosts.trust(loaded, names, confirm, ui.note)
    ui.note(f"pinned in {loaded.inventory.settings.ssh.known_hosts}")
    return EXIT_DONE


def _ask(question: str) -> bool:
    if not terminal.is_there():
        raise InputError(f"{question} There is no terminal to answer on; add --yes if you are sure")
    return terminal.confirm(question)


def _names(loaded: Loaded, text: str) -> list[str]:
    known = loaded.inventory.servers
    names = [name.strip() for name in text.split(",") if name.strip()] or list(known)
    # A bastion that is no server of the inventory is named by its login.
    unknown = [name for name in names if name not in known and "@" not in name]
    if unknown:
        raise InputError(f"no server {', '.join(unknown)}; there are: {', '.join(known)}")
    return names


def lab_up(ui: Ui, servers: int) -> int:
    """Start the lab, and what the example's inventory needs beside it."""
    from rondo import demonstration

    started = lab.up(servers, report=ui.note)
    demonstration.furnish(started.folder)
    ui.table(
        [("server", "address", "log in with")]
        + [(each.name, each.address, f"inv lab.ssh {each.name}") for each in started.servers]
    )
    return EXIT_DONE


def lab_down(ui: Ui, *, images: bool) -> int:
    """Remove the lab."""
    lab.down(images=images)
    ui.note("the lab is gone" + (", its images too" if images else "; its images are kept"))
    return EXIT_DONE


def lab_status(ui: Ui) -> int:
    """Show the lab's servers; 1 if one of them does not run."""
    found = lab.status()
    rows = [(each.name, each.address, each.private_address, each.state) for each in found]
    ui.table([("server", "address", "private address", "state"), *rows])
    return EXIT_DONE if found and all(each.running for each in found) else EXIT_FAILED


def lab_ssh(_: Ui, name: str) -> int:
    """Become an ssh session on a server of the lab."""
    words = lab.ssh_command(name)
    os.execvp(words[0], words)  # noqa: S606 - a list of words, no shell


def lab_reboot(ui: Ui, name: str) -> int:
    """Reboot a server of the lab."""
    lab.reboot(name)
    ui.note(f"{name} is up again")
    return EXIT_DONE


def prove(
    ui: Ui, selection: str, *, host: str, server: str, wish: Mapping[str, Any], **typed: str
) -> int:
    """Prove a site under load; 0 passed, 1 failed, 2 asked for wrongly, 3 says neither."""
    from rondo.fleet import Fleet
    from rondo.proof import conduct, measuring, runs, telling
    from rondo.proof.windowing import Setting

    with of_a_proof():
        options, asked = conduct.options(**typed), measuring.Wish(**wish)
        command = runs.typed(sys.argv)
        loaded = load(selection or None)
        aim = conduct.aim_at(loaded, host=host, server=server)
        # Releases are switched on all servers, whichever are loaded.
        names = tuple(loaded.inventory.servers) if asked.given else aim.servers
        with Fleet(loaded.inventory, loaded.root, names, note=ui.warn) as fleet:
            if asked.given:
                setting = Setting(loaded, aim, fleet, ui.note, command=command)
                return measuring.measure(ui, setting, asked, options)
            outcome = conduct.prove(aim, fleet, options, ui.note, command)
    return telling.tell(ui, outcome, loaded.root)


def report(ui: Ui, first: str, second: str) -> int:
    """Show one run, or two side by side; in either case there is a page."""
    from rondo.proof.report import runs, showing

    root = Path.cwd()
    folder = runs.find(root, first)
    if second:
        return showing.pair(ui, folder, runs.find(root, second))
    return showing.one(ui, folder)


def selftest(  # noqa: PLR0913 - each an option of the command
    ui: Ui, only: str, *, runs: int, healthy: int, lanes: int, short: bool, fresh: bool
) -> int:
    """Prove the proof: 0 if every fault was called by its name in every run, 1 if not."""
    from rondo.proof.selftest import command

    options = {"runs": runs, "healthy": healthy, "lanes": lanes}
    with of_a_proof():
        return command.run(ui, only, **options, short=short, fresh=fresh)


def demo(ui: Ui) -> int:
    """Run the main job from an empty machine to a page through TLS."""
    from rondo import demonstration

    return demonstration.run(ui)
