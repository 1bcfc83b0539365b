"""A browser shows the report of a run: whole, readable at any width, and asking nobody."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any, Literal

import proofs
import pytest
from playwright.sync_api import sync_playwright

from rondo.proof import report
from rondo.proof.judge import judge
from rondo.proof.report import compare

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from playwright.sync_api import Browser, Page

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(not shutil.which("chromium"), reason="Chromium is not installed"),
]

MARKS = (("wrong", 0.01), ("dropped", 0.01))
CASES: dict[str, dict[str, Any]] = {
    "healthy": {"duration": 60},
    "deploy": {"duration": 30, "change": True, **dict(MARKS)},
    "dead backend": {"dead": ("backend-2",), "zone": False},
    "killed and stalled": {"killed": {"backend-3": 0.5}, "stall": 1.0, "duration": 7, "rate": 40},
    "nothing sent": {"rate": 0, "duration": 5},
    "long and wide": {"duration": 600, "rate": 100, "replicas": 6, "change": True},
}
WIDTHS = {"desktop": 1280, "tablet": 700, "phone": 360}
OVERLAPS = """() => {
  const found = [];
  for (const chart of document.querySelectorAll('figure.chart')) {
    const texts = [...chart.querySelectorAll('text, figcaption b, .legend li')]
      .map(each => [each.textContent, each.getBoundingClientRect()])
      .filter(([, box]) => box.width > 0);
    texts.forEach(([a, one], i) => texts.slice(i + 1).forEach(([b, two]) => {
      const wide = Math.min(one.right, two.right) - Math.max(one.left, two.left);
      const high = Math.min(one.bottom, two.bottom) - Math.max(one.top, two.top);
      if (wide > 1 && high > 3) found.push(`${chart.id}: ${a} / ${b}`);
    }));
  }
  return found;
}"""
OUTSIDE = """() => [...document.querySelectorAll('figure.chart text')]
  .map(each => [each.textContent, each.getBoundingClientRect()])
  .filter(([, box]) => box.width > 0 && (box.left < 0 || box.right > innerWidth))
  .map(([text]) => text)"""
CHARTS = """() => [...document.querySelectorAll('figure.chart')].map(chart => ({
  name: chart.id,
  titles: [...chart.querySelectorAll('.axis-title')].map(each => each.textContent),
  ticks: chart.querySelectorAll('.tick').length,
  legend: chart.querySelectorAll('.legend li').length,
  described: chart.querySelector('.canvas').getAttribute('aria-label'),
}))"""


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with sync_playwright() as started:
        yield started.chromium.launch(
            executable_path=shutil.which("chromium"),
            args=["--no-sandbox"],
            env={"HOME": str(tmp_path_factory.mktemp("home"))},
        )


class Shown:
    """A page as a browser shows it, with all that it said and asked for."""

    def __init__(self, page: Page, path: Path) -> None:
        self.page, self.path = page, path
        self.said: list[str] = []
        self.asked: list[str] = []
        page.on("console", lambda told: self.said.append(told.text))
        page.on("pageerror", lambda error: self.said.append(str(error)))
        page.on("request", lambda request: self.asked.append(request.url))
        page.goto(path.as_uri())
        page.wait_for_load_state("networkidle")


@pytest.fixture(scope="module", params=CASES.values(), ids=CASES)
def path(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    evidence = proofs.evidence(**request.param)
    return report.write(tmp_path_factory.mktemp("run"), evidence, judge(evidence))


@pytest.fixture(params=WIDTHS.values(), ids=WIDTHS)
def width(request: pytest.FixtureRequest) -> int:
    found: int = request.param
    return found


@pytest.fixture
def shown(browser: Browser, path: Path, width: int) -> Iterator[Shown]:
    page = browser.new_page(viewport={"width": width, "height": 900})
    yield Shown(page, path)
    page.close()


def test_nothing_overlaps_or_sticks_out_at_any_width(shown: Shown) -> None:
    assert shown.page.evaluate(OVERLAPS) == []
    assert shown.page.evaluate(OUTSIDE) == []
    root = "document.documentElement"
    assert shown.page.evaluate(f"{root}.scrollWidth <= {root}.clientWidth")


def test_the_page_makes_no_error_and_asks_nobody(shown: Shown) -> None:
    assert shown.said == []
    own = shown.path.as_uri()
    assert [url for url in shown.asked if url != own and not url.startswith("data:")] == []
    assert shown.path.stat().st_size < 150_000


def test_every_chart_has_two_axes_with_units_ticks_and_a_legend(shown: Shown) -> None:
    charts = shown.page.evaluate(CHARTS)
    assert {"rate", "latency", "histogram"} <= {each["name"] for each in charts}
    for chart in charts:
        assert len(chart["titles"]) == 2, chart
        assert all(chart["titles"]), chart
        assert chart["legend"], chart
        assert chart["ticks"] >= 2, chart
        assert chart["described"], chart


def luminance(colour: str) -> float:
    """Return how bright a colour is, as WCAG reckons it."""
    parts = [int(each) / 255 for each in colour.strip("rgb()").split(",")[:3]]
    linear = [v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4 for v in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_texts_and_lines_can_be_told_from_the_ground_in_both_schemes(
    browser: Browser, tmp_path: Path, scheme: Literal["light", "dark"]
) -> None:
    evidence = proofs.evidence(duration=30, change=True, wrong=0.01)
    page = browser.new_page(color_scheme=scheme)
    page.goto(report.write(tmp_path, evidence, judge(evidence)).as_uri())
    ground = luminance(page.evaluate("getComputedStyle(document.body).backgroundColor"))
    assert (ground > 0.5) == (scheme == "light")
    style = "selector => getComputedStyle(document.querySelector(selector))"
    wanted = {".tick": ("fill", 4.5), "h1": ("color", 7), ".soft": ("color", 4.5)}
    wanted |= {f"path.{level}": ("stroke", 3) for level in ("p50", "p95", "p99")}
    for selector, (of, least) in wanted.items():
        colour = luminance(page.evaluate(f"selector => ({style})(selector).{of}", selector))
        low, high = sorted((colour, ground))
        assert (high + 0.05) / (low + 0.05) >= least, selector
    page.close()


def test_all_checks_are_printed_unfolded(browser: Browser, tmp_path: Path) -> None:
    evidence = proofs.evidence(duration=5)
    page = browser.new_page()
    page.goto(report.write(tmp_path, evidence, judge(evidence)).as_uri())
    page.emulate_media(media="print", color_scheme="dark")
    heights = page.evaluate(
        "[...document.querySelectorAll('.check dl')].map(e => e.getBoundingClientRect().height)"
    )
    assert len(heights) == 10
    assert all(each > 20 for each in heights)
    ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert luminance(ground) > 0.9, "paper is white"
    page.close()


@pytest.mark.parametrize("width", WIDTHS.values(), ids=WIDTHS)
def test_two_runs_fit_beside_each_other(browser: Browser, tmp_path: Path, width: int) -> None:
    folders = (tmp_path / "one", tmp_path / "two")
    for folder, slow in zip(folders, (1.0, 30.0), strict=True):
        folder.mkdir()
        evidence = proofs.evidence(slow={"backend-1": slow}, change=slow > 1)
        report.write(folder, evidence, judge(evidence))
    page = browser.new_page(viewport={"width": width, "height": 900})
    shown = Shown(page, compare.write(folders[1], *folders))
    assert shown.said == []
    assert page.evaluate(OVERLAPS) == []
    assert page.evaluate(OUTSIDE) == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.close()
