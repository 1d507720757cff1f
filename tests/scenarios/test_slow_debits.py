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
from tests.scenarios.life import BACK, Life
from tests.world import reading

SEAT = "1 seats × Team (at €10.00 / month) 10.00"


def _true(life: Life) -> None:
    ledger.audit(life.shop.customer.account_id)
    ledger.settled(life.shop.customer.account_id, life.now)


def _renewing(app: Flask, account: str = world.SLOW) -> Life:
    """A customer whose renewal of 1 May is paid by a debit that the bank carries out until the 5th."""
    life = Life.begins(app)
    life.gets_a_card(account)
    return life.goes_to("2026-05-01")


def _changing(app: Flask, date: str = "2026-04-16", account: str = world.SLOW) -> Life:
    """A customer who pays for more seats by such a debit."""
    life = Life.begins(app).goes_to(date)
    life.gets_a_card(account)
    life.changes(quantity=9)
    return life


def _invoice(life: Life) -> tuple[int, int | None]:
    """How many tries of the newest invoice failed, and when the next is."""
    db.session.remove()
    with reading() as reader:
        mine = Invoice.__table__.c.customer_id == life.shop.customer.id
        row = reader.execute(Invoice.__table__.select().where(mine).order_by(Invoice.number.desc())).first()
    assert row is not None
    return row.attempt_count, row.next_payment_attempt


@pytest.mark.case("F2")
def test_a_renewal_waits_for_the_bank_and_is_paid(app: Flask) -> None:
    life = _renewing(app)
    for date in ("2026-05-01", "2026-05-03", "2026-05-04 23:59:59"):
        life.goes_to(date)
        assert life.bills() == [f"2026-05-01 open: {SEAT} = 10.00"]
        assert life.payments == ["2026-05-01 processing"]
        assert life.subscription.status == "active"
        assert _invoice(life)[0] == 0
        _true(life)
    assert life.events.count("payment_intent.processing") == 1
    assert "invoice.payment_failed" not in life.events
    life.goes_to("2026-05-05")
    assert life.bills() == [f"2026-05-01 paid: {SEAT} = 10.00"]
    assert life.payments == ["2026-05-01 succeeded"]
    assert {"charge.succeeded", "payment_intent.succeeded", "invoice.paid"} <= set(life.events)
    assert life.goes_to("2026-05-31").period == ("2026-05-01", "2026-06-01")
    _true(life)


def test_dunning_begins_on_the_day_on_which_the_bank_says_no(app: Flask) -> None:
    life = _renewing(app, world.SLOW_FAILS).goes_to("2026-05-04 23:59:59")
    assert (life.payments, life.subscription.status) == (["2026-05-01 processing"], "active")
    life.goes_to("2026-05-05")
    assert life.payments == ["2026-05-01 declined"]
    assert life.subscription.status == "past_due"
    tries, following = _invoice(life)
    assert (tries, following) == (1, at("2026-05-08"))
    life.gets_a_card()
    life.goes_to("2026-05-09")
    assert life.payments == ["2026-05-01 declined", "2026-05-08 succeeded"]
    assert life.subscription.status == "active"
    _true(life)


def test_a_debit_that_the_customer_began_stands_in_for_the_try_that_fell_due_meanwhile(app: Flask) -> None:
    life = Life.begins(app, card=world.FAILS).goes_to("2026-05-01")
    assert _invoice(life) == (1, at("2026-05-04"))
    life.gets_a_card(world.SLOW_FAILS)
    life.goes_to("2026-05-03").pays()
    life.goes_to("2026-05-06 23:59:59")
    assert (life.payments[1:], _invoice(life)[0]) == (["2026-05-03 processing"], 1)
    life.goes_to("2026-05-07")
    tries, following = _invoice(life)
    assert (life.payments[1:], tries) == (["2026-05-03 declined"], 2)
    assert following == at("2026-05-12")  # five days after the answer, not at once
    _true(life)


def test_a_change_waits_longer_than_a_day_while_the_bank_is_at_work(app: Flask) -> None:
    life = _changing(app)
    life.goes_to("2026-04-19")
    assert life.subscription.pending_update.expires_at == at("2026-04-30")
    assert (life.item.quantity, life.payments) == (1, ["2026-04-16 processing"])
    assert [bill[:15] for bill in life.bills()] == ["2026-04-16 open"]
    _true(life)
    life.goes_to("2026-04-21")
    assert (life.item.quantity, life.subscription.pending_update) == (9, None)
    assert [bill[:15] for bill in life.bills()] == ["2026-04-16 paid"]
    _true(life)


def test_a_change_whose_debit_fails_can_be_paid_in_another_way_for_a_day(app: Flask) -> None:
    life = _changing(app, account=world.SLOW_FAILS).goes_to("2026-04-20")
    assert life.subscription.pending_update.expires_at == at("2026-04-20 23:00:00")
    life.gets_a_card()
    life.pays()
    assert life.item.quantity == 9
    _true(life)


def test_a_change_whose_debit_fails_is_over_when_nobody_pays(app: Flask) -> None:
    life = _changing(app, account=world.SLOW_FAILS).goes_to("2026-04-22")
    assert (life.item.quantity, life.subscription.pending_update) == (1, None)
    assert [bill[:15] for bill in life.bills()] == ["2026-04-16 void"]
    assert "customer.subscription.pending_update_expired" in life.events
    _true(life)


