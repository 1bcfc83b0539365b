"""Which scripts and styles a page names, as a browser would fetch them. Pure."""

from __future__ import annotations

from functools import lru_cache
from html.parser import HTMLParser
from urllib.parse import urljoin, urlsplit

MOST_ASSETS = 20
"""Further ones of a page are not asked for."""

_LINKS = frozenset({"stylesheet", "modulepreload"})


@lru_cache(maxsize=64)  # a page is the same for most users, and parsing it costs a request's time
def assets_of(path: str, page: bytes) -> tuple[str, ...]:
    """Return the paths of a page's scripts, styles and preloaded modules on its own host."""
    reader = _Reader()
    reader.feed(page.decode(errors="replace"))
    found: dict[str, None] = {}
    for reference in reader.references:
        parts = urlsplit(reference.strip())
        if not parts.scheme and not parts.netloc and parts.path:
            whole = urlsplit(urljoin(path or "/", reference.strip()))
            found[whole.path + (f"?{whole.query}" if whole.query else "")] = None
    return tuple(found)[:MOST_ASSETS]


class _Reader(HTMLParser):
    """Collects what a page refers to."""

    def __init__(self) -> None:
        super().__init__()
        self.references: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag == "script" and given.get("src"):
            self.references.append(given["src"] or "")
        elif tag == "link" and _LINKS & set((given.get("rel") or "").lower().split()):
            self.references.append(given.get("href") or "")
