"""A browser buys something in the deployed shop."""

from __future__ import annotations

import re
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import Error, expect, sync_playwright
from shop import HOST, ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from clients import Site
    from playwright.sync_api import Browser, Page, Playwright
    from shop import Operator

pytestmark = [pytest.mark.e2e, pytest.mark.browser]

SCREENSHOTS = ROOT / ".rondo" / "screenshots"
CUSTOMER = {
    "name": "Ada Example",
    "email": "ada@example.com",
    "street": "1 Spoke Lane",
    "postcode": "10115",
    "city": "Berlin",
}


def trust(home: Path, authority: Path) -> None:
    """Let Chromium trust an authority, as a user would who installs its certificate."""
    store = home / ".pki" / "nssdb"
    store.mkdir(parents=True)
    options = ("-d", f"sql:{store}")
    subprocess.run(("certutil", *options, "-N", "--empty-password"), check=True)
    add = ("-A", "-n", "lab", "-t", "C,,", "-i", str(authority))
    subprocess.run(("certutil", *options, *add), check=True)


@pytest.fixture(scope="module")
def playwright() -> Iterator[Playwright]:
    with sync_playwright() as started:
        yield started


def launch(playwright: Playwright, home: Path, address: str) -> Browser:
    """Start Chromium with a home of its own; it finds the shop at an address."""
    return playwright.chromium.launch(
        executable_path=shutil.which("chromium"),
        args=["--no-sandbox", f"--host-resolver-rules=MAP {HOST} {address}"],
        env={"HOME": str(home)},
    )


@pytest.fixture
def page(deployed: Operator, playwright: Playwright, tmp_path: Path) -> Iterator[Page]:
    """Give a page that finds the shop on web-2 and trusts the lab's authority, no other."""
    trust(tmp_path, deployed.lab.authority)
    browser = launch(playwright, tmp_path, deployed.machine("web-2").address)
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    page.set_default_timeout(20_000)
    yield page
    browser.close()


def test_a_customer_buys_a_bell(shop: Operator, sites: tuple[Site, ...], page: Page) -> None:
    wrong: list[str] = []
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("console", lambda told: wrong.append(told.text) if told.type == "error" else None)
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    opened = page.goto(f"https://{HOST}/")
    assert opened
    assert opened.security_details()["protocol"].startswith("TLS 1.3")  # type: ignore[index]
    expect(page.get_by_test_id("product-card").first).to_be_visible()
    assert page.get_by_test_id("product-card").count() >= 10
    page.screenshot(path=SCREENSHOTS / "list.png", full_page=True)
    page.locator('[data-product="sparrow-bell"]').get_by_test_id("product-link").click()
    expect(page.get_by_test_id("product-name")).to_have_text(re.compile("bell", re.IGNORECASE))
    page.get_by_test_id("add-to-cart").click()
    page.get_by_test_id("cart-link").click()
    line = page.get_by_test_id("cart-line")  # the product's page has a stepper, too
    line.get_by_test_id("more").click()
    expect(line.get_by_test_id("quantity")).to_have_text("2")
    page.get_by_test_id("checkout-link").click()
    for field, text in CUSTOMER.items():
        page.get_by_test_id(f"checkout-{field}").fill(text)
    page.screenshot(path=SCREENSHOTS / "checkout.png", full_page=True)
    page.get_by_test_id("place-order").click()
    number = page.get_by_test_id("order-number").inner_text()
    page.wait_for_load_state("networkidle")
    page.screenshot(path=SCREENSHOTS / "order.png", full_page=True)
    assert page.get_by_test_id("answered-by-backend").inner_text() in {
        "backend-1",
        "backend-2",
        "backend-3",
    }
    expect(page.get_by_test_id("answered-by-server")).to_have_text("web-2")
    assert wrong == []
    for site in sites:
        order = site.ask(f"/api/orders/{number}/").json["order"]
        assert [line["quantity"] for line in order["lines"]] == [2], "one database for all servers"


def test_a_browser_that_does_not_know_the_authority_refuses_the_site(
    shop: Operator, playwright: Playwright, tmp_path: Path
) -> None:
    browser = launch(playwright, tmp_path, shop.machine("web-1").address)
    with pytest.raises(Error, match="ERR_CERT_AUTHORITY_INVALID"):
        browser.new_page().goto(f"https://{HOST}/")
    browser.close()
