"""Somebody of the merchant's looks for a customer, and opens its page and its portal."""

from playwright.sync_api import expect

from portal_site.db import db
from tests import world
from tests.browser.conftest import OpenPage, Site, scrolls_sideways, violations


def test_a_customer_is_found_as_one_types_and_opened(site: Site, open_page: OpenPage, script: bool) -> None:
    with site.app.app_context():
        account_id = world.scene(f"Looked{'Scripted' if script else 'Plain'}").account_id
        db.session.remove()
    page = open_page(320)
    page.goto(f"{site.address}/demo/dashboard/{account_id}")
    page.get_by_role("link", name="Customers", exact=True).click()
    expect(page.get_by_role("link", name="Hedda Berg")).to_be_visible()
    assert not scrolls_sideways(page)

    field = page.get_by_role("searchbox", name="Find customers")
    for words, found in (("nobody", False), ("HED", True)):
        field.fill(words)
        if not script:
            page.get_by_role("button", name="Find").click()
        nobody = page.get_by_text("No customer has")  # which a screen reader is told, too
        if found:
            expect(nobody).to_have_count(0)
        else:
            expect(nobody.first).to_be_visible()
    expect(page).to_have_url(f"{site.address}/dashboard/{account_id}/test/customers?q=HED")
    if script:
        expect(page.get_by_role("status").last).to_have_text("1 found")
        assert violations(page) == []

    page.get_by_role("link", name="Hedda Berg").click()
    expect(page.get_by_role("heading", name="Hedda Berg", level=1)).to_be_visible()
    assert not scrolls_sideways(page)
    if script:
        assert violations(page) == []
    page.get_by_role("link", name="View as customer").click()
    expect(page.get_by_text("You see what Hedda Berg sees. Nothing can be done here.")).to_be_visible()
    expect(page.frame_locator("iframe").get_by_role("heading", name="Team")).to_be_visible()
    assert not scrolls_sideways(page)
