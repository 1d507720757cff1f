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
from tests.scenarios.life import BACK, Life, day
from tests.world import reading

FIRST, MIDDLE = "2026-04-01", "2026-05-16"
MAY = "2026-05-01 paid: 1 seats × Team (at €10.00 / month) 10.00 = 10.00"
CREDITED = (
    "2026-06-01 paid: Unused time on Team after 16 May 2026 -5.16, Remaining time on Solo after 16 May 2026 2.06, "
    "1 × Solo (at €4.00 / month) 4.00 = 0.90"
)


def _items(life: Life) -> list[tuple[str, int, str]]:
    """Price, quantity and end of the period of each item."""
    db.session.remove()
    names = {price.id: name for name, price in life.shop.prices.items()}
    with reading() as reader:
        mine = SubscriptionItem.subscription_id == life.shop.subscription.id
        query = select(SubscriptionItem.__table__).where(
            mine, SubscriptionItem.account_id == life.shop.customer.account_id
        )
        rows = reader.execute(query.order_by(SubscriptionItem.created)).all()
    return [(names.get(row.price_id, "extra"), row.quantity, day(row.current_period_end)) for row in rows]


def _schedule(life: Life) -> str:
    with reading() as reader:
        mine = SubscriptionSchedule.customer_id == life.shop.customer.id
        return str(reader.scalar(select(SubscriptionSchedule.status).where(mine)))


# --- inside a period --------------------------------------------------------------------------------------------------


@pytest.mark.both_databases
def test_a_phase_inside_a_period_is_prorated_also_when_somebody_was_quicker_than_the_worker(app: Flask) -> None:
    life = Life.begins(app)
    life.is_scheduled((FIRST, {"team": 1}), (MIDDLE, {"solo": 1}))
    life.goes_at(at(MIDDLE) - 5)
    life.now += 20
    life.cancels()
    life.keeps()
    life.goes_to("2026-06-02")
    assert life.bills() == [MAY, CREDITED]


@pytest.mark.case("D14")
@pytest.mark.both_databases
def test_a_phase_inside_a_period_is_prorated_also_by_a_worker_that_was_away(app: Flask) -> None:
    life = Life.begins(app)
    life.is_scheduled((FIRST, {"team": 1}), (MIDDLE, {"solo": 1}))
    life.now = at("2026-06-02")
    with transaction() as session:
        clocks = select(TestClock).where(TestClock.account_id == life.shop.customer.account_id)
        session.scalars(clocks).one().frozen_time = life.now
    with life._context() as gateway:
        runner.run(gateway, life.now, lambda _id: BACK, life.clock_id)
    assert [bill[12:] for bill in life.bills()[-1:]] == [CREDITED[12:]]
    ledger.audit(life.shop.customer.account_id)


@pytest.mark.parametrize("proration", ["create_prorations", "always_invoice"])
@pytest.mark.both_databases
def test_a_phase_with_a_longer_interval_bills_its_period_once_and_at_once(app: Flask, proration: str) -> None:
    life = Life.begins(app)
    life.is_scheduled((FIRST, {"team": 1}), (MIDDLE, {"year": 1}), proration=proration)
    life.goes_to("2027-06-02")
    assert life.bills() == [
        MAY,
        "2026-05-16 paid: Unused time on Team after 16 May 2026 -5.16, "
        "Remaining time on Team after 16 May 2026 95.89 = 90.73",
        "2027-05-01 paid: 1 seats × Team (at €100.00 / year) 100.00 = 100.00",
    ]
    ledger.audit(life.shop.customer.account_id)


