"""A page quotes from what it has read anyway: the same snapshot that the operation behind it loads."""

from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

import pytest
from flask import Flask
from sqlalchemy import insert, select, update

from portal_site.billing.errors import Unreadable
from portal_site.billing.loading import snapshots
from portal_site.billing.models import Customer, Invoice, Subscription, SubscriptionItem
from portal_site.db import db
from portal_site.db.transactions import transaction
from portal_site.ids import new_id
from portal_site.portal.access.visitors import Visitor
from portal_site.portal.reads import overview
from portal_site.portal.reads.invoices import MOST_OPEN
from portal_site.portal.reads.subscriptions import CustomerBalance, SubscriptionView
from tests import world
from tests.billing.terms import at as instant
from tests.scenarios.history import History
from tests.world import reading

VAT = {"id": "txr_vat", "display_name": "VAT", "percentage": "19", "inclusive": False}
DEFERRED = {"proration_behavior": "create_prorations"}


def _plain(history: History) -> None:
    history.advance_to("2026-04-16")


def _pending_lines(history: History) -> None:
    history.advance_to("2026-04-11")
    history.change_plan(quantity=3)
    history.advance_to("2026-04-16")
    history.change_plan(quantity=5)


def _items_of_one_second(history: History) -> None:
    """Only their ids put them in an order, which each database may sort in its own way."""
    table = SubscriptionItem.__table__
    with transaction() as session:
        of_it = (
            table.c.subscription_id == history.shop.subscription.id,
            table.c.account_id == history.shop.customer.account_id,
        )
        row = dict(session.execute(select(table).where(*of_it).limit(1)).mappings().one())
        others = [{**row, "id": f"si_{name}", "price_id": history.shop.prices["solo"].id} for name in "bCaD"]
        session.execute(insert(SubscriptionItem), others)
    history.advance_to("2026-05-16")
    history.change_plan(quantity=2)


def _used_up_coupon(history: History) -> None:
    history.add_discount(duration="once", percent_off="50")
    history.advance_to("2026-05-16")


def _planned_change(history: History) -> None:
    history.advance_to("2026-04-16")
    history.change_plan("solo")


def _merchants_schedule(history: History) -> None:
    history.add_schedule(("2026-05-01", {"team": 2}), ("2026-06-01", {"year": 1}))
    history.advance_to("2026-04-16")


def _unpaid_change(history: History) -> None:
    """A change that waits for its payment, with pending lines and credit that it returns, beside many open invoices."""
    history.add_discount(duration="once", percent_off="20")
    history.advance_to("2026-04-11")
    history.change_plan(quantity=2)
    with transaction() as session:
        mine = Customer.id == history.shop.customer.id, Customer.account_id == history.shop.customer.account_id
        session.execute(update(Customer).where(*mine).values(balance=-300, currency="eur"))
    history.add_card(world.FAILS)
    history.advance_to("2026-04-16")
    history.change_plan("year")
    _add_open_invoices(history, MOST_OPEN + 5)


def _add_open_invoices(history: History, count: int) -> None:
    """Newer ones than all others."""
    table = Invoice.__table__
    with transaction() as session:
        mine = table.c.customer_id == history.shop.customer.id, table.c.account_id == history.shop.customer.account_id
        row = dict(session.execute(select(table).where(*mine).limit(1)).mappings().one())
        other = {
            "status": "open",
            "number": None,
            "cycle_at": None,
            "subscription_id": None,
            "created": history.now + 1,
        }
        session.execute(insert(Invoice), [{**row, **other, "id": new_id("in")} for _ in range(count)])


def _prorated_phases(history: History) -> None:
    """Phases of both subscriptions that credit what was charged, one of them with a discount that is used up by then."""
    history.add_discount(duration="once", percent_off="50")
    history.advance_to("2026-05-16")
    history.add_schedule(("2026-05-25", {"team": 3}), proration="always_invoice")
    with reading() as reader:
        others = Subscription.customer_id == history.shop.customer.id, Subscription.id != history.shop.subscription.id
        sibling_id = reader.execute(select(Subscription.id).where(*others)).scalar_one()
    phase = (instant("2026-06-10"), {history.shop.prices["solo"].id: 2})
    world.plan(history.shop.customer.id, sibling_id, [phase], None, "create_prorations")


def _overdue(history: History) -> None:
    """No worker runs, while a discount ends and both subscriptions are to be renewed."""
    history.add_discount(end=instant("2026-05-02"), duration="repeating", duration_in_months=1, percent_off="50")
    history.add_schedule(("2026-05-01", {"team": 2}), proration="create_prorations")
    history.now = instant("2026-05-05")