@pytest.mark.parametrize(("answer", "seats"), [(None, 9), ("insufficient_funds", 1)])
def test_a_renewal_waits_for_the_answer_on_which_its_amount_depends(app: Flask, answer: str | None, seats: int) -> None:
    life = _changing(app, "2026-04-29").goes_to("2026-05-02")
    assert [bill[:15] for bill in life.bills()] == ["2026-04-29 open"]
    life.bank_answers(answer)
    life.gets_a_card()
    life.goes_to("2026-05-03")
    first = "paid" if answer is None else "void"
    assert [bill[11:15] for bill in life.bills()] == [first, "paid"]
    assert life.bills()[1].endswith(f"{seats} seats × Team (at €10.00 / month) {seats}0.00 = {seats}0.00")
    assert life.period == ("2026-05-01", "2026-06-01")
    _true(life)


def test_a_change_that_the_bank_is_paying_for_cannot_be_taken_back(app: Flask) -> None:
    life = _changing(app)
    known = life.shop.customer.id, life.shop.subscription.id, life.now
    with life._context() as gateway:
        collection.cancel_awaiting_payments(gateway, *known, BACK)
    with pytest.raises(StateChanged, match="payment for this change is in progress"):
        plan_changes.withdraw(*known)
    assert life.pays() is not None  # a second try is the one under way
    assert life.payments == ["2026-04-16 processing"]


def test_a_debit_goes_on_though_its_account_was_removed(app: Flask) -> None:
    life = _changing(app)
    with world.transaction() as session:
        mine = PaymentMethod.customer_id == life.shop.customer.id
        session.execute(update(PaymentMethod).where(mine).values(detached_at=life.now))
    attempt = life.pays()
    assert attempt is not None
    assert (attempt.status, _invoice(life)[0]) == ("processing", 0)
    assert "invoice.payment_failed" not in life.events
    life.goes_to("2026-04-21")
    assert life.item.quantity == 9
    _true(life)


def _beginning_again(app: Flask, account: str = world.SLOW) -> tuple[Life, str]:
    """A subscription that ended on 16 April and begins again on the 20th, by a debit; the new one's id."""
    life = Life.begins(app).goes_to("2026-04-16")
    life.cancels(mode="immediately")
    life.goes_to("2026-04-20").gets_a_card(account)
    known = life.shop.customer.id, life.shop.subscription.id
    quote = reactivations.preview(*known, life.now).quote
    assert quote
    change = reactivations.reactivate(*known, Confirmation(life.now, quote_fingerprint(quote), "again"), life.now)
    with life._context() as gateway:
        collection.collect(gateway, known[0], change.invoice_id or "", life.now, BACK)
    return life, change.subscription_id


def _status(subscription_id: str) -> str:
    db.session.remove()
    with reading() as reader:
        table = Subscription.__table__
        return str(reader.execute(table.select().where(table.c.id == subscription_id)).one().status)


def test_a_reactivation_begins_when_the_debit_succeeds(app: Flask) -> None:
    life, new = _beginning_again(app)
    life.goes_to("2026-04-23 23:59:59")
    assert _status(new) == "incomplete"
    life.goes_to("2026-04-24")
    assert _status(new) == "active"
    ledger.audit(life.shop.customer.account_id)


def test_a_reactivation_whose_debit_fails_can_be_paid_in_another_way_for_a_day(app: Flask) -> None:
    life, new = _beginning_again(app, world.SLOW_FAILS)
    life.goes_to("2026-04-24 22:59:59")
    assert _status(new) == "incomplete"
    life.goes_to("2026-04-24 23:00:00")
    assert _status(new) == "incomplete_expired"
    assert [bill[11:15] for bill in life.bills()][-1] == "void"
    ledger.audit(life.shop.customer.account_id)


@pytest.mark.parametrize("answer", [None, "insufficient_funds"])
def test_a_subscription_is_cancelled_at_once_while_its_renewal_is_being_debited(app: Flask, answer: str | None) -> None:
    life = _renewing(app).goes_to("2026-05-02")
    life.cancels(mode="immediately", proration_behavior="none")
    assert life.subscription.status == "canceled"
    life.bank_answers(answer)
    life.goes_to("2026-05-20")
    assert life.subscription.status == "canceled"
    assert life.bills() == [f"2026-05-01 {'open' if answer else 'paid'}: {SEAT} = 10.00"]
    assert life.payments == [f"2026-05-01 {'declined' if answer else 'succeeded'}"]  # and nobody tries again
    _true(life)


def test_a_change_that_is_being_debited_stands_in_the_way_of_an_end_at_once(app: Flask) -> None:
    life = _changing(app)
    with pytest.raises(BillingError, match="bank is processing"):
        life.cancels(mode="immediately")


@pytest.mark.parametrize(("answer", "seats"), [(None, 9), ("insufficient_funds", 1)])
def test_an_end_at_the_periods_end_leaves_the_debit_to_the_bank(app: Flask, answer: str | None, seats: int) -> None:
    life = _changing(app)
    life.cancels()
    assert life.subscription.pending_update
    life.goes_to("2026-04-19")
    life.bank_answers(answer)
    life.goes_to("2026-04-20")
    assert (life.item.quantity, life.subscription.pending_update) == (seats, None)
    life.goes_to("2026-05-02")
    assert (life.subscription.status, life.subscription.ended_at) == ("canceled", at("2026-05-01"))
    _true(life)


def test_a_provider_that_is_away_changes_nothing(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    life = _renewing(app)

    def away(*_given: object) -> None:
        raise GatewayUnavailable("away")

    with monkeypatch.context() as outage:
        outage.setattr(app.extensions["gateways"].default, "find_charge", away)
        life.goes_to("2026-05-04")
    assert (life.payments, life.subscription.status) == (["2026-05-01 processing"], "active")
    assert parking.count_unresolved(life.now) == 0
    assert parking.count_unresolved(at("2026-05-15")) == 1  # longer than any bank takes
