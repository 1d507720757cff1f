"""Rare combinations: the end of a pause with a pending payment, a late worker, a balance in another currency."""

from dataclasses import replace
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import select

from portal_site.billing.billing_run import runner
from portal_site.billing.errors import BillingError, GatewayUnavailable
from portal_site.billing.invoicing import drafts
from portal_site.billing.models import Customer, Event, Invoice, InvoiceLineItem, SubscriptionItem, TestClock
from portal_site.db import db
from portal_site.db.transactions import transaction
from tests import world
from tests.billing.terms import at
from tests.proofs import ledger
from tests.scenarios.life import BACK, Life, day
from tests.world import reading

FIRST, MIDDLE = "2026-04-01", "2026-05-16"
TEAM = "1 seats × Team (at €10.00 / month) 10.00"
CREDIT = {"mode": "immediately", "proration_behavior": "create_prorations"}
WAITING = {"proration_behavior": "create_prorations"}
late_or_not = pytest.mark.parametrize("late", [False, True])


def _comes(life: Life, moment: int, late: bool) -> None:
    """The worker takes each step in its minute; or it was away, and comes only then."""
    if not late:
        life.goes_at(moment)
        return
    life.now = moment
    with transaction() as session:
        clocks = select(TestClock).where(TestClock.account_id == life.shop.customer.account_id)
        session.scalars(clocks).one().frozen_time = moment
    with life._context() as gateway:
        runner.run(gateway, moment, lambda _id: BACK, life.clock_id)


def _is_true(life: Life, first_balance: int = 0) -> None:
    ledger.audit(life.shop.customer.account_id, first_balance)
    ledger.no_time_is_billed_twice(life.shop.customer.account_id)


def _has_credit_in_dollars(life: Life) -> None:
    with transaction() as session:
        customer = session.scalars(select(Customer).where(Customer.id == life.shop.customer.id)).one()
        customer.balance, customer.currency = -300, "usd"
    life.first_balance = -300


def _draft(life: Life) -> str:
    db.session.remove()
    with reading() as reader:
        mine = Invoice.customer_id == life.shop.customer.id, Invoice.status == "draft"
        return str(reader.scalar(select(Invoice.id).where(*mine)))


# --- what waits for its payment ---------------------------------------------------------------------------------------


@pytest.mark.case("D7")
@pytest.mark.both_databases
def test_a_pause_that_ends_by_itself_waits_for_no_payment(app: Flask) -> None:
    life = Life.begins(app, quantity=5).goes_to("2026-05-20")
    life.pauses("week", 1)
    life.goes_at(at("2026-05-26") + 12 * 3600)
    life.gets_a_card(world.FAILS)
    life.resumes()
    life.gets_a_card()
    life.goes_at(at("2026-05-27") + 60)
    assert [bill[:15] for bill in life.bills()] == ["2026-05-01 paid", "2026-05-26 void", "2026-05-27 paid"]
    assert life.bills()[-1].endswith("Team (at €10.00 / month) 50.00 = 30.65")
    _is_true(life)


@pytest.mark.case("D7")
def test_whoever_leaves_pays_for_no_other_plan(app: Flask) -> None:
    life = Life.begins(app).goes_to("2026-04-10")
    life.gets_a_card(world.FAILS)
    assert life.changes("year").outcome == "pending"
    life.cancels()
    life.gets_a_card()
    life.goes_to("2026-06-01")
    assert [bill[:15] for bill in life.bills()] == ["2026-04-10 void"]
    assert "customer.subscription.pending_update_expired" not in life.events  # it was not time that ended it
    _is_true(life)


@pytest.mark.parametrize(("before", "after", "total"), [(1, 20, "95.00"), (20, 1, "-95.00, due 0.00")])
def test_what_waited_is_settled_though_the_customer_is_quicker_than_the_worker(
    app: Flask, before: int, after: int, total: str
) -> None:
    life = Life.begins(app, quantity=before, policy=WAITING).goes_to("2026-04-16")
    life.changes(quantity=after)
    life.now = at("2026-05-01") + 30
    life.cancels()
    life.goes_to("2026-06-02")
    (bill,) = life.bills()
    assert bill.endswith(f"= {total}")
    _is_true(life)


# --- a worker that is late --------------------------------------------------------------------------------------------


