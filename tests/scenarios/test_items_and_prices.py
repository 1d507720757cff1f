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
from tests.scenarios.history import History
from tests.world import reading

DAY = 24 * 60 * 60
AT_ONCE = {"proration_behavior": "always_invoice"}


def _merchant(session: Any, history: History) -> world.Merchant:
    return world.Merchant(session, world.START, session.get(Account, history.shop.customer.account_id))


def _short(history: History) -> list[str]:
    words = {"Unused time on ": "-", "Remaining time on ": "+", "seats ": "", " (at €10.00 / month)": "", " paid": ""}
    bills = history.invoices()
    for long, short in words.items():
        bills = [bill.replace(long, short) for bill in bills]
    return bills


@pytest.mark.both_databases
def test_weekly_and_quarterly_items_are_billed_at_their_own_times(app: Flask) -> None:
    history = History.start(app)
    history.add_item(100, "week")
    history.add_item(2000, "month", 3)
    history.advance_to("2026-05-01")
    assert [bill[:10] for bill in _short(history)] == [
        "2026-04-08",
        "2026-04-15",
        "2026-04-22",
        "2026-04-29",
        "2026-05-01",
    ]
    history.advance_to("2026-07-01")
    totals = {bill[:10]: bill.rpartition(" = ")[2] for bill in _short(history)}
    assert (totals["2026-05-01"], totals["2026-06-01"], totals["2026-07-01"]) == ("10.00", "10.00", "31.00")
    assert sum(total == "1.00" for total in totals.values()) == 12  # the thirteenth Wednesday is the first of July
    ledger.audit(history.shop.customer.account_id)


@pytest.mark.both_databases
def test_two_items_are_changed_with_one_invoice(app: Flask) -> None:
    history = History.start(app)
    extra = history.add_item(600)
    history.advance_to("2026-04-16")
    order = PlanChangeRequest({history.shop.item_id: (None, 2), extra: (None, 3)})
    known = history.shop.customer.id, history.shop.subscription.id, history.shop.features
    quote = plan_changes.preview(plan_changes.options(*known, history.now), known[0], order, history.now)
    # Nothing was paid for the second one's first month, so there is nothing to give back of it.
    assert [(line.offer.product, line.total) for line in quote.invoice.lines] == [
        ("Team", -500),
        ("Team", 1000),
        ("Extra", 900),
    ]
    assert quote.invoice.amount_due == 1400
    assert quote.next_invoice
    assert quote.next_invoice.amount_due == 2 * 1000 + 3 * 600
    history.change_items(order, quote)
    (bill,) = history.invoices()
    assert bill.startswith("2026-04-16 paid: Unused time on Team after 16 Apr 2026 -5.00, ")
    assert "Remaining time on 2 × Team after 16 Apr 2026 10.00" in bill
    assert "Remaining time on 3 × Extra after 16 Apr 2026 9.00" in bill
    assert bill.endswith(" = 14.00")
    ledger.audit(history.shop.customer.account_id)


def test_a_classic_subscription_restarts_its_cycle_with_another_interval(app: Flask) -> None:
    history = History.start(app, policy=AT_ONCE, billing_mode="classic").advance_to("2026-04-16")
    history.change_plan("year")
    assert _short(history) == ["2026-04-16: -Team after 16 Apr 2026 -5.00, 1 × Team (at €100.00 / year) 100.00 = 95.00"]
    assert history.period == ("2026-04-16", "2027-04-16")


def test_a_classic_subscription_is_credited_at_its_current_price(app: Flask) -> None:
    history = History.start(app, policy={"proration_behavior": "none"}, billing_mode="classic").advance_to("2026-04-11")
    history.change_plan(quantity=2)  # for nothing
    history.shop = world.Shop(
        history.shop.merchant, history.shop.customer, history.shop.subscription, history.shop.prices, history.shop.item_id,
        type(history.shop.features)(**{**vars(history.shop.features), **AT_ONCE}), history.shop.method,
    )  # fmt: skip
    history.advance_to("2026-04-21")
    history.change_plan(quantity=1)
    # A third of the month: 20.00 that were never paid are credited and 10.00 are charged, as Stripe does in classic mode.
    assert [bill.rpartition(" = ")[2] for bill in _short(history)] == ["-3.34, due 0.00"]


@pytest.mark.parametrize(
    ("mode", "quantities", "totals"),
    [
        ("graduated", (4, 5, 12), ["40.00", "50.00", "99.00"]),  # five at 10.00, the others at 7.00
        ("volume", (4, 5, 12), ["40.00", "50.00", "84.00"]),  # all at 7.00 once there are more than five
    ],
)
def test_tiered_and_packaged_prices(app: Flask, mode: str, quantities: tuple[int, ...], totals: list[str]) -> None:
    history = History.start(app, policy={"proration_behavior": "none"})
    steps = [
        {"up_to": 5, "unit_amount": 1000, "unit_amount_decimal": "1000", "flat_amount": 0},
        {"up_to": None, "unit_amount": 700, "unit_amount_decimal": "700", "flat_amount": 0},
    ]
    with transaction() as session:
        price = session.get(Price, history.shop.prices["team"].id)
        assert price
        price.billing_scheme, price.tiers_mode, price.tiers, price.unit_amount = "tiered", mode, steps, None
    for month, quantity in enumerate(quantities, 4):
        history.advance_to(f"2026-{month:02}-10")
        history.change_plan(quantity=quantity)
    history.advance_to("2026-07-02")
    assert [bill.rpartition(" = ")[2] for bill in _short(history)] == totals


