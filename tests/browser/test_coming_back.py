"""A session that ends during input: no input is lost, and the new link leads back to the same page."""

import pytest
from playwright.sync_api import expect
from sqlalchemy import update

from portal_site.billing.models import Customer, PortalVisit
from portal_site.db import db
from portal_site.db.transactions import transaction
from tests import world
from tests.browser.conftest import OpenPage, Site, violations


def _end_sessions(site: Site, customer: Customer) -> None:
    with site.app.app_context():
        with transaction() as session:
            theirs = PortalVisit.account_id == customer.account_id
            session.execute(update(PortalVisit).where(theirs).values(ended_at=1))
        db.session.remove()


@pytest.mark.case("A13")
def test_a_session_that_ends_while_one_types(site: Site, open_page: OpenPage, script: bool) -> None:
    with site.app.app_context():
        customer = world.scene().customer
        db.session.remove()
    page = open_page(320)
    page.goto(site.link(customer))
    page.goto(f"{site.address}/billing-information/edit")
    page.get_by_label("Name", exact=False).first.fill("Typed before")
    _end_sessions(site, customer)
    if not script:
        page.get_by_role("button", name="Save billing information").click()
        expect(page.get_by_role("heading", level=1)).to_have_text("Your session has ended")
        page.goto(site.link(customer))
        expect(page).to_have_url(f"{site.address}/billing-information/edit")
        return
    page.get_by_label("Country").first.select_option("DE")
    over = page.get_by_role("alert").filter(has_text="Your session has ended.")
    expect(over).to_be_in_viewport()
    expect(page.get_by_label("Name", exact=False).first).to_have_value("Typed before")
    assert violations(page) == []
    with page.context.expect_page() as opened:
        over.get_by_role("link", name="come back in a new tab").click()
    expect(opened.value.get_by_role("heading", level=1)).to_have_text("Your session has ended")
    opened.value.goto(site.link(customer))
    page.get_by_label("Country").first.select_option("FR")
    expect(over).to_be_hidden()
    page.get_by_role("button", name="Save billing information").click()
    expect(page.get_by_role("status").filter(has_text="Your billing information was updated.")).to_be_visible()
    expect(page.get_by_text("Typed before")).to_be_visible()


@pytest.mark.case("A13")
def test_staying_too_late_throws_nothing_away(site: Site, open_page: OpenPage, script: bool) -> None:
    if not script:
        pytest.skip("without a script nobody is asked")
    with site.app.app_context():
        customer = world.scene().customer
        db.session.remove()
    page = open_page()
    page.clock.install()
    page.goto(site.link(customer))
    page.goto(f"{site.address}/billing-information/edit")
    page.get_by_label("Name", exact=False).first.fill("Typed before")
    page.clock.fast_forward("55:00")
    _end_sessions(site, customer)
    page.get_by_role("button", name="Stay logged in").click()
    expect(page.get_by_role("alert").filter(has_text="Your session has ended.")).to_be_visible()
    expect(page.get_by_role("button", name="Stay logged in")).to_be_hidden()
    expect(page.get_by_label("Name", exact=False).first).to_have_value("Typed before")


@pytest.mark.case("A13")
def test_a_form_that_was_sent_too_late_is_filled_in_again(site: Site, open_page: OpenPage, script: bool) -> None:
    if not script:
        pytest.skip("without a script the browser keeps nothing")
    with site.app.app_context():
        customer = world.scene().customer
        db.session.remove()
    page = open_page()
    page.goto(site.link(customer))
    page.goto(f"{site.address}/billing-information/edit")
    again = page.get_by_text("What you had entered before your session ended is filled in again.")
    expect(again).to_be_hidden()
    page.get_by_label("Name", exact=False).first.fill("Typed before")
    page.get_by_label("Country").first.select_option("US")
    page.get_by_label("State").first.select_option("CA")
    page.get_by_label("ZIP code").fill("94105")
    page.get_by_label("Same as billing address").uncheck()
    page.get_by_label("Recipient (optional)").fill("Reception")
    _end_sessions(site, customer)
    page.get_by_role("button", name="Save billing information").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Your session has ended")
    page.goto(site.link(customer))
    expect(page).to_have_url(f"{site.address}/billing-information/edit")
    expect(again).to_be_visible()
    expect(page.get_by_label("State").first).to_have_value("CA")
    expect(page.get_by_label("ZIP code")).to_have_value("94105")
    expect(page.get_by_label("Recipient (optional)")).to_have_value("Reception")
    assert violations(page) == []
    page.get_by_role("button", name="Save billing information").click()
    expect(page.get_by_role("status").filter(has_text="Your billing information was updated.")).to_be_visible()
    page.goto(f"{site.address}/billing-information/edit")
    expect(again).to_be_hidden()
    expect(page.get_by_label("Name", exact=False).first).to_have_value("Typed before")