def test_a_classic_subscription_begins_anew_with_the_phase(app: Flask) -> None:
    life = Life.begins(app, billing_mode="classic")
    life.is_scheduled((FIRST, {"team": 1}), (MIDDLE, {"year": 1}))
    life.goes_to("2026-07-01")
    assert life.bills()[1:] == [
        "2026-05-16 paid: Unused time on Team after 16 May 2026 -5.16, 1 seats × Team (at €100.00 / year) 100.00 = 94.84"
    ]
    assert life.period == ("2026-05-16", "2027-05-16")


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
    life = Life.begins(app)
    life.is_scheduled((FIRST, {"team": 1}), (MIDDLE, {"solo": 1}), proration=proration)
    life.goes_to("2026-06-02")
    assert life.bills() == bills
    ledger.audit(life.shop.customer.account_id)


def test_what_a_phase_costs_at_once_is_collected_as_a_renewal_is(app: Flask) -> None:
    life = Life.begins(app)
    life.is_scheduled((FIRST, {"team": 1}), (MIDDLE, {"year": 1}))
    life.goes_to("2026-05-02")
    life.gets_a_card(world.FAILS)
    life.goes_to("2026-05-17")
    assert (life.subscription.status, life.item.price_id) == ("past_due", life.shop.prices["year"].id)
    life.gets_a_card()
    life.pays()
    assert life.subscription.status == "active"
    ledger.audit(life.shop.customer.account_id)


def test_of_what_is_owed_still_nothing_is_given_back_and_nothing_added(app: Flask) -> None:
    life = Life.begins(app)
    life.is_scheduled((FIRST, {"team": 1}), ("2026-05-03", {"solo": 1}))
    life.gets_a_card(world.FAILS)
    life.goes_to("2026-05-04")
    assert [item[:2] for item in _items(life)] == [("solo", 1)]
    life.gets_a_card()
    life.pays()
    life.goes_to("2026-06-02")
    assert life.bills() == [MAY, "2026-06-01 paid: 1 × Solo (at €4.00 / month) 4.00 = 4.00"]
    ledger.audit(life.shop.customer.account_id)


@pytest.mark.parametrize("mode", ["flexible", "classic"])
def test_a_longer_interval_is_charged_only_until_the_end(app: Flask, mode: str) -> None:
    """16 of the year's 365 days."""
    life = Life.begins(app, billing_mode=mode).goes_to("2026-05-02")
    life.is_scheduled((FIRST, {"team": 1}), (MIDDLE, {"year": 1}))
    life.cancels()
    life.goes_to("2026-06-02")
    last = life.bills()[-1]
    assert last.endswith("Remaining time on Team after 16 May 2026 4.38 = -0.78, due 0.00")
    assert (life.subscription.status, len(life.bills())) == ("canceled", 2)
    ledger.audit(life.shop.customer.account_id)


def test_a_merchants_phase_holds_as_long_as_it_lasts(app: Flask) -> None:
    life = Life.begins(app)
    life.is_scheduled((FIRST, {"team": 1}), (MIDDLE, {"solo": 1}), ends="2026-08-01")
    for date in ("2026-05-02", "2026-05-17", "2026-07-20"):
        life.goes_to(date)
        with pytest.raises(BillingError) as refused:
            life.quote("year")
        assert refused.value.code == "subscription_not_changeable"
    life.goes_to("2026-08-02")
    life.changes("team")


# --- items that come and go -------------------------------------------------------------------------------------------


def test_an_item_that_a_phase_takes_away_is_credited_and_leaves_its_discount(app: Flask) -> None:
    life = Life.begins(app, also="solo")
    life.gets_a_discount_on_the_other_item()
    life.is_scheduled((FIRST, {"team": 1, "solo": 1}), ("2026-05-11", {"team": 1}))
    life.goes_to("2026-06-02")
    both, without = life.bills()
    assert both.endswith(", discount -2.00 = 12.00")
    assert without == (
        "2026-06-01 paid: Unused time on Solo after 11 May 2026 -1.35, 1 seats × Team (at €10.00 / month) 10.00 = 8.65"
    )
    assert _items(life) == [("team", 1, "2026-07-01")]
    with reading() as reader:
        mine = Discount.customer_id == life.shop.customer.id
        assert reader.scalars(select(Discount.end).where(mine)).all() == [at("2026-05-11")]
    assert life.events.count("customer.discount.deleted") == 1
    ledger.audit(life.shop.customer.account_id)


