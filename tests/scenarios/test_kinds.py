"""Scenarios of other subscriptions: classic billing mode, several items, other intervals, tiers, stacked coupons."""

from typing import Any

import pytest
from flask import Flask
from sqlalchemy import select

from portal_site.billing.changes import plan_changes
from portal_site.billing.models import Account, Discount, Invoice, Price, Subscription
from portal_site.billing.rules.subscriptions.portal_policy import PlanChangeRequest
from portal_site.db.transactions import transaction
from tests import world
from tests.billing.terms import at
from tests.proofs import ledger
from tests.scenarios.life import Life
from tests.world import reading

DAY = 24 * 60 * 60
AT_ONCE = {"proration_behavior": "always_invoice"}


def _merchant(session: Any, life: Life) -> world.Merchant:
    return world.Merchant(session, world.START, session.get(Account, life.shop.customer.account_id))


def _short(life: Life) -> list[str]:
    words = {"Unused time on ": "-", "Remaining time on ": "+", "seats ": "", " (at €10.00 / month)": "", " paid": ""}
    bills = life.bills()
    for long, short in words.items():
        bills = [bill.replace(long, short) for bill in bills]
    return bills


@pytest.mark.both_databases
def test_a_week_and_three_months_each_at_their_own_time(app: Flask) -> None:
    life = Life.begins(app)
    life.gets_item(100, "week")
    life.gets_item(2000, "month", 3)
    life.goes_to("2026-05-01")
    assert [bill[:10] for bill in _short(life)] == [
        "2026-04-08",
        "2026-04-15",
        "2026-04-22",
        "2026-04-29",
        "2026-05-01",
    ]
    life.goes_to("2026-07-01")
    totals = {bill[:10]: bill.rpartition(" = ")[2] for bill in _short(life)}
    assert (totals["2026-05-01"], totals["2026-06-01"], totals["2026-07-01"]) == ("10.00", "10.00", "31.00")
    assert sum(total == "1.00" for total in totals.values()) == 12  # the thirteenth Wednesday is the first of July
    ledger.audit(life.shop.customer.account_id)


@pytest.mark.both_databases
def test_two_items_are_changed_with_one_invoice(app: Flask) -> None:
    life = Life.begins(app)
    extra = life.gets_item(600)
    life.goes_to("2026-04-16")
    order = PlanChangeRequest({life.shop.item_id: (None, 2), extra: (None, 3)})
    known = life.shop.customer.id, life.shop.subscription.id, life.shop.features
    quote = plan_changes.preview(plan_changes.options(*known, life.now), known[0], order, life.now)
    # Nothing was paid for the second one's first month, so there is nothing to give back of it.
    assert [(line.offer.product, line.total) for line in quote.invoice.lines] == [
        ("Team", -500),
        ("Team", 1000),
        ("Extra", 900),
    ]
    assert quote.invoice.amount_due == 1400
    assert quote.next_invoice
    assert quote.next_invoice.amount_due == 2 * 1000 + 3 * 600
    life.orders(order, quote)
    (bill,) = life.bills()
    assert bill.startswith("2026-04-16 paid: Unused time on Team after 16 Apr 2026 -5.00, ")
    assert "Remaining time on 2 × Team after 16 Apr 2026 10.00" in bill
    assert "Remaining time on 3 × Extra after 16 Apr 2026 9.00" in bill
    assert bill.endswith(" = 14.00")
    ledger.audit(life.shop.customer.account_id)


def test_a_classic_subscription_begins_anew_with_another_interval(app: Flask) -> None:
    life = Life.begins(app, policy=AT_ONCE, billing_mode="classic").goes_to("2026-04-16")
    life.changes("year")
    assert _short(life) == ["2026-04-16: -Team after 16 Apr 2026 -5.00, 1 × Team (at €100.00 / year) 100.00 = 95.00"]
    assert life.period == ("2026-04-16", "2027-04-16")


def test_a_classic_subscription_is_credited_at_its_present_price(app: Flask) -> None:
    life = Life.begins(app, policy={"proration_behavior": "none"}, billing_mode="classic").goes_to("2026-04-11")
    life.changes(quantity=2)  # for nothing
    life.shop = world.Shop(
        life.shop.merchant, life.shop.customer, life.shop.subscription, life.shop.prices, life.shop.item_id,
        type(life.shop.features)(**{**vars(life.shop.features), **AT_ONCE}), life.shop.method,
    )  # fmt: skip
    life.goes_to("2026-04-21")
    life.changes(quantity=1)
    # A third of the month: 20.00 that were never paid are credited and 10.00 are charged, as Stripe does in classic mode.
    assert [bill.rpartition(" = ")[2] for bill in _short(life)] == ["-3.34, due 0.00"]


