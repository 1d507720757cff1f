"""What published browser tests for Stripe's hosted portal look for is where they look for it."""

import re

import pytest
from playwright.sync_api import Browser, Page, expect

from tests import world
from tests.browser.conftest import Site
from tests.browser.shopper import Shopper


@pytest.fixture
def page(browser: Browser) -> Page:
    return browser.new_context(locale="en-US").new_page()


def test_the_overview_before_and_after_cancelling(site: Site, page: Page) -> None:
    shopper = Shopper.of(site)
    with site.app.app_context():
        opened = site.link(shopper.shop.customer, return_url="http://127.0.0.1:9999/back")
    page.goto(opened)
    expect(page.get_by_text("Current subscription")).to_be_visible()
    for heading in (re.compile("Payment methods?"), "Billing information", "Invoice history"):
        expect(page.get_by_text(heading).first).to_be_visible()
    expect(page.get_by_test_id("return-to-business-link")).to_be_visible()
    page.locator('[data-testid="cancel-subscription"]').click()
    expect(page).to_have_title(re.compile("^Cancel subscription"))
    expect(page.get_by_text("Cancel your subscription")).to_be_visible()
    page.locator('[data-testid="confirm"]').click()
    page.goto(site.address)
    expect(page.locator('[data-test="subscription-cancel-at-period-end-badge"]')).to_be_visible()
    page.locator('[data-test="renew-subscription"]').click()
    page.goto(site.address)
    expect(page.locator('[data-testid="cancel-subscription"]')).to_be_visible()
    page.context.close()


def test_the_form_for_billing_information(site: Site, page: Page) -> None:
    austin = {"line1": "500 Congress Ave", "city": "Austin", "state": "TX", "postal_code": "78701", "country": "US"}
    with site.app.app_context():
        customer = world.shop(customer={"address": austin}).customer
    page.goto(site.link(customer))
    page.get_by_role("link", name="Update information").click()
    page.locator('[data-test="cancel"]').click()
    page.get_by_role("link", name="Update information").click()
    billing = page.get_by_role("group", name="Billing address")
    page.get_by_label("Name").first.fill("Acme")
    page.get_by_label("Email").fill("billing@acme.example")
    for label in ("Address line 1", "Address line 2", "City"):
        billing.get_by_label(label).fill("Somewhere 1")
    billing.get_by_label("State").select_option("CA")
    billing.get_by_label("ZIP").fill("94105")
    page.locator('[data-testid="confirm"]').click()
    expect(page.get_by_text("billing@acme.example")).to_be_visible()
    expect(page.get_by_text("Somewhere 1, CA 94105")).to_be_visible()
    page.context.close()
