"""Changing plan and quantity and undoing it, from the link to the invoice, with and without JavaScript."""

import re

import pytest
from playwright.sync_api import expect

from tests import world
from tests.browser.conftest import OpenPage, Site
from tests.browser.shopper import Shopper, due, show_quote
from tests.browser.test_journeys import fill_card

DOWN = {"schedule_at_period_end": ("decreasing_item_amount", "shortening_interval")}


def test_more_seats_are_quoted_charged_and_invoiced_to_the_cent(site: Site, open_page: OpenPage, script: bool) -> None:
    shopper = Shopper.of(site)
    page = open_page(320)
    page.goto(site.link(shopper.shop.customer))
    page.get_by_role("link", name="Change seats").click()
    page.get_by_label("Quantity").fill("3")
    show_quote(page, script)
    due(page, "€10.00")
    page.get_by_text("How this is worked out").click()
    expect(page.get_by_text("15 of 30 days × €10.00 = €5.00 credit")).to_be_visible()
    if script:
        expect(page.locator("#voice")).to_have_text("Due today: €10.00.")
    page.get_by_label("Quantity").fill("0")
    show_quote(page, script)
    expect(page.get_by_text("Choose a quantity from 1 to 999,999.").first).to_be_visible()
    page.get_by_label("Quantity").fill("3")
    show_quote(page, script)
    page.get_by_role("button", name="Change plan and pay €10.00").click()
    expect(page.get_by_text("It is paid, and your plan was changed.")).to_be_visible()
    expect(page.get_by_role("heading", level=1)).to_have_text("You now have 3 seats")
    expect(page.get_by_text("€10.00 was charged to Visa •••• 4242 on 16 April 2026.")).to_be_visible()
    page.get_by_role("link", name="Back to overview").click()
    expect(page.get_by_role("link", name="April 16, 2026").or_(page.get_by_text("16 April 2026")).first).to_be_visible()
    assert shopper.paid() == (2, 1)


def test_another_interval_and_a_code(site: Site, open_page: OpenPage, script: bool) -> None:
    shopper = Shopper.of(site)
    page = open_page()
    shopper.opens_plans(page)
    page.get_by_role("link", name="Yearly").click()
    due(page, "€90.89")
    page.get_by_text("Add a promotion code").click()
    page.get_by_label("Promotion code").fill("WINTER")
    page.get_by_role("button", name="Apply").click()
    expect(page.get_by_text("We could not find this code.").first).to_be_visible()
    page.get_by_label("Promotion code").fill("spring")
    page.get_by_role("button", name="Apply").click()
    expect(page.get_by_text(re.compile("Code .* applied"))).to_be_visible()
    due(page, "€71.71")
    page.get_by_role("button", name="Change plan and pay €71.71").click()
    expect(page.get_by_text("your plan was changed")).to_be_visible()
    assert shopper.paid() == (2, 1)


def test_down_at_the_end_of_the_period_and_not_after_all(site: Site, open_page: OpenPage, script: bool) -> None:
    shopper = Shopper.of(site, policy=DOWN)
    page = open_page()
    shopper.opens_plans(page)
    page.get_by_role("radio", name="Solo").check()
    show_quote(page, script)
    expect(page.get_by_text("Nothing changes until 1 May 2026.")).to_be_visible()
    page.get_by_role("button", name="Change plan on 1 May 2026").click()
    expect(page.get_by_text("Your change is scheduled for the end of the current period.")).to_be_visible()
    expect(page.get_by_text("From 1 May 2026:")).to_contain_text("Solo, €4.00")
    page.get_by_role("button", name="Undo this change").click()
    expect(page.get_by_text("Your plan continues as it is.")).to_be_visible()
    expect(page.get_by_text("From 1 May 2026:")).to_have_count(0)
    assert shopper.paid() == (1, 0)


