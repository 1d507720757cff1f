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
from tests.scenarios.history import History
from tests.scenarios.history_state import day
from tests.world import reading

MIDDLE = "2026-04-16"
RENEWED = "2026-05-01 paid: 1 seats × Team (at €10.00 / month) 10.00, 2 × Storage (at €3.00 / month) 6.00"


def _items(history: History) -> list[tuple[str, int, str]]:
    """Key of the price, quantity, and end of the period of each item, oldest first."""
    db.session.remove()
    names = {price.id: name for name, price in history.shop.prices.items()}
    query = (
        select(SubscriptionItem.__table__)
        .where(SubscriptionItem.subscription_id == history.shop.subscription.id)
        .where(SubscriptionItem.account_id == history.shop.customer.account_id)
        .order_by(SubscriptionItem.created, SubscriptionItem.id)
    )
    with reading() as reader:
        return [(names[row.price_id], row.quantity, day(row.current_period_end)) for row in reader.execute(query)]


@pytest.mark.both_databases
def test_an_add_on_is_paid_for_the_rest_of_the_month_and_renews_with_the_plan(app: Flask) -> None:
    history = History.start(app, add_ons=True).advance_to(MIDDLE)
    quote = history.quote_of(history.add_on_order(storage=2, support=1))
    history.change_items(history.add_on_order(storage=2, support=1), quote)
    assert _items(history) == [("team", 1, "2026-05-01"), ("storage", 2, "2026-05-01"), ("support", 1, "2026-05-01")]
    history.advance_to("2026-05-02")
    bought, renewed = history.invoices()
    assert bought == (
        "2026-04-16 paid: Remaining time on 2 × Storage after 16 Apr 2026 3.00, "
        "Remaining time on Support after 16 Apr 2026 2.50 = 5.50"
    )
    assert renewed == f"{RENEWED}, 1 × Support (at €5.00 / month) 5.00 = 21.00"
    assert quote.next_invoice is not None
    assert (day(quote.next_invoice.date), quote.next_invoice.amount_due) == ("2026-05-01", 2100)
    ledger.audit(history.shop.customer.account_id)


@pytest.mark.both_databases
def test_plan_and_add_ons_change_with_one_confirmation(app: Flask) -> None:
    history = History.start(app, add_ons=True).advance_to_instant(world.START + 60)
    history.change_items(history.add_on_order(storage=2))
    history.advance_to(MIDDLE)
    add_ons = history.add_on_order(storage=0, support=1).add_ons
    history.change_items(
        PlanChangeRequest({history.shop.item_id: (history.shop.prices["solo"].id, 3)}, add_ons=add_ons)
    )
    assert _items(history) == [("solo", 3, "2026-05-01"), ("support", 1, "2026-05-01")]
    assert history.invoices()[-1] == (
        "2026-04-16 paid: Unused time on Team after 16 Apr 2026 -5.00, Unused time on 2 × Storage after 16 Apr 2026 -3.00, "
        "Remaining time on 3 × Solo after 16 Apr 2026 6.00, Remaining time on Support after 16 Apr 2026 2.50 = 0.50"
    )
    ledger.audit(history.shop.customer.account_id)


@pytest.mark.both_databases
def test_an_add_on_that_is_not_paid_is_not_added(app: Flask) -> None:
    history = History.start(app, card=world.FAILS, add_ons=True).advance_to(MIDDLE)
    assert history.change_items(history.add_on_order(storage=10)).outcome == "pending"
    assert _items(history) == [("team", 1, "2026-05-01")]
    history.advance_to("2026-04-18")
    assert (history.subscription.pending_update, [bill[11:15] for bill in history.invoices()]) == (None, ["void"])
    assert _items(history) == [("team", 1, "2026-05-01")]
    ledger.audit(history.shop.customer.account_id)


@pytest.mark.both_databases
def test_a_pending_add_on_is_added_once_it_is_paid(app: Flask) -> None:
    history = History.start(app, card=world.FAILS, add_ons=True).advance_to_instant(world.START + 60)
    history.change_items(history.add_on_order(storage=10))
    history.add_card()
    history.pay()
    assert _items(history) == [("team", 1, "2026-05-01"), ("storage", 10, "2026-05-01")]
    history.advance_to("2026-05-02")
    assert history.invoices()[-1].endswith("10 × Storage (at €3.00 / month) 30.00 = 40.00")


def test_a_removal_at_the_end_of_the_period_can_be_undone(app: Flask) -> None:
    deferred = {"schedule_at_period_end": ("decreasing_item_amount",)}
    history = History.start(app, add_ons=True, policy=deferred).advance_to_instant(world.START + 60)
    history.change_items(history.add_on_order(storage=2))
    history.advance_to(MIDDLE)
    assert history.change_items(history.add_on_order(storage=0)).outcome == "scheduled"
    history.undo_planned_change()
    assert history.change_items(history.add_on_order(storage=0)).outcome == "scheduled"
    assert _items(history) == [("team", 1, "2026-05-01"), ("storage", 2, "2026-05-01")]
    history.advance_to("2026-05-02")
    assert _items(history) == [("team", 1, "2026-06-01")]
    assert history.invoices()[-1] == "2026-05-01 paid: 1 seats × Team (at €10.00 / month) 10.00 = 10.00"
    ledger.audit(history.shop.customer.account_id)