@late_or_not
@pytest.mark.both_databases
def test_phases_wait_for_the_payment_of_what_was_billed_just_before(app: Flask, late: bool) -> None:
    life = Life.begins(app)
    phases = (FIRST, {"team": 1}), ("2026-04-16", {"year": 2}), ("2026-04-26", {"year": 1})
    life.is_scheduled(*phases, proration="always_invoice")
    _comes(life, at("2026-04-28"), late)
    assert [bill.rpartition(" = ")[2] for bill in life.bills()] == ["186.78", "-93.15, due 0.00"]
    _is_true(life)


@pytest.mark.both_databases
def test_a_phase_waits_while_nobody_knows_whether_the_month_is_paid(
    app: Flask, monkeypatch: pytest.MonkeyPatch
) -> None:
    life = Life.begins(app)
    life.is_scheduled((FIRST, {"team": 1}), ("2026-05-01 00:30:00", {"solo": 1}))
    gateway = app.extensions["gateways"].default

    def lose(*_given: object) -> object:
        raise GatewayUnavailable("lost")

    with monkeypatch.context() as broken:
        broken.setattr(gateway, "charge", lose)
        broken.setattr(gateway, "find_charge", lose)
        life.goes_to("2026-05-01 00:40:00")
    assert life.item.price_id == life.shop.prices["team"].id
    life.goes_to("2026-06-02")
    last = life.bills()[-1]
    assert "Unused time on Team after 01 May 2026 -9.99" in last
    assert "Remaining time on Solo after 01 May 2026 4.00" in last
    _is_true(life)


@late_or_not
def test_a_coupon_for_one_invoice_is_for_one(app: Flask, late: bool) -> None:
    life = Life.begins(app)
    life.gets_a_discount(duration="once", percent_off="50")
    life.is_scheduled((FIRST, {"team": 1}), (MIDDLE, {"team": 5}), proration="always_invoice")
    _comes(life, at("2026-05-20"), late)
    assert [bill.rpartition(" = ")[2] for bill in life.bills()] == [
        "5.00",
        "20.65",
    ]  # the seat that stays keeps its half price
    _is_true(life)


@late_or_not
def test_a_coupon_that_ran_on_the_day_that_is_billed_counts(app: Flask, late: bool) -> None:
    life = Life.begins(app)
    life.gets_a_discount(end=at("2026-05-15"), duration="repeating", duration_in_months=2, percent_off="50")
    _comes(life, at("2026-05-20"), late)
    assert life.bills()[0].endswith(f"{TEAM}, discount -5.00 = 5.00")


@pytest.mark.parametrize("seconds", [0, 30])
@pytest.mark.both_databases
def test_the_coupon_of_an_item_goes_with_it(app: Flask, seconds: int) -> None:
    life = Life.begins(app, also="solo")
    life.gets_a_discount_on_the_other_item()
    life.is_scheduled((FIRST, {"team": 1, "solo": 1}), ("2026-05-11", {"team": 5}))
    life.goes_to("2026-05-10")
    _comes(life, at("2026-05-11") + seconds, late=True)
    life.goes_to("2026-06-02")
    assert life.bills()[-1].endswith(" = 75.75")
    _is_true(life)


# --- ends -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["flexible", "classic"])
def test_a_year_in_a_schedules_last_phase_is_charged_until_its_end(app: Flask, mode: str) -> None:
    life = Life.begins(app, billing_mode=mode)
    life.is_scheduled((FIRST, {"team": 1}), (MIDDLE, {"year": 1}), ends="2026-06-16", end_behavior="cancel")
    life.goes_to("2026-07-17")
    assert life.bills()[1:] == [
        "2026-05-16 paid: Unused time on Team after 16 May 2026 -5.16, "
        "Remaining time on Team after 16 May 2026 8.49 = 3.33"
    ]
    assert day(life.subscription.ended_at) == "2026-06-16"
    ledger.audit(life.shop.customer.account_id)


@pytest.mark.both_databases
def test_the_earlier_of_two_ends_counts(app: Flask) -> None:
    life = Life.begins(app)
    extra = life.gets_item(12000, "year")
    life.goes_to("2026-04-10")
    with reading() as reader:
        price = reader.scalar(select(SubscriptionItem.price_id).where(SubscriptionItem.id == extra)) or ""
    phases = (FIRST, {"team": 1, price: 1}), ("2026-05-01", {"team": 2, price: 1})
    life.is_scheduled(*phases, ends="2026-06-16", end_behavior="cancel")
    life.cancels()
    life.goes_to("2026-07-17")
    assert life.bills()[-1] == "2026-06-01 paid: Remaining time on 2 × Team after 01 Jun 2026 10.00 = 10.00"


