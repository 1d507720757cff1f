"""Add-ons beside a plan: added, changed and removed in one change, billed with the plan, and forecast."""

from types import SimpleNamespace
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import select

from portal_site.billing.changes import reactivations
from portal_site.billing.errors import BillingError, StateChanged
from portal_site.billing.loading import snapshots
from portal_site.billing.loading.confirmations import Confirmation, quote_fingerprint
from portal_site.billing.models import SubscriptionItem
from portal_site.billing.rules.subscriptions.portal_policy import PlanChangeRequest
from portal_site.db import db
from portal_site.portal.reads import overview
from portal_site.portal.reads.subscriptions import CustomerBalance
from tests import world
from tests.proofs import ledger
from tests.scenarios.life import Life, day
from tests.world import reading

MIDDLE = "2026-04-16"
RENEWED = "2026-05-01 paid: 1 seats × Team (at €10.00 / month) 10.00, 2 × Storage (at €3.00 / month) 6.00"


def _items(life: Life) -> list[tuple[str, int, str]]:
    """Key of the price, quantity, and end of the period of each item, oldest first."""
    db.session.remove()
    names = {price.id: name for name, price in life.shop.prices.items()}
    query = (
        select(SubscriptionItem.__table__)
        .where(SubscriptionItem.subscription_id == life.shop.subscription.id)
        .where(SubscriptionItem.account_id == life.shop.customer.account_id)
        .order_by(SubscriptionItem.created, SubscriptionItem.id)
    )
    with reading() as reader:
        return [(names[row.price_id], row.quantity, day(row.current_period_end)) for row in reader.execute(query)]


@pytest.mark.both_databases
def test_an_add_on_is_paid_for_the_rest_of_the_month_and_renews_with_the_plan(app: Flask) -> None:
    life = Life.begins(app, add_ons=True).goes_to(MIDDLE)
    quote = life.quote_of(life.add_on_order(storage=2, support=1))
    life.orders(life.add_on_order(storage=2, support=1), quote)
    assert _items(life) == [("team", 1, "2026-05-01"), ("storage", 2, "2026-05-01"), ("support", 1, "2026-05-01")]
    life.goes_to("2026-05-02")
    bought, renewed = life.bills()
    assert bought == (
        "2026-04-16 paid: Remaining time on 2 × Storage after 16 Apr 2026 3.00, "
        "Remaining time on Support after 16 Apr 2026 2.50 = 5.50"
    )
    assert renewed == f"{RENEWED}, 1 × Support (at €5.00 / month) 5.00 = 21.00"
    assert quote.next_invoice is not None
    assert (day(quote.next_invoice.date), quote.next_invoice.amount_due) == ("2026-05-01", 2100)
    ledger.audit(life.shop.customer.account_id)


@pytest.mark.both_databases
def test_plan_and_add_ons_change_with_one_confirmation(app: Flask) -> None:
    life = Life.begins(app, add_ons=True).goes_at(world.START + 60)
    life.orders(life.add_on_order(storage=2))
    life.goes_to(MIDDLE)
    add_ons = life.add_on_order(storage=0, support=1).add_ons
    life.orders(PlanChangeRequest({life.shop.item_id: (life.shop.prices["solo"].id, 3)}, add_ons=add_ons))
    assert _items(life) == [("solo", 3, "2026-05-01"), ("support", 1, "2026-05-01")]
    assert life.bills()[-1] == (
        "2026-04-16 paid: Unused time on Team after 16 Apr 2026 -5.00, Unused time on 2 × Storage after 16 Apr 2026 -3.00, "
        "Remaining time on 3 × Solo after 16 Apr 2026 6.00, Remaining time on Support after 16 Apr 2026 2.50 = 0.50"
    )
    ledger.audit(life.shop.customer.account_id)


@pytest.mark.both_databases
def test_an_add_on_that_is_not_paid_is_not_added(app: Flask) -> None:
    life = Life.begins(app, card=world.FAILS, add_ons=True).goes_to(MIDDLE)
    assert life.orders(life.add_on_order(storage=10)).outcome == "pending"
    assert _items(life) == [("team", 1, "2026-05-01")]
    life.goes_to("2026-04-18")
    assert (life.subscription.pending_update, [bill[11:15] for bill in life.bills()]) == (None, ["void"])
    assert _items(life) == [("team", 1, "2026-05-01")]
    ledger.audit(life.shop.customer.account_id)


@pytest.mark.both_databases
def test_an_add_on_that_waited_for_its_payment_is_added_with_it(app: Flask) -> None:
    life = Life.begins(app, card=world.FAILS, add_ons=True).goes_at(world.START + 60)
    life.orders(life.add_on_order(storage=10))
    life.gets_a_card()
    life.pays()
    assert _items(life) == [("team", 1, "2026-05-01"), ("storage", 10, "2026-05-01")]
    life.goes_to("2026-05-02")
    assert life.bills()[-1].endswith("10 × Storage (at €3.00 / month) 30.00 = 40.00")


