"""Scenarios of pauses: exactly the used time is billed, to the minor unit."""

import pytest
from flask import Flask
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from portal_site.billing.cancellation import cancellations
from portal_site.billing.errors import BillingError
from portal_site.billing.rules.portal.portal_features import SubscriptionCancel
from tests import world
from tests.proofs import ledger
from tests.scenarios.life import Life

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
