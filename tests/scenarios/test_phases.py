"""Schedules of the merchant: prices that change within a period, in a trial, in a pause, and at the end."""

from typing import Any

import pytest
from flask import Flask
from sqlalchemy import select

from portal_site.billing.billing_run import runner
from portal_site.billing.errors import BillingError, StateChanged
from portal_site.billing.models import Discount, Event, SubscriptionItem, SubscriptionSchedule, TestClock
from portal_site.db import db
from portal_site.db.transactions import transaction
from tests import world
from tests.billing.terms import at
from tests.proofs import ledger
from tests.scenarios.history import BACK, History
from tests.scenarios.history_state import day
from tests.world import reading

FIRST, MIDDLE = "2026-04-01", "2026-05-16"
MAY = "2026-05-01 paid: 1 seats × Team (at €10.00 / month) 10.00 = 10.00"
CREDITED = (
    "2026-06-01 paid: Unused time on Team after 16 May 2026 -5.16, Remaining time on Solo after 16 May 2026 2.06, "
    "1 × Solo (at €4.00 / month) 4.00 = 0.90"
)


def _items(history: History) -> list[tuple[str, int, str]]:
    """Price, quantity and end of the period of each item."""
    db.session.remove()
    names = {price.id: name for name, price in history.shop.prices.items()}
    with reading() as reader:
        mine = SubscriptionItem.subscription_id == history.shop.subscription.id
        query = select(SubscriptionItem.__table__).where(
            mine, SubscriptionItem.account_id == history.shop.customer.account_id
        )
        rows = reader.execute(query.order_by(SubscriptionItem.created)).all()
    return [(names.get(row.price_id, "extra"), row.quantity, day(row.current_period_end)) for row in rows]


def _schedule(history: History) -> str:
    with reading() as reader:
        mine = SubscriptionSchedule.customer_id == history.shop.customer.id
        return str(reader.scalar(select(SubscriptionSchedule.status).where(mine)))


# --- inside a period --------------------------------------------------------------------------------------------------


@pytest.mark.both_databases
def test_a_phase_is_prorated_though_the_customer_acted_before_the_worker(app: Flask) -> None:
    history = History.start(app)
    history.add_schedule((FIRST, {"team": 1}), (MIDDLE, {"solo": 1}))
    history.advance_to_instant(at(MIDDLE) - 5)
    history.now += 20
    history.cancel()
    history.undo_cancellation()
    history.advance_to("2026-06-02")
    assert history.invoices() == [MAY, CREDITED]


@pytest.mark.case("D14")
@pytest.mark.both_databases
def test_a_phase_is_prorated_by_a_late_run(app: Flask) -> None:
    history = History.start(app)
    history.add_schedule((FIRST, {"team": 1}), (MIDDLE, {"solo": 1}))
    history.now = at("2026-06-02")
    with transaction() as session:
        clocks = select(TestClock).where(TestClock.account_id == history.shop.customer.account_id)
        session.scalars(clocks).one().frozen_time = history.now
    with history.gateways() as gateway:
        runner.run(gateway, history.now, lambda _id: BACK, history.clock_id)
    assert [bill[12:] for bill in history.invoices()[-1:]] == [CREDITED[12:]]
    ledger.audit(history.shop.customer.account_id)


@pytest.mark.parametrize("proration", ["create_prorations", "always_invoice"])
@pytest.mark.both_databases
def test_a_phase_with_a_longer_interval_bills_its_period_once_and_at_once(app: Flask, proration: str) -> None:
    history = History.start(app)
    history.add_schedule((FIRST, {"team": 1}), (MIDDLE, {"year": 1}), proration=proration)
    history.advance_to("2027-06-02")
    assert history.invoices() == [
        MAY,
        "2026-05-16 paid: Unused time on Team after 16 May 2026 -5.16, "
        "Remaining time on Team after 16 May 2026 95.89 = 90.73",
        "2027-05-01 paid: 1 seats × Team (at €100.00 / year) 100.00 = 100.00",
    ]
    ledger.audit(history.shop.customer.account_id)


