"""Reactivation: the old plan at the current price, with one quote and one confirmation."""

import re
from typing import Any

import pytest
import time_machine
from flask import Flask
from sqlalchemy import func, select, update

from portal_site.billing.billing_run import runner
from portal_site.billing.models import Event, Invoice, Price, Subscription, SubscriptionItem
from portal_site.db import db
from tests import world
from tests.client import PortalClient, text
from tests.conftest import enter
from tests.proofs import ledger
from tests.proofs.play import BACK
from tests.world import reading

LATER = world.END + 86400
AFTER = time_machine.travel(LATER, tick=False)


def _ended(**members: Any) -> world.Shop:
    """A shop whose customer's subscription has ended with its month."""
    shop = world.shop(quantity=2, **members)
    with world.transaction() as session:
        mine = Subscription.id == shop.subscription.id, Subscription.customer_id == shop.customer.id
        ended = {"status": "canceled", "canceled_at": world.HALF, "ended_at": world.END, "due_at": None}
        session.execute(update(Subscription).where(*mine).values(**ended))
    return shop


def _address(shop: world.Shop) -> str:
    return f"/subscriptions/{shop.subscription.id}/restart"


def _token(client: PortalClient, shop: world.Shop) -> str:
    page = client.get(_address(shop))
    found = re.search(r'name="quote" value="([^"]+)"', page.text)
    assert found, text(page.text)
    return found[1]


def _begins_again(app: Flask, shop: world.Shop) -> PortalClient:
    """The customer's client, after asking for a new beginning that is not paid at once."""
    client = enter(app, shop.customer)
    client.get("/")
    client.send(_address(shop), {"quote": _token(client, shop)})
    return client


def _new(shop: world.Shop) -> Any:
    """The newest subscription."""
    db.session.remove()
    with reading() as reader:
        mine = Subscription.customer_id == shop.customer.id, Subscription.id != shop.subscription.id
        return reader.execute(select(Subscription.__table__).where(*mine)).one()


@AFTER
@pytest.mark.both_databases
def test_a_canceled_subscription_is_reactivated(app: Flask) -> None:
    shop = _ended()
    client = enter(app, shop.customer)
    old = client.get(f"/subscriptions/{shop.subscription.id}")
    assert f'href="{_address(shop)}"' in old.text
    page = text(client.get(_address(shop)).text)
    for words in (
        "2 seats × Team",
        "Due today €20.00",
        "on June 2, 2026, will be €20.00",
        "Resubscribe and pay €20.00",
        "4242",
    ):
        assert words in page
    done = client.send(_address(shop), {"quote": _token(client, shop)})
    new = _new(shop)
    assert "Welcome back." in text(client.get(done.location).text)
    assert (new.status, new.start_date, new.due_at) == ("active", LATER, 1_780_358_400)
    with reading() as reader:
        item = reader.execute(
            select(SubscriptionItem.__table__).where(SubscriptionItem.subscription_id == new.id)
        ).one()
        assert (item.price_id, item.quantity) == (shop.prices["team"].id, 2)
        first = reader.execute(select(Invoice.__table__).where(Invoice.subscription_id == new.id)).one()
        assert (first.billing_reason, first.status, first.amount_paid) == ("subscription_create", "paid", 2000)
        told = list(reader.scalars(select(Event.type).where(Event.account_id == shop.customer.account_id)))
        assert told.count("customer.subscription.created") == 1
    assert "You already have this plan." in text(client.get(_address(shop)).text)
    ledger.audit(shop.customer.account_id)


@AFTER
@pytest.mark.case("D6")
@pytest.mark.both_databases
def test_a_double_click_reactivates_once(app: Flask) -> None:
    shop = _ended()
    client = enter(app, shop.customer)
    first, second = _token(client, shop), _token(client, shop)
    places = {client.send(_address(shop), {"quote": first}).location for _ in range(2)}
    assert len(places) == 1
    late = client.send(_address(shop), {"quote": second})
    assert (late.status_code, "You already have this plan." in text(late.text)) == (409, True)
    with reading() as reader:
        assert reader.scalar(select(func.count()).select_from(Subscription)) == 2


@AFTER
def test_one_whose_first_invoice_the_merchant_voided_can_still_be_looked_at(lite_app: Flask) -> None:
    shop = _ended(card=world.FAILS)
    client = _begins_again(lite_app, shop)
    new = _new(shop).id
    with world.transaction() as session:
        mine = Invoice.subscription_id == new, Invoice.customer_id == shop.customer.id
        session.execute(update(Invoice).where(*mine).values(status="void", voided_at=LATER))
    page = client.get(f"/subscriptions/{new}")
    assert "It starts as soon as the first invoice is paid." in text(page.text)


