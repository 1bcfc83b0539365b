"""Maintenance: which page is shown, which sites are meant, and which paths stay open."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from house import inventory

from rondo import maintenance, views
from rondo.errors import InputError
from rondo.source import Loaded

if TYPE_CHECKING:
    from rondo.inventory import Inventory

OWN = Path(__file__).parents[2] / "templates"


def loaded(root: Path, **site: object) -> Loaded:
    declared = inventory(sites={"shop": site})
    return Loaded(declared, root / "inventory.yaml", {})


def test_the_users_page_is_shown(tmp_path: Path) -> None:
    (tmp_path / "closed.html").write_text("mine")
    found = maintenance.page_of(loaded(tmp_path, maintenance="closed.html"), "shop", OWN)
    assert found == b"mine"


def test_without_one_that_of_the_templates_is_shown(tmp_path: Path) -> None:
    (tmp_path / "maintenance.html").write_text("edited")
    assert maintenance.page_of(loaded(tmp_path), "shop", tmp_path) == b"edited"


def test_templates_from_before_there_was_a_page_do_not_matter(tmp_path: Path) -> None:
    page = maintenance.page_of(loaded(tmp_path), "shop", tmp_path)
    assert page == (OWN / "maintenance.html").read_bytes()


def test_the_default_page_needs_nothing_from_elsewhere() -> None:
    """The site is closed: whatever it asked for would be answered by the page itself."""
    text = (OWN / "maintenance.html").read_text(encoding="utf-8")
    assert not re.search(r"(src|href)=|url\(|@import", text)


@pytest.mark.parametrize("page", [None, "x" * (maintenance.LARGEST_PAGE + 1)], ids=["none", "huge"])
def test_a_page_that_cannot_be_shown_is_refused(tmp_path: Path, page: str | None) -> None:
    if page:
        (tmp_path / "closed.html").write_text(page)
    with pytest.raises(InputError, match=r"sites\.shop\.maintenance: .*closed\.html"):
        maintenance.page_of(loaded(tmp_path, maintenance="closed.html"), "shop", OWN)


def test_one_site_or_all_are_meant() -> None:
    two = inventory(sites={"blog": {"server_names": ["b.example.com"], "routes": {"/": "backend"}}})
    assert maintenance.chosen_sites(two, "") == ("shop", "blog")
    assert maintenance.chosen_sites(two, "blog") == ("blog",)
    with pytest.raises(InputError, match="no such site; there are: shop, blog"):
        maintenance.chosen_sites(two, "shoop")


def open_paths(declared: Inventory) -> re.Pattern[str]:
    (site,) = views.site_views(declared, "web-1")
    return re.compile(f"({site.always_open})")


@pytest.mark.parametrize(
    ("path", "stays"),
    [
        ("/api/health", True),
        ("/.well-known/acme-challenge/token", True),
        ("/", False),
        ("/api/healthy", False),
        ("/api/", False),
    ],
)
def test_a_closed_site_answers_health_checks_but_never_its_front_page(
    path: str, stays: object
) -> None:
    declared = inventory(services={"backend": {"health": {"path": "/api/health?deep=1"}}})
    assert bool(open_paths(declared).fullmatch(path)) is stays
