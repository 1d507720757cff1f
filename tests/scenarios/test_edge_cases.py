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
from tests.scenarios.history import BACK, History
from tests.scenarios.history_state import day
from tests.world import reading

FIRST, MIDDLE = "2026-04-01", "2026-05-16"
TEAM = "1 seats × Team (at €10.00 / month) 10.00"
CREDIT = {"mode": "immediately", "proration_behavior": "create_prorations"}
WAITING = {"proration_behavior": "create_prorations"}
late_or_not = pytest.mark.parametrize("late", [False, True])


def _comes(history: History, moment: int, late: bool) -> None:
    """The worker takes each step in its minute; or it was away, and comes only then."""
    if not late:
        history.advance_to_instant(moment)
        return
    history.now = moment
    with transaction() as session:
        clocks = select(TestClock).where(TestClock.account_id == history.shop.customer.account_id)
        session.scalars(clocks).one().frozen_time = moment
    with history.gateways() as gateway:
        runner.run(gateway, moment, lambda _id: BACK, history.clock_id)


def _check_ledger(history: History, first_balance: int = 0) -> None:
    ledger.audit(history.shop.customer.account_id, first_balance)
    ledger.no_time_is_billed_twice(history.shop.customer.account_id)


def _set_credit_in_dollars(history: History) -> None:
    with transaction() as session:
        customer = session.scalars(select(Customer).where(Customer.id == history.shop.customer.id)).one()
        customer.balance, customer.currency = -300, "usd"
    history.first_balance = -300


def _draft(history: History) -> str:
    db.session.remove()
    with reading() as reader:
        mine = Invoice.customer_id == history.shop.customer.id, Invoice.status == "draft"
        return str(reader.scalar(select(Invoice.id).where(*mine)))


# --- what waits for its payment ---------------------------------------------------------------------------------------


@pytest.mark.case("D7")
@pytest.mark.both_databases
def test_an_automatic_resumption_does_not_wait_for_payment(app: Flask) -> None:
    history = History.start(app, quantity=5).advance_to("2026-05-20")
    history.pause("week", 1)
    history.advance_to_instant(at("2026-05-26") + 12 * 3600)
    history.add_card(world.FAILS)
    history.resume()
    history.add_card()
    history.advance_to_instant(at("2026-05-27") + 60)
    assert [bill[:15] for bill in history.invoices()] == ["2026-05-01 paid", "2026-05-26 void", "2026-05-27 paid"]
    assert history.invoices()[-1].endswith("Team (at €10.00 / month) 50.00 = 30.65")
    _check_ledger(history)


@pytest.mark.case("D7")
def test_a_planned_cancellation_discards_a_pending_update(app: Flask) -> None:
    history = History.start(app).advance_to("2026-04-10")
    history.add_card(world.FAILS)
    assert history.change_plan("year").outcome == "pending"
    history.cancel()
    history.add_card()
    history.advance_to("2026-06-01")
    assert [bill[:15] for bill in history.invoices()] == ["2026-04-10 void"]
    assert "customer.subscription.pending_update_expired" not in history.events  # it was not time that ended it
    _check_ledger(history)


@pytest.mark.parametrize(("before", "after", "total"), [(1, 20, "95.00"), (20, 1, "-95.00, due 0.00")])
def test_pending_lines_are_billed_when_the_customer_acts_before_the_worker(
    app: Flask, before: int, after: int, total: str
) -> None:
    history = History.start(app, quantity=before, policy=WAITING).advance_to("2026-04-16")
    history.change_plan(quantity=after)
    history.now = at("2026-05-01") + 30
    history.cancel()
    history.advance_to("2026-06-02")
    (bill,) = history.invoices()
    assert bill.endswith(f"= {total}")
    _check_ledger(history)


# --- a worker that is late --------------------------------------------------------------------------------------------


@late_or_not
@pytest.mark.both_databases
def test_a_phase_waits_for_the_payment_of_the_renewal_before_it(app: Flask, late: bool) -> None:
    history = History.start(app)
    phases = (FIRST, {"team": 1}), ("2026-04-16", {"year": 2}), ("2026-04-26", {"year": 1})
    history.add_schedule(*phases, proration="always_invoice")
    _comes(history, at("2026-04-28"), late)
    assert [bill.rpartition(" = ")[2] for bill in history.invoices()] == ["186.78", "-93.15, due 0.00"]
    _check_ledger(history)


