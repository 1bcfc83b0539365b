"""Letting go of kept assets: as much as is needed, and no more, by the script that servers run."""

from __future__ import annotations

import os
import subprocess
import time
from typing import TYPE_CHECKING

from rondo.scripts import changing

if TYPE_CHECKING:
    from pathlib import Path

DAY = 86400


def keep(root: Path, image: str, *names: str, days: float = 0) -> None:
    """Put files there as a switch does."""
    folder = root / "assets/frontend"
    (folder / ".lists").mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)
    listed = folder / ".lists" / image
    listed.write_text("".join(f"./{name}\n" for name in names))
    then = time.time() - days * DAY
    os.utime(listed, (then, then))


def prune(root: Path) -> set[str]:
    """Run the script; return the files that are left."""
    subprocess.run(
        ("sh", "-c", changing("assets_prune"), "rondo", "shop", str(root)), check=True, timeout=60
    )
    folder = root / "assets/frontend"
    found = (path for path in folder.rglob("*") if path.is_file() and ".lists" not in path.parts)
    return {str(path.relative_to(folder)) for path in found}


def test_ten_releases_are_kept_and_what_they_share_with_older_ones(tmp_path: Path) -> None:
    for number in range(14):
        keep(
            tmp_path, f"image{number}", f"assets/{number}.js", "assets/shared.js", days=14 - number
        )
    kept = {f"assets/{number}.js" for number in range(4, 14)}
    assert prune(tmp_path) == kept | {"assets/shared.js"}
    assert prune(tmp_path) == kept | {"assets/shared.js"}


def test_after_thirty_days_nobody_has_the_page_open_any_more(tmp_path: Path) -> None:
    keep(tmp_path, "old", "assets/old.js", "assets/deep/old.css", days=31)
    keep(tmp_path, "new", "assets/new.js", days=29)
    assert prune(tmp_path) == {"assets/new.js"}
    assert not (tmp_path / "assets/frontend/assets/deep").exists()


def test_when_nothing_is_listed_nothing_is_kept(tmp_path: Path) -> None:
    keep(tmp_path, "old", "assets/old.js", days=40)
    assert prune(tmp_path) == set()


def test_a_server_without_kept_assets_is_left_alone(tmp_path: Path) -> None:
    assert (
        subprocess.run(
            ("sh", "-c", changing("assets_prune"), "rondo", "shop", str(tmp_path)), check=False
        ).returncode
        == 0
    )
