"""The day of the month on which an item is billed stays the one it began on, whatever is changed on the 29th to the 31st."""

from dataclasses import replace
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import select

from portal_site.billing.models import Account, Price, Product, SubscriptionItem
from portal_site.billing.operations.plan_changes import Order
from portal_site.db import db, transaction
from tests import world
from tests.proofs import ledger
from tests.scenarios.life import Life, day
from tests.world import reading


def _another_interval(life: Life, item_id: str, every: str) -> str:
    """The id of a price of the same product for another interval, which customers may choose."""
    account_id = life.shop.customer.account_id
    with transaction() as session:
        mine = SubscriptionItem.id == item_id, SubscriptionItem.account_id == account_id
        both = select(Product, Price).join(Price, Price.product_id == Product.id)
        product, now = session.execute(
            both.join(SubscriptionItem, SubscriptionItem.price_id == Price.id).where(
                *mine, Product.account_id == account_id
            )
        ).one()
        made = world.Merchant(session, world.START, session.get(Account, account_id))
        new = made.price(product, 400, "eur", every)
    offered = {"product": new.product_id, "prices": [now.id, new.id]}
    life.shop.features = replace(life.shop.features, products=(*life.shop.features.products, offered))
    return str(new.id)


def _row(item_id: str) -> Any:
    db.session.remove()
    with reading() as reader:
        return reader.execute(select(SubscriptionItem.__table__).where(SubscriptionItem.id == item_id)).one()


def _ends(life: Life, item_id: str, times: int) -> list[str]:
    """The days on which its next periods begin."""
    found = []
    for _ in range(times):
        found.append(day(_row(item_id).current_period_end))
        life.goes_at(_row(item_id).current_period_end)
    return found


@pytest.mark.case("D11")
@pytest.mark.parametrize("proration", ["none", "create_prorations", "always_invoice"])
def test_an_item_that_leaves_the_others_keeps_its_own_day(app: Flask, proration: str) -> None:
    life = Life.begins(app, policy={"proration_behavior": proration})
    extra = life.gets_item(100, "week")
    monthly = _another_interval(life, extra, "month")
    # A week ends on the 30th of December. Without proration it runs on to then; with it a month begins where the week did.
    life.goes_to("2026-12-28" if proration == "none" else "2027-01-01")
    life.orders(Order({extra: (monthly, 1)}))
    days = ["2026-12-30"] if proration == "none" else []
    days += ["2027-01-30", "2027-02-28", "2027-03-30", "2027-04-30", "2027-05-30"]
    assert _ends(life, extra, len(days)) == days
    assert life.period == ("2027-05-01", "2027-06-01")
    ledger.audit(life.shop.customer.account_id)
