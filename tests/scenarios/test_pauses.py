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
from tests.scenarios.life import BACK, Life, day
from tests.world import reading

UNUSED, TEAM = "Unused time on", "seats × Team (at €10.00 / month)"


@pytest.mark.both_databases
def test_for_a_month_and_on_by_itself(app: Flask) -> None:
    life = Life.begins(app).goes_to("2026-04-16")
    life.pauses("month", 1)
    life.goes_to("2026-05-15")
    assert (life.subscription.status, life.bills()) == ("paused", [])
    life.goes_to("2026-06-17")
    assert life.bills() == [
        f"2026-05-16 paid: {UNUSED} Team after 16 Apr 2026 -5.00, 1 {TEAM} 10.00 = 5.00",
        f"2026-06-16 paid: 1 {TEAM} 10.00 = 10.00",
    ]
    assert life.period == ("2026-06-16", "2026-07-16")


def test_until_the_customer_says_so(app: Flask) -> None:
    life = Life.begins(app).goes_to("2026-04-16")
    life.pauses()
    life.goes_to("2028-02-01")  # long enough to be called too far behind, if it ran
    assert (life.subscription.billing_error, life.bills()) == (None, [])
    life.resumes()
    assert life.bills() == [f"2028-02-01 paid: {UNUSED} Team after 16 Apr 2026 -5.00, 1 {TEAM} 10.00 = 5.00"]
    assert life.period == ("2028-02-01", "2028-03-01")


def test_seats_discount_and_plan_survive(app: Flask) -> None:
    life = Life.begins(app, quantity=3).goes_to("2026-04-16")
    life.gets_a_discount(percent_off="10", duration="forever")
    life.pauses()
    life.goes_to("2026-04-20")
    life.resumes()
    assert life.bills()[0] == (
        f"2026-04-20 paid: {UNUSED} 3 × Team after 16 Apr 2026 -15.00, 3 {TEAM} 30.00, discount -3.00 = 12.00"
    )


@pytest.mark.both_databases
def test_a_planned_downgrade_waits_for_the_end_of_the_new_period(app: Flask) -> None:
    life = Life.begins(app, quantity=3, policy={"schedule_at_period_end": ("decreasing_item_amount",)})
    life.goes_to("2026-04-16")
    life.changes(quantity=1)
    life.pauses()
    life.goes_to("2026-05-10")
    life.resumes()
    assert life.item.quantity == 3
    life.goes_to("2026-06-11")
    assert life.item.quantity == 1
    assert [bill.split("=")[-1] for bill in life.bills()] == [" 15.00", " 10.00"]


def test_a_planned_downgrade_waits_also_when_the_pause_ends_by_itself(app: Flask) -> None:
    life = Life.begins(app, quantity=3, policy={"schedule_at_period_end": ("decreasing_item_amount",)})
    life.goes_to("2026-04-16")
    life.changes(quantity=1)
    life.pauses("month", 1)
    life.goes_to("2026-06-17")
    assert [bill.split("=")[-1] for bill in life.bills()] == [" 15.00", " 10.00"]


def test_a_failed_payment_after_a_pause_that_ended_by_itself_is_followed_up(app: Flask) -> None:
    life = Life.begins(app, card=world.FAILS).goes_to("2026-04-16")
    life.pauses("week", 2)
    life.goes_to("2026-05-01")
    assert (life.subscription.status, life.bills()[0][:15]) == ("past_due", "2026-04-30 open")


def test_cancelled_while_paused_it_ends_at_once(app: Flask) -> None:
    life = Life.begins(app).goes_to("2026-04-16")
    life.pauses("month", 1)
    found = cancellations.preview(life.shop.customer.id, life.shop.subscription.id, SubscriptionCancel(), life.now)
    assert found.ending
    assert (found.ending.immediate, found.ending.lost) == (True, 500)
    life.cancels()
    assert life.subscription.status == "canceled"
    life.goes_to("2026-08-01")
    assert (life.bills(), life.balance) == ([], 0)
    with pytest.raises(BillingError, match="not paused"):
        life.resumes()


@pytest.mark.both_databases
def test_cancelled_while_paused_with_credit_nothing_is_lost(app: Flask) -> None:
    life = Life.begins(app).goes_to("2026-04-16")
    life.pauses("month", 1)
    life.cancels(mode="immediately", proration_behavior="create_prorations")
    assert life.bills() == [f"2026-04-16 paid: {UNUSED} Team after 16 Apr 2026 -5.00 = -5.00, due 0.00"]
    assert (life.balance, life.subscription.status) == (-500, "canceled")