@pytest.mark.both_databases
def test_an_item_that_a_phase_adds_has_periods_of_its_own(app: Flask) -> None:
    life = Life.begins(app)
    life.is_scheduled((FIRST, {"team": 1}), ("2026-05-30", {"team": 1, "solo": 2}))
    life.goes_to("2027-04-01")
    extra = [bill for bill in life.bills() if "Solo" in bill]
    assert extra[0] == "2026-05-30 paid: 2 × Solo (at €4.00 / month) 8.00 = 8.00"
    assert [bill[:10] for bill in extra][-3:] == ["2027-01-30", "2027-02-28", "2027-03-30"]
    ledger.audit(life.shop.customer.account_id)


# --- in a trial, in a pause -------------------------------------------------------------------------------------------


def test_a_phase_in_a_trial_costs_nothing_and_does_not_end_it(app: Flask) -> None:
    end = at("2026-05-01")
    life = Life.begins(app, status="trialing", trial_start=world.START, trial_end=end, billing_cycle_anchor=end)
    life.is_scheduled((FIRST, {"team": 1}), ("2026-04-16", {"solo": 3}))
    life.goes_to("2026-04-20")
    assert (life.subscription.status, _items(life)) == ("trialing", [("solo", 3, "2026-05-01")])
    life.goes_to("2026-05-02")
    assert life.bills(0) == ["2026-05-01 paid: 3 × Solo (at €4.00 / month) 12.00 = 12.00"]


def test_what_a_phase_adds_in_a_trial_is_free_until_its_end(app: Flask) -> None:
    end = at("2026-05-01")
    life = Life.begins(app, status="trialing", trial_start=world.START, trial_end=end, billing_cycle_anchor=end)
    life.is_scheduled((FIRST, {"team": 1}), ("2026-04-16", {"team": 1, "solo": 1}))
    life.goes_to("2026-04-20")
    assert (life.subscription.status, life.bills(0)) == ("trialing", [])
    life.goes_to("2026-05-02")
    (first,) = life.bills(0)
    assert first.endswith("= 14.00")


@pytest.mark.parametrize("by_hand", [True, False])
def test_a_phase_that_begins_in_a_pause_is_what_goes_on_after_it(app: Flask, by_hand: bool) -> None:
    life = Life.begins(app).goes_to("2026-04-16")
    life.is_scheduled((FIRST, {"team": 1}), (MIDDLE, {"solo": 1}))
    life.pauses(*(() if by_hand else ("month", 2)))
    life.goes_to("2026-05-17")
    assert (life.subscription.status, life.bills()) == ("paused", [])
    assert [item[:2] for item in _items(life)] == [("solo", 1)]
    life.goes_to("2026-06-16")
    if by_hand:
        life.resumes()
    assert life.bills() == [
        "2026-06-16 paid: Unused time on Team after 16 Apr 2026 -5.00, 1 × Solo (at €4.00 / month) 4.00 = -1.00, due 0.00"
    ]
    assert (life.subscription.status, life.period) == ("active", ("2026-06-16", "2026-07-16"))
    ledger.audit(life.shop.customer.account_id)


def test_nobody_goes_on_at_a_price_that_has_just_changed(app: Flask) -> None:
    life = Life.begins(app).goes_to("2026-04-16")
    life.is_scheduled((FIRST, {"team": 1}), (MIDDLE, {"solo": 1}))
    life.pauses()
    life.now = at(MIDDLE) + 5  # the worker comes a moment later
    with pytest.raises(StateChanged) as refused:
        life.resumes()
    assert refused.value.code == "not_up_to_date"
    life.goes_at(life.now)
    life.resumes()
    assert "Solo" in life.bills()[-1]


