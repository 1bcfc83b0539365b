"""Which run is meant: a folder, the id of a run, or the last one."""

from __future__ import annotations

from pathlib import Path

from rondo.errors import InputError
from rondo.proof.report.runfile import RUN_FILE

RUNS = ".rondo/runs"
LAST = "last"


def find(root: Path, wanted: str) -> Path:
    """Return the folder of a run below the folder of an inventory."""
    folder = Path(wanted)
    if wanted != LAST and (folder / RUN_FILE).is_file():
        return folder
    known = proofs(root)
    found = known[-1:] if wanted == LAST else [each for each in known if _is(each, wanted)]
    if len(found) == 1:
        return found[0]
    if len(found) > 1:
        names = ", ".join(each.name for each in found)
        raise InputError(f"{wanted} may be any of {names}; give more of its name")
    raise InputError(f"{root / RUNS}: there is no run {wanted!r}; {_there(known)}")


def proofs(root: Path) -> list[Path]:
    """Return the folders of runs that were judged, the oldest first: their names begin so."""
    return sorted(each.parent for each in (root / RUNS).glob(f"*/{RUN_FILE}"))


def _is(folder: Path, wanted: str) -> bool:
    stamp, _, run = folder.name.partition("-")
    return folder.name == wanted or (wanted != "" and wanted in {stamp, run[: len(wanted)]})


def _there(known: list[Path]) -> str:
    if not known:
        return "none was made here yet, make one: inv prove"
    return "the newest are " + ", ".join(each.name for each in reversed(known[-5:]))