@pytest.mark.both_databases
def test_a_phase_that_is_over_is_not_put_in_force_once_more(app: Flask) -> None:
    life = Life.begins(app).goes_to("2026-04-30")
    life.gets_a_card(world.FAILS)
    life.changes("year")
    life.is_scheduled((FIRST, {"team": 1}), ends="2026-05-16")
    life.gets_a_card()
    life.pays()
    life.goes_to("2026-06-02")
    assert life.item.price_id == life.shop.prices["year"].id
    assert [bill.rpartition(" = ")[2] for bill in life.bills()] == ["91.72"]


def test_a_cut_year_whose_price_became_a_months_is_not_a_months_price(app: Flask) -> None:
    life = Life.begins(app)
    life.changes("year")
    life.goes_to("2026-08-01")
    life.has(cancel_at=at("2027-09-16"), cancellation_details={"reason": "cancellation_requested"})
    life.goes_to("2027-04-02")
    life.keeps()
    life.goes_to("2027-10-01")
    life.shop.features = replace(life.shop.features, proration_behavior="none")
    life.changes("team")
    life.shop.features = replace(life.shop.features, proration_behavior="always_invoice")
    life.goes_to("2027-10-16")
    life.changes(quantity=2)
    assert life.bills()[-1].endswith("Remaining time on 2 × Team after 16 Oct 2027 20.00 = -25.90, due 0.00")
    assert life.period == ("2027-10-16", "2027-11-16")
    _is_true(life)


@pytest.mark.parametrize("mode", ["flexible", "classic"])
def test_a_part_of_a_part_is_a_part_of_the_whole(app: Flask, mode: str) -> None:
    life = Life.begins(app, billing_mode=mode).goes_to("2027-02-20")
    asked_for = {"cancellation_details": {"reason": "cancellation_requested"}}
    life.has(cancel_at=at("2027-03-16"), **asked_for)
    life.goes_to("2027-03-02")
    life.has(cancel_at=at("2027-03-20"), **asked_for)
    life.goes_to("2027-03-18")
    life.keeps()
    life.changes(quantity=2)
    life.goes_to("2027-04-02")
    assert [bill.rpartition(" = ")[2] for bill in life.bills()[-4:]] == ["1.29", "0.64", "7.74", "20.00"]
    assert life.period == ("2027-04-01", "2027-05-01")


# --- credit -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["flexible", "classic"])
def test_a_pause_has_given_back_what_an_end_would(app: Flask, mode: str) -> None:
    life = Life.begins(app, billing_mode=mode).goes_to("2026-04-16")
    life.pauses()
    life.goes_to("2026-04-17")
    life.cancels(**CREDIT)
    assert [bill.rpartition(" = ")[2] for bill in life.bills()] == ["-5.00, due 0.00"]


def test_nobody_leaves_with_more_than_was_paid(app: Flask) -> None:
    life = Life.begins(app, billing_mode="classic", policy={"proration_behavior": "none"}).goes_to("2026-04-03")
    life.changes(quantity=50)
    life.cancels(**CREDIT)
    assert [bill.rpartition(" = ")[2] for bill in life.bills()] == ["-9.33, due 0.00"]


def test_what_was_void_is_not_given_back(app: Flask) -> None:
    life = Life.begins(app, pause_collection={"behavior": "void"}, billing_mode="classic").goes_to("2026-05-02")
    life.has(pause_collection=None)
    life.cancels(**CREDIT)
    assert (life.bills(), life.balance) == ([], 0)


@pytest.mark.parametrize("proration", ["create_prorations", "always_invoice"])
def test_credit_waits_where_the_balance_is_in_another_currency(app: Flask, proration: str) -> None:
    life = Life.begins(app, quantity=30)
    life.is_scheduled((FIRST, {"team": 30}), ("2026-04-16", {"team": 1}), proration=proration)
    _has_credit_in_dollars(life)
    life.goes_to("2026-06-20")
    assert life.subscription.billing_error is None
    assert [bill[11:] for bill in life.bills()] == [f"paid: {TEAM} = 10.00"] * 2
    with reading() as reader:
        mine = InvoiceLineItem.customer_id == life.shop.customer.id, InvoiceLineItem.invoice_id.is_(None)
        assert sum(reader.scalars(select(InvoiceLineItem.amount).where(*mine))) == -15000 + 500


