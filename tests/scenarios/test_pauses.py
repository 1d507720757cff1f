"""Scenarios of pauses: exactly the used time is billed, to the minor unit."""

from dataclasses import replace

import pytest
from flask import Flask
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import select

from portal_site.billing.cancellation import cancellations
from portal_site.billing.changes import pauses, reactivations
from portal_site.billing.errors import BillingError
from portal_site.billing.loading.confirmations import Confirmation, quote_fingerprint
from portal_site.billing.models import Discount, Invoice, PlanChange, Subscription
from portal_site.billing.payments import collection
from portal_site.billing.rules.portal.portal_features import SubscriptionCancel
from portal_site.db import db
from portal_site.db.transactions import transaction
from tests import world
from tests.billing.terms import at
from tests.proofs import ledger
from tests.scenarios.history import BACK, History
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


def _shared_coupon(history: History, end: str) -> None:
    """A coupon for three months on the customer, which all of its subscriptions use."""
    history.add_discount(end=at(end), **THREE_MONTHS)
    with transaction() as session:
        (discount,) = session.scalars(select(Discount).where(Discount.customer_id == history.shop.customer.id)).all()
        discount.subscription_id = None


def _ended(history: History) -> str:
    """The id of another subscription of the customer, which has ended."""
    other = world.second_subscription(history.shop)
    with transaction() as session:
        mine = Subscription.customer_id == history.shop.customer.id, Subscription.id == other.id
        row = session.scalars(select(Subscription).where(*mine)).one()
        row.status, row.ended_at, row.due_at = "canceled", world.START, None
    return str(other.id)


def _comes_back(history: History, subscription_id: str) -> PlanChange:
    known = history.shop.customer.id, subscription_id
    quote = reactivations.preview(*known, history.now).quote
    assert quote
    change = reactivations.reactivate(*known, Confirmation(history.now, quote_fingerprint(quote), "again"), history.now)
    if change.outcome == "pending":
        with history.gateways() as gateway:
            collection.collect(gateway, history.shop.customer.id, change.invoice_id or "", history.now, BACK)
    return change


@pytest.mark.both_databases
def test_a_coupon_of_the_customer_runs_again_for_a_subscription_that_begins_in_the_pause(app: Flask) -> None:
    """It had two months left on 2 May, so it has on 12 May: July and August are at half price, September is not."""
    history = History.start(app)
    ended = _ended(history)
    _shared_coupon(history, "2026-07-02")
    history.advance_to("2026-05-02")
    history.pause()
    assert _discount_ends(history) == [None]
    history.advance_to("2026-05-12")
    quote = reactivations.preview(history.shop.customer.id, ended, history.now).quote
    assert quote
    assert (quote.invoice.total, quote.next_invoice and quote.next_invoice.amount_due) == (350, 350)
    _comes_back(history, ended)
    assert _discount_ends(history) == ["2026-07-12"]
    history.advance_to("2026-06-20")
    history.resume()  # its own pause gives the coupon no more
    assert _discount_ends(history) == ["2026-07-12"]
    history.advance_to("2026-08-13")
    with reading() as reader:
        query = select(Invoice.total).where(
            Invoice.customer_id == history.shop.customer.id, Invoice.total.in_((350, 700))
        )
        assert list(reader.scalars(query.order_by(Invoice.created, Invoice.number))) == [350, 350, 700, 700]
    ledger.audit(history.shop.customer.account_id)


def test_a_subscription_that_never_begins_does_not_use_up_the_coupon(app: Flask) -> None:
    history = History.start(app)
    ended = _ended(history)
    _shared_coupon(history, "2026-07-02")
    history.advance_to("2026-05-02")
    history.pause()
    history.add_card(world.FAILS)
    history.advance_to("2026-05-12")
    _comes_back(history, ended)
    assert _discount_ends(history) == [None]
    history.advance_to("2026-05-14")
    history.add_card()
    history.resume()
    assert _discount_ends(history) == ["2026-07-14"]


def test_a_coupon_of_the_customer_waits_while_all_subscriptions_are_paused(app: Flask) -> None:
    history = History.start(app)
    other = world.second_subscription(history.shop)
    _shared_coupon(history, "2026-07-02")
    history.advance_to("2026-05-02")
    history.pause()
    assert _discount_ends(history) == ["2026-07-02"]  # the other one uses it
    history.advance_to("2026-05-12")
    second = replace(history, shop=replace(history.shop, subscription=other))
    second.pause()
    assert _discount_ends(history) == [None]
    history.advance_to("2026-05-22")
    history.resume()
    assert _discount_ends(history) == ["2026-07-12"]
    second.now = history.now
    second.resume()
    assert _discount_ends(history) == ["2026-07-12"]


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