def test_a_classic_subscription_restarts_its_cycle_with_the_phase(app: Flask) -> None:
    history = History.start(app, billing_mode="classic")
    history.add_schedule((FIRST, {"team": 1}), (MIDDLE, {"year": 1}))
    history.advance_to("2026-07-01")
    assert history.invoices()[1:] == [
        "2026-05-16 paid: Unused time on Team after 16 May 2026 -5.16, 1 seats × Team (at €100.00 / year) 100.00 = 94.84"
    ]
    assert history.period == ("2026-05-16", "2027-05-16")


@pytest.mark.parametrize(
    ("proration", "bills"),
    [
        ("create_prorations", [MAY, CREDITED]),
        (
            "always_invoice",
            [
                MAY,
                "2026-05-16 paid: Unused time on Team after 16 May 2026 -5.16, "
                "Remaining time on Solo after 16 May 2026 2.06 = -3.10, due 0.00",
                "2026-06-01 paid: 1 × Solo (at €4.00 / month) 4.00 = 4.00, due 0.90",
            ],
        ),
        ("none", [MAY, "2026-06-01 paid: 1 × Solo (at €4.00 / month) 4.00 = 4.00"]),
    ],
)
def test_how_a_phase_is_prorated(app: Flask, proration: str, bills: list[str]) -> None:
    history = History.start(app)
    history.add_schedule((FIRST, {"team": 1}), (MIDDLE, {"solo": 1}), proration=proration)
    history.advance_to("2026-06-02")
    assert history.invoices() == bills
    ledger.audit(history.shop.customer.account_id)


def test_the_invoice_of_a_phase_is_collected_like_a_renewal(app: Flask) -> None:
    history = History.start(app)
    history.add_schedule((FIRST, {"team": 1}), (MIDDLE, {"year": 1}))
    history.advance_to("2026-05-02")
    history.add_card(world.FAILS)
    history.advance_to("2026-05-17")
    assert (history.subscription.status, history.item.price_id) == ("past_due", history.shop.prices["year"].id)
    history.add_card()
    history.pay()
    assert history.subscription.status == "active"
    ledger.audit(history.shop.customer.account_id)


def test_a_phase_in_an_unpaid_period_adds_no_credit_and_no_charge(app: Flask) -> None:
    history = History.start(app)
    history.add_schedule((FIRST, {"team": 1}), ("2026-05-03", {"solo": 1}))
    history.add_card(world.FAILS)
    history.advance_to("2026-05-04")
    assert [item[:2] for item in _items(history)] == [("solo", 1)]
    history.add_card()
    history.pay()
    history.advance_to("2026-06-02")
    assert history.invoices() == [MAY, "2026-06-01 paid: 1 × Solo (at €4.00 / month) 4.00 = 4.00"]
    ledger.audit(history.shop.customer.account_id)


@pytest.mark.parametrize("mode", ["flexible", "classic"])
def test_a_longer_interval_is_charged_only_until_the_schedules_end(app: Flask, mode: str) -> None:
    """16 of the year's 365 days."""
    history = History.start(app, billing_mode=mode).advance_to("2026-05-02")
    history.add_schedule((FIRST, {"team": 1}), (MIDDLE, {"year": 1}))
    history.cancel()
    history.advance_to("2026-06-02")
    last = history.invoices()[-1]
    assert last.endswith("Remaining time on Team after 16 May 2026 4.38 = -0.78, due 0.00")
    assert (history.subscription.status, len(history.invoices())) == ("canceled", 2)
    ledger.audit(history.shop.customer.account_id)


def test_a_merchants_phase_cannot_be_changed_by_the_customer(app: Flask) -> None:
    history = History.start(app)
    history.add_schedule((FIRST, {"team": 1}), (MIDDLE, {"solo": 1}), ends="2026-08-01")
    for date in ("2026-05-02", "2026-05-17", "2026-07-20"):
        history.advance_to(date)
        with pytest.raises(BillingError) as refused:
            history.quote("year")
        assert refused.value.code == "subscription_not_changeable"
    history.advance_to("2026-08-02")
    history.change_plan("team")


# --- items that come and go -------------------------------------------------------------------------------------------