def test_a_removal_at_the_end_of_the_period_can_be_undone(app: Flask) -> None:
    deferred = {"schedule_at_period_end": ("decreasing_item_amount",)}
    life = Life.begins(app, add_ons=True, policy=deferred).goes_at(world.START + 60)
    life.orders(life.add_on_order(storage=2))
    life.goes_to(MIDDLE)
    assert life.orders(life.add_on_order(storage=0)).outcome == "scheduled"
    life.takes_it_back()
    assert life.orders(life.add_on_order(storage=0)).outcome == "scheduled"
    assert _items(life) == [("team", 1, "2026-05-01"), ("storage", 2, "2026-05-01")]
    life.goes_to("2026-05-02")
    assert _items(life) == [("team", 1, "2026-06-01")]
    assert life.bills()[-1] == "2026-05-01 paid: 1 seats × Team (at €10.00 / month) 10.00 = 10.00"
    ledger.audit(life.shop.customer.account_id)


def test_a_yearly_add_on_beside_a_monthly_plan_is_billed_by_the_year(app: Flask) -> None:
    life = Life.begins(app, add_ons=True).goes_at(world.START + 60)
    life.orders(life.add_on_order(storage_year=1))
    life.goes_to("2027-04-02")
    yearly = [bill for bill in life.bills() if "Storage" in bill]
    assert yearly == [
        "2026-04-01 paid: Remaining time on Storage after 01 Apr 2026 30.00 = 30.00",
        "2027-04-01 paid: 1 seats × Team (at €10.00 / month) 10.00, 1 × Storage (at €30.00 / year) 30.00 = 40.00",
    ]
    ledger.audit(life.shop.customer.account_id)


def test_a_discount_on_an_add_on_ends_with_it(app: Flask) -> None:
    life = Life.begins(app, add_ons=True).goes_at(world.START + 60)
    life.orders(life.add_on_order(storage=2))
    life.gets_a_discount_on_the_other_item()
    life.orders(life.add_on_order(storage=0))
    assert life.events.count("customer.discount.deleted") == 1
    life.goes_to("2026-05-02")
    assert life.bills()[-1] == "2026-05-01 paid: 1 seats × Team (at €10.00 / month) 10.00 = 10.00, due 4.00"
    ledger.audit(life.shop.customer.account_id)


def test_a_code_takes_off_the_add_on_too_and_its_coupon_looks_at_all_items(app: Flask) -> None:
    life = Life.begins(app, add_ons=True).goes_to(MIDDLE)
    code = life.code(percent_off="50", duration="once")
    order = life.add_on_order(storage=10)
    quote = life.quote_of(PlanChangeRequest(add_ons=order.add_ons, code_id=code))
    assert (quote.invoice.subtotal, quote.invoice.amount_due) == (1500, 750)


def test_an_add_on_leaves_and_comes_back_with_its_subscription(app: Flask) -> None:
    life = Life.begins(app, add_ons=True).goes_at(world.START + 60)
    life.orders(life.add_on_order(storage=2))
    life.pauses()
    life.goes_to("2026-06-10")
    life.resumes()
    assert _items(life) == [("team", 1, "2026-07-10"), ("storage", 2, "2026-07-10")]
    ledger.audit(life.shop.customer.account_id)


def test_two_changes_within_a_second_add_two_items(app: Flask) -> None:
    life = Life.begins(app, add_ons=True).goes_at(world.START + 60)
    life.orders(life.add_on_order(storage=1))
    life.orders(life.add_on_order(support=1))
    assert sorted(name for name, _, _ in _items(life)) == ["storage", "support", "team"]
    ledger.audit(life.shop.customer.account_id)


def test_what_changed_since_the_quote_is_not_confirmed(app: Flask) -> None:
    life = Life.begins(app, add_ons=True).goes_to(MIDDLE)
    order = life.add_on_order(storage=2)
    quote = life.quote_of(order)
    life.orders(life.add_on_order(support=1))
    with pytest.raises(StateChanged):
        life.orders(order, quote)


def test_nobody_gets_an_add_on_that_is_not_offered(app: Flask) -> None:
    life = Life.begins(app)
    with pytest.raises(BillingError) as refused:
        life.quote_of(PlanChangeRequest(add_ons={"prod_elsewhere": (None, 1)}))
    assert refused.value.code == "product_not_offered"


def test_the_items_of_a_subscription_that_begins_again_keep_their_order(app: Flask) -> None:
    """They are all added in one second then, and which plan comes first is not left to chance."""
    life = Life.begins(app, also="solo")
    for amount in (100, 200, 300):
        life.gets_item(amount)
    with reading() as reader:
        rows = snapshots.load_owned_rows(reader, life.shop.customer.id, life.shop.subscription.id)
        before = [item.amount for item in snapshots.load_for_quote(reader, *rows, life.now).items]
    life.cancels(mode="immediately")
    known = life.shop.customer.id, life.shop.subscription.id
    quote = reactivations.preview(*known, life.now).quote
    assert quote
    again = reactivations.reactivate(*known, Confirmation(life.now, quote_fingerprint(quote), "again"), life.now)
    with reading() as reader:
        rows = snapshots.load_owned_rows(reader, life.shop.customer.id, again.subscription_id)
        after = [item.amount for item in snapshots.load_for_quote(reader, *rows, life.now).items]
    assert after == before
    scope = {"account_id": life.shop.customer.account_id, "customer_id": life.shop.customer.id, "on_behalf_of": None}
    visitor: Any = SimpleNamespace(
        scope=scope, payer=CustomerBalance(), default_payment_method_id=None, on_behalf_of=None
    )
    found = overview.find_subscription(visitor, again.subscription_id, life.now)
    assert found
    assert [item.amount for item in found[0].items] == before