def test_a_yearly_add_on_beside_a_monthly_plan_is_billed_by_the_year(app: Flask) -> None:
    history = History.start(app, add_ons=True).advance_to_instant(world.START + 60)
    history.change_items(history.add_on_order(storage_year=1))
    history.advance_to("2027-04-02")
    yearly = [bill for bill in history.invoices() if "Storage" in bill]
    assert yearly == [
        "2026-04-01 paid: Remaining time on Storage after 01 Apr 2026 30.00 = 30.00",
        "2027-04-01 paid: 1 seats × Team (at €10.00 / month) 10.00, 1 × Storage (at €30.00 / year) 30.00 = 40.00",
    ]
    ledger.audit(history.shop.customer.account_id)


def test_a_discount_on_an_add_on_ends_with_it(app: Flask) -> None:
    history = History.start(app, add_ons=True).advance_to_instant(world.START + 60)
    history.change_items(history.add_on_order(storage=2))
    history.add_discount_on_second_item()
    history.change_items(history.add_on_order(storage=0))
    assert history.events.count("customer.discount.deleted") == 1
    history.advance_to("2026-05-02")
    assert history.invoices()[-1] == "2026-05-01 paid: 1 seats × Team (at €10.00 / month) 10.00 = 10.00, due 4.00"
    ledger.audit(history.shop.customer.account_id)


def test_a_code_takes_off_the_add_on_too_and_its_coupon_looks_at_all_items(app: Flask) -> None:
    history = History.start(app, add_ons=True).advance_to(MIDDLE)
    code = history.create_code(percent_off="50", duration="once")
    order = history.add_on_order(storage=10)
    quote = history.quote_of(PlanChangeRequest(add_ons=order.add_ons, code_id=code))
    assert (quote.invoice.subtotal, quote.invoice.amount_due) == (1500, 750)


def test_an_add_on_ends_and_is_reactivated_with_its_subscription(app: Flask) -> None:
    history = History.start(app, add_ons=True).advance_to_instant(world.START + 60)
    history.change_items(history.add_on_order(storage=2))
    history.pause()
    history.advance_to("2026-06-10")
    history.resume()
    assert _items(history) == [("team", 1, "2026-07-10"), ("storage", 2, "2026-07-10")]
    ledger.audit(history.shop.customer.account_id)


def test_two_changes_within_a_second_add_two_items(app: Flask) -> None:
    history = History.start(app, add_ons=True).advance_to_instant(world.START + 60)
    history.change_items(history.add_on_order(storage=1))
    history.change_items(history.add_on_order(support=1))
    assert sorted(name for name, _, _ in _items(history)) == ["storage", "support", "team"]
    ledger.audit(history.shop.customer.account_id)


def test_a_confirmation_is_refused_after_the_terms_changed(app: Flask) -> None:
    history = History.start(app, add_ons=True).advance_to(MIDDLE)
    order = history.add_on_order(storage=2)
    quote = history.quote_of(order)
    history.change_items(history.add_on_order(support=1))
    with pytest.raises(StateChanged):
        history.change_items(order, quote)


def test_an_add_on_that_is_not_offered_is_refused(app: Flask) -> None:
    history = History.start(app)
    with pytest.raises(BillingError) as refused:
        history.quote_of(PlanChangeRequest(add_ons={"prod_elsewhere": (None, 1)}))
    assert refused.value.code == "product_not_offered"


def test_the_items_of_a_subscription_that_begins_again_keep_their_order(app: Flask) -> None:
    """They are all added in one second then, and which plan comes first is not left to chance."""
    history = History.start(app, also="solo")
    for amount in (100, 200, 300):
        history.add_item(amount)
    with reading() as reader:
        rows = snapshots.load_owned_rows(reader, history.shop.customer.id, history.shop.subscription.id)
        before = [item.amount for item in snapshots.load_for_quote(reader, *rows, history.now).items]
    history.cancel(mode="immediately")
    known = history.shop.customer.id, history.shop.subscription.id
    quote = reactivations.preview(*known, history.now).quote
    assert quote
    again = reactivations.reactivate(*known, Confirmation(history.now, quote_fingerprint(quote), "again"), history.now)
    with reading() as reader:
        rows = snapshots.load_owned_rows(reader, history.shop.customer.id, again.subscription_id)
        after = [item.amount for item in snapshots.load_for_quote(reader, *rows, history.now).items]
    assert after == before
    scope = {
        "account_id": history.shop.customer.account_id,
        "customer_id": history.shop.customer.id,
        "on_behalf_of": None,
    }
    visitor: Any = SimpleNamespace(
        scope=scope, payer=CustomerBalance(), default_payment_method_id=None, on_behalf_of=None
    )
    found = overview.find_subscription(visitor, again.subscription_id, history.now)
    assert found
    assert [item.amount for item in found[0].items] == before
