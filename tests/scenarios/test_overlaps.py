"""Scenarios of overlapping operations: scheduled and immediate changes, ends with open amounts, phases and late billing runs."""

from dataclasses import replace
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import select

from portal_site.billing.models import Customer, Invoice, Subscription, SubscriptionItem
from portal_site.billing.rules.subscriptions.portal_policy import PlanChangeRequest
from portal_site.billing.subscriptions import subscription_items
from portal_site.db import db
from portal_site.db.transactions import transaction
from tests import world
from tests.proofs import ledger
from tests.scenarios.life import Life, day
from tests.world import reading

DOWN = {"schedule_at_period_end": ("decreasing_item_amount",)}


def _merchant(session: Any, life: Life) -> world.Merchant:
    return world.Merchant(session, world.START, session.get(world.Account, life.shop.customer.account_id))


@pytest.mark.parametrize("pays", [False, True])
@pytest.mark.both_databases
def test_a_planned_change_goes_only_with_the_one_that_replaces_it(app: Flask, pays: bool) -> None:
    life = Life.begins(app, policy=DOWN).goes_to("2026-04-10")
    life.changes("solo")
    life.gets_a_card(world.FAILS)
    life.goes_to("2026-04-16")
    life.changes(quantity=3)
    life.gets_a_card()
    if pays:
        life.pays()
    life.goes_to("2026-05-02")
    assert ("3 seats × Team" if pays else "1 × Solo") in life.bills()[-1]
    ledger.audit(life.shop.customer.account_id)


@pytest.mark.parametrize("number", range(4))
def test_two_items_that_go_down_together_stay_the_items_that_they_are(app: Flask, number: int) -> None:
    life = Life.begins(app, policy=DOWN)
    with transaction() as session:
        made = _merchant(session, life)
        small, tiny = made.product("Small"), made.product("Tiny")
        prices = made.price(small, 500, "eur"), made.price(tiny, 200, "eur")
        offered = tuple(
            {"product": price.product_id, "prices": [price.id]} for price in prices
        )  # beside those of the shop
        wanted = [price.id for price in prices]
    features = replace(life.shop.features, products=(*life.shop.features.products, *offered))
    life.shop = replace(life.shop, features=features)
    extra = life.gets_item(600)
    life.goes_to("2026-04-16")
    order = PlanChangeRequest({life.shop.item_id: (wanted[0], None), extra: (wanted[1], None)})
    quote = life.quote_of(order)
    assert life.orders(order, quote).outcome == "scheduled"
    life.goes_to("2026-05-02")
    db.session.remove()
    with reading() as reader:
        mine = SubscriptionItem.account_id == life.shop.customer.account_id
        found = dict(reader.execute(select(SubscriptionItem.id, SubscriptionItem.price_id).where(mine)).all())  # type: ignore[arg-type]
    assert found == {life.shop.item_id: wanted[0], extra: wanted[1]}
    assert quote.next_invoice
    assert life.bills()[-1].endswith(f" = {quote.next_invoice.amount_due / 100:.2f}")


def test_nobodys_card_is_tried_for_what_has_ended(app: Flask) -> None:
    life = Life.begins(app)
    life.gets_item(700, "week")
    life.gets_a_card(world.FAILS)
    life.goes_to("2026-04-24")
    ended = life.subscription
    assert ended.status == "canceled"
    life.gets_a_card()
    life.goes_to("2026-05-20")
    with reading() as reader:
        mine = Invoice.customer_id == life.shop.customer.id, Invoice.paid_at.is_not(None)
        paid = [day(moment) for moment in reader.scalars(select(Invoice.paid_at).where(*mine))]
        still_open = Invoice.customer_id == life.shop.customer.id, Invoice.status == "open"
        assert list(reader.scalars(select(Invoice.id).where(*still_open)))  # and can be paid by hand
    assert max(paid) <= day(ended.ended_at)


@pytest.mark.both_databases
def test_two_subscriptions_in_two_currencies_at_one_instant(app: Flask) -> None:
    """The first subscription's carried amount sets the currency of the balance; the second one does not use the balance."""
    life = Life.begins(app)
    with transaction() as session:
        made = _merchant(session, life)
        customer = session.scalars(select(Customer).where(Customer.id == life.shop.customer.id)).one()
        customer.currency = None
        price = made.price(made.product("Dollars"), 30, "usd")
        other = made.subscription(customer, [(price, 1)], started=0, created=world.START - 1, start_date=world.START)
        other.billing_cycle_anchor = world.START
        for item in subscription_items.load_items(session, other):
            item.current_period_start, item.current_period_end = world.START, world.END
        other.due_at = world.END
        team = session.get(world.Price, life.shop.prices["team"].id)
        assert team
        team.unit_amount, team.unit_amount_decimal = 30, "30"
    life.goes_to("2026-05-02")
    db.session.remove()
    with reading() as reader:
        mine = Subscription.customer_id == life.shop.customer.id
        assert set(reader.scalars(select(Subscription.billing_error).where(mine))) == {None}
        assert reader.scalar(select(Customer.balance).where(Customer.id == life.shop.customer.id)) == 30
    assert sorted(bill[-4:] for bill in life.bills()) == ["0.00", "0.30"]
