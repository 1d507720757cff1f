"""The next amount that a page names is what is charged: with credit that subscriptions share, and with a planned change."""

import re

import pytest
from flask import Flask
from sqlalchemy import select, update

from portal_site.billing.models import Customer, Invoice
from tests import world
from tests.client import text
from tests.conftest import enter
from tests.scenarios.history import History
from tests.world import reading

NEXT = re.compile(r"Next payment €([\d.,]+) on ([A-Z]\w+ \d+, \d+)")


def _promised(app: Flask, history: History, *subscriptions: str) -> dict[str, tuple[str, int]]:
    """What the page of each subscription names, which is what the overview names too."""
    client = enter(app, history.shop.customer)
    on_overview = NEXT.findall(text(client.get("/").text))
    found = {}
    for subscription in subscriptions:
        (shown,) = NEXT.findall(text(client.get(f"/subscriptions/{subscription}").text))
        assert shown in on_overview
        found[subscription] = shown[1], round(float(shown[0].rstrip(".,")) * 100)
    assert len(on_overview) == len(subscriptions)
    return found


def _charged(subscription: str) -> int:
    with reading() as reader:
        newest = (
            select(Invoice.amount_due).where(Invoice.subscription_id == subscription).order_by(Invoice.created.desc())
        )
        return int(reader.scalar(newest.limit(1)) or 0)


@pytest.mark.parametrize("credit", [100, 600, 1000, 1250, 3000])
@pytest.mark.parametrize("days", [20, 30, 37])
def test_credit_is_promised_once(app: Flask, credit: int, days: int) -> None:
    history = History.start(app)
    other = world.second_subscription(history.shop, days=days)
    with world.transaction() as session:
        mine = Customer.id == history.shop.customer.id, Customer.account_id == history.shop.customer.account_id
        session.execute(update(Customer).where(*mine).values(balance=-credit, currency="eur"))
    own = str(history.shop.subscription.id)
    promised = _promised(app, history, own, other.id)
    for subscription, (date, amount) in sorted(promised.items(), key=lambda one: one[1][0].startswith("May")):
        month, day = date.removesuffix(", 2026").split(" ")
        history.advance_to(f"2026-{'04' if month == 'April' else '05'}-{int(day):02}")
        assert _charged(subscription) == amount


@pytest.mark.parametrize(("extra", "every"), [(12000, "year"), (700, "week"), (300, "month")])
def test_with_a_planned_change_what_is_charged_is_promised(app: Flask, extra: int, every: str) -> None:
    history = History.start(app, policy={"schedule_at_period_end": ("decreasing_item_amount",)}, tax=[_vat()])
    history.add_item(extra, every)
    history.advance_to("2026-04-16")
    history.change_plan("solo")
    own = str(history.shop.subscription.id)
    date, amount = _promised(app, history, own)[own]
    month, day = date.removesuffix(", 2026").split(" ")
    history.advance_to(f"2026-{'04' if month == 'April' else '05'}-{int(day):02}")
    assert _charged(own) == amount


def _vat() -> dict[str, object]:
    return {"id": "txr_vat", "display_name": "VAT", "percentage": "19", "inclusive": False}
