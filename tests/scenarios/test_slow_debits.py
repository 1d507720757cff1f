"""Bank debits that take days: nothing fails and nothing is paid meanwhile; the answer does what one at once would have done."""

import pytest
from flask import Flask
from sqlalchemy import update

from portal_site.billing.billing_run import parking
from portal_site.billing.changes import plan_changes, reactivations
from portal_site.billing.errors import BillingError, GatewayUnavailable, StateChanged
from portal_site.billing.loading.confirmations import Confirmation, quote_fingerprint
from portal_site.billing.models import Invoice, PaymentMethod, Subscription
from portal_site.billing.payments import collection
from portal_site.db import db
from tests import world
from tests.billing.terms import at
from tests.proofs import ledger
from tests.scenarios.history import BACK, History
from tests.world import reading

SEAT = "1 seats × Team (at €10.00 / month) 10.00"


def _check_ledger(history: History) -> None:
    ledger.audit(history.shop.customer.account_id)
    ledger.settled(history.shop.customer.account_id, history.now)


def _renewing(app: Flask, account: str = world.SLOW) -> History:
    """A customer whose renewal of 1 May is paid by a debit that the bank carries out until the 5th."""
    history = History.start(app)
    history.add_card(account)
    return history.advance_to("2026-05-01")


def _changing(app: Flask, date: str = "2026-04-16", account: str = world.SLOW) -> History:
    """A customer who pays for more seats by such a debit."""
    history = History.start(app).advance_to(date)
    history.add_card(account)
    history.change_plan(quantity=9)
    return history


def _invoice(history: History) -> tuple[int, int | None]:
    """How many tries of the newest invoice failed, and when the next is."""
    db.session.remove()
    with reading() as reader:
        mine = Invoice.__table__.c.customer_id == history.shop.customer.id
        row = reader.execute(Invoice.__table__.select().where(mine).order_by(Invoice.number.desc())).first()
    assert row is not None
    return row.attempt_count, row.next_payment_attempt


@pytest.mark.case("F2")
def test_a_renewal_by_debit_is_paid_days_later(app: Flask) -> None:
    history = _renewing(app)
    for date in ("2026-05-01", "2026-05-03", "2026-05-04 23:59:59"):
        history.advance_to(date)
        assert history.invoices() == [f"2026-05-01 open: {SEAT} = 10.00"]
        assert history.payments == ["2026-05-01 processing"]
        assert history.subscription.status == "active"
        assert _invoice(history)[0] == 0
        _check_ledger(history)
    assert history.events.count("payment_intent.processing") == 1
    assert "invoice.payment_failed" not in history.events
    history.advance_to("2026-05-05")
    assert history.invoices() == [f"2026-05-01 paid: {SEAT} = 10.00"]
    assert history.payments == ["2026-05-01 succeeded"]
    assert {"charge.succeeded", "payment_intent.succeeded", "invoice.paid"} <= set(history.events)
    assert history.advance_to("2026-05-31").period == ("2026-05-01", "2026-06-01")
    _check_ledger(history)


def test_dunning_begins_when_the_debit_fails(app: Flask) -> None:
    history = _renewing(app, world.SLOW_FAILS).advance_to("2026-05-04 23:59:59")
    assert (history.payments, history.subscription.status) == (["2026-05-01 processing"], "active")
    history.advance_to("2026-05-05")
    assert history.payments == ["2026-05-01 declined"]
    assert history.subscription.status == "past_due"
    tries, following = _invoice(history)
    assert (tries, following) == (1, at("2026-05-08"))
    history.add_card()
    history.advance_to("2026-05-09")
    assert history.payments == ["2026-05-01 declined", "2026-05-08 succeeded"]
    assert history.subscription.status == "active"
    _check_ledger(history)