def test_a_declined_card_leaves_the_old_plan_until_another_pays(site: Site, open_page: OpenPage, script: bool) -> None:
    shopper = Shopper.of(site, card=world.FAILS)
    page = open_page()
    shopper.opens_plans(page)
    page.get_by_label("Quantity").fill("3")
    show_quote(page, script)
    page.get_by_role("button", name="Change plan and pay €10.00").click()
    expect(page.get_by_text("declined")).to_be_visible()
    expect(page.get_by_text("Until then, your plan stays as it is")).to_be_visible()
    page.get_by_role("link", name="Use another payment method").click()
    page.get_by_role("button", name="Add a payment method").click()
    fill_card(page, "4242 4242 4242 4242")
    page.get_by_role("link", name="Overview").click()
    page.get_by_role("link", name="Team").first.click()
    page.get_by_role("button", name="Pay €10.00").click()
    expect(page.get_by_text("your plan was changed", exact=False)).to_be_visible()
    expect(page.get_by_role("heading", level=1)).to_have_text("You now have 3 seats")
    assert shopper.paid() == (2, 1)


def test_a_change_that_is_not_paid_can_be_taken_back(site: Site, open_page: OpenPage, script: bool) -> None:
    shopper = Shopper.of(site, card=world.FAILS)
    page = open_page(320)
    shopper.opens_plans(page)
    page.get_by_label("Quantity").fill("3")
    show_quote(page, script)
    page.get_by_role("button", name="Change plan and pay").click()
    page.get_by_role("button", name="Undo this change").click()
    expect(page.get_by_text("nothing was charged")).to_be_visible()
    expect(page.get_by_role("link", name="Change plan")).to_be_visible()


def test_the_bank_asks_first(site: Site, open_page: OpenPage, script: bool) -> None:
    shopper = Shopper.of(site, card=world.ASKS)
    page = open_page()
    shopper.opens_plans(page)
    page.get_by_label("Quantity").fill("2")
    show_quote(page, script)
    page.get_by_role("button", name="Change plan and pay €5.00").click()
    page.get_by_role("button", name="Fail authentication").click()
    expect(page.get_by_text("could not verify your identity")).to_be_visible()
    page.get_by_role("button", name="Pay €5.00").click()
    page.get_by_role("button", name="Complete authentication").click()
    expect(page.get_by_text("your plan was changed")).to_be_visible()
    assert shopper.paid() == (2, 1)


@pytest.mark.case("D6")
def test_a_double_click_and_a_second_tab_are_one_change(site: Site, open_page: OpenPage, script: bool) -> None:
    shopper = Shopper.of(site)
    page = open_page()
    shopper.opens_plans(page)
    page.get_by_label("Quantity").fill("3")
    show_quote(page, script)
    due(page, "€10.00")
    tab = page.context.new_page()
    tab.goto(f"{site.address}/subscriptions/{shopper.shop.subscription.id}/plan-change")
    tab.get_by_label("Quantity").fill("2")
    show_quote(tab, script)
    due(tab, "€5.00")
    page.get_by_role("button", name="Change plan and pay €10.00").dblclick()
    # Which of the two answers the browser shows, and its sentence, is a matter of chance.
    expect(page.get_by_text(re.compile("your plan (was|has been) changed", re.IGNORECASE))).to_be_visible()
    tab.get_by_role("button", name="Change plan and pay €5.00").click()
    expect(tab.get_by_role("alert")).to_contain_text("have changed since you looked")
    assert shopper.paid() == (2, 1)


def test_cancel_and_stay_after_all(site: Site, open_page: OpenPage) -> None:
    shopper = Shopper.of(site)
    page = open_page(320)
    page.goto(site.link(shopper.shop.customer))
    page.get_by_role("link", name="Cancel subscription").click()
    page.get_by_role("radio", name="It is too expensive").check()
    page.get_by_label("Your comment").fill("Twice the price of last year.")
    expect(page.get_by_text("Your subscription to Team continues until 1 May 2026, then ends.")).to_be_visible()
    page.get_by_role("button", name="Cancel subscription").click()
    expect(page.get_by_text("Ends 1 May 2026").first).to_be_visible()
    page.get_by_role("button", name="Don’t cancel").click()
    expect(page.get_by_text("Your subscription continues as before.")).to_be_visible()
    expect(page.get_by_text(re.compile("on 1 May 2026"))).to_be_visible()


