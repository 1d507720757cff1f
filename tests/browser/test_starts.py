"""Somebody of the merchant's starts a subscription for a customer, on a narrow screen."""

import re

from playwright.sync_api import Page, expect

from tests.browser.conftest import OpenPage, Site, scrolls_sideways, violations
from tests.browser.test_dashboard import Office


def _is_good(page: Page, script: bool) -> None:
    assert not scrolls_sideways(page), page.url
    if script:
        assert violations(page) == [], page.url


def _update(page: Page, script: bool) -> None:
    """The quote follows what one types; without JavaScript a button asks for it."""
    if not script:
        page.get_by_role("button", name="Update the quote").last.click()


def test_a_subscription_is_quoted_and_started(site: Site, open_page: OpenPage, script: bool) -> None:
    office, page = Office(site), open_page(320)
    office.enter(page)
    page.goto(office.address(f"/test/customers/{office.customer.id}"))
    page.get_by_role("link", name="Start a subscription").click()
    quote = page.get_by_role("region", name="What it costs")
    expect(quote).to_contain_text("Choose a plan to see what it costs.")
    expect(page.get_by_label("Days of trial")).to_be_hidden()
    _is_good(page, script)

    page.get_by_role("combobox", name="Plan").select_option(label="Solo: €4.00 per month")
    page.get_by_role("spinbutton", name="Quantity", exact=True).fill("0")
    _update(page, script)
    expect(quote).to_contain_text("Enter a whole number from 1 to 999,999.")
    expect(quote.get_by_role("button", name="Start the subscription")).to_have_count(0)
    page.get_by_role("spinbutton", name="Quantity", exact=True).fill("3")
    page.get_by_label("No trial").check()
    _update(page, script)
    expect(quote.get_by_role("row", name="Due today")).to_contain_text("€12.00")
    _is_good(page, script)

    _start_with_a_trial(page, script)
    expect(page.get_by_text("The trial of Solo, Team has begun.")).to_be_visible()
    expect(page).to_have_url(re.compile(r"\?started=sub_"))
    _is_good(page, script)
    page.reload()
    expect(page.get_by_text("The trial of Solo, Team has begun.")).to_have_count(0)


def _start_with_a_trial(page: Page, script: bool) -> None:
    """Add a trial and an add-on to what is chosen, and start it."""
    quote = page.get_by_role("region", name="What it costs")
    page.get_by_label("Some days").check()
    page.get_by_label("Days of trial").fill("14")
    _update(page, script)
    expect(quote.get_by_role("row", name="Due today")).to_contain_text("€0.00")
    expect(quote).to_contain_text("The trial ends on")
    page.get_by_role("button", name="More add-ons").click()
    expect(page.get_by_role("group", name="Add-on 4")).to_be_visible()
    expect(page.get_by_label("Days of trial")).to_have_value("14")
    page.get_by_role("combobox", name="Add-on 1").select_option(label="Team: €10.00 per month")
    _update(page, script)
    expect(quote).to_contain_text("will be €22.00.")
    _is_good(page, script)
    quote.get_by_role("button", name="Start the subscription").click()
