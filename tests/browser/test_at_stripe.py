"""Journeys through the pages of a payment provider on another host: a second instance, in the place of Stripe."""

import re
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect
from sqlalchemy import select

from portal_site.billing.gateways.registry import Gateways
from portal_site.billing.gateways.stripe.connections import StripeConnector
from portal_site.billing.models import Invoice, PaymentAttempt
from portal_site.billing.payments import refunds
from portal_site.billing.payments.refunds import RefundTerms
from portal_site.db import db
from tests import world
from tests.browser.conftest import OpenPage, Site
from tests.browser.shopper import Shopper
from tests.browser.test_journeys import fill_card
from tests.proofs.stripe_play import connect
from tests.stripe.second import Second, served
from tests.world import reading

DAY = 24 * 60 * 60
MONTH_ENDS = world.END - world.HALF + 60


@pytest.fixture(scope="module")
def provider(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Second, str]]:
    """A second instance that answers under another name than the portal, and where its API is."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    folder: Path = tmp_path_factory.mktemp("provider")
    second = Second.made(folder, f"http://localhost:{port}").begin()
    with served(second.line, port):
        yield second, f"http://localhost:{port}"


@pytest.fixture
def shopper(site: Site, provider: tuple[Second, str], monkeypatch: pytest.MonkeyPatch) -> Shopper:
    """A customer without a payment method, whose merchant has connected Stripe."""
    second, address = provider
    sandbox = site.app.extensions["gateways"].shared("sandbox")
    monkeypatch.setitem(site.app.extensions, "gateways", Gateways(StripeConnector(address), sandbox))
    made = Shopper.of(site, card=None)
    with site.app.app_context():
        connect(second, made.shop.customer.account_id, world.HALF, address)
        db.session.remove()
    return made


def _add(page: Page, site: Site, shopper: Shopper, number: str) -> None:
    page.goto(site.link(shopper.shop.customer))
    page.get_by_role("button", name=re.compile("^Add")).first.click()
    page.wait_for_url(re.compile("^http://localhost:"))
    if number.isdigit():
        fill_card(page, number)
    else:
        page.get_by_label("IBAN").fill(number)
        page.get_by_role("button", name="Save account").click()
    page.wait_for_url(f"{site.address}/**")
    expect(page.get_by_text(f"Payment method ending in {number[-4:]} was added")).to_be_visible()


def _renewal(shopper: Shopper) -> str:
    with shopper.site.app.app_context(), reading() as reader:
        mine = Invoice.customer_id == shopper.shop.customer.id, Invoice.created >= world.END
        return str(reader.scalars(select(Invoice.id).where(*mine)).one())


def test_a_card_is_saved_there_renews_and_is_refunded(
    site: Site, shopper: Shopper, provider: tuple[Second, str], open_page: OpenPage
) -> None:
    page = open_page(320)
    _add(page, site, shopper, world.VISA)
    shopper.waits(MONTH_ENDS)
    invoice = _renewal(shopper)
    page.goto(f"{site.address}/invoices/{invoice}")
    expect(page.get_by_text("Paid", exact=True).first).to_be_visible()
    with site.app.app_context():
        with reading() as reader:
            paid = reader.scalars(select(PaymentAttempt.id).where(PaymentAttempt.invoice_id == invoice)).one()
        gateways, whose = site.app.extensions["gateways"], shopper.shop.customer.id
        given = refunds.refund(gateways, whose, paid, world.END + DAY, invoice, RefundTerms(400))
        db.session.remove()
    assert given.status == "succeeded"
    page.reload()
    expect(page.get_by_text("We refunded €4.00 of your payment.")).to_be_visible()


def test_a_declined_renewal_is_paid_with_a_card_whose_bank_asks(
    site: Site, shopper: Shopper, open_page: OpenPage
) -> None:
    page = open_page()
    _add(page, site, shopper, world.FAILS)
    shopper.waits(MONTH_ENDS)
    _add(page, site, shopper, world.ASKS)
    page.goto(f"{site.address}/invoices/{_renewal(shopper)}")
    page.get_by_role("link", name="Pay €10.00").first.click()
    page.get_by_role("radio", name="3184").check()
    page.get_by_role("button", name="Pay €10.00").click()
    page.wait_for_url(re.compile("^http://localhost:"))
    page.get_by_role("button", name="Complete authentication").click()
    page.wait_for_url(f"{site.address}/**")
    expect(page.get_by_text("The invoice is paid.")).to_be_visible()


@pytest.mark.parametrize("decline_code", [None, "insufficient_funds"])
def test_a_debit_is_settled_or_fails_days_later(
    site: Site, shopper: Shopper, provider: tuple[Second, str], open_page: OpenPage, decline_code: str | None
) -> None:
    page = open_page()
    _add(page, site, shopper, world.SLOW)
    shopper.waits(MONTH_ENDS)
    page.goto(f"{site.address}/invoices/{_renewal(shopper)}")
    expect(page.get_by_text("Your bank is processing the payment of €10.00").first).to_be_visible()
    provider[0].bank_says("processing", "declined" if decline_code else "succeeded", decline_code)
    shopper.waits(DAY)
    page.reload()
    expect(page.get_by_text("Unpaid" if decline_code else "Paid", exact=True).first).to_be_visible()
