"""Payments that wait for 3-D Secure: billing continues meanwhile, and an unknown outcome is not treated as a failure."""

import pytest
from flask import Flask
from sqlalchemy import select, update

from portal_site.billing.changes import plan_changes
from portal_site.billing.errors import GatewayUnavailable, StateChanged
from portal_site.billing.gateways.sandbox.models import SandboxCharge
from portal_site.billing.models import Invoice, PaymentAttempt
from portal_site.billing.payments import collection
from portal_site.db import db
from portal_site.db.transactions import transaction
from tests import world
from tests.billing.terms import at
from tests.proofs import ledger
from tests.scenarios.history import BACK, History
from tests.world import reading


def _awaiting_authentication(app: Flask, date: str) -> History:
    """A customer who is asked to confirm the payment of many seats, and goes away."""
    history = History.start(app).advance_to(date)
    history.add_card(world.ASKS)
    history.change_plan(quantity=100)
    assert history.subscription.pending_update
    return history


def _check_ledger(history: History) -> None:
    ledger.audit(history.shop.customer.account_id)
    ledger.settled(history.shop.customer.account_id, history.now)


def _withdraw(history: History) -> None:
    known = history.shop.customer.id, history.shop.subscription.id, history.now
    with history.gateways() as gateway:
        collection.cancel_awaiting_payments(gateway, *known, BACK)
    plan_changes.withdraw(*known)


@pytest.mark.both_databases
def test_a_change_that_is_never_authenticated_expires_after_a_day(app: Flask) -> None:
    history = _awaiting_authentication(app, "2026-04-16").advance_to("2026-04-18")
    assert (history.subscription.pending_update, history.item.quantity) == (None, 1)
    assert [bill[11:15] for bill in history.invoices()] == ["void"]
    assert {"payment_intent.canceled", "customer.subscription.pending_update_expired"} <= set(history.events)
    _check_ledger(history)


def test_a_renewal_does_not_wait_for_authentication(app: Flask) -> None:
    history = _awaiting_authentication(app, "2026-04-30 12:00:00")
    history.add_card()
    history.advance_to("2026-05-02")
    assert [bill[:15] for bill in history.invoices()] == ["2026-04-30 void", "2026-05-01 paid"]
    assert history.period == ("2026-05-01", "2026-06-01")
    _check_ledger(history)


def test_a_cancellation_does_not_wait_for_authentication(app: Flask) -> None:
    history = _awaiting_authentication(app, "2026-04-16")
    history.set_members(cancel_at=at("2026-04-16 06:00:00"), due_at=at("2026-04-16 06:00:00"))
    history.advance_to("2026-04-18")
    assert (history.subscription.status, history.subscription.ended_at) == ("canceled", at("2026-04-16 06:00:00"))


def test_a_change_awaiting_authentication_can_be_undone_or_cancelled(app: Flask) -> None:
    history = _awaiting_authentication(app, "2026-04-16")
    _withdraw(history)
    assert history.subscription.pending_update is None
    history.change_plan(quantity=5)
    history.cancel(mode="immediately")
    assert history.subscription.status == "canceled"
    assert [bill[11:15] for bill in history.invoices()] == ["void", "void"]
    _check_ledger(history)


def test_an_authentication_without_return_is_found_by_the_run(app: Flask) -> None:
    history = _awaiting_authentication(app, "2026-04-16")
    with transaction() as session:
        session.execute(update(SandboxCharge).values(status="succeeded"))
    with pytest.raises(StateChanged, match="no change left to undo"):
        _withdraw(history)
    assert (history.subscription.pending_update, history.item.quantity) == (None, 100)
    _check_ledger(history)


@pytest.mark.case("F2", "F3")
@pytest.mark.both_databases
def test_an_outage_of_the_provider_counts_as_no_attempt(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    history = History.start(app)
    history.add_card(world.ASKS)
    history.advance_to("2026-05-01")
    known = history.events

    def away(*_given: object) -> None:
        raise GatewayUnavailable("away")

    for lost in ("find_charge", "cancel_charge") * 2:
        with monkeypatch.context() as outage:
            outage.setattr(app.extensions["gateways"].shared("sandbox"), lost, away)
            if lost == "cancel_charge":
                history.pay()  # the customer tries once more, which takes the question back
            history.advance_to_instant(history.now + 901)
        history.advance_to_instant(history.now + 901)
    db.session.remove()
    with reading() as reader:
        mine = PaymentAttempt.customer_id == history.shop.customer.id
        assert list(reader.scalars(select(PaymentAttempt.status).where(mine))) == ["requires_action"]
        tries = select(Invoice.attempt_count).where(Invoice.customer_id == history.shop.customer.id)
        assert max(reader.scalars(tries)) == 1
    assert history.subscription.status == "past_due"
    assert [kind for kind in history.events if not kind.startswith("test_helpers")] == [
        kind for kind in known if not kind.startswith("test_helpers")
    ]
