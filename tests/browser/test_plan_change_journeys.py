"""The plan change page while a customer chooses, types, makes mistakes and waits, with and without JavaScript."""

import re

import pytest
from playwright.sync_api import Browser, expect

from tests import world
from tests.browser.conftest import OpenPage, Site
from tests.browser.shopper import Shopper, due, show_quote
from tests.conftest import UNREACHED

A_WHILE = 150  # milliseconds for which a finger rests on a button


def test_another_plan_costs_what_was_said_and_its_invoice_says_the_same(
    site: Site, open_page: OpenPage, script: bool
) -> None:
    shopper = Shopper.of(site)
    page = open_page()
    shopper.opens_plans(page)
    page.get_by_role("radio", name="Solo").check()
    page.get_by_label("Quantity").fill("4")
    show_quote(page, script)
    due(page, "€3.00")
    page.get_by_text("How this is worked out").click()
    lines = page.get_by_role("table", name="Today’s invoice").get_by_role("row")
    expect(lines.filter(has_text="Unused time: Team")).to_contain_text("−€5.00")
    expect(lines.filter(has_text="Remaining time: 4 × Solo")).to_contain_text("15 of 30 days × €16.00 = €8.00")
    expect(page.get_by_text("Your next invoice, on 1 May 2026, will be €16.00.")).to_be_visible()
    # Leaving the form field must not fetch the quote again, because that would replace the button during the click.
    page.get_by_role("button", name="Change plan and pay €3.00").click(delay=A_WHILE)
    expect(page.get_by_text("It is paid, and your plan was changed.")).to_be_visible()
    expect(page.get_by_role("heading", level=1)).to_have_text("You now have Solo")
    page.get_by_role("link", name="Back to overview").click()
    newest = page.locator(".invoices tbody tr").first
    expect(newest).to_contain_text("€3.00")
    expect(newest).to_contain_text("Paid")
    newest.get_by_role("link").first.click()
    expect(page.get_by_role("row").filter(has_text="Remaining time: 4 × Solo")).to_contain_text("€8.00")
    assert shopper.paid() == (2, 1)


@pytest.mark.parametrize("script", ["script"], indirect=True)
def test_each_choice_is_quoted_without_a_reload_and_kept_in_the_address(
    site: Site, open_page: OpenPage, script: bool
) -> None:
    shopper = Shopper.of(site)
    page = open_page()
    shopper.opens_plans(page)
    page.evaluate("() => { window.stayed = true }")
    page.get_by_text("Add a promotion code").click()
    code = page.get_by_label("Promotion code")
    code.fill("SPR")
    page.get_by_role("radio", name="Solo").check()
    page.get_by_label("Quantity").fill("4")
    due(page, "€3.00")
    expect(page.locator("#voice")).to_have_text("Due today: €3.00.")
    expect(code).to_have_value("SPR")
    page.get_by_role("radio", name="Team").check()
    due(page, "€15.00")
    expect(page.get_by_role("radio", name="Team")).to_be_focused()
    page.get_by_label("Quantity").fill("3")
    code.fill("")
    code.press_sequentially("SPRING", delay=A_WHILE)
    due(page, "€10.00")
    expect(code).to_have_value("SPRING")
    expect(code).to_be_focused()
    assert page.evaluate("() => window.stayed")
    page.reload()
    due(page, "€10.00")
    expect(page.get_by_label("Quantity")).to_have_value("3")


@pytest.mark.parametrize("quantity", ["0", "-1", "two"])
def test_a_quantity_that_cannot_be_is_said_at_the_field(
    site: Site, open_page: OpenPage, script: bool, quantity: str
) -> None:
    words = "Choose a quantity from 1 to 999,999." if quantity != "two" else "Enter a whole number, such as 12."
    shopper = Shopper.of(site)
    page = open_page(320)
    shopper.opens_plans(page)
    field = page.get_by_label("Quantity")
    field.fill(quantity)
    with page.expect_response(re.compile("/plan-change")) as answer:
        show_quote(page, script)
    assert answer.value.status == 422
    expect(field).to_have_accessible_description(re.compile(re.escape(words)))
    expect(field).to_have_attribute("aria-invalid", "true")
    expect(page.locator(".field").filter(has=field).get_by_text(words)).to_be_visible()
    expect(page.get_by_role("button", name="Change plan")).to_have_count(0)
    if script:
        expect(page.locator("#voice")).to_have_text(words)
        expect(field).to_be_focused()
    else:
        page.get_by_role("alert").get_by_role("link", name=words).click()
        expect(field).to_be_focused()
    expect(field).to_have_value(quantity)
    field.fill("3")
    show_quote(page, script)
    due(page, "€10.00")
    expect(field).not_to_have_attribute("aria-invalid", "true")
    expect(page.get_by_text(words)).to_have_count(0)


