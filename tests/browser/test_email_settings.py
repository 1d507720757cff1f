"""Sender and texts of e-mails in a real browser: for everybody, on each width, and seen while they are typed."""

import pytest
from playwright.sync_api import Browser, expect

from portal_site import clock
from portal_site.billing.events.actors import ActorType, acting_as
from portal_site.db import db
from portal_site.mail.senders import settings
from tests.browser.conftest import OpenPage, Site, scrolls_sideways, violations
from tests.browser.test_dashboard import Office

TEXTS = "/settings/account/email_texts"


def _wait_for_a_domain(office: Office) -> None:
    with office.site.app.app_context(), acting_as(ActorType.OPERATOR):
        mark = settings.get(office.account_id).mark
        settings.save(office.account_id, mark, "Acme", "billing@a-long-name-of-a-shop.example", "", clock.now())
        db.session.remove()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_pages_of_emails_are_for_everybody(site: Site, browser: Browser, scheme: str) -> None:
    office = Office(site)
    _wait_for_a_domain(office)
    page = browser.new_context(color_scheme=scheme, locale="en-GB").new_page()  # type: ignore[arg-type]
    office.enter(page)
    faults = []
    for address in map(office.address, ("/emails/sender", TEXTS, "/settings/account/emails")):
        for width in (320, 1280):
            page.set_viewport_size({"width": width, "height": 900})
            page.goto(address)
            for radio in page.get_by_label("Use a private key of mine").all():
                radio.check()
            for fold in page.locator("summary").all():
                fold.click()
            if scrolls_sideways(page):
                faults.append(f"{width}: one has to scroll sideways at {address}")
        faults += [f"{address}: {words}" for words in violations(page)]
    page.context.close()
    assert faults == []


def test_own_words_are_seen_while_they_are_typed(site: Site, open_page: OpenPage, script: bool) -> None:
    office, page = Office(site), open_page(1400)
    office.enter(page)
    page.goto(office.address(TEXTS))
    page.locator("summary", has_text="A receipt").first.click()
    page.get_by_label("Subject").locator("visible=true").fill("Paid by {customer_name}")
    if not script:
        page.get_by_role("button", name="Update preview").click()
    expect(page.frame_locator("iframe[name=preview]").get_by_text("Paid by Hedda Berg")).to_be_visible()
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_text("yours: subject")).to_be_visible()
