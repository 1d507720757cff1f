"""Cancelling without logging in, from the page on the merchant's site to the acknowledgement."""

from playwright.sync_api import expect
from sqlalchemy import select

from portal_site import worker
from portal_site.billing.models import Invoice
from portal_site.db import db
from portal_site.mail import sending
from tests import world
from tests.browser.conftest import OpenPage, Site, scrolls_sideways, violations
from tests.operators import set_cancellation_page
from tests.world import reading


def test_a_subscription_is_cancelled_in_two_steps_and_acknowledged(
    site: Site, open_page: OpenPage, script: bool
) -> None:
    name = f"Leaving{'Scripted' if script else 'Plain'}"
    with site.app.app_context():
        scene = world.scene(name)
        there = f"{site.address}/cancel/{set_cancellation_page(scene.account_id, enabled=True, new_url=False)}"
        with reading() as reader:
            mine = Invoice.customer_id == scene.customer.id
            number = reader.execute(select(Invoice.number).where(mine).limit(1)).scalar_one()
        db.session.remove()
    page, mail = open_page(320), open_page()
    page.goto(there)
    page.get_by_role("button", name="Send me a link to confirm").click()
    expect(page.get_by_role("alert").first).to_be_visible()
    assert not scrolls_sideways(page)
    if script:
        assert violations(page) == []
    page.get_by_label("Email").fill(scene.customer.email or "")
    page.get_by_label("Invoice or subscription number").fill(number)
    page.get_by_role("button", name="Send me a link to confirm").click()
    expect(page.get_by_role("heading", name="Check your email")).to_be_visible()

    sending.send(site.app, worker.NOTICES)
    mail.goto(f"{site.address}/demo/mail")
    row = mail.get_by_role("listitem").filter(has_text=scene.customer.email or "").first
    row.get_by_role("link").click()
    page.goto(mail.get_by_role("link", name="Confirm the cancellation").get_attribute("href") or "")
    expect(page.get_by_role("heading", name="Cancel your subscription to Team?")).to_be_visible()
    page.get_by_role("button", name="Continue").click()
    page.get_by_test_id("confirm").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("Your subscription ends on")
    if script:
        assert violations(page) == []

    sending.send(site.app, worker.NOTICES)
    mail.goto(f"{site.address}/demo/mail")
    newest = mail.get_by_role("listitem").filter(has_text=scene.customer.email or "").first
    expect(newest).to_contain_text("Your cancellation of Team is confirmed")