def test_an_item_removed_by_a_phase_is_credited_and_loses_its_discount(app: Flask) -> None:
    history = History.start(app, also="solo")
    history.add_discount_on_second_item()
    history.add_schedule((FIRST, {"team": 1, "solo": 1}), ("2026-05-11", {"team": 1}))
    history.advance_to("2026-06-02")
    both, without = history.invoices()
    assert both.endswith(", discount -2.00 = 12.00")
    assert without == (
        "2026-06-01 paid: Unused time on Solo after 11 May 2026 -1.35, 1 seats × Team (at €10.00 / month) 10.00 = 8.65"
    )
    assert _items(history) == [("team", 1, "2026-07-01")]
    with reading() as reader:
        mine = Discount.customer_id == history.shop.customer.id
        assert reader.scalars(select(Discount.end).where(mine)).all() == [at("2026-05-11")]
    assert history.events.count("customer.discount.deleted") == 1
    ledger.audit(history.shop.customer.account_id)


@pytest.mark.both_databases
def test_an_item_added_by_a_phase_has_its_own_periods(app: Flask) -> None:
    history = History.start(app)
    history.add_schedule((FIRST, {"team": 1}), ("2026-05-30", {"team": 1, "solo": 2}))
    history.advance_to("2027-04-01")
    extra = [bill for bill in history.invoices() if "Solo" in bill]
    assert extra[0] == "2026-05-30 paid: 2 × Solo (at €4.00 / month) 8.00 = 8.00"
    assert [bill[:10] for bill in extra][-3:] == ["2027-01-30", "2027-02-28", "2027-03-30"]
    ledger.audit(history.shop.customer.account_id)


# --- in a trial, in a pause -------------------------------------------------------------------------------------------


def test_a_phase_in_a_trial_costs_nothing_and_does_not_end_it(app: Flask) -> None:
    end = at("2026-05-01")
    history = History.start(app, status="trialing", trial_start=world.START, trial_end=end, billing_cycle_anchor=end)
    history.add_schedule((FIRST, {"team": 1}), ("2026-04-16", {"solo": 3}))
    history.advance_to("2026-04-20")
    assert (history.subscription.status, _items(history)) == ("trialing", [("solo", 3, "2026-05-01")])
    history.advance_to("2026-05-02")
    assert history.invoices(0) == ["2026-05-01 paid: 3 × Solo (at €4.00 / month) 12.00 = 12.00"]


def test_an_item_added_by_a_phase_in_a_trial_is_free_until_its_end(app: Flask) -> None:
    end = at("2026-05-01")
    history = History.start(app, status="trialing", trial_start=world.START, trial_end=end, billing_cycle_anchor=end)
    history.add_schedule((FIRST, {"team": 1}), ("2026-04-16", {"team": 1, "solo": 1}))
    history.advance_to("2026-04-20")
    assert (history.subscription.status, history.invoices(0)) == ("trialing", [])
    history.advance_to("2026-05-02")
    (first,) = history.invoices(0)
    assert first.endswith("= 14.00")


@pytest.mark.parametrize("by_hand", [True, False])
def test_a_phase_that_begins_in_a_pause_applies_after_it(app: Flask, by_hand: bool) -> None:
    history = History.start(app).advance_to("2026-04-16")
    history.add_schedule((FIRST, {"team": 1}), (MIDDLE, {"solo": 1}))
    history.pause(*(() if by_hand else ("month", 2)))
    history.advance_to("2026-05-17")
    assert (history.subscription.status, history.invoices()) == ("paused", [])
    assert [item[:2] for item in _items(history)] == [("solo", 1)]
    history.advance_to("2026-06-16")
    if by_hand:
        history.resume()
    assert history.invoices() == [
        "2026-06-16 paid: Unused time on Team after 16 Apr 2026 -5.00, 1 × Solo (at €4.00 / month) 4.00 = -1.00, due 0.00"
    ]
    assert (history.subscription.status, history.period) == ("active", ("2026-06-16", "2026-07-16"))
    ledger.audit(history.shop.customer.account_id)


