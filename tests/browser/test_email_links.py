"""Links in e-mails as they are opened: fresh, by a scanner, on a second device, after use, and by somebody else."""

import itertools
import re

import pytest
from playwright.sync_api import Page, expect
from sqlalchemy import select

from portal_site import clock
from portal_site.billing.models import Account, Invoice, PortalVisit
from portal_site.billing.portal_access.email_links import Purpose
from portal_site.db import db
from portal_site.mail import links, sending
from portal_site.notices import previews
from tests import world
from tests.browser.conftest import OpenPage, Site, scrolls_sideways, violations
from tests.browser.test_journeys import fill_card
from tests.world import reading

WEEK = 7 * 24 * 60 * 60
_names = (f"Mailed{number}" for number in itertools.count())


def _scene(site: Site, last: str = "open") -> tuple[world.Scene, Invoice]:
    """A customer of a merchant of its own, and the newest invoice."""
    with site.app.app_context():
        scene = world.scene(next(_names), last=last)
        with reading() as reader:
            mine = select(Invoice.__table__).where(Invoice.customer_id == scene.customer.id)
            invoice = reader.execute(mine.order_by(Invoice.created.desc()).limit(1)).one()
        db.session.remove()
    return scene, invoice  # type: ignore[return-value]


def _link(site: Site, purpose: Purpose, scene: world.Scene, object_id: str, age: int = 0) -> str:
    whose = scene.customer
    with site.app.test_request_context(base_url=site.address):
        return links.address(whose.account_id, purpose, whose.id, whose.email, object_id, clock.now() - age)


def _fits(page: Page, script: bool) -> None:
    assert not scrolls_sideways(page)
    if script:
        assert violations(page) == []


def test_an_invoice_is_paid_from_its_email_on_any_device(site: Site, open_page: OpenPage, script: bool) -> None:
    scene, invoice = _scene(site)
    there = _link(site, Purpose.INVOICE, scene, invoice.id)
    page, other = open_page(320), open_page(1280)
    for each in (page, other):
        each.goto(there)
        expect(each.get_by_role("heading", name=f"Invoice {invoice.number}")).to_be_visible()
        _fits(each, script)
    page.get_by_role("button", name="Pay €24.00").click()
    expect(page.get_by_role("heading", name=f"Pay invoice {invoice.number}")).to_be_visible()
    page.get_by_test_id("confirm").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("The invoice is paid")
    _fits(page, script)
    other.reload()
    expect(other.get_by_text("Paid", exact=True).first).to_be_visible()
    expect(other.get_by_role("button", name=re.compile("^Pay"))).to_have_count(0)
    with other.expect_download() as download:
        other.get_by_role("link", name="Download PDF").click()
    assert download.value.suggested_filename.endswith(".pdf")


@pytest.mark.case("A3")
def test_a_scanner_that_opens_the_link_uses_nothing_up(site: Site, open_page: OpenPage, script: bool) -> None:
    scene, invoice = _scene(site)
    there = _link(site, Purpose.INVOICE, scene, invoice.id)
    scanner = open_page()
    for _visit in range(3):
        scanner.goto(there)
        scanner.wait_for_load_state("networkidle")
    with site.app.app_context(), reading() as reader:
        mine = select(PortalVisit.id).where(PortalVisit.account_id == scene.account_id)
        assert reader.execute(mine).all() == []
    page = open_page()
    page.goto(there)
    page.get_by_role("button", name="Pay €24.00").click()
    expect(page.get_by_role("heading", name=f"Pay invoice {invoice.number}")).to_be_visible()


def test_a_card_is_replaced_from_its_email(site: Site, open_page: OpenPage, script: bool) -> None:
    scene, _invoice = _scene(site, last="paid")
    there = _link(site, Purpose.PAYMENT_METHOD, scene, scene.method.id)
    page = open_page(320)
    page.goto(there)
    _fits(page, script)
    page.get_by_role("button", name="Add a payment method").click()
    page.get_by_role("button", name="Add a payment method").click()
    fill_card(page, "5555 5555 5555 4444")
    expect(page.get_by_role("heading", level=1)).to_have_text("Your payment method was added")
    page.goto(there)
    expect(page.get_by_text("Another payment method has taken its place.")).to_be_visible()


def test_after_weeks_a_code_leads_on_to_the_same_invoice(site: Site, open_page: OpenPage, script: bool) -> None:
    scene, invoice = _scene(site)
    page, mail = open_page(320), open_page()
    page.goto(_link(site, Purpose.INVOICE, scene, invoice.id, age=5 * WEEK))
    expect(page.get_by_role("heading", name="This link has expired")).to_be_visible()
    _fits(page, script)
    page.get_by_role("button", name="Continue with a code").click()
    page.get_by_role("button", name="Send me a code").click()
    expect(page.get_by_role("heading", name="Enter your code")).to_be_visible()
    sending.send(site.app)
    mail.goto(f"{site.address}/demo/mail")
    row = mail.get_by_role("listitem").filter(has_text=scene.customer.email or "").first
    page.get_by_label("Code").fill(row.get_by_role("link").inner_text()[:6])
    page.get_by_role("button", name="Log in").click()
    expect(page.get_by_role("heading", name=f"Invoice {invoice.number}")).to_be_visible()
    expect(page.get_by_role("link", name="Invoices")).to_be_visible()


def test_a_colleague_with_the_email_sees_the_invoice_and_not_the_account(
    site: Site, open_page: OpenPage, script: bool
) -> None:
    scene, invoice = _scene(site)
    page = open_page()
    page.goto(_link(site, Purpose.INVOICE, scene, invoice.id))
    page.get_by_role("button", name="Pay €24.00").click()
    for path in (
        "/",
        "/payment-methods",
        "/billing-information",
        "/invoices",
        f"/subscriptions/{scene.subscription.id}",
    ):
        page.goto(f"{site.address}{path}")
        expect(page.get_by_role("heading", name=f"Pay invoice {invoice.number}")).to_be_visible()


@pytest.mark.parametrize("script", ["script"], indirect=True)
@pytest.mark.parametrize("locale", ["en", "fr"])
def test_each_kind_of_email_is_readable_on_a_phone_in_light_and_in_dark(
    site: Site, open_page: OpenPage, locale: str
) -> None:
    with site.app.test_request_context(base_url=site.address):
        with reading() as reader:
            account_id = reader.execute(select(Account.id).where(Account.business_name == "Northlight")).scalar_one()
        contents = {kind: previews.preview(kind, locale, account_id) for kind in previews.KINDS}
        db.session.remove()
    for scheme in ("light", "dark"):
        page = open_page(360, color_scheme=scheme)
        for kind, content in contents.items():
            page.set_content(content.html)
            assert not scrolls_sideways(page), (kind, scheme)
            assert violations(page) == [], (kind, scheme)
