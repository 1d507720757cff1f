"""Scenarios of cancellations, in every mode and state, and of retention offers that are accepted."""

from typing import Any

import pytest
from flask import Flask
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import select

from portal_site.billing.errors import BillingError
from portal_site.billing.models import Invoice
from tests import world
from tests.billing.terms import at as instant
from tests.proofs import ledger
from tests.scenarios.life import Life, day
from tests.world import reading

AT_ONCE = {"mode": "immediately"}
WITH_CREDIT = {"mode": "immediately", "proration_behavior": "create_prorations"}
WAITING = {"proration_behavior": "create_prorations"}
UNUSED, LEFT, TEAM = "Unused time on", "Remaining time on", "seats × Team (at €10.00 / month)"


def test_to_the_end_of_the_month(app: Flask) -> None:
    life = Life.begins(app).goes_to("2026-04-16")
    life.cancels()
    life.goes_to("2026-04-30 23:59:59")
    assert life.subscription.status == "active"
    life.goes_to("2026-07-01")
    assert (life.subscription.status, life.subscription.ended_at) == ("canceled", world.END)
    assert life.bills() == []
    assert life.events.count("customer.subscription.deleted") == 1
    with pytest.raises(BillingError, match="already ended"):
        life.cancels()


def test_kept_in_time_it_goes_on_as_if_nothing_had_been(app: Flask) -> None:
    life = Life.begins(app).goes_to("2026-04-16")
    life.cancels()
    life.goes_to("2026-04-30")
    life.keeps()
    life.goes_to("2026-06-02")
    assert [bill[:15] for bill in life.bills()] == ["2026-05-01 paid", "2026-06-01 paid"]


def test_once_it_is_over_it_cannot_be_kept(app: Flask) -> None:
    life = Life.begins(app).goes_to("2026-04-16")
    life.cancels()
    life.goes_to("2026-05-01")
    with pytest.raises(BillingError, match="no cancellation"):
        life.keeps()


def test_at_once_with_credit_for_the_next_purchase(app: Flask) -> None:
    life = Life.begins(app, quantity=2).goes_to("2026-04-16")
    life.cancels(**WITH_CREDIT)
    assert life.bills() == [f"2026-04-16 paid: {UNUSED} 2 × Team after 16 Apr 2026 -10.00 = -10.00, due 0.00"]
    assert (life.balance, life.subscription.status) == (-1000, "canceled")
    life.goes_to("2026-07-01")
    assert len(life.bills()) == 1


@pytest.mark.both_databases
def test_at_once_what_was_used_and_not_billed_yet_is_settled(app: Flask) -> None:
    life = Life.begins(app, policy=WAITING).goes_to("2026-04-11")
    life.changes(quantity=3)  # +13.33 for the rest of April waits for May
    life.goes_to("2026-04-21")
    life.cancels(**WITH_CREDIT)
    assert life.bills() == [
        f"2026-04-21 paid: {UNUSED} Team after 11 Apr 2026 -6.67, {LEFT} 3 × Team after 11 Apr 2026 20.00, "
        f"{UNUSED} 3 × Team after 21 Apr 2026 -10.00 = 3.33"
    ]


def test_at_once_without_credit_what_waits_is_dropped(app: Flask) -> None:
    life = Life.begins(app, policy=WAITING).goes_to("2026-04-11")
    life.changes(quantity=3)
    life.cancels(**AT_ONCE)
    life.goes_to("2026-07-01")
    assert (life.bills(), life.balance) == ([], 0)


@pytest.mark.both_databases
def test_at_once_a_change_that_waits_for_its_payment_is_void(app: Flask) -> None:
    life = Life.begins(app, card=world.FAILS).goes_to("2026-04-16")
    assert life.changes(quantity=3).outcome == "pending"
    life.cancels(**AT_ONCE)
    assert life.bills()[0].startswith("2026-04-16 void")
    assert (life.subscription.status, life.subscription.pending_update) == ("canceled", None)


@pytest.mark.both_databases
def test_a_planned_downgrade_survives_a_change_of_mind_but_not_the_end(app: Flask) -> None:
    down = {"schedule_at_period_end": ("decreasing_item_amount",)}
    life = Life.begins(app, quantity=3, policy=down).goes_to("2026-04-16")
    life.changes(quantity=1)
    life.cancels()
    life.keeps()
    life.goes_to("2026-05-02")
    assert life.bills() == [f"2026-05-01 paid: 1 {TEAM} 10.00 = 10.00"]
    other = Life.begins(app, name="Other", quantity=3, policy=down).goes_to("2026-04-16")
    other.changes(quantity=1)
    other.cancels(**AT_ONCE)
    assert "subscription_schedule.canceled" in other.events
    other.goes_to("2026-06-02")
    assert other.bills() == []


