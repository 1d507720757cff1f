"""Results of retention offers: who is counted, what they paid, and the table on the terminal."""

from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import update

from portal_site.billing.cancellation import retention_results
from portal_site.billing.errors import BillingError
from portal_site.billing.models import CancellationAttempt, Invoice, Subscription
from portal_site.billing.rules.amounts.periods import DAY
from portal_site.cli import tables
from portal_site.db.transactions import transaction
from tests import world
from tests.test_cli import Portal

COUPON = {"offer": {"type": "coupon", "coupon": "STAY"}}


def _left(shop: world.Shop, days_after: int | None, **members: Any) -> None:
    """Another customer wanted to leave in the middle of the first month; the subscription ended so many days later."""
    subscription = shop.subscription
    attempt = CancellationAttempt.of(subscription, world.HALF, **{**COUPON, **members})
    with transaction() as session:
        session.add(attempt)
        if days_after is not None:
            mine = Subscription.customer_id == shop.customer.id, Subscription.id == subscription.id
            session.execute(update(Subscription).where(*mine).values(ended_at=world.HALF + days_after * DAY))


def _pays(shop: world.Shop, at: int) -> None:
    with transaction() as session:
        session.execute(update(Invoice).where(Invoice.customer_id == shop.customer.id).values(paid_at=at))


def test_results_count_each_customer_once_with_its_payments(app: Flask) -> None:
    first = world.shop()
    shops = [first, *(world.neighbour(first, number) for number in range(5))]
    for shop, days_after, paid, members in (
        (shops[0], None, 10, {"offer_outcome": "accepted"}),
        (shops[1], 31, 91, {"offer_outcome": "declined"}),  # gone, and paid after the time that counts
        (shops[2], 91, 90, {"offer_outcome": "shown"}),  # still there then
        (shops[3], 90, -1, {"held_out": True}),  # paid before
        (shops[4], None, 1, {"held_out": True, "offer": {"type": "pause"}}),
        (shops[5], None, 1, {"offer": None}),  # nothing would have been offered
    ):
        _left(shop, days_after, **members)
        _pays(shop, world.HALF + paid * DAY)
    account = first.customer.account_id
    assert retention_results.results(account, False, 90, world.HALF + 90 * DAY - 1) == []
    coupon, pause = retention_results.results(account, False, 90, world.HALF + 90 * DAY)
    assert (coupon.type, coupon.currency, coupon.accepted) == ("coupon", "eur", 1)
    offered, alone = coupon.comparison.offered, coupon.comparison.held_out
    assert (offered.count, offered.stayed, offered.paid, offered.squares) == (3, 2, 2000, 2_000_000)
    assert (alone.count, alone.stayed, alone.paid) == (1, 0, 0)
    assert (pause.comparison.offered.count, pause.comparison.held_out.count) == (0, 1)
    assert coupon.comparison.stayed is None  # too few
    assert retention_results.results(account, True, 90, world.HALF + 90 * DAY) == []


def test_another_merchants_customers_do_not_count(app: Flask) -> None:
    shop, other = world.shop(), world.shop("Other")
    _left(shop, None, offer_outcome="shown")
    assert retention_results.results(other.customer.account_id, False, 1, world.HALF + 90 * DAY) == []
    with pytest.raises(BillingError, match="several accounts"):
        retention_results.results(None, False, 1, world.HALF + 90 * DAY)


def test_the_table_on_a_terminal(lite_app: Flask, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shop = world.shop()
    for number in range(70):
        one = world.neighbour(shop, number)
        outcome = None if number < 30 else "accepted" if number % 2 else "declined"
        for _again in range(1 + number % 2):  # who comes twice counts once
            _left(one, None, held_out=number < 30, offer_outcome=outcome)
        _pays(one, world.HALF + DAY)
    (result,) = retention_results.results(None, False, 30, world.HALF + 90 * DAY)
    tables.show(tables.retention(result, 30))
    shown = capsys.readouterr().out
    for words in (
        "Offer: coupon (EUR)",
        "after 30 days",
        "100.0%",
        "+0.0 points",
        "may be chance",
        "10.00",
        "+0.00",
        "40",
        "30",
    ):
        assert words in shown
    portal = Portal(tmp_path)
    portal.with_database()
    assert "No such account" in portal("retention").stderr