def test_a_customers_debit_replaces_the_automatic_attempt_due_meanwhile(app: Flask) -> None:
    history = History.start(app, card=world.FAILS).advance_to("2026-05-01")
    assert _invoice(history) == (1, at("2026-05-04"))
    history.add_card(world.SLOW_FAILS)
    history.advance_to("2026-05-03").pay()
    history.advance_to("2026-05-06 23:59:59")
    assert (history.payments[1:], _invoice(history)[0]) == (["2026-05-03 processing"], 1)
    history.advance_to("2026-05-07")
    tries, following = _invoice(history)
    assert (history.payments[1:], tries) == (["2026-05-03 declined"], 2)
    assert following == at("2026-05-12")  # five days after the answer, not at once
    _check_ledger(history)


def test_a_pending_update_is_extended_while_its_debit_is_processing(app: Flask) -> None:
    history = _changing(app)
    history.advance_to("2026-04-19")
    assert history.subscription.pending_update.expires_at == at("2026-04-30")
    assert (history.item.quantity, history.payments) == (1, ["2026-04-16 processing"])
    assert [bill[:15] for bill in history.invoices()] == ["2026-04-16 open"]
    _check_ledger(history)
    history.advance_to("2026-04-21")
    assert (history.item.quantity, history.subscription.pending_update) == (9, None)
    assert [bill[:15] for bill in history.invoices()] == ["2026-04-16 paid"]
    _check_ledger(history)


def test_a_pending_update_can_be_paid_for_a_day_after_its_debit_failed(app: Flask) -> None:
    history = _changing(app, account=world.SLOW_FAILS).advance_to("2026-04-20")
    assert history.subscription.pending_update.expires_at == at("2026-04-20 23:00:00")
    history.add_card()
    history.pay()
    assert history.item.quantity == 9
    _check_ledger(history)


def test_a_pending_update_expires_after_its_debit_failed(app: Flask) -> None:
    history = _changing(app, account=world.SLOW_FAILS).advance_to("2026-04-22")
    assert (history.item.quantity, history.subscription.pending_update) == (1, None)
    assert [bill[:15] for bill in history.invoices()] == ["2026-04-16 void"]
    assert "customer.subscription.pending_update_expired" in history.events
    _check_ledger(history)


@pytest.mark.parametrize(("answer", "seats"), [(None, 9), ("insufficient_funds", 1)])
def test_a_renewal_waits_for_the_debit_of_a_pending_update(app: Flask, answer: str | None, seats: int) -> None:
    history = _changing(app, "2026-04-29").advance_to("2026-05-02")
    assert [bill[:15] for bill in history.invoices()] == ["2026-04-29 open"]
    history.settle_debits(answer)
    history.add_card()
    history.advance_to("2026-05-03")
    first = "paid" if answer is None else "void"
    assert [bill[11:15] for bill in history.invoices()] == [first, "paid"]
    assert history.invoices()[1].endswith(f"{seats} seats × Team (at €10.00 / month) {seats}0.00 = {seats}0.00")
    assert history.period == ("2026-05-01", "2026-06-01")
    _check_ledger(history)


def test_a_change_with_a_processing_debit_cannot_be_undone(app: Flask) -> None:
    history = _changing(app)
    known = history.shop.customer.id, history.shop.subscription.id, history.now
    with history.gateways() as gateway:
        collection.cancel_awaiting_payments(gateway, *known, BACK)
    with pytest.raises(StateChanged, match="payment for this change is in progress"):
        plan_changes.withdraw(*known)
    assert history.pay() is not None  # a second try is the one under way
    assert history.payments == ["2026-04-16 processing"]


def test_a_debit_continues_after_its_payment_method_was_removed(app: Flask) -> None:
    history = _changing(app)
    with world.transaction() as session:
        mine = PaymentMethod.customer_id == history.shop.customer.id
        session.execute(update(PaymentMethod).where(mine).values(detached_at=history.now))
    attempt = history.pay()
    assert attempt is not None
    assert (attempt.status, _invoice(history)[0]) == ("processing", 0)
    assert "invoice.payment_failed" not in history.events
    history.advance_to("2026-04-21")
    assert history.item.quantity == 9
    _check_ledger(history)