def _balances(history: History) -> None:
    """A balance in dollars, and beside it credit in euros, which the subscriptions use."""
    history.advance_to("2026-04-16")
    with transaction() as session:
        mine = Customer.id == history.shop.customer.id, Customer.account_id == history.shop.customer.account_id
        session.execute(
            update(Customer).where(*mine).values(balance=-300, currency="usd", other_balances={"eur": -250})
        )


STATES: dict[str, tuple[Callable[[History], None], dict[str, Any]]] = {
    "plain": (_plain, {}),
    "taxed": (_plain, {"tax": [VAT], "also": "solo"}),
    "untaxed": (_plain, {"tax": [VAT], "customer": {"tax_exempt": "exempt"}}),
    "pending lines": (_pending_lines, {"policy": DEFERRED, "tax": [VAT]}),
    "items of one second": (_items_of_one_second, {"policy": DEFERRED}),
    "used up coupon": (_used_up_coupon, {}),
    "planned change": (_planned_change, {"policy": {"schedule_at_period_end": ("decreasing_item_amount",)}}),
    "merchant's schedule": (_merchants_schedule, {}),
    "prorated phases": (_prorated_phases, {}),
    "overdue": (_overdue, {}),
    "balances in two currencies": (_balances, {"policy": DEFERRED}),
    "unpaid change": (_unpaid_change, {"policy": DEFERRED}),
}


def _visitor(history: History, on_behalf_of: str | None = None) -> Visitor:
    with reading() as reader:
        row = reader.execute(select(Customer.__table__).where(Customer.id == history.shop.customer.id)).one()
    scope = {"account_id": row.account_id, "customer_id": row.id, "on_behalf_of": on_behalf_of}
    payer = CustomerBalance(row.balance, row.currency, row.tax_exempt, row.other_balances)
    known = {"scope": scope, "payer": payer, "on_behalf_of": on_behalf_of, "default_payment_method_id": None}
    return cast(Visitor, SimpleNamespace(**known))


def _read(history: History, subscription_id: str, on_behalf_of: str | None = None) -> SubscriptionView:
    found = overview.find_subscription(_visitor(history, on_behalf_of), subscription_id, history.now)
    assert found is not None
    return found[0]


@pytest.mark.both_databases
@pytest.mark.parametrize("state", STATES)
def test_page_and_operation_quote_from_the_same_snapshot(app: Flask, state: str) -> None:
    begin, options = STATES[state]
    history = History.start(app, **options)
    once = {"duration": "once", "amount_off": 100, "currency": "eur"}
    sibling = world.second_subscription(history.shop, days=31, coupon=once)
    begin(history)
    db.session.remove()
    for subscription_id in (str(history.shop.subscription.id), sibling.id):
        view = _read(history, subscription_id)
        assert view.has_all_siblings
        with reading() as reader:
            rows = snapshots.load_owned_rows(reader, history.shop.customer.id, subscription_id)
            loaded = snapshots.load_for_quote(reader, *rows, history.now)
            quoted = snapshots.with_charges(reader, view.snapshot, history.now)
        assert quoted.siblings
        assert bool(quoted.other_balances) == (state == "balances in two currencies")
        # Whether the merchant has arranged a change is read beside the snapshot, by `plan_options`.
        assert replace(quoted, managed_by_merchant_schedule=False) == loaded


def test_a_portal_of_one_connected_account_counts_the_siblings_that_it_does_not_show(app: Flask) -> None:
    history = History.start(app)
    sibling = world.second_subscription(history.shop)
    _set(history, str(history.shop.subscription.id), on_behalf_of=history.shop.customer.account_id)
    view = _read(history, str(history.shop.subscription.id), history.shop.customer.account_id)
    assert [each.id for each in view.snapshot.siblings] == [sibling.id]
    assert view.has_all_siblings


def test_a_subscription_is_loaded_anew_where_a_sibling_is_not_readable(app: Flask) -> None:
    history = History.start(app)
    sibling = world.second_subscription(history.shop)
    _set(history, sibling.id, status="frozen")
    assert not _read(history, str(history.shop.subscription.id)).has_all_siblings
    with pytest.raises(Unreadable):
        _read(history, sibling.id)


def _set(history: History, subscription_id: str, **members: str) -> None:
    with transaction() as session:
        owned = Subscription.id == subscription_id, Subscription.customer_id == history.shop.customer.id
        session.execute(update(Subscription).where(*owned).values(**members))
    db.session.remove()