def test_credit_for_what_a_phase_takes_away_is_settled_at_once_where_all_is(app: Flask) -> None:
    life = Life.begins(app, also="solo")
    life.is_scheduled((FIRST, {"team": 1, "solo": 1}), ("2026-04-16", {"team": 1}), proration="always_invoice")
    life.goes_to("2026-04-20")
    assert [bill.rpartition(" = ")[2] for bill in life.bills()] == ["-2.00, due 0.00"]
    _is_true(life)


# --- what was not collected -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("behavior", ["keep_as_draft", "mark_uncollectible"])
def test_time_that_may_be_paid_yet_is_not_changed(app: Flask, behavior: str) -> None:
    life = Life.begins(app, pause_collection={"behavior": behavior}).goes_to("2026-05-16")
    life.has(pause_collection=None)
    with pytest.raises(BillingError, match="has not been paid"):
        life.changes(quantity=2)
    with pytest.raises(BillingError, match="has not been paid"):
        life.pauses()
    life.goes_to("2026-06-02")
    life.changes(quantity=2)


@pytest.mark.both_databases
def test_a_phase_in_time_that_may_be_paid_yet_is_not_prorated(app: Flask) -> None:
    life = Life.begins(app, pause_collection={"behavior": "keep_as_draft", "resumes_at": at("2026-05-10")})
    life.is_scheduled((FIRST, {"team": 1}), (MIDDLE, {"solo": 1}))
    life.goes_to("2026-05-20")
    drafts.finalize(_draft(life), 0)
    life.goes_to("2026-06-02")
    assert [bill[11:] for bill in life.bills()] == [
        f"paid: {TEAM} = 10.00",
        "paid: 1 × Solo (at €4.00 / month) 4.00 = 4.00",
    ]
    _is_true(life)


@pytest.mark.both_databases
def test_a_draft_that_is_thrown_away_gives_its_coupon_back(app: Flask) -> None:
    life = Life.begins(app, pause_collection={"behavior": "keep_as_draft"})
    life.gets_a_discount(duration="once", percent_off="50")
    life.goes_to("2026-05-16")
    drafts.discard(_draft(life), 0)
    life.has(pause_collection=None)
    life.goes_to("2026-06-02")
    assert life.bills()[-1] == f"2026-06-01 paid: {TEAM}, discount -5.00 = 5.00"


@pytest.mark.both_databases
def test_what_has_ended_is_settled_though_its_collection_was_paused(app: Flask) -> None:
    life = Life.begins(app, quantity=20, policy=WAITING).goes_to("2026-04-16")
    life.changes(quantity=1)
    life.has(pause_collection={"behavior": "void"})
    life.cancels()
    life.goes_to("2026-06-02")
    assert [bill.rpartition(" = ")[2] for bill in life.bills()] == ["-95.00, due 0.00"]
    _is_true(life)


def test_what_is_too_little_to_be_charged_is_written_off_too(app: Flask) -> None:
    life = Life.begins(app, pause_collection={"behavior": "mark_uncollectible"})
    life.gets_a_discount(duration="repeating", end=at("2026-06-15"), percent_off="98")
    life.goes_to("2026-06-10")
    life.has(pause_collection=None)
    life.goes_to("2026-07-02")
    assert [bill.rpartition(" = ")[2] for bill in life.bills()] == ["0.20", "0.20", "10.00"]


def test_a_pause_of_collection_does_not_end_another_pause(app: Flask) -> None:
    life = Life.begins(app).goes_to("2026-04-16")
    life.pauses()
    life.has(pause_collection={"behavior": "void", "resumes_at": at("2026-05-10")}, due_at=at("2026-05-10"))
    life.goes_to("2026-06-10")
    assert (life.subscription.status, life.subscription.billing_error) == ("paused", None)


def test_the_end_of_a_pause_is_told_with_what_was_before(app: Flask) -> None:
    life = Life.begins(app).goes_to("2026-04-16")
    life.pauses("month", 1)
    life.goes_to("2026-05-17")
    with reading() as reader:
        mine = Event.account_id == life.shop.customer.account_id, Event.type == "customer.subscription.resumed"
        data: dict[str, Any] = reader.scalars(select(Event.data).where(*mine)).one()
    before = data["previous_attributes"]
    assert (before["status"], before["billing_cycle_anchor"]) == ("paused", world.START)
    assert before["items"]["data"][0]["current_period_end"] == world.END
    assert data["object"]["billing_cycle_anchor"] == at("2026-05-16")