def _beginning_again(app: Flask, account: str = world.SLOW) -> tuple[History, str]:
    """A subscription that ended on 16 April and begins again on the 20th, by a debit; the new one's id."""
    history = History.start(app).advance_to("2026-04-16")
    history.cancel(mode="immediately")
    history.advance_to("2026-04-20").add_card(account)
    known = history.shop.customer.id, history.shop.subscription.id
    quote = reactivations.preview(*known, history.now).quote
    assert quote
    change = reactivations.reactivate(*known, Confirmation(history.now, quote_fingerprint(quote), "again"), history.now)
    with history.gateways() as gateway:
        collection.collect(gateway, known[0], change.invoice_id or "", history.now, BACK)
    return history, change.subscription_id


def _status(subscription_id: str) -> str:
    db.session.remove()
    with reading() as reader:
        table = Subscription.__table__
        return str(reader.execute(table.select().where(table.c.id == subscription_id)).one().status)


def test_a_reactivation_begins_when_the_debit_succeeds(app: Flask) -> None:
    history, new = _beginning_again(app)
    history.advance_to("2026-04-23 23:59:59")
    assert _status(new) == "incomplete"
    history.advance_to("2026-04-24")
    assert _status(new) == "active"
    ledger.audit(history.shop.customer.account_id)


def test_a_reactivation_can_be_paid_for_a_day_after_its_debit_failed(app: Flask) -> None:
    history, new = _beginning_again(app, world.SLOW_FAILS)
    history.advance_to("2026-04-24 22:59:59")
    assert _status(new) == "incomplete"
    history.advance_to("2026-04-24 23:00:00")
    assert _status(new) == "incomplete_expired"
    assert [bill[11:15] for bill in history.invoices()][-1] == "void"
    ledger.audit(history.shop.customer.account_id)


@pytest.mark.parametrize("answer", [None, "insufficient_funds"])
def test_a_subscription_is_cancelled_at_once_while_its_renewal_is_being_debited(app: Flask, answer: str | None) -> None:
    history = _renewing(app).advance_to("2026-05-02")
    history.cancel(mode="immediately", proration_behavior="none")
    assert history.subscription.status == "canceled"
    history.settle_debits(answer)
    history.advance_to("2026-05-20")
    assert history.subscription.status == "canceled"
    assert history.invoices() == [f"2026-05-01 {'open' if answer else 'paid'}: {SEAT} = 10.00"]
    assert history.payments == [f"2026-05-01 {'declined' if answer else 'succeeded'}"]  # and nobody tries again
    _check_ledger(history)


def test_cancelling_now_is_refused_while_a_change_is_being_debited(app: Flask) -> None:
    history = _changing(app)
    with pytest.raises(BillingError, match="bank is processing"):
        history.cancel(mode="immediately")


@pytest.mark.parametrize(("answer", "seats"), [(None, 9), ("insufficient_funds", 1)])
def test_cancelling_at_the_period_end_keeps_a_processing_debit(app: Flask, answer: str | None, seats: int) -> None:
    history = _changing(app)
    history.cancel()
    assert history.subscription.pending_update
    history.advance_to("2026-04-19")
    history.settle_debits(answer)
    history.advance_to("2026-04-20")
    assert (history.item.quantity, history.subscription.pending_update) == (seats, None)
    history.advance_to("2026-05-02")
    assert (history.subscription.status, history.subscription.ended_at) == ("canceled", at("2026-05-01"))
    _check_ledger(history)


def test_an_outage_of_the_provider_changes_nothing(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    history = _renewing(app)

    def away(*_given: object) -> None:
        raise GatewayUnavailable("away")

    with monkeypatch.context() as outage:
        outage.setattr(app.extensions["gateways"].shared("sandbox"), "find_charge", away)
        history.advance_to("2026-05-04")
    assert (history.payments, history.subscription.status) == (["2026-05-01 processing"], "active")
    assert parking.count_unresolved(history.now) == 0
    assert parking.count_unresolved(at("2026-05-15")) == 1  # longer than any bank takes