def test_a_wrong_code_says_why_and_takes_the_focus(site: Site, open_page: OpenPage, script: bool) -> None:
    shopper = Shopper.of(site)
    page = open_page(320)
    shopper.opens_plans(page)
    page.get_by_text("Add a promotion code").click()
    page.get_by_label("Promotion code").fill("WINTER")
    with page.expect_response(re.compile("/promotion-code")) as answer:
        page.get_by_role("button", name="Apply").click()
    assert answer.value.status == 422
    summary = page.get_by_role("alert").filter(has_text="We could not find this code.")
    if script:
        expect(summary).to_be_focused()
    summary.get_by_role("link").click()
    code = page.get_by_label("Promotion code")
    expect(code).to_be_focused()
    expect(code).to_have_value("WINTER")
    expect(code).to_have_accessible_description(re.compile("We could not find this code."))


def test_an_old_quote_comes_back_with_what_it_costs_now(site: Site, open_page: OpenPage, script: bool) -> None:
    shopper = Shopper.of(site)
    page = open_page()
    shopper.opens_plans(page)
    page.get_by_label("Quantity").fill("3")
    show_quote(page, script)
    due(page, "€10.00")
    shopper.waits(5 * 24 * 60 * 60)
    with page.expect_response(re.compile("/plan-change")) as answer:
        page.get_by_role("button", name="Change plan and pay €10.00").click()
    assert answer.value.status == 409
    notice = page.get_by_role("alert").filter(has_text=re.compile("."))
    expect(notice).to_be_visible()
    if script:
        expect(notice).to_be_focused()
    due(page, "€6.67")
    assert shopper.paid() == (1, 0)
    page.get_by_role("button", name="Change plan and pay €6.67").click()
    expect(page.get_by_text("your plan was changed")).to_be_visible()
    assert shopper.paid() == (2, 1)


def test_the_same_quote_in_two_tabs_is_one_change(site: Site, open_page: OpenPage, script: bool) -> None:
    shopper = Shopper.of(site)
    page = open_page()
    shopper.opens_plans(page)
    page.get_by_label("Quantity").fill("3")
    show_quote(page, script)
    due(page, "€10.00")
    tab = page.context.new_page()
    tab.goto(f"{site.address}/subscriptions/{shopper.shop.subscription.id}/plan-change")
    tab.get_by_label("Quantity").fill("3")
    show_quote(tab, script)
    due(tab, "€10.00")
    page.get_by_role("button", name="Change plan and pay €10.00").click()
    expect(page.get_by_text("your plan was changed")).to_be_visible()
    with tab.expect_response(re.compile("/plan-change")) as answer:
        tab.get_by_role("button", name="Change plan and pay €10.00").click()
    assert answer.value.status == 409
    expect(tab.get_by_role("alert").filter(has_text="You already have this.")).to_be_visible()
    assert shopper.paid() == (2, 1)


def test_what_hinders_a_change_is_said_where_it_was_wished(site: Site, open_page: OpenPage, script: bool) -> None:
    shopper = Shopper.of(site, card=world.FAILS)
    page = open_page(320)
    shopper.opens_plans(page)
    tab = page.context.new_page()
    tab.goto(page.url)
    page.get_by_label("Quantity").fill("3")
    show_quote(page, script)
    page.get_by_role("button", name="Change plan and pay").click()
    expect(page.get_by_role("button", name="Pay €10.00")).to_be_visible()
    tab.get_by_label("Quantity").fill("2")
    show_quote(tab, script)
    if script:
        cost = tab.get_by_role("region", name="What it costs")
        expect(cost.get_by_text("An invoice for this subscription is unpaid.")).to_be_visible()
    else:
        expect(tab.get_by_role("button", name="Pay €10.00")).to_be_visible()
        expect(tab.get_by_role("button", name="Undo this change")).to_be_visible()
    expect(tab.get_by_role("button", name="Change plan")).to_have_count(0)


