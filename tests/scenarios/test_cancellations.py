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
from tests.scenarios.history import History
from tests.scenarios.history_state import day
from tests.world import reading

AT_ONCE = {"mode": "immediately"}
WITH_CREDIT = {"mode": "immediately", "proration_behavior": "create_prorations"}
WAITING = {"proration_behavior": "create_prorations"}
UNUSED, LEFT, TEAM = "Unused time on", "Remaining time on", "seats × Team (at €10.00 / month)"


def test_cancelling_at_the_end_of_the_period(app: Flask) -> None:
    history = History.start(app).advance_to("2026-04-16")
    history.cancel()
    history.advance_to("2026-04-30 23:59:59")
    assert history.subscription.status == "active"
    history.advance_to("2026-07-01")
    assert (history.subscription.status, history.subscription.ended_at) == ("canceled", world.END)
    assert history.invoices() == []
    assert history.events.count("customer.subscription.deleted") == 1
    with pytest.raises(BillingError, match="already ended"):
        history.cancel()


def test_undoing_a_cancellation_in_time_leaves_no_trace(app: Flask) -> None:
    history = History.start(app).advance_to("2026-04-16")
    history.cancel()
    history.advance_to("2026-04-30")
    history.undo_cancellation()
    history.advance_to("2026-06-02")
    assert [bill[:15] for bill in history.invoices()] == ["2026-05-01 paid", "2026-06-01 paid"]


def test_a_cancellation_cannot_be_undone_after_the_end(app: Flask) -> None:
    history = History.start(app).advance_to("2026-04-16")
    history.cancel()
    history.advance_to("2026-05-01")
    with pytest.raises(BillingError, match="no cancellation"):
        history.undo_cancellation()


def test_cancelling_now_credits_the_unused_time(app: Flask) -> None:
    history = History.start(app, quantity=2).advance_to("2026-04-16")
    history.cancel(**WITH_CREDIT)
    assert history.invoices() == [f"2026-04-16 paid: {UNUSED} 2 × Team after 16 Apr 2026 -10.00 = -10.00, due 0.00"]
    assert (history.balance, history.subscription.status) == (-1000, "canceled")
    history.advance_to("2026-07-01")
    assert len(history.invoices()) == 1


@pytest.mark.both_databases
def test_cancelling_now_bills_pending_charges(app: Flask) -> None:
    history = History.start(app, policy=WAITING).advance_to("2026-04-11")
    history.change_plan(quantity=3)  # +13.33 for the rest of April waits for May
    history.advance_to("2026-04-21")
    history.cancel(**WITH_CREDIT)
    assert history.invoices() == [
        f"2026-04-21 paid: {UNUSED} Team after 11 Apr 2026 -6.67, {LEFT} 3 × Team after 11 Apr 2026 20.00, "
        f"{UNUSED} 3 × Team after 21 Apr 2026 -10.00 = 3.33"
    ]


def test_cancelling_now_without_proration_drops_pending_lines(app: Flask) -> None:
    history = History.start(app, policy=WAITING).advance_to("2026-04-11")
    history.change_plan(quantity=3)
    history.cancel(**AT_ONCE)
    history.advance_to("2026-07-01")
    assert (history.invoices(), history.balance) == ([], 0)


@pytest.mark.both_databases
def test_cancelling_now_voids_a_pending_update(app: Flask) -> None:
    history = History.start(app, card=world.FAILS).advance_to("2026-04-16")
    assert history.change_plan(quantity=3).outcome == "pending"
    history.cancel(**AT_ONCE)
    assert history.invoices()[0].startswith("2026-04-16 void")
    assert (history.subscription.status, history.subscription.pending_update) == ("canceled", None)


@pytest.mark.parametrize("price", ["team", "year"])
@pytest.mark.parametrize("debt", [0, 20])
def test_cancelling_now_credits_the_plan_that_was_paid_and_not_the_one_that_was_not(
    app: Flask, price: str, debt: int
) -> None:
    history = History.start(app, card=world.FAILS, customer={"balance": debt, "currency": "eur"})
    history.advance_to("2026-04-16")
    assert history.change_plan(price, quantity=3).outcome == "pending"
    assert history.balance == 0
    history.cancel(mode="immediately", proration_behavior="always_invoice")
    unpaid, final = history.invoices()
    assert unpaid.startswith("2026-04-16 void")
    assert final == "2026-04-16 paid: Unused time on Team after 16 Apr 2026 -5.00 = -5.00, due 0.00"
    assert history.balance == debt - 500
    assert "credit_note.created" not in history.events


def test_cancelling_now_settles_the_lines_that_an_unpaid_change_had_taken(app: Flask) -> None:
    history = History.start(app, quantity=3, policy={"proration_behavior": "create_prorations"})
    history.advance_to("2026-04-16")
    history.change_plan(quantity=1)  # a credit of 10.00 waits for the next invoice
    history.add_card(world.FAILS)
    assert history.change_plan("year").outcome == "pending"  # a longer period is billed at once, with what waits
    history.cancel(mode="immediately", proration_behavior="always_invoice")
    unpaid, final = history.invoices()
    assert unpaid.startswith("2026-04-16 void")
    assert final.endswith("= -15.00, due 0.00")
    assert history.balance == -1500


