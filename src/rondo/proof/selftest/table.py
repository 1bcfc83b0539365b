"""The table of the self-test in Markdown, and where it stands in the documentation. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from rondo.proof.verdict import Status

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rondo.proof.selftest.ledger import Entry
    from rondo.proof.selftest.matrix import Tally

BEGIN: Final = "<!-- selftest -->"
END: Final = "<!-- /selftest -->"
EMPTY: Final = f"# The proof\n\n{BEGIN}\n{END}\n"
_COLUMNS: Final = (
    *("Fault", "What is done", "Must say", "Runs", "Right"),
    *("Made again", "What spoke", "Load", "Run", "On"),
)
_HEAD: Final = (f"| {' | '.join(_COLUMNS)} |", "|---|---|---|---:|---:|---:|---|---:|---:|---|")


def markdown(tallies: Sequence[Tally], entries: Sequence[Entry]) -> str:
    """Write the table, with what it was made with."""
    runs = sum(each.runs for each in tallies)
    right = sum(each.caught for each in tallies)
    again = sum(each.repeated for each in tallies)
    lead = (
        f"{right} of {runs} runs gave the right verdict; {again} more were made again because the "
        "machine was too busy for a verdict (INVALID for its lag or processor alone)."
    )
    return "\n".join([lead, "", *_HEAD, *map(_line, tallies), "", _versions(entries)]).rstrip()


def _line(tally: Tally) -> str:
    row = tally.row
    keys = " or ".join(f"`{key}`" for key in row.keys)
    must = row.verdict.value if row.verdict is Status.PASS else f"{row.verdict.value}: {keys}"
    spoke = ", ".join(f"`{key}` {count}" for key, count in tally.spoke) or "-"
    right = f"{tally.caught}" if tally.enough else f"**{tally.caught}**"
    cells = (
        *(f"`{row.name}`", row.what, must, f"{tally.runs} of {tally.wanted}", right),
        *(f"{tally.repeated}", spoke, f"{row.seconds:g} s", f"{tally.seconds:.1f} s"),
        tally.last[:10] or "-",
    )
    return f"| {' | '.join(cells)} |"


def _versions(entries: Sequence[Entry]) -> str:
    """Say with which versions the runs were made; each part of the table may have had its own."""
    found: dict[str, list[str]] = {}
    for entry in entries:
        for name, version in entry.versions.items():
            if version not in found.setdefault(name, []):
                found[name].append(version)
    return "; ".join(f"{name} {', '.join(versions)}" for name, versions in found.items())


def put(document: str, table: str) -> str:
    """Put the table between its markers; a document without them gets them at its end."""
    if BEGIN not in document or END not in document:
        document = f"{document.rstrip()}\n\n{BEGIN}\n{END}\n" if document.strip() else EMPTY
    before, _, rest = document.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{table}\n{END}{after}"