@AFTER
@pytest.mark.both_databases
def test_an_unpaid_reactivation_expires_after_a_day(app: Flask) -> None:
    shop = _ended(card=world.FAILS)
    client = enter(app, shop.customer)
    client.get("/")
    page = client.get(client.send(_address(shop), {"quote": _token(client, shop)}).location)
    assert "declined" in text(page.text)
    assert "It starts as soon as the first invoice is paid." in text(page.text)
    assert _new(shop).status == "incomplete"
    with app.test_request_context(base_url="http://127.0.0.1:8000"):
        gateways = app.extensions["gateways"]
        runner.run(gateways, LATER + 22 * 3600, lambda _id: BACK)
        assert _new(shop).status == "incomplete"
        runner.run(gateways, LATER + 23 * 3600, lambda _id: BACK)
    assert _new(shop).status == "incomplete_expired"
    with reading() as reader:
        assert reader.scalar(select(Invoice.status).where(Invoice.subscription_id == _new(shop).id)) == "void"
    ledger.audit(shop.customer.account_id)


@AFTER
def test_an_unpaid_reactivation_can_be_paid_with_another_card(app: Flask) -> None:
    shop = _ended(card=world.FAILS)
    client = _begins_again(app, shop)
    new = _new(shop)
    with world.transaction() as session:
        made = world.Merchant(session, LATER, session.get(world.Account, shop.customer.account_id))
        customer = session.get(world.Customer, shop.customer.id)
        customer.default_payment_method_id = None  # type: ignore[union-attr]
        made.method(customer, world.ASKS)  # type: ignore[arg-type]
    bank = client.send(f"/subscriptions/{new.id}/first-payment")
    assert "/sandbox/" in bank.location
    with world.transaction() as session:
        from portal_site.billing.gateways.sandbox.models import SandboxCharge

        waiting = update(SandboxCharge).where(SandboxCharge.status == "requires_action")
        session.execute(waiting.values(status="succeeded"))
    back = client.get(client.get(f"/subscriptions/{new.id}/first-payment/return").location)
    assert "Welcome back." in text(back.text)
    assert (_new(shop).status, _new(shop).due_at) == ("active", 1_780_358_400)


@AFTER
def test_reactivation_is_refused_for_archived_prices_and_open_invoices(app: Flask) -> None:
    shop = _ended()
    client = enter(app, shop.customer)
    with world.transaction() as session:
        mine = Price.account_id == shop.customer.account_id
        session.execute(update(Price).where(mine).values(active=False))
    assert "no longer available" in text(client.get(_address(shop)).text)
    with world.transaction() as session:
        session.execute(update(Price).where(mine).values(active=True))
        owed = {"status": "open", "amount_paid": 0, "amount_remaining": 2000}
        session.execute(update(Invoice).where(Invoice.customer_id == shop.customer.id).values(**owed))
    assert "unpaid" in text(client.get(_address(shop)).text)


@AFTER
def test_a_price_that_rose_is_shown_before_it_is_charged(app: Flask) -> None:
    shop = _ended()
    client = enter(app, shop.customer)
    token = _token(client, shop)
    with world.transaction() as session:
        mine = Price.account_id == shop.customer.account_id, Price.id == shop.prices["team"].id
        session.execute(update(Price).where(*mine).values(unit_amount=1500, unit_amount_decimal="1500"))
    answer = client.send(_address(shop), {"quote": token})
    assert answer.status_code == 409
    assert "Due today €30.00" in text(answer.text)


def test_a_running_subscription_cannot_be_reactivated(app: Flask) -> None:
    shop = world.shop()
    client = enter(app, shop.customer)
    assert "still active" in text(client.get(_address(shop)).text)
    assert client.send(_address(shop), {"quote": "x"}).status_code == 409


@AFTER
def test_an_incomplete_subscription_can_be_cancelled(app: Flask) -> None:
    shop = _ended(card=world.FAILS)
    client = _begins_again(app, shop)
    place = f"/subscriptions/{_new(shop).id}/cancellation"
    found = re.search(r'name="quote" value="([^"]+)"', client.get(f"{place}/end").text)
    assert found
    assert client.send(place, {"quote": found[1]}).status_code == 303
    assert (_new(shop).status, _new(shop).ended_at) == ("incomplete_expired", LATER)
    with reading() as reader:
        assert reader.scalar(select(Invoice.status).where(Invoice.subscription_id == _new(shop).id)) == "void"
    ledger.audit(shop.customer.account_id)


@AFTER
@pytest.mark.both_databases
def test_an_unauthenticated_reactivation_expires_after_a_day(app: Flask) -> None:
    shop = _ended(card=world.ASKS)
    _begins_again(app, shop)
    assert _new(shop).status == "incomplete"
    with app.test_request_context(base_url="http://127.0.0.1:8000"):
        runner.run(app.extensions["gateways"], LATER + 23 * 3600, lambda _id: BACK)
    assert _new(shop).status == "incomplete_expired"
    ledger.audit(shop.customer.account_id)