@pytest.mark.both_databases
def test_going_on_that_waits_for_its_payment_is_over_when_the_price_changes(app: Flask) -> None:
    life = Life.begins(app).goes_to("2026-04-30")
    life.is_scheduled((FIRST, {"team": 1}), (MIDDLE, {"solo": 5}))
    life.pauses()
    life.gets_a_card(world.FAILS)
    life.goes_at(at(MIDDLE) - 3600)
    life.resumes()
    assert life.subscription.pending_update
    life.goes_to("2026-05-17")
    assert (life.subscription.status, life.subscription.pending_update) == ("paused", None)
    assert [bill[11:15] for bill in life.bills()] == ["void"]
    life.gets_a_card()
    life.resumes()
    assert life.bills()[-1] == (
        "2026-05-17 paid: Unused time on Team after 30 Apr 2026 -0.33, 5 × Solo (at €4.00 / month) 20.00 = 19.67"
    )
    ledger.audit(life.shop.customer.account_id)


# --- the schedule's end -----------------------------------------------------------------------------------------------


@pytest.mark.both_databases
def test_a_schedule_that_cancels_bills_nothing_beyond_its_end(app: Flask) -> None:
    life = Life.begins(app)
    life.is_scheduled((FIRST, {"team": 1}), ("2026-05-01", {"solo": 1}), ends="2026-06-16", end_behavior="cancel")
    life.goes_to("2026-05-02")
    assert (day(life.subscription.cancel_at), life.subscription.status) == ("2026-06-16", "active")
    life.goes_to("2026-06-15")
    assert life.subscription.status == "active"
    life.goes_to("2026-09-01")
    assert life.bills() == [
        "2026-05-01 paid: 1 × Solo (at €4.00 / month) 4.00 = 4.00",
        "2026-06-01 paid: Remaining time on Solo after 01 Jun 2026 2.00 = 2.00",
    ]
    ended = life.subscription
    assert (ended.status, day(ended.ended_at), _schedule(life)) == ("canceled", "2026-06-16", "completed")
    ledger.audit(life.shop.customer.account_id)


def test_a_schedule_that_cancels_ends_a_pause_too(app: Flask) -> None:
    life = Life.begins(app).goes_to("2026-04-16")
    life.is_scheduled((FIRST, {"team": 1}), ends="2026-06-16", end_behavior="cancel")
    life.pauses()
    life.goes_to("2026-06-17")
    assert (life.subscription.status, day(life.subscription.ended_at)) == ("canceled", "2026-06-16")
    ledger.audit(life.shop.customer.account_id)


@pytest.mark.both_databases
def test_a_schedule_lets_go_on_its_day(app: Flask) -> None:
    life = Life.begins(app)
    life.is_scheduled((FIRST, {"team": 1}), ends="2026-04-16")
    life.goes_to("2026-04-17")
    assert (_schedule(life), life.subscription.status) == ("released", "active")
    life.changes("solo")  # the customer may choose again
    assert "subscription_schedule.released" in life.events


@pytest.mark.both_databases
def test_a_phase_is_told_with_what_was_before(app: Flask) -> None:
    life = Life.begins(app)
    life.is_scheduled((FIRST, {"team": 1}), (MIDDLE, {"year": 1}))
    life.goes_to(MIDDLE)
    with reading() as reader:
        mine = Event.account_id == life.shop.customer.account_id, Event.type == "customer.subscription.updated"
        data: dict[str, Any] = reader.scalars(select(Event.data).where(*mine).order_by(Event.id.desc())).first() or {}
    before, now = data["previous_attributes"], data["object"]
    assert before["items"]["data"][0]["price"] == life.shop.prices["team"].id
    assert now["items"]["data"][0]["price"] == life.shop.prices["year"].id
    assert before["items"]["data"][0]["current_period_end"] == at("2026-06-01")
    assert now["items"]["data"][0]["current_period_end"] == at("2027-05-01")
