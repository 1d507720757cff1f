"""Pausing and resuming: the duration, what is kept, and the cost of resuming."""

import re
from typing import Any

import pytest
import time_machine
from flask import Flask
from sqlalchemy import func, select, update

from portal_site.billing.models import Event, Invoice, InvoiceLineItem, PortalConfiguration, Subscription
from portal_site.billing.rules.portal.portal_features import Features, SubscriptionPause
from portal_site.db import db
from tests import world
from tests.client import PortalClient, text
from tests.conftest import enter
from tests.world import reading

HALF = time_machine.travel(world.HALF, tick=False)
SPANS = ({"interval": "month", "interval_count": 1}, {"interval": "week", "interval_count": 2})


def _shop(**members: Any) -> world.Shop:
    shop = world.shop(**members)
    with world.transaction() as session:
        mine = PortalConfiguration.account_id == shop.customer.account_id
        features = Features(subscription_pause=SubscriptionPause(enabled=True, interval_options=SPANS))
        session.execute(update(PortalConfiguration).where(mine).values(features=features.as_document()))
    return shop


def _address(shop: world.Shop, end: str) -> str:
    return f"/subscriptions/{shop.subscription.id}/{end}"


def _tokens(page: Any) -> list[str]:
    return re.findall(r'name="span"[^>]* value="([^"]+)"', page.text)


def _pause(client: PortalClient, shop: world.Shop, number: int = 0) -> Any:
    return client.send(_address(shop, "pause"), {"span": _tokens(client.get(_address(shop, "pause")))[number]})


def _resume(client: PortalClient, shop: world.Shop) -> Any:
    page = client.get(_address(shop, "resumption"))
    found = re.search(r'name="quote" value="([^"]+)"', page.text)
    assert found, text(page.text)
    return client.send(_address(shop, "resumption"), {"quote": found[1]})


def _row(shop: world.Shop) -> Any:
    db.session.remove()
    with reading() as reader:
        return reader.execute(select(Subscription.__table__).where(Subscription.id == shop.subscription.id)).one()


@HALF
@pytest.mark.both_databases
def test_pausing_and_resuming(app: Flask) -> None:
    shop = _shop()
    client = enter(app, shop.customer)
    page = client.get(_address(shop, "pause"))
    shown = text(page.text)
    for words in ("worth €5.00", "For 1 month", "on May 16, 2026", "For 2 weeks", "on April 30, 2026"):
        assert words in shown
    done = client.get(_pause(client, shop).location)
    assert "Your subscription is paused." in text(done.text)
    assert "Paused until May 16, 2026 You pay nothing until then." in text(done.text)
    row = _row(shop)
    assert (row.status, row.due_at) == ("paused", world.HALF + 30 * 86400)
    assert row.status_details["paused"]["subscription"] == {"type": "pause_requested"}
    with time_machine.travel(world.HALF + 10 * 86400, tick=False):
        client = enter(app, shop.customer)
        quote = text(client.get(_address(shop, "resumption")).text)
        for words in (
            "15 of 30 days × €10.00 = €5.00 credit",
            "Due today €5.00",
            "Resume and pay €5.00",
            "May 26, 2026, will be €10.00",
        ):
            assert words in quote
        gone_on = text(client.get(_resume(client, shop).location).text)
        assert "€5.00 was charged to Visa •••• 4242 on April 26, 2026." in gone_on
        assert "on May 26, 2026, will be €10.00." in gone_on
    row = _row(shop)
    assert (row.status, row.status_details, row.due_at) == ("active", None, world.HALF + 40 * 86400)
    with reading() as reader:
        assert list(reader.scalars(select(Invoice.amount_paid).order_by(Invoice.number))) == [1000, 500]
        told = set(reader.scalars(select(Event.type).where(Event.account_id == shop.customer.account_id)))
        assert {"customer.subscription.paused", "customer.subscription.resumed"} <= told


@HALF
@pytest.mark.parametrize(
    ("members", "words"),
    [
        ({"status": "past_due"}, "unpaid"),
        ({"cancel_at": world.END}, "set to end"),
        ({"status": "trialing", "trial_start": world.START, "trial_end": world.END}, "free trial"),
        ({"status": "canceled", "ended_at": world.HALF}, "has ended"),
        ({"status": "paused"}, "already paused"),
    ],
)
def test_what_cannot_be_paused_says_why(app: Flask, members: dict[str, Any], words: str) -> None:
    shop = _shop(status="trialing", trial_end=world.END) if members.get("status") == "trialing" else _shop()
    with world.transaction() as session:
        mine = Subscription.id == shop.subscription.id, Subscription.customer_id == shop.customer.id
        session.execute(update(Subscription).where(*mine).values(**members))
        if members.get("status") == "past_due":
            invoices = Invoice.customer_id == shop.customer.id
            session.execute(update(Invoice).where(invoices).values(status="open", amount_paid=0, amount_remaining=1000))
    client = enter(app, shop.customer)
    page = client.get(_address(shop, "pause"))
    assert words in text(page.text)
    assert _tokens(page) == []


