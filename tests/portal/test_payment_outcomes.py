"""Whatever is being paid for, each answer of the gateway leads to where its outcome shows, and says what it is."""

import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
import time_machine
from flask import Flask
from sqlalchemy import select, update

from portal_site.billing.models import Invoice, PaymentMethod, PortalConfiguration
from portal_site.billing.rules.portal.portal_features import InvoiceHistory, SubscriptionCancel, SubscriptionPause
from tests import world
from tests.client import PortalClient, text
from tests.conftest import enter
from tests.world import reading

DECLINED = "Your bank declined the payment."
ENDED = "Your cancellation is confirmed. Your subscription has ended."

Clock = time_machine.Traveller


@pytest.fixture
def time() -> Iterator[Clock]:
    """The clock of all, which stands at the middle of the month until it is moved."""
    with time_machine.travel(world.HALF, tick=False) as traveller:
        yield traveller


def _leaving(app: Flask, card: str, invoice_history: bool = True) -> tuple[PortalClient, world.Shop]:
    """A customer with more seats than the first invoice had, who is about to cancel at once and pays for them then."""
    shop = world.shop(card=card, policy={"proration_behavior": "create_prorations"})
    features = replace(
        world.EVERYTHING,
        subscription_update=shop.features,
        subscription_cancel=SubscriptionCancel(
            enabled=True, mode="immediately", proration_behavior="create_prorations"
        ),
        invoice_history=InvoiceHistory(enabled=invoice_history),
    )
    with world.transaction() as session:
        mine = PortalConfiguration.account_id == shop.customer.account_id
        session.execute(update(PortalConfiguration).where(mine).values(features=features.as_document()))
    client = enter(app, shop.customer)
    place = f"/subscriptions/{shop.subscription.id}"
    wanted = {f"price-{shop.item_id}": shop.prices["team"].id, f"quantity-{shop.item_id}": "999"}
    _confirms(client, f"{place}/plan-change", client.get(f"{place}/plan-change", query_string=wanted))
    return client, shop


def _confirms(client: PortalClient, address: str, page: Any) -> Any:
    found = re.search(r'name="quote" value="([^"]+)"', page.text)
    assert found, text(page.text)
    return client.send(address, {"quote": found[1]})


def _cancels(app: Flask, time: Clock, card: str, **options: Any) -> tuple[PortalClient, world.Shop, Any]:
    """The answer to cancelling later, when the seats of some minutes are left to pay."""
    client, shop = _leaving(app, card, **options)
    time.move_to(world.HALF + 1800)
    address = f"/subscriptions/{shop.subscription.id}/cancellation"
    return client, shop, _confirms(client, address, client.get(f"{address}/end"))


def _last_invoice() -> Any:
    with reading() as reader:
        return reader.execute(select(Invoice.__table__).order_by(Invoice.created.desc()).limit(1)).one()


def test_a_final_invoice_is_paid(app: Flask, time: Clock) -> None:
    client, _shop, done = _cancels(app, time, world.VISA)
    page = text(client.get(done.location).text)
    assert ENDED in page
    assert "Your last invoice is paid." in page
    assert (_last_invoice().status, _last_invoice().attempt_count) == ("paid", 1)


def test_a_final_invoice_that_is_declined_says_so(app: Flask, time: Clock) -> None:
    client, shop, done = _cancels(app, time, world.FAILS)
    assert done.location == f"/subscriptions/{shop.subscription.id}"
    page = text(client.get(done.location).text)
    assert ENDED in page
    assert DECLINED in page
    again = text(client.get(done.location).text)  # and it stands there until it is settled
    assert ENDED not in again
    assert DECLINED in again
    assert "is unpaid" in again


@pytest.mark.parametrize("invoice_history", [True, False])
def test_a_final_invoice_that_the_bank_asks_about_leads_there_and_back(
    app: Flask, time: Clock, invoice_history: bool
) -> None:
    client, _shop, done = _cancels(app, time, world.ASKS, invoice_history=invoice_history)
    assert "/sandbox/charges/" in done.location
    client.get(done.location)
    back = client.send(done.location, {"answer": "complete"})
    landed = client.get(back.location)
    assert landed.location.endswith("/paid?what=final_invoice")
    page = text(client.get(landed.location).text)
    assert ENDED in page
    assert "Your last invoice is paid." in page
    assert _last_invoice().status == "paid"


def test_a_final_invoice_that_the_bank_is_debiting_says_so(app: Flask, time: Clock) -> None:
    client, _shop, done = _cancels(app, time, world.SLOW)
    page = text(client.get(done.location).text)
    assert ENDED in page
    assert "Your bank is processing the payment" in page


def test_a_strangers_final_invoice_does_not_exist(app: Flask, time: Clock) -> None:
    client, shop, _done = _cancels(app, time, world.ASKS)
    address = f"/subscriptions/{shop.subscription.id}/cancellation/invoices/{{}}/return"
    for invoice in ("in_none", world.scene("Other", last="open").subscription.id):
        assert client.get(address.format(invoice)).status_code == 404


def test_a_paid_resumption_says_what_was_paid(app: Flask, time: Clock) -> None:
    shop = world.shop(card=world.ASKS)
    with world.transaction() as session:
        pausing = SubscriptionPause(enabled=True, interval_options=({"interval": "month", "interval_count": 1},))
        features = replace(world.EVERYTHING, subscription_pause=pausing)
        mine = PortalConfiguration.account_id == shop.customer.account_id
        session.execute(update(PortalConfiguration).where(mine).values(features=features.as_document()))
    client = enter(app, shop.customer)
    place = f"/subscriptions/{shop.subscription.id}"
    span = re.search(r'name="span"[^>]* value="([^"]+)"', client.get(f"{place}/pause").text)
    assert span
    client.send(f"{place}/pause", {"span": span[1]})
    time.move_to(world.HALF + 86400)
    client = enter(app, shop.customer)
    bank = _confirms(client, f"{place}/resumption", client.get(f"{place}/resumption")).location
    client.get(bank)
    landed = client.get(client.send(bank, {"answer": "complete"}).location)
    assert "It is paid, and your subscription continues." in text(client.get(landed.location).text)


@pytest.mark.case("B6")
def test_a_form_of_a_resumption_that_does_not_say_what_is_resumed_is_not_valid(app: Flask, time: Clock) -> None:
    from portal_site.web import signing

    shop = world.shop(pause_collection={"behavior": "void"})
    client = enter(app, shop.customer)
    whose = {"customer": shop.customer.id, "subscription": shop.subscription.id}
    with app.test_request_context(base_url="http://127.0.0.1:8000"):
        old = signing.sign("resumption", {**whose, "at": world.HALF, "fingerprint": "", "key": "k"})
    client.get("/")
    refused = client.send(f"/subscriptions/{shop.subscription.id}/resumption", {"quote": old})
    assert refused.status_code == 409
    assert "This page has expired." in text(refused.text)


def test_without_a_payment_method_it_says_to_add_one(app: Flask, time: Clock) -> None:
    client, shop = _leaving(app, world.VISA)
    with world.transaction() as session:
        mine = PaymentMethod.customer_id == shop.customer.id
        session.execute(update(PaymentMethod).where(mine).values(detached_at=world.HALF))
    address = f"/subscriptions/{shop.subscription.id}/cancellation"
    time.move_to(world.HALF + 1800)
    done = _confirms(client, address, client.get(f"{address}/end"))
    page = text(client.get(done.location).text)
    assert "Add a payment method, then pay your last invoice." in page
