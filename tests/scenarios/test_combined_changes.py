"""Scenarios of overlapping operations: scheduled and immediate changes, ends with open amounts, phases and late billing runs."""

from dataclasses import replace
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import select

from portal_site.billing.errors import BillingError
from portal_site.billing.models import Customer, Invoice, Price, Subscription, SubscriptionItem
from portal_site.billing.rules.subscriptions.portal_policy import PlanChangeRequest
from portal_site.billing.subscriptions import subscription_items
from portal_site.db import db
from portal_site.db.transactions import transaction
from tests import world
from tests.proofs import ledger
from tests.scenarios.history import History
from tests.scenarios.history_state import day
from tests.world import reading

DOWN = {"schedule_at_period_end": ("decreasing_item_amount",)}


def _merchant(session: Any, history: History) -> world.Merchant:
    return world.Merchant(session, world.START, session.get(world.Account, history.shop.customer.account_id))


@pytest.mark.parametrize("pays", [False, True])
@pytest.mark.both_databases
def test_a_planned_change_is_kept_until_its_replacement_takes_effect(app: Flask, pays: bool) -> None:
    history = History.start(app, policy=DOWN).advance_to("2026-04-10")
    history.change_plan("solo")
    history.add_card(world.FAILS)
    history.advance_to("2026-04-16")
    history.change_plan(quantity=3)
    history.add_card()
    if pays:
        history.pay()
    history.advance_to("2026-05-02")
    assert ("3 seats × Team" if pays else "1 × Solo") in history.invoices()[-1]
    ledger.audit(history.shop.customer.account_id)


@pytest.mark.parametrize("number", range(4))
def test_two_items_downgraded_together_keep_their_ids(app: Flask, number: int) -> None:
    history = History.start(app, policy=DOWN)
    with transaction() as session:
        made = _merchant(session, history)
        small, tiny = made.product("Small"), made.product("Tiny")
        prices = made.price(small, 500, "eur"), made.price(tiny, 200, "eur")
        wanted = [price.id for price in prices]
    extra = history.add_item(600)
    with reading() as reader:
        of_item = SubscriptionItem.price_id == Price.id, SubscriptionItem.id == extra
        own = select(Price).where(*of_item, Price.account_id == history.shop.customer.account_id)
        prices = (*prices, reader.execute(own).one())
    offered = tuple({"product": price.product_id, "prices": [price.id]} for price in prices)  # beside those of the shop
    features = replace(history.shop.features, products=(*history.shop.features.products, *offered))
    history.shop = replace(history.shop, features=features)
    history.advance_to("2026-04-16")
    order = PlanChangeRequest({history.shop.item_id: (wanted[0], None), extra: (wanted[1], None)})
    quote = history.quote_of(order)
    assert history.change_items(order, quote).outcome == "scheduled"
    history.advance_to("2026-05-02")
    db.session.remove()
    with reading() as reader:
        mine = SubscriptionItem.account_id == history.shop.customer.account_id
        found = dict(reader.execute(select(SubscriptionItem.id, SubscriptionItem.price_id).where(mine)).all())  # type: ignore[arg-type]
    assert found == {history.shop.item_id: wanted[0], extra: wanted[1]}
    assert quote.next_invoice
    assert history.invoices()[-1].endswith(f" = {quote.next_invoice.amount_due / 100:.2f}")


def test_an_item_beside_the_plan_does_not_become_a_plan(app: Flask) -> None:
    history = History.start(app)
    storage = history.add_item(600)
    solo = history.shop.prices["solo"].id
    with pytest.raises(BillingError, match="Choose one of the plans on this page"):
        history.quote_of(PlanChangeRequest({storage: (solo, None)}))
    assert history.quote_of(PlanChangeRequest({storage: (None, 2)})).invoice.lines
    assert history.quote_of(PlanChangeRequest({history.shop.item_id: (solo, None)})).invoice.lines


def test_a_plan_that_is_no_longer_offered_can_be_changed(app: Flask) -> None:
    history = History.start(app)
    offered = [
        product
        for product in history.shop.features.products
        if product["product"] != history.shop.prices["team"].product_id
    ]
    history.shop = replace(history.shop, features=replace(history.shop.features, products=tuple(offered)))
    assert history.quote_of(
        PlanChangeRequest({history.shop.item_id: (history.shop.prices["solo"].id, None)})
    ).invoice.lines


def test_a_card_is_not_charged_after_the_subscription_has_ended(app: Flask) -> None:
    history = History.start(app)
    history.add_item(700, "week")
    history.add_card(world.FAILS)
    history.advance_to("2026-04-24")
    ended = history.subscription
    assert ended.status == "canceled"
    history.add_card()
    history.advance_to("2026-05-20")
    with reading() as reader:
        mine = Invoice.customer_id == history.shop.customer.id, Invoice.paid_at.is_not(None)
        paid = [day(moment) for moment in reader.scalars(select(Invoice.paid_at).where(*mine))]
        still_open = Invoice.customer_id == history.shop.customer.id, Invoice.status == "open"
        assert list(reader.scalars(select(Invoice.id).where(*still_open)))  # and can be paid by hand
    assert max(paid) <= day(ended.ended_at)


@pytest.mark.both_databases
def test_two_subscriptions_in_two_currencies_at_one_instant(app: Flask) -> None:
    """The first subscription's carried amount sets the currency of the balance; the second one does not use the balance."""
    history = History.start(app)
    with transaction() as session:
        made = _merchant(session, history)
        customer = session.scalars(select(Customer).where(Customer.id == history.shop.customer.id)).one()
        customer.currency = None
        price = made.price(made.product("Dollars"), 30, "usd")
        other = made.subscription(customer, [(price, 1)], started=0, created=world.START - 1, start_date=world.START)
        other.billing_cycle_anchor = world.START
        for item in subscription_items.load_items(session, other):
            item.current_period_start, item.current_period_end = world.START, world.END
        other.due_at = world.END
        team = session.get(world.Price, history.shop.prices["team"].id)
        assert team
        team.unit_amount, team.unit_amount_decimal = 30, "30"
    history.advance_to("2026-05-02")
    db.session.remove()
    with reading() as reader:
        mine = Subscription.customer_id == history.shop.customer.id
        assert set(reader.scalars(select(Subscription.billing_error).where(mine))) == {None}
        assert reader.scalar(select(Customer.balance).where(Customer.id == history.shop.customer.id)) == 30
    assert sorted(bill[-4:] for bill in history.invoices()) == ["0.00", "0.30"]