@settings(max_examples=30, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(st.lists(st.tuples(st.integers(1, 40), st.integers(1, 40)), min_size=1, max_size=3), st.integers(1, 4))
def test_pausing_and_resuming_bills_exactly_the_active_time(
    lite_app: Flask, stretches: list[tuple[int, int]], quantity: int
) -> None:
    """Each stretch of use is billed by its days: what is paid is what the days cost, and what the last period still holds."""
    life = Life.begins(lite_app, quantity=quantity)
    used = 0.0
    now = world.START
    for active, paused in stretches:
        began = now
        now += active * 86400
        life.goes_at(now)
        used += _cost(life, began, now, quantity)
        life.pauses()
        now += paused * 86400
        life.goes_at(now)
        life.resumes()
    left = 1000 * quantity  # the period that has just begun
    paid = 1000 * quantity + sum(round(float(bill.split("=")[-1].split(",")[0]) * 100) for bill in life.bills())
    assert abs(paid + -life.balance * 0 - left - used) <= 1 + len(life.bills())
    ledger.audit(life.shop.customer.account_id)


def _cost(life: Life, began: int, until: int, quantity: int) -> float:
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


def _discount_ends(life: Life) -> list[str | None]:
    db.session.remove()
    with reading() as reader:
        ends = reader.scalars(select(Discount.end).where(Discount.customer_id == life.shop.customer.id)).all()
    return [None if end is None else day(end) for end in ends]


@pytest.mark.both_databases
@pytest.mark.parametrize("by_hand", [True, False])
def test_a_coupon_of_some_months_does_not_run_out_in_a_pause(app: Flask, by_hand: bool) -> None:
    life = Life.begins(app)
    life.gets_a_discount(end=at("2026-07-01"), **THREE_MONTHS)
    life.goes_at(at("2026-05-01 12:00:00"))
    life.pauses(*(() if by_hand else ("month", 2)))
    assert _discount_ends(life) == [None]
    life.goes_at(at("2026-07-01 12:00:00"))
    if by_hand:
        life.resumes()
    assert _discount_ends(life) == ["2026-08-31"]
    assert life.bills()[-1].endswith("discount -5.00 = 0.08, due 0.00")
    life.goes_to("2026-09-02")
    assert [bill.rpartition(" = ")[2] for bill in life.bills()[-2:]] == ["5.00, due 5.08", "10.00"]
    ledger.audit(life.shop.customer.account_id)


def test_what_is_said_before_and_after_resuming_has_the_coupon(app: Flask) -> None:
    life = Life.begins(app)
    life.gets_a_discount(end=at("2026-05-20"), **THREE_MONTHS)
    life.goes_to("2026-05-02")
    life.pauses()
    life.goes_to("2027-05-02")
    quote = pauses.resumption(life.shop.customer.id, life.shop.subscription.id, life.now)
    assert (quote.invoice.discount, quote.next_invoice and quote.next_invoice.discount) == (500, 0)
    life.resumes()
    assert _discount_ends(life) == ["2027-05-20"]


def test_a_pause_that_waits_for_its_payment_counts_until_the_new_period(app: Flask) -> None:
    life = Life.begins(app)
    life.gets_a_discount(end=at("2026-07-01"), **THREE_MONTHS)
    life.goes_to("2026-04-30")
    life.pauses()
    life.gets_a_card(world.FAILS)
    life.goes_to("2026-05-30")
    life.resumes()
    assert _discount_ends(life) == [None]
    life.gets_a_card()
    life.goes_at(life.now + 3600)
    life.pays()
    assert _discount_ends(life) == ["2026-07-31"]


def test_a_subscription_that_ends_in_its_pause_gives_the_customers_coupon_its_end_back(app: Flask) -> None:
    life = Life.begins(app)
    life.gets_a_discount(end=at("2026-07-01"), **THREE_MONTHS)
    with transaction() as session:
        (discount,) = session.scalars(select(Discount).where(Discount.customer_id == life.shop.customer.id)).all()
        discount.subscription_id = None
    life.goes_to("2026-05-02")
    life.pauses()
    life.goes_to("2026-05-12")
    life.cancels(mode="immediately")
    assert _discount_ends(life) == ["2026-07-11"]


def _shared_coupon(life: Life, end: str) -> None:
    """A coupon for three months on the customer, which all of its subscriptions use."""
    life.gets_a_discount(end=at(end), **THREE_MONTHS)
    with transaction() as session:
        (discount,) = session.scalars(select(Discount).where(Discount.customer_id == life.shop.customer.id)).all()
        discount.subscription_id = None


def _ended(life: Life) -> str:
    """The id of another subscription of the customer, which has ended."""
    other = world.second_subscription(life.shop)
    with transaction() as session:
        mine = Subscription.customer_id == life.shop.customer.id, Subscription.id == other.id
        row = session.scalars(select(Subscription).where(*mine)).one()
        row.status, row.ended_at, row.due_at = "canceled", world.START, None
    return str(other.id)


def _comes_back(life: Life, subscription_id: str) -> PlanChange:
    known = life.shop.customer.id, subscription_id
    quote = reactivations.preview(*known, life.now).quote
    assert quote
    change = reactivations.reactivate(*known, Confirmation(life.now, quote_fingerprint(quote), "again"), life.now)
    if change.outcome == "pending":
        with life._context() as gateway:
            collection.collect(gateway, life.shop.customer.id, change.invoice_id or "", life.now, BACK)
    return change


@pytest.mark.both_databases
def test_a_coupon_of_the_customer_runs_again_for_a_subscription_that_begins_in_the_pause(app: Flask) -> None:
    """It had two months left on 2 May, so it has on 12 May: July and August are at half price, September is not."""
    life = Life.begins(app)
    ended = _ended(life)
    _shared_coupon(life, "2026-07-02")
    life.goes_to("2026-05-02")
    life.pauses()
    assert _discount_ends(life) == [None]
    life.goes_to("2026-05-12")
    quote = reactivations.preview(life.shop.customer.id, ended, life.now).quote
    assert quote
    assert (quote.invoice.total, quote.next_invoice and quote.next_invoice.amount_due) == (350, 350)
    _comes_back(life, ended)
    assert _discount_ends(life) == ["2026-07-12"]
    life.goes_to("2026-06-20")
    life.resumes()  # its own pause gives the coupon no more
    assert _discount_ends(life) == ["2026-07-12"]
    life.goes_to("2026-08-13")
    with reading() as reader:
        query = select(Invoice.total).where(Invoice.customer_id == life.shop.customer.id, Invoice.total.in_((350, 700)))
        assert list(reader.scalars(query.order_by(Invoice.created, Invoice.number))) == [350, 350, 700, 700]
    ledger.audit(life.shop.customer.account_id)


def test_a_subscription_that_never_begins_does_not_use_up_the_coupon(app: Flask) -> None:
    life = Life.begins(app)
    ended = _ended(life)
    _shared_coupon(life, "2026-07-02")
    life.goes_to("2026-05-02")
    life.pauses()
    life.gets_a_card(world.FAILS)
    life.goes_to("2026-05-12")
    _comes_back(life, ended)
    assert _discount_ends(life) == [None]
    life.goes_to("2026-05-14")
    life.gets_a_card()
    life.resumes()
    assert _discount_ends(life) == ["2026-07-14"]


def test_a_coupon_of_the_customer_waits_while_all_subscriptions_are_paused(app: Flask) -> None:
    life = Life.begins(app)
    other = world.second_subscription(life.shop)
    _shared_coupon(life, "2026-07-02")
    life.goes_to("2026-05-02")
    life.pauses()
    assert _discount_ends(life) == ["2026-07-02"]  # the other one uses it
    life.goes_to("2026-05-12")
    second = replace(life, shop=replace(life.shop, subscription=other))
    second.pauses()
    assert _discount_ends(life) == [None]
    life.goes_to("2026-05-22")
    life.resumes()
    assert _discount_ends(life) == ["2026-07-12"]
    second.now = life.now
    second.resumes()
    assert _discount_ends(life) == ["2026-07-12"]


def test_a_coupon_that_another_subscription_uses_runs_on(app: Flask) -> None:
    life = Life.begins(app)
    life.gets_a_discount(end=at("2026-07-01"), **THREE_MONTHS)
    world.second_subscription(life.shop)
    with transaction() as session:
        (discount,) = session.scalars(select(Discount).where(Discount.customer_id == life.shop.customer.id)).all()
        discount.subscription_id = None
    life.goes_to("2026-05-02")
    life.pauses()
    assert _discount_ends(life) == ["2026-07-01"]