@pytest.mark.both_databases
def test_a_phase_waits_while_a_payment_is_unresolved(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    history = History.start(app)
    history.add_schedule((FIRST, {"team": 1}), ("2026-05-01 00:30:00", {"solo": 1}))
    gateway = app.extensions["gateways"].shared("sandbox")

    def lose(*_given: object) -> object:
        raise GatewayUnavailable("lost")

    with monkeypatch.context() as broken:
        broken.setattr(gateway, "charge", lose)
        broken.setattr(gateway, "find_charge", lose)
        history.advance_to("2026-05-01 00:40:00")
    assert history.item.price_id == history.shop.prices["team"].id
    history.advance_to("2026-06-02")
    last = history.invoices()[-1]
    assert "Unused time on Team after 01 May 2026 -9.99" in last
    assert "Remaining time on Solo after 01 May 2026 4.00" in last
    _check_ledger(history)


@late_or_not
def test_a_single_use_coupon_applies_once(app: Flask, late: bool) -> None:
    history = History.start(app)
    history.add_discount(duration="once", percent_off="50")
    history.add_schedule((FIRST, {"team": 1}), (MIDDLE, {"team": 5}), proration="always_invoice")
    _comes(history, at("2026-05-20"), late)
    assert [bill.rpartition(" = ")[2] for bill in history.invoices()] == [
        "5.00",
        "20.65",
    ]  # the seat that stays keeps its half price
    _check_ledger(history)


@late_or_not
def test_a_late_renewal_uses_the_coupons_of_its_date(app: Flask, late: bool) -> None:
    history = History.start(app)
    history.add_discount(end=at("2026-05-15"), duration="repeating", duration_in_months=2, percent_off="50")
    _comes(history, at("2026-05-20"), late)
    assert history.invoices()[0].endswith(f"{TEAM}, discount -5.00 = 5.00")


@pytest.mark.parametrize("seconds", [0, 30])
@pytest.mark.both_databases
def test_an_items_coupon_ends_with_the_item(app: Flask, seconds: int) -> None:
    history = History.start(app, also="solo")
    history.add_discount_on_second_item()
    history.add_schedule((FIRST, {"team": 1, "solo": 1}), ("2026-05-11", {"team": 5}))
    history.advance_to("2026-05-10")
    _comes(history, at("2026-05-11") + seconds, late=True)
    history.advance_to("2026-06-02")
    assert history.invoices()[-1].endswith(" = 75.75")
    _check_ledger(history)


# --- ends -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["flexible", "classic"])
def test_a_yearly_price_in_a_last_phase_is_charged_until_its_end(app: Flask, mode: str) -> None:
    history = History.start(app, billing_mode=mode)
    history.add_schedule((FIRST, {"team": 1}), (MIDDLE, {"year": 1}), ends="2026-06-16", end_behavior="cancel")
    history.advance_to("2026-07-17")
    assert history.invoices()[1:] == [
        "2026-05-16 paid: Unused time on Team after 16 May 2026 -5.16, "
        "Remaining time on Team after 16 May 2026 8.49 = 3.33"
    ]
    assert day(history.subscription.ended_at) == "2026-06-16"
    ledger.audit(history.shop.customer.account_id)


@pytest.mark.both_databases
def test_the_earlier_of_two_end_dates_applies(app: Flask) -> None:
    history = History.start(app)
    extra = history.add_item(12000, "year")
    history.advance_to("2026-04-10")
    with reading() as reader:
        price = reader.scalar(select(SubscriptionItem.price_id).where(SubscriptionItem.id == extra)) or ""
    phases = (FIRST, {"team": 1, price: 1}), ("2026-05-01", {"team": 2, price: 1})
    history.add_schedule(*phases, ends="2026-06-16", end_behavior="cancel")
    history.cancel()
    history.advance_to("2026-07-17")
    assert history.invoices()[-1] == "2026-06-01 paid: Remaining time on 2 × Team after 01 Jun 2026 10.00 = 10.00"


@pytest.mark.both_databases
def test_an_ended_phase_is_not_applied_again(app: Flask) -> None:
    history = History.start(app).advance_to("2026-04-30")
    history.add_card(world.FAILS)
    history.change_plan("year")
    history.add_schedule((FIRST, {"team": 1}), ends="2026-05-16")
    history.add_card()
    history.pay()
    history.advance_to("2026-06-02")
    assert history.item.price_id == history.shop.prices["year"].id
    assert [bill.rpartition(" = ")[2] for bill in history.invoices()] == ["91.72"]


def test_a_shortened_year_is_not_credited_at_a_monthly_price(app: Flask) -> None:
    history = History.start(app)
    history.change_plan("year")
    history.advance_to("2026-08-01")
    history.set_members(cancel_at=at("2027-09-16"), cancellation_details={"reason": "cancellation_requested"})
    history.advance_to("2027-04-02")
    history.undo_cancellation()
    history.advance_to("2027-10-01")
    history.shop.features = replace(history.shop.features, proration_behavior="none")
    history.change_plan("team")
    history.shop.features = replace(history.shop.features, proration_behavior="always_invoice")
    history.advance_to("2027-10-16")
    history.change_plan(quantity=2)
    assert history.invoices()[-1].endswith("Remaining time on 2 × Team after 16 Oct 2027 20.00 = -25.90, due 0.00")
    assert history.period == ("2027-10-16", "2027-11-16")
    _check_ledger(history)


@pytest.mark.parametrize("mode", ["flexible", "classic"])
def test_prorating_a_proration_refers_to_the_full_period(app: Flask, mode: str) -> None:
    history = History.start(app, billing_mode=mode).advance_to("2027-02-20")
    asked_for = {"cancellation_details": {"reason": "cancellation_requested"}}
    history.set_members(cancel_at=at("2027-03-16"), **asked_for)
    history.advance_to("2027-03-02")
    history.set_members(cancel_at=at("2027-03-20"), **asked_for)
    history.advance_to("2027-03-18")
    history.undo_cancellation()
    history.change_plan(quantity=2)
    history.advance_to("2027-04-02")
    assert [bill.rpartition(" = ")[2] for bill in history.invoices()[-4:]] == ["1.29", "0.64", "7.74", "20.00"]
    assert history.period == ("2027-04-01", "2027-05-01")


# --- credit -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["flexible", "classic"])
def test_a_pause_credits_the_same_as_a_cancellation(app: Flask, mode: str) -> None:
    history = History.start(app, billing_mode=mode).advance_to("2026-04-16")
    history.pause()
    history.advance_to("2026-04-17")
    history.cancel(**CREDIT)
    assert [bill.rpartition(" = ")[2] for bill in history.invoices()] == ["-5.00, due 0.00"]


def test_a_cancellation_credits_at_most_what_was_paid(app: Flask) -> None:
    history = History.start(app, billing_mode="classic", policy={"proration_behavior": "none"}).advance_to("2026-04-03")
    history.change_plan(quantity=50)
    history.cancel(**CREDIT)
    assert [bill.rpartition(" = ")[2] for bill in history.invoices()] == ["-9.33, due 0.00"]


def test_lines_of_voided_invoices_are_not_credited(app: Flask) -> None:
    history = History.start(app, pause_collection={"behavior": "void"}, billing_mode="classic").advance_to("2026-05-02")
    history.set_members(pause_collection=None)
    history.cancel(**CREDIT)
    assert (history.invoices(), history.balance) == ([], 0)


@pytest.mark.parametrize("proration", ["create_prorations", "always_invoice"])
def test_credit_stays_pending_while_the_balance_has_another_currency(app: Flask, proration: str) -> None:
    history = History.start(app, quantity=30)
    history.add_schedule((FIRST, {"team": 30}), ("2026-04-16", {"team": 1}), proration=proration)
    _set_credit_in_dollars(history)
    history.advance_to("2026-06-20")
    assert history.subscription.billing_error is None
    assert [bill[11:] for bill in history.invoices()] == [f"paid: {TEAM} = 10.00"] * 2
    with reading() as reader:
        mine = InvoiceLineItem.customer_id == history.shop.customer.id, InvoiceLineItem.invoice_id.is_(None)
        assert sum(reader.scalars(select(InvoiceLineItem.amount).where(*mine))) == -15000 + 500


def test_a_phase_that_invoices_at_once_settles_its_credit_at_once(app: Flask) -> None:
    history = History.start(app, also="solo")
    history.add_schedule((FIRST, {"team": 1, "solo": 1}), ("2026-04-16", {"team": 1}), proration="always_invoice")
    history.advance_to("2026-04-20")
    assert [bill.rpartition(" = ")[2] for bill in history.invoices()] == ["-2.00, due 0.00"]
    _check_ledger(history)


# --- what was not collected -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("behavior", ["keep_as_draft", "mark_uncollectible"])
def test_a_change_is_refused_while_the_current_invoice_is_unpaid(app: Flask, behavior: str) -> None:
    history = History.start(app, pause_collection={"behavior": behavior}).advance_to("2026-05-16")
    history.set_members(pause_collection=None)
    with pytest.raises(BillingError, match="has not been paid"):
        history.change_plan(quantity=2)
    with pytest.raises(BillingError, match="has not been paid"):
        history.pause()
    history.advance_to("2026-06-02")
    history.change_plan(quantity=2)


@pytest.mark.both_databases
def test_a_phase_is_not_prorated_while_the_current_invoice_is_unpaid(app: Flask) -> None:
    history = History.start(app, pause_collection={"behavior": "keep_as_draft", "resumes_at": at("2026-05-10")})
    history.add_schedule((FIRST, {"team": 1}), (MIDDLE, {"solo": 1}))
    history.advance_to("2026-05-20")
    drafts.finalize(_draft(history), 0)
    history.advance_to("2026-06-02")
    assert [bill[11:] for bill in history.invoices()] == [
        f"paid: {TEAM} = 10.00",
        "paid: 1 × Solo (at €4.00 / month) 4.00 = 4.00",
    ]
    _check_ledger(history)


@pytest.mark.both_databases
def test_a_discarded_draft_restores_its_single_use_coupon(app: Flask) -> None:
    history = History.start(app, pause_collection={"behavior": "keep_as_draft"})
    history.add_discount(duration="once", percent_off="50")
    history.advance_to("2026-05-16")
    drafts.discard(_draft(history), 0)
    history.set_members(pause_collection=None)
    history.advance_to("2026-06-02")
    assert history.invoices()[-1] == f"2026-06-01 paid: {TEAM}, discount -5.00 = 5.00"


@pytest.mark.both_databases
def test_the_final_invoice_is_written_while_collection_is_paused(app: Flask) -> None:
    history = History.start(app, quantity=20, policy=WAITING).advance_to("2026-04-16")
    history.change_plan(quantity=1)
    history.set_members(pause_collection={"behavior": "void"})
    history.cancel()
    history.advance_to("2026-06-02")
    assert [bill.rpartition(" = ")[2] for bill in history.invoices()] == ["-95.00, due 0.00"]
    _check_ledger(history)


def test_amounts_below_the_minimum_charge_are_written_off_too(app: Flask) -> None:
    history = History.start(app, pause_collection={"behavior": "mark_uncollectible"})
    history.add_discount(duration="repeating", end=at("2026-06-15"), percent_off="98")
    history.advance_to("2026-06-10")
    history.set_members(pause_collection=None)
    history.advance_to("2026-07-02")
    assert [bill.rpartition(" = ")[2] for bill in history.invoices()] == ["0.20", "0.20", "10.00"]


def test_the_end_of_paused_collection_keeps_the_subscription_paused(app: Flask) -> None:
    history = History.start(app).advance_to("2026-04-16")
    history.pause()
    history.set_members(pause_collection={"behavior": "void", "resumes_at": at("2026-05-10")}, due_at=at("2026-05-10"))
    history.advance_to("2026-06-10")
    assert (history.subscription.status, history.subscription.billing_error) == ("paused", None)


def test_the_event_of_a_resumption_has_the_previous_attributes(app: Flask) -> None:
    history = History.start(app).advance_to("2026-04-16")
    history.pause("month", 1)
    history.advance_to("2026-05-17")
    with reading() as reader:
        mine = Event.account_id == history.shop.customer.account_id, Event.type == "customer.subscription.resumed"
        data: dict[str, Any] = reader.scalars(select(Event.data).where(*mine)).one()
    before = data["previous_attributes"]
    assert (before["status"], before["billing_cycle_anchor"]) == ("paused", world.START)
    assert before["items"]["data"][0]["current_period_end"] == world.END
    assert data["object"]["billing_cycle_anchor"] == at("2026-05-16")