@pytest.mark.parametrize(
    ("mode", "quantities", "totals"),
    [
        ("graduated", (4, 5, 12), ["40.00", "50.00", "99.00"]),  # five at 10.00, the others at 7.00
        ("volume", (4, 5, 12), ["40.00", "50.00", "84.00"]),  # all at 7.00 once there are more than five
    ],
)
def test_steps_of_prices(app: Flask, mode: str, quantities: tuple[int, ...], totals: list[str]) -> None:
    life = Life.begins(app, policy={"proration_behavior": "none"})
    steps = [
        {"up_to": 5, "unit_amount": 1000, "unit_amount_decimal": "1000", "flat_amount": 0},
        {"up_to": None, "unit_amount": 700, "unit_amount_decimal": "700", "flat_amount": 0},
    ]
    with transaction() as session:
        price = session.get(Price, life.shop.prices["team"].id)
        assert price
        price.billing_scheme, price.tiers_mode, price.tiers, price.unit_amount = "tiered", mode, steps, None
    for month, quantity in enumerate(quantities, 4):
        life.goes_to(f"2026-{month:02}-10")
        life.changes(quantity=quantity)
    life.goes_to("2026-07-02")
    assert [bill.rpartition(" = ")[2] for bill in _short(life)] == totals


def _discounts(life: Life, *wanted: dict[str, Any]) -> None:
    """Coupons on an item, the subscription or the customer, in the order of their beginning."""
    with transaction() as session:
        made = _merchant(session, life)
        for number, members in enumerate(wanted):
            owners = {
                "subscription_id": members.pop("subscription", None),
                "subscription_item_id": members.pop("item", None),
            }
            coupon = made.coupon(f"C{number}", **members)
            known = {"account_id": coupon.account_id, "customer_id": life.shop.customer.id, "coupon_id": coupon.id}
            session.add(Discount(id=f"di_{number}", start=world.START + number, **known, **owners))


@pytest.mark.both_databases
def test_coupons_apply_to_the_item_first_then_to_the_subscription_each_to_what_is_left(app: Flask) -> None:
    life = Life.begins(app)
    subscription = life.shop.subscription.id
    _discounts(
        life,
        {"subscription": subscription, "amount_off": 200, "currency": "eur"},
        {"subscription": subscription, "item": life.shop.item_id, "percent_off": "50"},
    )
    life.goes_to("2026-05-01")
    assert _short(life) == ["2026-05-01: 1 × Team 10.00, discount -7.00 = 3.00"]
    with reading() as reader:
        parts = reader.scalar(select(Invoice.total_discount_amounts).where(Invoice.cycle_at == world.END))
    assert parts == [{"amount": 500, "discount": "di_1"}, {"amount": 200, "discount": "di_0"}]


def test_a_customers_coupon_counts_where_the_subscription_has_none(app: Flask) -> None:
    life = Life.begins(app)
    _discounts(life, {"percent_off": "25"})
    life.goes_to("2026-05-01")
    with transaction() as session:
        made = _merchant(session, life)
        mine = Subscription.customer_id == life.shop.customer.id
        coupon = made.coupon("Own", "once", percent_off="10")
        made.discount(session.scalars(select(Subscription).where(mine)).one(), coupon)
    life.goes_to("2026-07-01")
    assert [bill.rpartition(" = ")[2] for bill in _short(life)] == ["7.50", "9.00", "7.50"]


def test_a_coupon_for_one_product_leaves_the_other_alone(app: Flask) -> None:
    life = Life.begins(app)
    life.gets_item(600)
    with reading() as reader:
        product = reader.scalar(select(Price.product_id).where(Price.id == life.shop.prices["team"].id))
    _discounts(life, {"subscription": life.shop.subscription.id, "percent_off": "50", "applies_to_products": [product]})
    life.goes_to("2026-05-01")
    assert _short(life)[0].endswith(", discount -5.00 = 11.00")


def test_a_month_end_anchor_with_a_change_in_february(app: Flask) -> None:
    start = at("2028-01-31")
    life = Life.begins(app, at("2028-01-31"), status="trialing", trial_start=start - DAY, trial_end=start + 60,
                       billing_cycle_anchor=start + 60)  # fmt: skip
    life.goes_to("2028-02-15")
    life.changes(quantity=2)
    life.goes_to("2028-04-30 12:00:00")
    assert [bill[:10] for bill in life.bills(0)] == [
        "2028-01-31",
        "2028-02-15",
        "2028-02-29",
        "2028-03-31",
        "2028-04-30",
    ]
    assert life.period == ("2028-04-30", "2028-05-31")


@pytest.mark.both_databases
def test_changes_at_two_ends_of_a_cancellation(app: Flask) -> None:
    life = Life.begins(app, policy=AT_ONCE).goes_to("2026-04-11")
    life.changes(quantity=3)
    life.cancels()
    life.keeps()
    life.goes_to("2026-04-21")
    life.changes(quantity=1)
    life.goes_to("2026-06-02")
    assert [bill.rpartition(" = ")[2] for bill in _short(life)] == [
        "13.33",
        "-6.67, due 0.00",
        "10.00, due 3.33",
        "10.00",
    ]
    ledger.audit(life.shop.customer.account_id)


def test_a_planned_change_survives_a_pause_and_a_declined_payment_does_not_undo_it(app: Flask) -> None:
    life = Life.begins(app, policy={**AT_ONCE, "schedule_at_period_end": ("decreasing_item_amount",)}).goes_to(
        "2026-04-16"
    )
    life.changes("solo")
    life.pauses("week")
    life.goes_to("2026-04-23")  # goes on by itself: a new month at the old price, less what was kept
    life.goes_to("2026-05-23")
    assert [bill.rpartition(": ")[2] for bill in _short(life)] == [
        "-Team after 16 Apr 2026 -5.00, 1 × Team 10.00 = 5.00",
        "1 × Solo (at €4.00 / month) 4.00 = 4.00",
    ]
