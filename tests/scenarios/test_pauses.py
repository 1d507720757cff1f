"""Scenarios of pauses: exactly the used time is billed, to the minor unit."""

import pytest
from flask import Flask
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import select

from portal_site.billing.cancellation import cancellations
from portal_site.billing.changes import pauses
from portal_site.billing.errors import BillingError
from portal_site.billing.models import Discount
from portal_site.billing.rules.portal.portal_features import SubscriptionCancel
from portal_site.db import db
from portal_site.db.transactions import transaction
from tests import world
from tests.billing.terms import at
from tests.proofs import ledger
from tests.scenarios.history import History
from tests.scenarios.history_state import day
from tests.world import reading

UNUSED, TEAM = "Unused time on", "seats × Team (at €10.00 / month)"


@pytest.mark.both_databases
def test_a_pause_of_a_month_ends_automatically(app: Flask) -> None:
    history = History.start(app).advance_to("2026-04-16")
    history.pause("month", 1)
    history.advance_to("2026-05-15")
    assert (history.subscription.status, history.invoices()) == ("paused", [])
    history.advance_to("2026-06-17")
    assert history.invoices() == [
        f"2026-05-16 paid: {UNUSED} Team after 16 Apr 2026 -5.00, 1 {TEAM} 10.00 = 5.00",
        f"2026-06-16 paid: 1 {TEAM} 10.00 = 10.00",
    ]
    assert history.period == ("2026-06-16", "2026-07-16")


def test_an_indefinite_pause_ends_on_request(app: Flask) -> None:
    history = History.start(app).advance_to("2026-04-16")
    history.pause()
    history.advance_to("2028-02-01")  # long enough to be called too far behind, if it ran
    assert (history.subscription.billing_error, history.invoices()) == (None, [])
    history.resume()
    assert history.invoices() == [f"2028-02-01 paid: {UNUSED} Team after 16 Apr 2026 -5.00, 1 {TEAM} 10.00 = 5.00"]
    assert history.period == ("2028-02-01", "2028-03-01")


def test_quantity_discount_and_plan_survive_a_pause(app: Flask) -> None:
    history = History.start(app, quantity=3).advance_to("2026-04-16")
    history.add_discount(percent_off="10", duration="forever")
    history.pause()
    history.advance_to("2026-04-20")
    history.resume()
    assert history.invoices()[0] == (
        f"2026-04-20 paid: {UNUSED} 3 × Team after 16 Apr 2026 -15.00, 3 {TEAM} 30.00, discount -3.00 = 12.00"
    )


@pytest.mark.both_databases
def test_a_planned_downgrade_waits_for_the_end_of_the_new_period(app: Flask) -> None:
    history = History.start(app, quantity=3, policy={"schedule_at_period_end": ("decreasing_item_amount",)})
    history.advance_to("2026-04-16")
    history.change_plan(quantity=1)
    history.pause()
    history.advance_to("2026-05-10")
    history.resume()
    assert history.item.quantity == 3
    history.advance_to("2026-06-11")
    assert history.item.quantity == 1
    assert [bill.split("=")[-1] for bill in history.invoices()] == [" 15.00", " 10.00"]


def test_a_planned_downgrade_waits_after_an_automatic_resumption_too(app: Flask) -> None:
    history = History.start(app, quantity=3, policy={"schedule_at_period_end": ("decreasing_item_amount",)})
    history.advance_to("2026-04-16")
    history.change_plan(quantity=1)
    history.pause("month", 1)
    history.advance_to("2026-06-17")
    assert [bill.split("=")[-1] for bill in history.invoices()] == [" 15.00", " 10.00"]


def test_a_failed_payment_after_an_automatic_resumption_is_retried(app: Flask) -> None:
    history = History.start(app, card=world.FAILS).advance_to("2026-04-16")
    history.pause("week", 2)
    history.advance_to("2026-05-01")
    assert (history.subscription.status, history.invoices()[0][:15]) == ("past_due", "2026-04-30 open")


def test_cancelling_a_paused_subscription_ends_it_now(app: Flask) -> None:
    history = History.start(app).advance_to("2026-04-16")
    history.pause("month", 1)
    found = cancellations.preview(
        history.shop.customer.id, history.shop.subscription.id, SubscriptionCancel(), history.now
    )
    assert found.ending
    assert (found.ending.immediate, found.ending.lost) == (True, 500)
    history.cancel()
    assert history.subscription.status == "canceled"
    history.advance_to("2026-08-01")
    assert (history.invoices(), history.balance) == ([], 0)
    with pytest.raises(BillingError, match="not paused"):
        history.resume()


@pytest.mark.both_databases
def test_cancelling_a_paused_subscription_keeps_its_credit(app: Flask) -> None:
    history = History.start(app).advance_to("2026-04-16")
    history.pause("month", 1)
    history.cancel(mode="immediately", proration_behavior="create_prorations")
    assert history.invoices() == [f"2026-04-16 paid: {UNUSED} Team after 16 Apr 2026 -5.00 = -5.00, due 0.00"]
    assert (history.balance, history.subscription.status) == (-500, "canceled")


