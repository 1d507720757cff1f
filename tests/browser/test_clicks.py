"""How many clicks each task takes from the overview, and what the page at its end says of the money."""

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Locator, Page, expect

from portal_site.db import db
from tests import world
from tests.browser.conftest import OpenPage, Site
from tests.browser.shopper import Shopper
from tests.browser.test_journeys import fill_card

NEXT_PAYMENT = re.compile(r"\b\d{1,2} (?:April|May|June|July) 20\d\d")


class Clicks:
    """A page whose clicks are counted. Where a page goes on without a click, as the sandbox's does, none is counted."""

    def __init__(self, page: Page) -> None:
        self.page, self.count = page, 0

    def __call__(self, place: Locator) -> None:
        self.count += 1
        place.click()

    def link(self, name: str | re.Pattern[str]) -> None:
        self(self.page.get_by_role("link", name=name).first)

    def button(self, name: str | re.Pattern[str]) -> None:
        self(self.page.get_by_role("button", name=name).first)


@pytest.fixture
def start(site: Site, open_page: OpenPage) -> Callable[[Shopper], Clicks]:
    """`start(shopper)`: on the overview, with no click yet."""

    def opened(shopper: Shopper) -> Clicks:
        page = open_page(320)
        page.goto(site.link(shopper.shop.customer))
        return Clicks(page)

    return opened


def _says_what_was_paid(page: Page, amount: str, card: str = "4242") -> None:
    """The page at the end of a payment has the amount, the card and a date, and the focus is in it."""
    main = page.get_by_role("main")
    expect(main).to_contain_text(amount)
    expect(main).to_contain_text(card)
    expect(main).to_contain_text(NEXT_PAYMENT)


def _focus_is_somewhere(page: Page, script: bool) -> None:
    """Where there is a script, whoever reads by ear is taken to what happened."""
    if script:
        expect(page.locator(":focus")).to_have_count(1)
        assert page.evaluate("document.activeElement.tagName") not in ("BODY", "HTML")


def test_another_plan_takes_three(site: Site, start: Callable[[Shopper], Clicks], script: bool) -> None:
    clicks = start(Shopper.of(site, policy={"schedule_at_period_end": ()}))
    page = clicks.page
    clicks.link("Change plan")
    if script:
        clicks(page.get_by_role("radio", name="Solo"))
        clicks.button(re.compile("^(Change plan|Pay and change)"))
        expect(page.get_by_role("status").filter(has_text="Your plan has been changed.")).to_be_visible()
        assert clicks.count == 3
        _focus_is_somewhere(page, script)
    else:  # one more, which shows the price
        clicks(page.get_by_role("radio", name="Solo"))
        clicks.button("Show what it costs")
        clicks.button(re.compile("^(Change plan|Pay and change)"))
        expect(page.get_by_text("Your plan has been changed.")).to_be_visible()
        assert clicks.count == 4


def test_more_seats_take_three(site: Site, start: Callable[[Shopper], Clicks], script: bool) -> None:
    clicks = start(Shopper.of(site))
    page = clicks.page
    clicks.link("Change seats")
    clicks.button("One more")
    expect(page.get_by_label("Quantity")).to_have_value("2")
    expect(page.get_by_text("1 more seat")).to_be_visible()
    clicks.button(re.compile("pay €5.00|Pay and change"))
    expect(page.get_by_role("heading", level=1)).to_contain_text("2 seats")
    assert clicks.count == 3
    _says_what_was_paid(page, "€5.00")
    _focus_is_somewhere(page, script)


def test_cancelling_takes_two_and_keeping_one(site: Site, start: Callable[[Shopper], Clicks], script: bool) -> None:
    clicks = start(Shopper.of(site))
    page = clicks.page
    clicks(page.get_by_test_id("cancel-subscription"))
    expect(page.get_by_text("Too expensive", exact=False)).to_be_visible()
    clicks(page.get_by_test_id("confirm"))
    expect(page.get_by_role("status").filter(has_text="Your cancellation is confirmed.")).to_be_visible()
    assert clicks.count == 2
    _focus_is_somewhere(page, script)
    page.goto(f"{site.address}/")
    clicks.count = 0
    clicks(page.locator("[data-test=renew-subscription]"))
    expect(page.get_by_role("status").filter(has_text="Your subscription continues as before.")).to_be_visible()
    assert clicks.count == 1
    _focus_is_somewhere(page, script)


def test_resuming_takes_two(site: Site, start: Callable[[Shopper], Clicks], script: bool) -> None:
    shopper = Shopper.of(site, status="paused")
    clicks = start(shopper)
    page = clicks.page
    clicks.link("Resume subscription")
    clicks(page.get_by_test_id("confirm"))
    assert clicks.count == 2
    expect(page.get_by_role("heading", level=1)).to_contain_text("resumed")
    _says_what_was_paid(page, "€10.00")
    _focus_is_somewhere(page, script)


def test_paying_takes_two_with_the_card_that_is_there_and_three_with_a_new_one(
    site: Site, open_page: OpenPage, script: bool
) -> None:
    for card, steps in ((world.VISA, 2), (None, 3)):
        with site.app.app_context():
            shop = world.scene(last="open", card=card or world.FAILS)
            db.session.remove()
        page = open_page(320)
        page.goto(site.link(shop.customer))
        clicks = Clicks(page)
        clicks.link("Pay €24.00")
        if card is None:
            clicks.button("Add a payment method")
            fill_card(page, "4242 4242 4242 4242")  # on the provider's page, whose clicks are its own
        clicks.button("Pay €24.00")
        expect(page.get_by_role("heading", level=1)).to_have_text("The invoice is paid")
        assert clicks.count == steps
        main = page.get_by_role("main")
        for said in ("€24.00", "4242", re.compile(r"\d{1,2} \w+ 20\d\d")):
            expect(main).to_contain_text(said)
        _focus_is_somewhere(page, script)


def test_an_invoice_as_pdf_takes_one(site: Site, open_page: OpenPage, script: bool) -> None:
    page = open_page()
    page.goto(site.link("Active, yearly, 25 seats"))
    with page.expect_download() as download:
        page.get_by_role("link", name=re.compile("Download invoice .+ as PDF")).first.click()
    assert download.value.suggested_filename.endswith(".pdf")


def test_subscribing_again_ends_on_a_page_with_amount_card_and_date(
    site: Site, start: Callable[[Shopper], Clicks], script: bool
) -> None:
    shopper = Shopper.of(site)
    shopper.may_leave(mode="immediately", cancellation_reason={"enabled": False})
    clicks = start(shopper)
    page = clicks.page
    clicks(page.get_by_test_id("cancel-subscription"))
    clicks(page.get_by_test_id("confirm"))
    clicks.link("Resubscribe")
    clicks(page.get_by_test_id("confirm"))
    expect(page.get_by_role("heading", level=1)).to_be_visible()
    _says_what_was_paid(page, "€10.00")
    _focus_is_somewhere(page, script)


def test_a_button_that_needs_a_script_shows_only_where_there_is_one(
    site: Site, open_page: OpenPage, script: bool
) -> None:
    page = open_page(320)
    page.goto(site.link(Shopper.of(site).shop.customer))
    page.goto(f"{site.address}/invoices")
    page.locator(".invoices tbody a").first.click()
    expect(page.get_by_role("link", name="Download PDF")).to_be_visible()
    expect(page.get_by_role("button", name="Print")).to_be_visible(visible=script)
