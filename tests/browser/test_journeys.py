"""The main tasks of a customer, from the link to the end, with and without JavaScript."""

import re

import pytest
from playwright.sync_api import Browser, Page, Response, Route, expect

from portal_site.billing.models import Customer
from portal_site.db import db
from tests import world
from tests.browser.conftest import OpenPage, Site


@pytest.fixture
def customer(site: Site) -> Customer:
    """A customer of this journey's own, with an invoice that is open."""
    with site.app.app_context():
        made = world.scene(last="open", card=world.FAILS).customer
        db.session.remove()
    return made


def fill_card(page: Page, number: str) -> None:
    """On the sandbox's page."""
    page.get_by_label("Card number").fill(number)
    page.get_by_label("Expiry").fill("12/34")
    page.get_by_label("Security code").fill("123")
    page.get_by_role("button", name="Save card").click()


def test_correct_the_billing_information(site: Site, customer: Customer, open_page: OpenPage, script: bool) -> None:
    page = open_page(320)
    page.goto(site.link(customer))
    page.get_by_role("link", name="Update information").click()
    page.get_by_label("Email").fill("nonsense")
    page.get_by_label("Name", exact=False).first.fill("Berg & Daughters")
    page.get_by_role("button", name="Save billing information").click()
    summary = page.get_by_role("alert")
    expect(summary).to_contain_text("Enter an email address such as name@example.com.")
    if script:
        expect(summary).to_be_focused()
    expect(page.get_by_label("Name", exact=False).first).to_have_value("Berg & Daughters")
    summary.get_by_role("link").click()
    expect(page.get_by_label("Email")).to_be_focused()
    page.get_by_label("Email").fill("new@acme.example")
    billing = page.get_by_role("group", name="Billing address")
    billing.get_by_label("Country").select_option("US")
    if not script:
        billing.get_by_role("button", name="Show the fields for this country").click()
    expect(billing.get_by_label("ZIP code")).to_be_visible()
    billing.get_by_label("Address line 1").fill("500 Congress Ave")
    billing.get_by_label("City").fill("Austin")
    billing.get_by_label("State").select_option("TX")
    billing.get_by_label("ZIP code").fill("78701")
    page.get_by_role("button", name="Save billing information").click()
    expect(page.get_by_text("Your billing information was updated.")).to_be_visible()
    expect(page.get_by_text("Austin, TX 78701")).to_be_visible()


def test_what_is_typed_while_the_fields_of_a_country_come_is_kept(
    site: Site, customer: Customer, open_page: OpenPage, script: bool
) -> None:
    if not script:
        pytest.skip("without a script the country's fields come with a page of their own")
    page = open_page()
    page.goto(site.link(customer))
    page.goto(f"{site.address}/billing-information/edit")
    billing = page.get_by_role("group", name="Billing address")
    billing.get_by_label("City").fill("Boston")
    held: list[Route] = []
    page.route("**/address/fields", lambda route: held.append(route))  # noqa: PLW0108 - Playwright wants a function
    with page.expect_request("**/address/fields"):
        billing.get_by_label("Country").select_option("US")
    billing.get_by_label("Address line 1").fill("500 Congress Ave")
    billing.get_by_label("City").fill("Austin")
    held[0].continue_()
    expect(billing.get_by_label("ZIP code")).to_be_visible()
    expect(billing.get_by_label("Address line 1")).to_have_value("500 Congress Ave")
    expect(billing.get_by_label("City")).to_have_value("Austin")
    expect(billing.get_by_label("City")).to_be_focused()