@HALF
@pytest.mark.case("B6")
@pytest.mark.both_databases
def test_only_an_offered_pause_length_is_accepted(app: Flask) -> None:
    shop, other = _shop(), _shop(name="Other")
    theirs = _tokens(enter(app, other.customer).get(_address(other, "pause")))[0]
    client = enter(app, shop.customer)
    mine = _tokens(client.get(_address(shop, "pause")))[0]
    for span in ("", "x", "1-month", theirs, mine[:-2] + ("AA" if mine[-2:] != "AA" else "BB")):
        answer = client.send(_address(shop, "pause"), {"span": span})
        assert answer.status_code == 422
        assert "Choose how long to pause." in text(answer.text)
    with world.transaction() as session:  # no longer offered
        features = Features(subscription_pause=SubscriptionPause(enabled=True, interval_options=SPANS[1:]))
        own = PortalConfiguration.account_id == shop.customer.account_id
        session.execute(update(PortalConfiguration).where(own).values(features=features.as_document()))
    assert client.send(_address(shop, "pause"), {"span": mine}).status_code == 422
    assert _row(shop).status == "active"


@HALF
@pytest.mark.both_databases
def test_a_double_click_pauses_once_and_resumes_once(app: Flask) -> None:
    shop = _shop()
    client = enter(app, shop.customer)
    token = _tokens(client.get(_address(shop, "pause")))[0]
    assert [client.send(_address(shop, "pause"), {"span": token}).status_code for _ in range(2)] == [303, 303]
    page = client.get(_address(shop, "resumption"))
    found = re.search(r'name="quote" value="([^"]+)"', page.text)
    assert found
    assert [client.send(_address(shop, "resumption"), {"quote": found[1]}).status_code for _ in range(2)] == [303, 303]
    with reading() as reader:
        assert reader.scalar(select(func.count()).select_from(Invoice)) == 2
        credits = InvoiceLineItem.credited_line_id.is_not(None)
        assert reader.scalar(select(func.count()).select_from(InvoiceLineItem).where(credits)) == 1
    page = client.get(_address(shop, "resumption"))
    assert "This subscription is not paused." in text(page.text)
    assert client.send(_address(shop, "resumption"), {"quote": "x"}).status_code == 409


@HALF
@pytest.mark.case("D6")
@pytest.mark.both_databases
def test_the_form_of_an_ended_pause_has_no_effect(app: Flask) -> None:
    shop = _shop()
    client = enter(app, shop.customer)
    form = {"span": _tokens(client.get(_address(shop, "pause")))[0]}
    assert client.send(_address(shop, "pause"), form).status_code == 303
    assert _resume(client, shop).status_code == 303
    again = client.send(_address(shop, "pause"), form)
    assert again.status_code == 409
    assert "have changed since you looked" in text(again.text)
    assert _row(shop).status == "active"
    assert client.send(_address(shop, "pause"), {"span": _tokens(again)[0]}).status_code == 303


@HALF
def test_a_card_that_fails_leaves_it_paused_until_another_pays(app: Flask) -> None:
    shop = _shop(card=world.FAILS)
    client = enter(app, shop.customer)
    client.get("/")
    _pause(client, shop)
    with time_machine.travel(world.HALF + 86400, tick=False):
        client = enter(app, shop.customer)
        page = client.get(_resume(client, shop).location)
        assert "declined" in text(page.text)
        row = _row(shop)
        assert row.status == "paused"
        assert row.pending_update
        assert "as soon as its invoice is paid" in text(client.get(_address(shop, "resumption")).text)
        with world.transaction() as session:
            made = world.Merchant(session, world.HALF, session.get(world.Account, shop.customer.account_id))
            customer = session.get(world.Customer, shop.customer.id)
            customer.default_payment_method_id = None  # type: ignore[union-attr]
            made.method(customer, world.VISA)  # type: ignore[arg-type]
        assert client.send(_address(shop, "plan-change/payment")).status_code == 303
    assert _row(shop).status == "active"


def test_a_pause_of_collection_ends_without_a_payment(app: Flask) -> None:
    shop = _shop(pause_collection={"behavior": "void"})
    client = enter(app, shop.customer)
    offered = text(client.get(_address(shop, "resumption")).text)
    assert "Nothing is due today. Your next invoice, on" in offered
    done = client.get(_resume(client, shop).location).text
    assert "has resumed" in text(done)
    assert "<title>Done: Team · Billing · Acme</title>" in done
    assert _row(shop).pause_collection is None
    titles = re.findall("<title>([^<]+)", client.get("/").text)
    assert titles == ["Overview · Billing · Acme"]
    promised = re.search(r"Your next invoice, on (.+?), will be (.+?)\. ", offered)
    assert promised
    overview = text(client.get("/").text)
    assert re.search(f"Next payment {promised[2]} .*{promised[1]}", overview)