def test_a_resumption_is_refused_after_a_phase_changed_the_price(app: Flask) -> None:
    history = History.start(app).advance_to("2026-04-16")
    history.add_schedule((FIRST, {"team": 1}), (MIDDLE, {"solo": 1}))
    history.pause()
    history.now = at(MIDDLE) + 5  # the worker comes a moment later
    with pytest.raises(StateChanged) as refused:
        history.resume()
    assert refused.value.code == "not_up_to_date"
    history.advance_to_instant(history.now)
    history.resume()
    assert "Solo" in history.invoices()[-1]


@pytest.mark.both_databases
def test_an_unpaid_resumption_is_discarded_when_a_phase_changes_the_price(app: Flask) -> None:
    history = History.start(app).advance_to("2026-04-30")
    history.add_schedule((FIRST, {"team": 1}), (MIDDLE, {"solo": 5}))
    history.pause()
    history.add_card(world.FAILS)
    history.advance_to_instant(at(MIDDLE) - 3600)
    history.resume()
    assert history.subscription.pending_update
    history.advance_to("2026-05-17")
    assert (history.subscription.status, history.subscription.pending_update) == ("paused", None)
    assert [bill[11:15] for bill in history.invoices()] == ["void"]
    history.add_card()
    history.resume()
    assert history.invoices()[-1] == (
        "2026-05-17 paid: Unused time on Team after 30 Apr 2026 -0.33, 5 × Solo (at €4.00 / month) 20.00 = 19.67"
    )
    ledger.audit(history.shop.customer.account_id)


# --- the schedule's end -----------------------------------------------------------------------------------------------


@pytest.mark.both_databases
def test_a_schedule_that_cancels_bills_nothing_beyond_its_end(app: Flask) -> None:
    history = History.start(app)
    history.add_schedule((FIRST, {"team": 1}), ("2026-05-01", {"solo": 1}), ends="2026-06-16", end_behavior="cancel")
    history.advance_to("2026-05-02")
    assert (day(history.subscription.cancel_at), history.subscription.status) == ("2026-06-16", "active")
    history.advance_to("2026-06-15")
    assert history.subscription.status == "active"
    history.advance_to("2026-09-01")
    assert history.invoices() == [
        "2026-05-01 paid: 1 × Solo (at €4.00 / month) 4.00 = 4.00",
        "2026-06-01 paid: Remaining time on Solo after 01 Jun 2026 2.00 = 2.00",
    ]
    ended = history.subscription
    assert (ended.status, day(ended.ended_at), _schedule(history)) == ("canceled", "2026-06-16", "completed")
    ledger.audit(history.shop.customer.account_id)


def test_a_schedule_that_cancels_ends_a_pause_too(app: Flask) -> None:
    history = History.start(app).advance_to("2026-04-16")
    history.add_schedule((FIRST, {"team": 1}), ends="2026-06-16", end_behavior="cancel")
    history.pause()
    history.advance_to("2026-06-17")
    assert (history.subscription.status, day(history.subscription.ended_at)) == ("canceled", "2026-06-16")
    ledger.audit(history.shop.customer.account_id)


@pytest.mark.both_databases
def test_a_schedule_is_released_at_its_end(app: Flask) -> None:
    history = History.start(app)
    history.add_schedule((FIRST, {"team": 1}), ends="2026-04-16")
    history.advance_to("2026-04-17")
    assert (_schedule(history), history.subscription.status) == ("released", "active")
    history.change_plan("solo")  # the customer may choose again
    assert "subscription_schedule.released" in history.events


@pytest.mark.both_databases
def test_the_event_of_a_phase_has_the_previous_attributes(app: Flask) -> None:
    history = History.start(app)
    history.add_schedule((FIRST, {"team": 1}), (MIDDLE, {"year": 1}))
    history.advance_to(MIDDLE)
    with reading() as reader:
        mine = Event.account_id == history.shop.customer.account_id, Event.type == "customer.subscription.updated"
        data: dict[str, Any] = reader.scalars(select(Event.data).where(*mine).order_by(Event.id.desc())).first() or {}
    before, now = data["previous_attributes"], data["object"]
    assert before["items"]["data"][0]["price"] == history.shop.prices["team"].id
    assert now["items"]["data"][0]["price"] == history.shop.prices["year"].id
    assert before["items"]["data"][0]["current_period_end"] == at("2026-06-01")
    assert now["items"]["data"][0]["current_period_end"] == at("2027-05-01")