def test_what_is_chosen_before_the_script_has_loaded_counts(
    site: Site, customer: Customer, open_page: OpenPage, script: bool
) -> None:
    if not script:
        pytest.skip("there is no script to wait for")
    page = open_page()
    page.goto(site.link(customer))
    held: list[Route] = []
    page.route(re.compile(r"/site\b.*\.js"), lambda route: held.append(route))  # noqa: PLW0108 - Playwright wants a function
    page.goto(f"{site.address}/billing-information/edit", wait_until="commit")
    billing = page.get_by_role("group", name="Billing address")
    billing.get_by_label("Country").select_option("US")
    held[0].continue_()
    expect(billing.get_by_label("ZIP code")).to_be_visible()
    expect(billing.get_by_label("Country")).to_have_value("US")


def test_enter_in_a_field_saves_the_form(site: Site, customer: Customer, open_page: OpenPage) -> None:
    page = open_page()
    page.goto(site.link(customer))
    page.goto(f"{site.address}/billing-information/edit")
    page.get_by_label("Email").fill("enter@acme.example")
    page.get_by_label("Email").press("Enter")
    expect(page.get_by_text("Your billing information was updated.")).to_be_visible()
    expect(page.get_by_text("enter@acme.example")).to_be_visible()


def test_a_failed_payment_is_mended_with_a_new_card(site: Site, customer: Customer, open_page: OpenPage) -> None:
    page = open_page(320)
    page.goto(site.link(customer))
    page.get_by_role("link", name="Pay €24.00").click()
    page.get_by_role("button", name="Pay €24.00").click()
    expect(page.get_by_text("Nothing was charged.")).to_be_visible()
    page.get_by_role("button", name="Add a payment method").click()
    fill_card(page, "4000 0000 0000 0002")
    expect(page.get_by_role("alert")).to_contain_text("Your card was declined")
    fill_card(page, "4242 4242 4242 4242")
    expect(page.get_by_text("Payment method ending in 4242 was added")).to_be_visible()
    expect(page.get_by_role("radio", name="4242")).to_be_checked()
    page.get_by_role("button", name="Pay €24.00").click()
    expect(page.get_by_text("Thank you. The invoice is paid.")).to_be_visible()
    page.get_by_role("link", name="Overview").click()
    expect(page.get_by_text("Active", exact=True)).to_be_visible()


def test_the_bank_asks_before_a_card_is_saved_and_before_it_is_charged(
    site: Site, customer: Customer, open_page: OpenPage
) -> None:
    page = open_page()
    page.goto(site.link(customer))
    page.get_by_role("button", name="Add a payment method").click()
    fill_card(page, "4000002500003155")
    page.get_by_role("button", name="Complete authentication").click()
    expect(page.get_by_text("Payment method ending in 3155 was added")).to_be_visible()
    page.get_by_role("button", name="Add a payment method").click()
    fill_card(page, "4000002760003184")
    page.get_by_role("link", name="Pay €24.00").click()
    page.get_by_role("button", name="Pay €24.00").click()
    page.get_by_role("button", name="Fail authentication").click()
    expect(page.get_by_text("could not verify your identity")).to_be_visible()
    page.get_by_role("button", name="Pay €24.00").click()
    page.get_by_role("button", name="Complete authentication").click()
    expect(page.get_by_text("The invoice is paid.")).to_be_visible()


def test_choose_the_default_and_remove_the_other(
    site: Site, customer: Customer, open_page: OpenPage, script: bool
) -> None:
    page = open_page()
    page.goto(site.link(customer))
    page.get_by_role("button", name="Add a payment method").click()
    page.get_by_label("IBAN").fill("DE89 3704 0044 0532 0130 00")
    page.get_by_role("button", name="Save account").click()
    page.goto(f"{site.address}/")
    page.get_by_role("button", name="Make default").click()
    expect(page.get_by_text("Future payments will be charged to the payment method ending in 0341")).to_be_visible()
    if script:  # the page stays, with its section swapped
        expect(page).to_have_title(re.compile("^Overview"))
    page.get_by_role("link", name="Remove SEPA 3000").click()
    page.get_by_role("button", name="Remove SEPA ending in 3000").click()
    expect(page.get_by_text("Payment method ending in 3000 was removed.")).to_be_visible()
    expect(page.get_by_text("SEPA")).to_have_count(0)


