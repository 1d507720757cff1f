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
from portal_site.billing.models import Customer, Invoice, Subscription
from portal_site.db import db
from portal_site.db.transactions import transaction
from portal_site.ids import new_id
from portal_site.portal.access.visitors import Visitor
from portal_site.portal.reads import overview
from portal_site.portal.reads.invoices import MOST_OPEN
from portal_site.portal.reads.subscriptions import CustomerBalance, SubscriptionView
from tests import world
from tests.scenarios.life import Life
from tests.world import reading

VAT = {"id": "txr_vat", "display_name": "VAT", "percentage": "19", "inclusive": False}
DEFERRED = {"proration_behavior": "create_prorations"}


def _plain(life: Life) -> None:
    life.goes_to("2026-04-16")


def _pending_lines(life: Life) -> None:
    life.goes_to("2026-04-11")
    life.changes(quantity=3)
    life.goes_to("2026-04-16")
    life.changes(quantity=5)


def _used_up_coupon(life: Life) -> None:
    life.gets_a_discount(duration="once", percent_off="50")
    life.goes_to("2026-05-16")


def _planned_change(life: Life) -> None:
    life.goes_to("2026-04-16")
    life.changes("solo")


def _merchants_schedule(life: Life) -> None:
    life.is_scheduled(("2026-05-01", {"team": 2}), ("2026-06-01", {"year": 1}))
    life.goes_to("2026-04-16")


def _unpaid_change(life: Life) -> None:
    """A change that waits for its payment, with pending lines and credit that it returns, beside many open invoices."""
    life.gets_a_discount(duration="once", percent_off="20")
    life.goes_to("2026-04-11")
    life.changes(quantity=2)
    with transaction() as session:
        mine = Customer.id == life.shop.customer.id, Customer.account_id == life.shop.customer.account_id
        session.execute(update(Customer).where(*mine).values(balance=-300, currency="eur"))
    life.gets_a_card(world.FAILS)
    life.goes_to("2026-04-16")
    life.changes("year")
    _add_open_invoices(life, MOST_OPEN + 5)


def _add_open_invoices(life: Life, count: int) -> None:
    """Newer ones than all others."""
    table = Invoice.__table__
    with transaction() as session:
        mine = table.c.customer_id == life.shop.customer.id, table.c.account_id == life.shop.customer.account_id
        row = dict(session.execute(select(table).where(*mine).limit(1)).mappings().one())
        other = {"status": "open", "number": None, "cycle_at": None, "subscription_id": None, "created": life.now + 1}
        session.execute(insert(Invoice), [{**row, **other, "id": new_id("in")} for _ in range(count)])


STATES: dict[str, tuple[Callable[[Life], None], dict[str, Any]]] = {
    "plain": (_plain, {}),
    "taxed": (_plain, {"tax": [VAT], "also": "solo"}),
    "untaxed": (_plain, {"tax": [VAT], "customer": {"tax_exempt": "exempt"}}),
    "pending lines": (_pending_lines, {"policy": DEFERRED, "tax": [VAT]}),
    "used up coupon": (_used_up_coupon, {}),
    "planned change": (_planned_change, {"policy": {"schedule_at_period_end": ("decreasing_item_amount",)}}),
    "merchant's schedule": (_merchants_schedule, {}),
    "unpaid change": (_unpaid_change, {"policy": DEFERRED}),
}


def _visitor(life: Life, on_behalf_of: str | None = None) -> Visitor:
    with reading() as reader:
        row = reader.execute(select(Customer.__table__).where(Customer.id == life.shop.customer.id)).one()
    scope = {"account_id": row.account_id, "customer_id": row.id, "on_behalf_of": on_behalf_of}
    payer = CustomerBalance(row.balance, row.currency, row.tax_exempt)
    known = {"scope": scope, "payer": payer, "on_behalf_of": on_behalf_of, "default_payment_method_id": None}
    return cast(Visitor, SimpleNamespace(**known))


def _read(life: Life, subscription_id: str, on_behalf_of: str | None = None) -> SubscriptionView:
    found = overview.find_subscription(_visitor(life, on_behalf_of), subscription_id, life.now)
    assert found is not None
    return found[0]


@pytest.mark.parametrize("state", STATES)
def test_page_and_operation_quote_from_the_same_snapshot(app: Flask, state: str) -> None:
    begin, options = STATES[state]
    life = Life.begins(app, **options)
    once = {"duration": "once", "amount_off": 100, "currency": "eur"}
    sibling = world.second_subscription(life.shop, days=31, coupon=once)
    begin(life)
    db.session.remove()
    for subscription_id in (str(life.shop.subscription.id), sibling.id):
        view = _read(life, subscription_id)
        assert view.has_all_siblings
        with reading() as reader:
            rows = snapshots.load_owned_rows(reader, life.shop.customer.id, subscription_id)
            loaded = snapshots.load_for_quote(reader, *rows, life.now)
            quoted = snapshots.with_charges(reader, view.snapshot, life.shop.customer.id, life.now)
        assert quoted.siblings
        # Whether the merchant has arranged a change is read beside the snapshot, by `plan_options`.
        assert replace(quoted, managed_by_merchant_schedule=False) == loaded


def test_a_portal_of_one_connected_account_counts_the_siblings_that_it_does_not_show(app: Flask) -> None:
    life = Life.begins(app)
    sibling = world.second_subscription(life.shop)
    _set(life, str(life.shop.subscription.id), on_behalf_of=life.shop.customer.account_id)
    view = _read(life, str(life.shop.subscription.id), life.shop.customer.account_id)
    assert [each.id for each in view.snapshot.siblings] == [sibling.id]
    assert view.has_all_siblings


def test_a_subscription_is_loaded_anew_where_a_sibling_is_not_readable(app: Flask) -> None:
    life = Life.begins(app)
    sibling = world.second_subscription(life.shop)
    _set(life, sibling.id, status="frozen")
    assert not _read(life, str(life.shop.subscription.id)).has_all_siblings
    with pytest.raises(Unreadable):
        _read(life, sibling.id)


def _set(life: Life, subscription_id: str, **members: str) -> None:
    with transaction() as session:
        owned = Subscription.id == subscription_id, Subscription.customer_id == life.shop.customer.id
        session.execute(update(Subscription).where(*owned).values(**members))
    db.session.remove()
