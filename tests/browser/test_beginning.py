"""From nothing to a customer who changes plans and sees the invoice, by the README's own commands, in a browser."""

import os
import re
import secrets
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pyotp
import pytest
from playwright.sync_api import Page, expect

from portal_site import clock
from tests.browser.conftest import OpenPage
from tests.browser.test_journeys import fill_card
from tests.dashboard.staff import PASSWORD
from tests.web.processes import CHECKOUT, README, free_port, wait_for

PLANS = (("Solo", "12"), ("Team", "30"))


def _commands() -> list[list[str]]:
    """What the README runs to begin with: the words after `./portal`, without what is put behind it."""
    section = README.partition("## From clone to a customer's link in five minutes")[2].partition(
        "If you come from Stripe"
    )[0]
    return [line.split("#")[0].split()[1:] for line in section.splitlines() if line.strip().startswith("./portal")]


@pytest.fixture
def link(tmp_path: Path) -> Iterator[str]:
    """The link that the program prints at its first start."""
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("PORTAL_")},
        "PORTAL_SECRET_KEY": secrets.token_urlsafe(48), "PORTAL_BASE_URL": address,
        "PORTAL_DATA_DIR": str(tmp_path), "PYTHONUNBUFFERED": "1",
    }  # fmt: skip
    migrate, run, worker = _commands()
    assert (migrate, run, worker) == (["migrate"], ["run", "&"], ["worker", "&"])
    portal = [sys.executable, "-m", "portal_site.cli"]
    subprocess.run([*portal, *migrate], check=True, env=environment, cwd=CHECKOUT, capture_output=True)
    command = [*portal, "run", "--port", str(port)]
    with subprocess.Popen(
        command, env=environment, cwd=CHECKOUT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        try:
            assert process.stdout is not None
            found = next(filter(None, (re.search(rf"{address}/setup\S+", line) for line in process.stdout)))
            wait_for(port)  # it is printed just before
            yield found[0]
        finally:
            process.terminate()
            process.wait(20)


def _set_up(page: Page, link: str) -> None:
    page.goto(link)
    page.get_by_label("Business name").fill("Lumen Press")
    page.get_by_label("Country").select_option("FR")
    page.get_by_label("Currency").select_option("eur")
    page.get_by_label("Time zone").fill("Europe/Paris")
    page.get_by_label("Your name").fill("Ada Byron")
    page.get_by_label("Your email").fill("ada@lumen.example")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Create the account").click()
    secret = page.get_by_text(re.compile("^[A-Z2-7 ]{32,}$")).inner_text().replace(" ", "")
    page.get_by_label("Code").fill(pyotp.TOTP(secret).at(clock.now()))
    page.get_by_role("button", name="Continue").click()
    page.get_by_role("link", name="I have kept them").click()
    expect(page.get_by_role("heading", name="Get your portal ready for customers")).to_be_visible()


def _open(page: Page, name: str) -> None:
    page.get_by_role("navigation", name="Lumen Press").get_by_role("link", name=name, exact=True).click()


def _sell(page: Page) -> None:
    """Two products with a price each, in test mode, and customers may change between them."""
    for name, amount in PLANS:
        _open(page, "Products")
        page.get_by_role("link", name="New product").click()
        page.get_by_label("Name").fill(name)
        page.get_by_role("button", name="Create product").click()
        page.get_by_role("link", name="New price").click()
        page.get_by_label("Amount").fill(amount)
        page.get_by_role("button", name="Create price").last.click()
        expect(page.get_by_text(f"€{amount}.00 per month").first).to_be_visible()
    _open(page, "Settings")
    page.get_by_role("link", name=re.compile(r"^Default \(test mode\)")).click()
    page.get_by_label("Customers change subscriptions").check()
    for name, _amount in PLANS:
        fold = page.locator("#settings details").filter(has_text=name)
        if fold.get_attribute("open") is None:
            fold.locator("summary").click()
        fold.get_by_label("As a plan").check()
        fold.get_by_role("checkbox", name=re.compile("€")).check()
    page.get_by_label("The plan").check()
    page.get_by_label("the difference is charged at once").check()
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_text("Saved. Customers see it with their next click.")).to_be_visible()


def _let_in(page: Page) -> str:
    """A new customer; the link to the portal."""
    _open(page, "Customers")
    page.get_by_role("link", name="New customer").click()
    page.get_by_label("Name").fill("Hedda Berg")
    page.get_by_label("Email").fill("hedda@acme.example")
    page.get_by_role("button", name="Create customer").click()
    page.get_by_role("button", name="Make a portal link").click()
    return page.get_by_text(re.compile("/p/session/")).inner_text()


def _start(page: Page, script: bool) -> None:
    """The customer's subscription, which is charged to the card."""
    page.get_by_role("link", name="Start a subscription").click()
    page.get_by_role("combobox", name="Plan").select_option(label="Solo: €12.00 per month")
    quote = page.get_by_role("region", name="What it costs")
    if not script:
        page.get_by_role("button", name="Update the quote").last.click()
    expect(quote.get_by_role("row", name="Due today")).to_contain_text("€12.00")
    quote.get_by_role("button", name="Start the subscription").click()
    expect(page.get_by_role("region", name="Subscriptions")).to_contain_text("Solo")


def test_from_clone_to_an_invoice(link: str, open_page: OpenPage, script: bool) -> None:
    page, customer = open_page(1280), open_page(320, locale="en-IE")
    _set_up(page, link)
    _sell(page)
    customer.goto(_let_in(page))
    customer.get_by_role("button", name=re.compile("^Add (a )?payment method")).first.click()
    fill_card(customer, "4242 4242 4242 4242")
    expect(customer.get_by_text("Payment method ending in 4242 was added")).to_be_visible()
    _start(page, script)
    customer.get_by_role("link", name="Overview").click()
    customer.get_by_role("link", name="Change plan").click()
    customer.get_by_role("radio", name=re.compile("Team")).check()
    if not script:
        customer.get_by_role("button", name="Show what it costs").click()
    expect(customer.get_by_test_id("due-today")).to_have_text("€18.00")
    customer.get_by_role("button", name="Change plan and pay €18.00").click()
    expect(customer.get_by_role("heading", name=re.compile("Team"))).to_be_visible()
    customer.goto(customer.url.partition("/subscriptions")[0] + "/invoices")
    expect(customer.get_by_role("main")).to_contain_text("€18.00")
    _open(page, "Home")
    expect(page.get_by_role("listitem").filter(has_text="First link")).to_contain_text("Done")