def _discounts(history: History, *wanted: dict[str, Any]) -> None:
    """Coupons on an item, the subscription or the customer, in the order of their beginning."""
    with transaction() as session:
        made = _merchant(session, history)
        for number, members in enumerate(wanted):
            owners = {
                "subscription_id": members.pop("subscription", None),
                "subscription_item_id": members.pop("item", None),
            }
            coupon = made.coupon(f"C{number}", **members)
            known = {"account_id": coupon.account_id, "customer_id": history.shop.customer.id, "coupon_id": coupon.id}
            session.add(Discount(id=f"di_{number}", start=world.START + number, **known, **owners))


@pytest.mark.both_databases
def test_item_coupons_apply_before_subscription_coupons(app: Flask) -> None:
    history = History.start(app)
    subscription = history.shop.subscription.id
    _discounts(
        history,
        {"subscription": subscription, "amount_off": 200, "currency": "eur"},
        {"subscription": subscription, "item": history.shop.item_id, "percent_off": "50"},
    )
    history.advance_to("2026-05-01")
    assert _short(history) == ["2026-05-01: 1 × Team 10.00, discount -7.00 = 3.00"]
    with reading() as reader:
        parts = reader.scalar(select(Invoice.total_discount_amounts).where(Invoice.cycle_at == world.END))
    assert parts == [{"amount": 500, "discount": "di_1"}, {"amount": 200, "discount": "di_0"}]


def test_a_customers_coupon_applies_without_one_of_the_subscription(app: Flask) -> None:
    history = History.start(app)
    _discounts(history, {"percent_off": "25"})
    history.advance_to("2026-05-01")
    with transaction() as session:
        made = _merchant(session, history)
        mine = Subscription.customer_id == history.shop.customer.id
        coupon = made.coupon("Own", "once", percent_off="10")
        made.discount(session.scalars(select(Subscription).where(mine)).one(), coupon)
    history.advance_to("2026-07-01")
    assert [bill.rpartition(" = ")[2] for bill in _short(history)] == ["7.50", "9.00", "7.50"]


def test_a_coupon_for_one_product_does_not_affect_another(app: Flask) -> None:
    history = History.start(app)
    history.add_item(600)
    with reading() as reader:
        product = reader.scalar(select(Price.product_id).where(Price.id == history.shop.prices["team"].id))
    _discounts(
        history, {"subscription": history.shop.subscription.id, "percent_off": "50", "applies_to_products": [product]}
    )
    history.advance_to("2026-05-01")
    assert _short(history)[0].endswith(", discount -5.00 = 11.00")


def test_a_month_end_anchor_with_a_change_in_february(app: Flask) -> None:
    start = at("2028-01-31")
    history = History.start(app, at("2028-01-31"), status="trialing", trial_start=start - DAY, trial_end=start + 60,
                       billing_cycle_anchor=start + 60)  # fmt: skip
    history.advance_to("2028-02-15")
    history.change_plan(quantity=2)
    history.advance_to("2028-04-30 12:00:00")
    assert [bill[:10] for bill in history.invoices(0)] == [
        "2028-01-31",
        "2028-02-15",
        "2028-02-29",
        "2028-03-31",
        "2028-04-30",
    ]
    assert history.period == ("2028-04-30", "2028-05-31")


@pytest.mark.both_databases
def test_changes_before_and_after_an_undone_cancellation(app: Flask) -> None:
    history = History.start(app, policy=AT_ONCE).advance_to("2026-04-11")
    history.change_plan(quantity=3)
    history.cancel()
    history.undo_cancellation()
    history.advance_to("2026-04-21")
    history.change_plan(quantity=1)
    history.advance_to("2026-06-02")
    assert [bill.rpartition(" = ")[2] for bill in _short(history)] == [
        "13.33",
        "-6.67, due 0.00",
        "10.00, due 3.33",
        "10.00",
    ]
    ledger.audit(history.shop.customer.account_id)


def test_a_planned_change_survives_a_pause_and_a_declined_payment_does_not_undo_it(app: Flask) -> None:
    history = History.start(app, policy={**AT_ONCE, "schedule_at_period_end": ("decreasing_item_amount",)}).advance_to(
        "2026-04-16"
    )
    history.change_plan("solo")
    history.pause("week")
    history.advance_to("2026-04-23")  # goes on by itself: a new month at the old price, less what was kept
    history.advance_to("2026-05-23")
    assert [bill.rpartition(": ")[2] for bill in _short(history)] == [
        "-Team after 16 Apr 2026 -5.00, 1 × Team 10.00 = 5.00",
        "1 × Solo (at €4.00 / month) 4.00 = 4.00",
    ]