def test_read_old_invoices(site: Site, open_page: OpenPage, script: bool) -> None:
    page = open_page(320)
    page.goto(site.link("3,000 invoices"))
    page.get_by_role("link", name="All invoices").click()
    rows = page.locator(".invoices tbody tr:not(.more)")
    expect(rows).to_have_count(24)
    first = rows.first.inner_text()
    page.get_by_role("link", name="View more").click()
    expect(rows).to_have_count(48 if script else 24)
    if script:
        assert rows.first.inner_text() == first
    else:
        page.go_back()
    rows.first.get_by_role("link").first.click()
    expect(page.get_by_role("heading", level=1)).to_have_text(re.compile("Invoice .+-3000"))
    if script:  # Back leads to where one was in the list, not to its beginning
        page.go_back()
        expect(rows).to_have_count(24)
        number = rows.nth(6).locator("td").first.inner_text()
        rows.nth(6).get_by_role("link").first.click()
        expect(page.get_by_role("heading", level=1)).to_contain_text(number)
        page.go_back()
        expect(rows.get_by_text(number)).to_be_visible()


@pytest.mark.case("A12")
def test_log_out_and_go_back(site: Site, customer: Customer, open_page: OpenPage) -> None:
    page = open_page()
    page.goto(site.link(customer))
    page.goto(f"{site.address}/invoices")
    page.get_by_role("button", name="Log out").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("You are logged out")
    page.go_back()
    expect(page.get_by_text("Your session has ended")).to_be_visible()
    expect(page.get_by_text("Hedda")).to_have_count(0)


def test_speak_french(site: Site, customer: Customer, open_page: OpenPage) -> None:
    page = open_page()
    page.goto(site.link(customer))
    page.get_by_role("button", name="Français").click()
    expect(page.get_by_role("heading", name="Moyens de paiement")).to_be_visible()
    assert page.locator("html").get_attribute("lang") == "fr"
    page.get_by_role("button", name="English").click()
    expect(page.get_by_role("heading", name="Payment methods")).to_be_visible()


def test_the_keyboard_alone_is_enough(site: Site, customer: Customer, open_page: OpenPage) -> None:
    page = open_page()
    page.goto(site.link(customer))
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to content")).to_be_focused()
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    pay = page.get_by_role("link", name="Pay €24.00")
    expect(pay).to_be_focused()
    outline = pay.evaluate("element => getComputedStyle(element).outlineStyle")
    assert outline == "solid"
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_contain_text("Pay invoice")


def _weight(response: Response) -> int:
    sizes = response.request.sizes()
    return sizes["responseBodySize"] + sizes["responseHeadersSize"]


def test_the_first_load_is_light_and_from_here_alone(site: Site, customer: Customer, open_page: OpenPage) -> None:
    page = open_page()
    answers: list[tuple[str, int]] = []
    page.on(
        "response",
        lambda r: answers.append((r.url, _weight(r))) if r.status == 200 else None,
    )
    page.goto(site.link(customer), wait_until="load")
    assert all(url.startswith((site.address, "data:")) for url, _ in answers)
    ours = [size for url, size in answers if url.startswith(site.address)]
    assert len(ours) <= 5
    assert sum(ours) <= 30 * 1024


def test_before_an_idle_session_ends_one_is_asked(site: Site, customer: Customer, browser: Browser) -> None:
    page = browser.new_context(locale="en-GB").new_page()
    page.clock.install()
    page.goto(site.link(customer))
    notice = page.get_by_role("alert").filter(has_text="logged out in five minutes")
    expect(notice).to_be_hidden()
    page.clock.fast_forward("55:00")
    expect(notice).to_be_visible()
    page.get_by_role("button", name="Stay logged in").click()
    expect(notice).to_be_hidden()
    page.clock.fast_forward("54:59")
    expect(notice).to_be_hidden()
    page.context.close()
