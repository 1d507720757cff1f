"""What a link in an e-mail does not let do, to whomever it was forwarded."""

from typing import Any

import pytest
from flask import Flask
from sqlalchemy import select

from portal_site.billing.models import Customer, PaymentMethod
from portal_site.billing.portal_access.email_links import Purpose
from tests import world
from tests.client import text
from tests.conftest import enter
from tests.portal.email_link_visits import browser, link_to
from tests.portal.logging_in import AT, NOW, mail_is_on, mails  # noqa: F401
from tests.world import reading

DAY = 24 * 60 * 60


@pytest.mark.case("A10")
def test_each_click_on_a_link_does_not_bring_another_code(lite_app: Flask, owing: Any) -> None:
    scene, invoice, _there = owing
    old = link_to(lite_app, Purpose.INVOICE, scene, invoice.id, AT - 40 * DAY)
    for _click in range(6):
        client = browser(lite_app)
        client.get(old)
        replacement = client.send(old).location
        client.get(replacement)
        client.send(replacement)
    assert len(mails(lite_app)) == 3


def test_a_method_that_is_not_offered_cannot_be_charged(lite_app: Flask, owing: Any) -> None:
    scene, invoice, there = owing
    with world.transaction() as session:
        made = world.Merchant(session, AT, session.get(world.Account, scene.account_id))
        other = made.method(scene.customer, world.MASTERCARD)
    client = browser(lite_app)
    client.get(there)
    client.send(there)
    client.get(f"/invoices/{invoice.id}/payment")
    form = {"amount": invoice.amount_remaining, "payment_method": other.id}
    assert client.send(f"/invoices/{invoice.id}/payment", form).status_code == 422


def test_a_card_that_is_added_for_an_invoice_is_for_that_only(lite_app: Flask, owing: Any) -> None:
    """Whoever pays an invoice that was forwarded to them does not pay for all that follows."""
    scene, invoice, there = owing
    client = browser(lite_app)
    client.get(there)
    client.send(there)
    payment = f"/invoices/{invoice.id}/payment"
    client.get(payment)
    at_provider = client.send("/payment-methods", {"to": payment}).location
    setup = at_provider.partition("/sandbox")[2]
    form = client.form(f"/sandbox{setup}")
    entered = client.send(f"/sandbox{setup}", {**form, "number": world.MASTERCARD, "expiry": "12/31", "cvc": "123"})
    shown = client.get(client.get(entered.location).location)
    assert "was added. You can choose it for this payment." in text(shown.text)
    assert shown.text.count('name="payment_method"') == 2
    with reading() as reader:
        customer = reader.execute(
            select(Customer.default_payment_method_id).where(Customer.id == scene.customer.id)
        ).one()
        newest = select(PaymentMethod.id).where(
            PaymentMethod.customer_id == scene.customer.id, PaymentMethod.last4 == "4444"
        )
        added = reader.execute(newest).scalar_one()
    assert customer.default_payment_method_id == scene.method.id
    done = client.send(payment, {"amount": invoice.amount_remaining, "payment_method": added})
    assert "was charged to Mastercard •••• 4444" in text(client.get(done.location).text)


@NOW
def test_who_is_logged_in_can_stop_reminders_too(lite_app: Flask) -> None:
    shop = world.shop()
    client = enter(lite_app, shop.customer)
    there = link_to(lite_app, Purpose.REMINDERS, shop, "card_expiring")
    client.get(there)
    assert client.send(there).location == there
    assert "You will get no more emails" in text(client.get(there).text)


@NOW
def test_a_link_to_cancel_is_for_nothing_else(lite_app: Flask) -> None:
    shop = world.shop()
    there, client = link_to(lite_app, Purpose.CANCEL, shop, shop.subscription.id), browser(lite_app)
    client.get(there)
    client.get(client.send(there).location)
    start = f"/subscriptions/{shop.subscription.id}/cancellation"
    for elsewhere in ("pause", "plan-change"):
        assert client.get(f"/subscriptions/{shop.subscription.id}/{elsewhere}").location == start
    client.get(start)
    assert client.send("/payment-methods").location == start