def test_pause_and_go_on(site: Site, open_page: OpenPage) -> None:
    shopper = Shopper.of(site)
    page = open_page(320)
    page.goto(site.link(shopper.shop.customer))
    page.get_by_role("link", name="Pause").click()
    expect(page.get_by_text("worth €5.00")).to_be_visible()
    page.get_by_role("radio", name="For 1 month").check()
    page.get_by_role("button", name="Pause subscription").click()
    expect(page.get_by_text("You pay nothing until then.")).to_be_visible()
    page.get_by_role("link", name="Resume subscription").click()
    due(page, "€5.00")
    page.get_by_role("button", name="Resume and pay €5.00").click()
    expect(page.get_by_text("Your next invoice, on 16 May 2026, will be €10.00.")).to_be_visible()
    assert shopper.paid() == (2, 1)


def test_leave_and_come_back(site: Site, open_page: OpenPage) -> None:
    shopper = Shopper.of(site)
    shopper.may_leave(mode="immediately")
    page = open_page()
    page.goto(site.link(shopper.shop.customer))
    page.get_by_role("link", name="Cancel subscription").click()
    page.get_by_role("button", name="Cancel now").click()
    expect(page.get_by_text("Your cancellation is confirmed. Your subscription has ended.")).to_be_visible()
    page.get_by_role("link", name="Resubscribe").click()
    due(page, "€10.00")
    page.get_by_role("button", name="Resubscribe and pay €10.00").click()
    expect(page.get_by_text("Welcome back.")).to_be_visible()
    expect(page.get_by_text("Your next invoice, on 16 May 2026, will be €10.00.")).to_be_visible()


def test_stay_for_a_discount(site: Site, open_page: OpenPage) -> None:
    shopper = Shopper.of(site)
    shopper.offers({"offer": {"type": "coupon", "coupon": shopper.coupon()}, "when": {"reasons": ["too_expensive"]}})
    page = open_page(320)
    page.goto(site.link(shopper.shop.customer))
    page.get_by_role("link", name="Cancel subscription").click()
    page.get_by_role("radio", name="It is too expensive").check()
    page.get_by_role("button", name="Cancel subscription").click()
    expect(page.get_by_role("heading", name="Before you go")).to_be_visible()
    expect(page.get_by_text("Your next invoice, on 1 May 2026, will be €8.00 instead of €10.00.")).to_be_visible()
    page.get_by_role("button", name="Get 20% off and stay").click()
    expect(page.get_by_text("Thank you for staying.")).to_be_visible()
    expect(page.get_by_text("€8.00").first).to_be_visible()


def test_a_cheaper_plan_in_place_of_an_end_and_no_thanks(site: Site, open_page: OpenPage, script: bool) -> None:
    shopper = Shopper.of(site)
    shopper.offers({"offer": {"type": "price", "price": shopper.shop.prices["solo"].id}})
    page = open_page()
    page.goto(site.link(shopper.shop.customer))
    page.get_by_role("link", name="Cancel subscription").click()
    page.get_by_role("button", name="Cancel subscription").click()
    expect(page.get_by_role("heading", name="Before you go")).to_be_visible()
    offer = page.url
    page.get_by_role("link", name="See what switching costs").click()
    expect(page.get_by_role("radio", name="Solo")).to_be_checked()
    page.get_by_text("How this is worked out").click()
    expect(page.get_by_text("Kept as credit")).to_be_visible()
    page.get_by_role("link", name="Yearly").click()
    due(page, "€90.89")
    page.goto(offer)
    page.get_by_role("button", name="No thanks, continue to cancel").click()
    expect(page.get_by_text("Your subscription to Team continues until 1 May 2026, then ends.")).to_be_visible()
