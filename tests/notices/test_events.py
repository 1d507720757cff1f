"""E-mails that follow from events: what the customer is told about whatever happened, once, in its own words."""

from typing import Any

import pytest
from flask import Flask
from sqlalchemy import select

from portal_site.billing.customers import billing_information
from portal_site.billing.events.actors import ActorType, acting_as
from portal_site.billing.models import Account, Invoice
from portal_site.billing.payments import collection, refunds
from portal_site.billing.payments.refunds import RefundTerms
from tests import world
from tests.notices.outgoing import BACK, DAY, bill, of_kind, written
from tests.world import END, HALF, reading


def _invoice(shop: world.Shop) -> Any:
    with reading() as reader:
        mine = Invoice.customer_id == shop.customer.id
        newest = select(Invoice.__table__).where(mine).order_by(Invoice.created.desc()).limit(1)
        return reader.execute(newest).one()


@pytest.mark.both_databases
def test_a_renewal_leads_to_a_receipt_once(app: Flask) -> None:
    shop = world.shop()
    bill(app, END)
    receipt = of_kind(written(app, END), "receipt")
    assert receipt.to == ["hedda@acme.example"]
    assert receipt.subject == "Receipt for €10.00 from Acme"
    assert f"We have received €10.00 for invoice {_invoice(shop).number}." in receipt.text
    assert "Payment method: Visa •••• 4242" in receipt.text
    assert receipt.unsubscribe == ""
    assert len(written(app, END + 60)) == 1


def test_a_failed_payment_says_why_and_when_it_is_tried_again(lite_app: Flask) -> None:
    shop = world.shop(card=world.FAILS)
    bill(lite_app, END)
    failed = of_kind(written(lite_app, END), "payment_failed")
    assert failed.subject == "Your payment of €10.00 failed"
    assert "Your bank declined the payment." in failed.text
    assert "We will try again on May 4, 2026." in failed.text
    assert f"Invoice: {_invoice(shop).number}" in failed.text
    assert "Pay €10.00:" in failed.text


def test_one_that_was_paid_meanwhile_is_not_said_to_have_failed(lite_app: Flask) -> None:
    shop = world.shop(card=world.FAILS)
    bill(lite_app, END)
    with world.transaction() as session:
        method = world.Merchant(session, END, session.get(Account, shop.customer.account_id)).method(
            shop.customer, world.MASTERCARD
        )
    invoice = _invoice(shop)
    collection.pay_invoice(
        lite_app.extensions["gateways"],
        shop.customer.id,
        invoice.id,
        method.id,
        invoice.amount_remaining,
        END + 60,
        BACK,
    )
    assert [mail.kind for mail in written(lite_app, END + 120)] == ["receipt"]


def test_a_bank_that_asks_leads_to_one_email_not_two(lite_app: Flask) -> None:
    world.shop(card=world.ASKS)
    bill(lite_app, END)
    (asked,) = written(lite_app, END)
    assert asked.kind == "authentication_needed"
    assert "Nothing is charged until you do." in asked.text


def test_who_pays_at_this_moment_needs_no_email_about_its_failure(lite_app: Flask) -> None:
    shop = world.shop(card=world.FAILS)
    bill(lite_app, END)
    written(lite_app, END)
    invoice = _invoice(shop)
    with acting_as(ActorType.CUSTOMER, shop.customer.id):
        collection.pay_invoice(
            lite_app.extensions["gateways"], shop.customer.id, invoice.id, shop.method.id,  # type: ignore[union-attr]
            invoice.amount_remaining, END + 60, BACK,
        )  # fmt: skip
    assert len(written(lite_app, END + 120)) == 1


def test_an_invoice_to_be_paid_by_the_customer_is_sent(lite_app: Flask) -> None:
    world.shop(card=None, collection_method="send_invoice", days_until_due=14)
    bill(lite_app, END)
    sent = of_kind(written(lite_app, END), "invoice_finalized")
    assert sent.subject.endswith(" from Acme")
    assert "Please pay €10.00 by May 15, 2026." in sent.text


def test_an_address_that_is_changed_is_told_so_at_both_ends(lite_app: Flask) -> None:
    shop = world.shop()
    with acting_as(ActorType.CUSTOMER, shop.customer.id):
        billing_information.update_billing_information(shop.customer.id, {"email": "new@elsewhere.example"}, HALF)
    old, new = sorted(written(lite_app, HALF), key=lambda mail: mail.to != ["hedda@acme.example"])
    assert (old.to, new.to) == (["hedda@acme.example"], ["new@elsewhere.example"])
    assert "go to n•••@elsewhere.example." in old.text
    assert "If you did not change it, tell Acme at once." in old.text
    assert "go to this address." in new.text
    assert "hedda" not in new.text


def test_a_refund_is_announced_when_the_money_is_on_its_way(lite_app: Flask) -> None:
    shop = world.shop()
    bill(lite_app, END)
    invoice = _invoice(shop)
    customer_id, attempt_id, _at = refunds.payment_of(invoice.id, END + DAY)
    refunds.refund(lite_app.extensions["gateways"], customer_id, attempt_id, END + DAY, "one", RefundTerms(400))
    refund = of_kind(written(lite_app, END + DAY), "refund")
    assert refund.subject == "Refund of €4.00"
    assert f"We refunded €4.00 of your payment for invoice {invoice.number}." in refund.text