@pytest.mark.both_databases
def test_a_planned_downgrade_survives_an_undone_cancellation_but_not_the_end(app: Flask) -> None:
    down = {"schedule_at_period_end": ("decreasing_item_amount",)}
    history = History.start(app, quantity=3, policy=down).advance_to("2026-04-16")
    history.change_plan(quantity=1)
    history.cancel()
    history.undo_cancellation()
    history.advance_to("2026-05-02")
    assert history.invoices() == [f"2026-05-01 paid: 1 {TEAM} 10.00 = 10.00"]
    other = History.start(app, name="Other", quantity=3, policy=down).advance_to("2026-04-16")
    other.change_plan(quantity=1)
    other.cancel(**AT_ONCE)
    assert "subscription_schedule.canceled" in other.events
    other.advance_to("2026-06-02")
    assert other.invoices() == []


def test_a_trial_cancelled_at_its_end_is_never_billed(app: Flask) -> None:
    trial = {"status": "trialing", "trial_start": world.START, "trial_end": world.END}
    history = History.start(app, **trial, billing_cycle_anchor=world.END).advance_to("2026-04-16")
    history.cancel()
    history.advance_to("2026-06-02")
    assert (history.subscription.status, history.subscription.ended_at) == ("canceled", world.END)
    assert [bill for bill in history.invoices() if "0.00 = 0.00" not in bill] == []


@pytest.mark.both_databases
def test_an_open_invoice_stays_open_after_cancelling_but_is_not_retried(app: Flask) -> None:
    history = History.start(app, card=world.FAILS).advance_to("2026-05-02")
    assert history.subscription.status == "past_due"
    history.cancel(**AT_ONCE)
    history.add_card()
    history.advance_to("2026-07-01")
    assert [bill[:15] for bill in history.invoices()] == ["2026-05-01 open"]
    history.pay()
    assert [bill[:15] for bill in history.invoices()] == ["2026-05-01 paid"]
    assert history.subscription.status == "canceled"


@pytest.mark.both_databases
def test_a_past_due_subscription_is_cancelled_at_the_end_of_the_period(app: Flask) -> None:
    history = History.start(app, card=world.FAILS).advance_to("2026-05-02")
    history.cancel()
    history.add_card()
    history.advance_to("2026-07-01")
    assert (history.subscription.status, [bill[:15] for bill in history.invoices()]) == (
        "canceled",
        ["2026-05-01 paid"],
    )


@settings(max_examples=25, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(
    cancels=st.integers(0, 28), keeps=st.integers(0, 28), quantity=st.integers(1, 5),
    mode=st.sampled_from(["at_period_end", "immediately"]),
    proration=st.sampled_from(["none", "create_prorations", "always_invoice"]),
)  # fmt: skip
def test_an_undone_cancellation_equals_none(
    lite_app: Flask, cancels: int, keeps: int, quantity: int, mode: str, proration: str
) -> None:
    """Whatever the day; and an end at once pays back what is left, to the unit, or nothing."""
    history = History.start(lite_app, quantity=quantity)
    first, second = sorted((cancels, keeps))
    history.advance_to(f"2026-04-{first + 1:02} 10:00:00")
    before = _lasting(history)
    history.cancel(mode=mode, proration_behavior=proration)
    if mode == "immediately":
        share = (world.END - history.now) / (world.END - world.START)
        assert abs(history.balance + (0 if proration == "none" else 1000 * quantity * share)) <= 1
    else:
        history.advance_to(f"2026-04-{second + 1:02} 12:00:00")
        history.undo_cancellation()
        assert _lasting(history) == before
    ledger.audit(history.shop.customer.account_id)


def _lasting(history: History) -> dict[str, Any]:
    return dict(history.subscription._mapping) | dict(history.item._mapping)


# --- staying for an offer ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("duration", "members", "amounts"),
    [
        ("once", {"percent_off": "50"}, [500, 1000, 1000, 1000]),
        ("repeating", {"percent_off": "20", "duration_in_months": 2}, [800, 800, 1000, 1000]),
        ("forever", {"amount_off": 300, "currency": "eur"}, [700, 700, 700, 700]),
    ],
)
def test_an_accepted_coupon_applies_for_its_duration(
    app: Flask, duration: str, members: dict[str, Any], amounts: list[int]
) -> None:
    history = History.start(app).advance_to("2026-04-16")
    history.accept_offer(type="coupon", coupon=history.create_coupon(duration, **members))
    history.advance_to("2026-08-02")
    assert [bill.partition("paid: ")[0] + bill.rpartition(" = ")[2] for bill in history.invoices()] == [
        f"2026-{month:02}-01 {amount / 100:.2f}" for month, amount in zip(range(5, 9), amounts, strict=True)
    ]
    ledger.audit(history.shop.customer.account_id)


def test_an_extended_trial_is_billed_from_its_new_end(app: Flask) -> None:
    trial = {"status": "trialing", "trial_start": world.START, "trial_end": instant("2026-04-20")}
    history = History.start(app, **trial, billing_cycle_anchor=instant("2026-04-20")).advance_to("2026-04-16")
    history.accept_offer(type="trial", days=11)
    history.advance_to("2026-04-30 23:59:59")
    assert (history.invoices(), history.subscription.status) == ([], "trialing")
    history.advance_to("2026-06-02")
    assert history.subscription.status == "active"
    assert [bill[:16] for bill in [*_all(history)]] == ["2026-05-01 paid:", "2026-06-01 paid:"]


def _all(history: History) -> list[str]:
    """A trial has no invoice yet, so `bills`, which leaves out the first, would leave out one too many."""
    with reading() as reader:
        mine = Invoice.customer_id == history.shop.customer.id
        rows = reader.execute(select(Invoice.created, Invoice.status).where(mine).order_by(Invoice.number))
        return [f"{day(row.created)} {row.status}:" for row in rows]