def test_add_ons_are_chosen_beside_the_plan_and_paid_with_one_confirmation(
    site: Site, open_page: OpenPage, script: bool
) -> None:
    shopper = Shopper.of(site, add_ons=True)
    page = open_page()
    shopper.opens_plans(page)
    storage, support = page.get_by_role("group", name="Storage"), page.get_by_role("group", name="Support")
    storage.get_by_role("textbox").fill("2")
    if script:
        due(page, "€3.00")
    support.get_by_role("radio", name="€5.00").check()
    if script:
        due(page, "€5.50")
    page.get_by_role("radio", name="Solo").check()
    show_quote(page, script)
    due(page, "€2.50")
    page.get_by_text("How this is worked out").click()
    lines = page.get_by_role("table", name="Today’s invoice").get_by_role("row")
    expect(lines.filter(has_text="Remaining time: 2 × Storage")).to_contain_text("€3.00")
    expect(lines.filter(has_text="Remaining time: Support")).to_contain_text("€2.50")
    page.get_by_role("button", name="Change plan and pay €2.50").click(delay=A_WHILE)
    expect(page.get_by_text("It is paid, and your plan was changed.")).to_be_visible()
    page.get_by_role("link", name="Back to overview").click()
    page.get_by_role("link", name="Change plan").click()
    expect(storage.get_by_role("textbox")).to_have_value("2")
    expect(support.get_by_role("radio", name="€5.00")).to_be_checked()
    storage.get_by_role("textbox").fill("0")
    show_quote(page, script)
    page.get_by_text("How this is worked out").click()
    expect(page.get_by_role("row").filter(has_text="Unused time: 2 × Storage")).to_contain_text("−€3.00")
    page.get_by_role("button", name="Change plan", exact=True).click(delay=A_WHILE)
    expect(page.get_by_text("Your plan has been changed.")).to_be_visible()
    expect(page.get_by_text("Storage")).to_have_count(0)


def test_too_many_of_an_add_on_are_refused_at_its_field(site: Site, open_page: OpenPage, script: bool) -> None:
    shopper = Shopper.of(site, add_ons=True)
    page = open_page()
    shopper.opens_plans(page)
    field = page.get_by_role("group", name="Storage").get_by_role("textbox")
    field.fill("11")
    show_quote(page, script)
    expect(page.locator(f"[id='{field.get_attribute('id')}-error']")).to_contain_text("Choose a quantity from 1 to 10.")
    expect(page.get_by_role("button", name="Change plan")).to_have_count(0)


def test_without_a_network_the_page_stays_where_it_is_and_says_so(site: Site, browser: Browser) -> None:
    page = browser.new_context(viewport={"width": 320, "height": 900}).new_page()
    Shopper.of(site).opens_plans(page)
    page.evaluate("window.scrollTo(0, document.body.scrollHeight)")
    before = page.evaluate("scrollY")
    assert before > 0
    page.route("**/plan-change/quote*", lambda route: route.abort())
    page.get_by_label("Quantity").evaluate(
        "field => { field.value = '4'; field.dispatchEvent(new Event('input', {bubbles: true})); }"
    )
    expect(page.get_by_text("The server could not be reached.")).to_be_in_viewport()
    assert page.evaluate("scrollY") - before in range(-1, 200)  # longer by the message, and no jump to the top
    page.context.close()


def test_after_too_many_requests_the_page_says_when_to_try_again_and_stays(site: Site, browser: Browser) -> None:
    page = browser.new_context(viewport={"width": 320, "height": 900}).new_page()
    Shopper.of(site).opens_plans(page)
    limits = site.app.extensions["rate_limits"]
    limits.set_rate("portal", "1 per 2 hour")
    try:
        for quantity in ("4", "5"):
            with page.expect_response("**/plan-change/quote*"):
                page.get_by_label("Quantity").fill(quantity)
        expect(page.get_by_text("Too many requests. Nothing has been changed. Try again in 2 hours.")).to_be_visible()
    finally:
        limits.set_rate("portal", UNREACHED)
    page.get_by_label("Quantity").fill("3")
    expect(page.get_by_text("Too many requests.")).to_be_hidden()
    page.context.close()
