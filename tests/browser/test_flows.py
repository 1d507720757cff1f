"""A link to one thing only, followed to each of its ends."""

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from portal_site.billing.rules.portal.flows import Completion, Flow, WantedItem
from portal_site.demo import FLOWS as DEMONSTRATED
from tests.browser.conftest import OpenPage, Site, scrolls_sideways, violations
from tests.browser.shopper import Shopper, show_quote
from tests.browser.test_journeys import fill_card

MERCHANT = "https://shop.example/done"
ENDINGS = {
    "a confirmation": Completion("hosted_confirmation", "Thank you. Our team will be in touch."),
    "the overview": Completion("portal_homepage"),
    "the merchant's page": Completion("redirect", return_url=MERCHANT),
}


def _add_card(page: Page, script: bool) -> None:
    page.get_by_role("button", name="Add a payment method").click()
    fill_card(page, "5555 5555 5555 4444")


def _update_customer(page: Page, script: bool) -> None:
    page.get_by_role("link", name="Update information").click()
    page.get_by_label("Email").fill("new@berg.example")
    page.get_by_test_id("confirm").click()


def _cancel(page: Page, script: bool) -> None:
    page.get_by_text("Too expensive", exact=False).click()
    page.get_by_test_id("confirm").click()


def _pause(page: Page, script: bool) -> None:
    page.get_by_role("button", name="Pause").click()


def _update(page: Page, script: bool) -> None:
    page.get_by_label("Quantity").fill("3")
    show_quote(page, script)
    page.get_by_role("button", name="Change plan and pay €10.00").click()


def _confirm(page: Page, script: bool) -> None:
    page.get_by_role("button", name="Change plan and pay €10.00").click()


FLOWS: dict[str, tuple[Callable[[Page, bool], None], str]] = {
    "payment_method_update": (_add_card, "Your payment method was added"),
    "customer_update": (_update_customer, "Your billing information was updated"),
    "subscription_cancel": (_cancel, "Your subscription ends on 1 May 2026"),
    "subscription_pause": (_pause, "Your subscription is paused"),
    "subscription_update": (_update, "You now have 3 seats"),
    "subscription_update_confirm": (_confirm, "You now have 3 seats"),
}


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("type_", FLOWS)
def test_one_thing_is_done_and_ends_as_the_merchant_wants(
    site: Site, open_page: OpenPage, script: bool, type_: str, ending: str
) -> None:
    shopper = Shopper.of(site)
    of_subscription = type_.startswith("subscription")
    items = (WantedItem(shopper.shop.item_id, None, 3),) if type_.endswith("confirm") else ()
    flow = Flow(type_, ENDINGS[ending], shopper.shop.subscription.id if of_subscription else None, items)
    page = open_page(320)
    page.route(MERCHANT, lambda route: route.fulfill(body="<h1>Back at the shop</h1>", content_type="text/html"))
    page.goto(site.link(shopper.shop.customer, flow=flow, return_url="https://shop.example/account"))
    expect(page.get_by_role("heading", level=1)).to_be_visible()
    expect(page.get_by_role("link", name="Overview")).to_have_count(0)
    page.reload()
    act, words = FLOWS[type_]
    act(page, script)
    title = page.get_by_role("heading", level=1)
    if ending == "the merchant's page":
        expect(title).to_have_text("Back at the shop")
        assert page.url == MERCHANT
        return
    if ending == "the overview":
        if "seats" in words:  # after the page with amount, card and date
            expect(title).to_have_text(words)
            page.get_by_role("link", name="Back to overview").click()
        expect(page.get_by_role("heading", name="Invoice history")).to_be_visible()
        return
    expect(title).to_have_text(words)
    expect(page.get_by_text("Thank you. Our team will be in touch.")).to_be_visible()
    expect(page.get_by_role("main").get_by_role("link", name=re.compile("^Return to"))).to_be_visible()
    assert not scrolls_sideways(page)
    if script:
        assert violations(page) == []


@pytest.mark.parametrize("script", ["script"], indirect=True)
def test_the_demo_has_a_link_for_each_type(site: Site, open_page: OpenPage) -> None:
    page = open_page()
    for name in DEMONSTRATED.values():
        page.goto(f"{site.address}/demo")
        page.get_by_role("button", name=name).click()
        expect(page.get_by_role("heading", level=1)).to_be_visible()
        expect(page.get_by_role("link", name="Overview")).to_have_count(0)