def test_a_trial_ends_without_ever_being_billed(app: Flask) -> None:
    trial = {"status": "trialing", "trial_start": world.START, "trial_end": world.END}
    life = Life.begins(app, **trial, billing_cycle_anchor=world.END).goes_to("2026-04-16")
    life.cancels()
    life.goes_to("2026-06-02")
    assert (life.subscription.status, life.subscription.ended_at) == ("canceled", world.END)
    assert [bill for bill in life.bills() if "0.00 = 0.00" not in bill] == []


@pytest.mark.both_databases
def test_who_owes_still_owes_but_is_not_tried_again(app: Flask) -> None:
    life = Life.begins(app, card=world.FAILS).goes_to("2026-05-02")
    assert life.subscription.status == "past_due"
    life.cancels(**AT_ONCE)
    life.gets_a_card()
    life.goes_to("2026-07-01")
    assert [bill[:15] for bill in life.bills()] == ["2026-05-01 open"]
    life.pays()
    assert [bill[:15] for bill in life.bills()] == ["2026-05-01 paid"]
    assert life.subscription.status == "canceled"


@pytest.mark.both_databases
def test_past_due_to_the_end_of_the_period(app: Flask) -> None:
    life = Life.begins(app, card=world.FAILS).goes_to("2026-05-02")
    life.cancels()
    life.gets_a_card()
    life.goes_to("2026-07-01")
    assert (life.subscription.status, [bill[:15] for bill in life.bills()]) == ("canceled", ["2026-05-01 paid"])


@settings(max_examples=25, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(
    cancels=st.integers(0, 28), keeps=st.integers(0, 28), quantity=st.integers(1, 5),
    mode=st.sampled_from(["at_period_end", "immediately"]),
    proration=st.sampled_from(["none", "create_prorations", "always_invoice"]),
)  # fmt: skip
def test_cancel_then_keep_equals_never_cancelled(
    lite_app: Flask, cancels: int, keeps: int, quantity: int, mode: str, proration: str
) -> None:
    """Whatever the day; and an end at once pays back what is left, to the unit, or nothing."""
    life = Life.begins(lite_app, quantity=quantity)
    first, second = sorted((cancels, keeps))
    life.goes_to(f"2026-04-{first + 1:02} 10:00:00")
    before = _lasting(life)
    life.cancels(mode=mode, proration_behavior=proration)
    if mode == "immediately":
        share = (world.END - life.now) / (world.END - world.START)
        assert abs(life.balance + (0 if proration == "none" else 1000 * quantity * share)) <= 1
    else:
        life.goes_to(f"2026-04-{second + 1:02} 12:00:00")
        life.keeps()
        assert _lasting(life) == before
    ledger.audit(life.shop.customer.account_id)


def _lasting(life: Life) -> dict[str, Any]:
    return dict(life.subscription._mapping) | dict(life.item._mapping)


# --- staying for an offer ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("duration", "members", "amounts"),
    [
        ("once", {"percent_off": "50"}, [500, 1000, 1000, 1000]),
        ("repeating", {"percent_off": "20", "duration_in_months": 2}, [800, 800, 1000, 1000]),
        ("forever", {"amount_off": 300, "currency": "eur"}, [700, 700, 700, 700]),
    ],
)
def test_a_coupon_for_staying_is_taken_off_as_long_as_it_says(
    app: Flask, duration: str, members: dict[str, Any], amounts: list[int]
) -> None:
    life = Life.begins(app).goes_to("2026-04-16")
    life.stays(type="coupon", coupon=life.coupon(duration, **members))
    life.goes_to("2026-08-02")
    assert [bill.partition("paid: ")[0] + bill.rpartition(" = ")[2] for bill in life.bills()] == [
        f"2026-{month:02}-01 {amount / 100:.2f}" for month, amount in zip(range(5, 9), amounts, strict=True)
    ]
    ledger.audit(life.shop.customer.account_id)


def test_a_longer_trial_is_paid_for_when_it_ends_and_from_then_on(app: Flask) -> None:
    trial = {"status": "trialing", "trial_start": world.START, "trial_end": instant("2026-04-20")}
    life = Life.begins(app, **trial, billing_cycle_anchor=instant("2026-04-20")).goes_to("2026-04-16")
    life.stays(type="trial", days=11)
    life.goes_to("2026-04-30 23:59:59")
    assert (life.bills(), life.subscription.status) == ([], "trialing")
    life.goes_to("2026-06-02")
    assert life.subscription.status == "active"
    assert [bill[:16] for bill in [*_all(life)]] == ["2026-05-01 paid:", "2026-06-01 paid:"]


def _all(life: Life) -> list[str]:
    """A trial has no invoice yet, so `bills`, which leaves out the first, would leave out one too many."""
    with reading() as reader:
        mine = Invoice.customer_id == life.shop.customer.id
        rows = reader.execute(select(Invoice.created, Invoice.status).where(mine).order_by(Invoice.number))
        return [f"{day(row.created)} {row.status}:" for row in rows]
