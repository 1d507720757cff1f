"""Logging in with a code from an e-mail, in a real browser, with the demo's mailbox."""

import re

from playwright.sync_api import Page, expect

from portal_site.mail import sending
from tests.browser.conftest import OpenPage, Site, scrolls_sideways, violations


def _code(site: Site, page: Page, address: str) -> str:
    """The code in the newest e-mail to an address. The page is that of another person."""
    sending.send(site.app)
    page.goto(f"{site.address}/demo/mail")
    row = page.get_by_role("listitem").filter(has_text=address).first
    subject = row.get_by_role("link").inner_text()
    found = re.match(r"\d{6}", subject)
    assert found, subject
    return found[0]


def _ask(site: Site, page: Page, address: str) -> None:
    page.goto(f"{site.address}/login/northlight")
    page.get_by_label("Email").fill(address)
    page.get_by_role("button", name="Send me a code").click()
    expect(page.get_by_role("heading", name="Enter your code")).to_be_visible()


def test_a_code_lets_in(site: Site, open_page: OpenPage, script: bool) -> None:
    page, mail = open_page(320), open_page()
    page.goto(f"{site.address}/login/northlight?prefilled_email=nonsense")
    page.get_by_role("button", name="Send me a code").click()
    expect(page.get_by_text("Enter an email address such as").first).to_be_visible()
    assert page.title().startswith("Error:")
    _ask(site, page, "carlos@ibarra.example")
    field = page.get_by_label("Code")
    expect(field).to_have_attribute("autocomplete", "one-time-code")
    expect(field).to_have_attribute("inputmode", "numeric")
    assert not scrolls_sideways(page)
    if script:
        assert violations(page) == []
    field.fill("000000")
    page.get_by_role("button", name="Log in").click()
    expect(page.get_by_text("This is not the code that we sent last.").first).to_be_visible()
    page.get_by_label("Code").fill(_code(site, mail, "carlos@ibarra.example"))
    page.get_by_role("button", name="Log in").click()
    expect(page.get_by_role("heading", name="Invoice history")).to_be_visible()


def test_the_link_in_the_email_fills_the_code_in(site: Site, open_page: OpenPage, script: bool) -> None:
    page, mail = open_page(), open_page()
    _ask(site, page, "elif@demir.example")
    code = _code(site, mail, "elif@demir.example")
    mail.get_by_role("link", name=re.compile(code)).first.click()
    expect(mail.get_by_text(code).first).to_be_visible()
    if script:
        assert violations(mail) == []
    link = mail.get_by_role("link", name="Fill in the code").get_attribute("href") or ""
    elsewhere = open_page()
    elsewhere.goto(link)
    expect(elsewhere.get_by_role("heading", name="This is another browser")).to_be_visible()
    page.goto(link)
    expect(page.get_by_label("Code")).to_have_value(code)
    page.get_by_role("button", name="Log in").click()
    expect(page.get_by_role("heading", name="Invoice history")).to_be_visible()


def test_who_stays_logged_in_is_asked_for_a_code_before_a_card_is_added(
    site: Site, open_page: OpenPage, script: bool
) -> None:
    page, mail = open_page(320), open_page()
    _ask(site, page, "bea@lindqvist.example")
    page.get_by_label("Stay logged in on this device").check()
    page.get_by_label("Code").fill(_code(site, mail, "bea@lindqvist.example"))
    page.get_by_role("button", name="Log in").click()
    session = next(each for each in page.context.cookies() if not each["name"].endswith("-device"))  # type: ignore[typeddict-item]
    page.context.clear_cookies(name=session["name"])  # type: ignore[typeddict-item]
    page.goto(f"{site.address}/payment-methods")
    page.get_by_role("link", name="Devices").click()
    expect(page.get_by_text("This device").first).to_be_visible()
    assert not scrolls_sideways(page)
    if script:
        assert violations(page) == []
    page.goto(f"{site.address}/payment-methods/new")
    expect(page.get_by_role("heading", name="Get a code by email")).to_be_visible()
    page.get_by_role("button", name="Send me a code").click()
    expect(page.get_by_role("heading", name="Enter your code")).to_be_visible()
    page.get_by_label("Code").fill(_code(site, mail, "bea@lindqvist.example"))
    page.get_by_role("button", name="Log in").click()
    expect(page.get_by_role("button", name="Add a payment method")).to_be_visible()
    page.goto(f"{site.address}/devices")
    page.get_by_role("button", name="Log out on all devices").click()
    expect(page.get_by_role("heading", name="You are logged out")).to_be_visible()  # this one is a device, too


def test_an_unknown_address_is_answered_alike(site: Site, open_page: OpenPage, script: bool) -> None:
    page = open_page()
    _ask(site, page, "nobody@nowhere.example")
    expect(page.get_by_text("nobody@nowhere.example")).to_be_visible()
    page.get_by_role("link", name="Use another address").click()
    expect(page.get_by_label("Email")).to_be_visible()