@settings(max_examples=30, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(st.lists(st.tuples(st.integers(1, 40), st.integers(1, 40)), min_size=1, max_size=3), st.integers(1, 4))
def test_pausing_and_resuming_bills_exactly_the_active_time(
    lite_app: Flask, stretches: list[tuple[int, int]], quantity: int
) -> None:
    """Each stretch of use is billed by its days: what is paid is what the days cost, and what the last period still holds."""
    history = History.start(lite_app, quantity=quantity)
    used = 0.0
    now = world.START
    for active, paused in stretches:
        began = now
        now += active * 86400
        history.advance_to_instant(now)
        used += _cost(history, began, now, quantity)
        history.pause()
        now += paused * 86400
        history.advance_to_instant(now)
        history.resume()
    left = 1000 * quantity  # the period that has just begun
    paid = 1000 * quantity + sum(round(float(bill.split("=")[-1].split(",")[0]) * 100) for bill in history.invoices())
    assert abs(paid + -history.balance * 0 - left - used) <= 1 + len(history.invoices())
    ledger.audit(history.shop.customer.account_id)


def _cost(history: History, began: int, until: int, quantity: int) -> float:
    """What the stretch costs by the second, each period at its own length."""
    from portal_site.billing.rules.amounts.periods import months_after

    cost, start, month = 0.0, began, 0
    while start < until:
        month += 1
        end = months_after(began, month)
        cost += 1000 * quantity * (min(end, until) - start) / (end - start)
        start = end
    return cost


# --- coupons that run for months --------------------------------------------------------------------------------------

THREE_MONTHS = {"percent_off": "50", "duration": "repeating", "duration_in_months": 3}


def _discount_ends(history: History) -> list[str | None]:
    db.session.remove()
    with reading() as reader:
        ends = reader.scalars(select(Discount.end).where(Discount.customer_id == history.shop.customer.id)).all()
    return [None if end is None else day(end) for end in ends]


@pytest.mark.both_databases
@pytest.mark.parametrize("by_hand", [True, False])
def test_a_repeating_coupon_is_suspended_by_a_pause(app: Flask, by_hand: bool) -> None:
    history = History.start(app)
    history.add_discount(end=at("2026-07-01"), **THREE_MONTHS)
    history.advance_to_instant(at("2026-05-01 12:00:00"))
    history.pause(*(() if by_hand else ("month", 2)))
    assert _discount_ends(history) == [None]
    history.advance_to_instant(at("2026-07-01 12:00:00"))
    if by_hand:
        history.resume()
    assert _discount_ends(history) == ["2026-08-31"]
    assert history.invoices()[-1].endswith("discount -5.00 = 0.08, due 0.00")
    history.advance_to("2026-09-02")
    assert [bill.rpartition(" = ")[2] for bill in history.invoices()[-2:]] == ["5.00, due 5.08", "10.00"]
    ledger.audit(history.shop.customer.account_id)


def test_the_forecast_includes_a_suspended_coupon(app: Flask) -> None:
    history = History.start(app)
    history.add_discount(end=at("2026-05-20"), **THREE_MONTHS)
    history.advance_to("2026-05-02")
    history.pause()
    history.advance_to("2027-05-02")
    quote = pauses.resumption(history.shop.customer.id, history.shop.subscription.id, history.now)
    assert (quote.invoice.discount, quote.next_invoice and quote.next_invoice.discount) == (500, 0)
    history.resume()
    assert _discount_ends(history) == ["2027-05-20"]


def test_a_coupon_is_suspended_until_an_unpaid_resumption_is_paid(app: Flask) -> None:
    history = History.start(app)
    history.add_discount(end=at("2026-07-01"), **THREE_MONTHS)
    history.advance_to("2026-04-30")
    history.pause()
    history.add_card(world.FAILS)
    history.advance_to("2026-05-30")
    history.resume()
    assert _discount_ends(history) == [None]
    history.add_card()
    history.advance_to_instant(history.now + 3600)
    history.pay()
    assert _discount_ends(history) == ["2026-07-31"]


def test_ending_a_paused_subscription_restores_the_coupons_end(app: Flask) -> None:
    history = History.start(app)
    history.add_discount(end=at("2026-07-01"), **THREE_MONTHS)
    with transaction() as session:
        (discount,) = session.scalars(select(Discount).where(Discount.customer_id == history.shop.customer.id)).all()
        discount.subscription_id = None
    history.advance_to("2026-05-02")
    history.pause()
    history.advance_to("2026-05-12")
    history.cancel(mode="immediately")
    assert _discount_ends(history) == ["2026-07-11"]


def test_a_coupon_shared_with_another_subscription_is_not_suspended(app: Flask) -> None:
    history = History.start(app)
    history.add_discount(end=at("2026-07-01"), **THREE_MONTHS)
    world.second_subscription(history.shop)
    with transaction() as session:
        (discount,) = session.scalars(select(Discount).where(Discount.customer_id == history.shop.customer.id)).all()
        discount.subscription_id = None
    history.advance_to("2026-05-02")
    history.pause()
    assert _discount_ends(history) == ["2026-07-01"]
