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
from tests.scenarios.life import BACK, Life
from tests.world import reading


def _asked(app: Flask, date: str) -> Life:
    """A customer who is asked to confirm the payment of many seats, and goes away."""
    life = Life.begins(app).goes_to(date)
    life.gets_a_card(world.ASKS)
    life.changes(quantity=100)
    assert life.subscription.pending_update
    return life


def _true(life: Life) -> None:
    ledger.audit(life.shop.customer.account_id)
    ledger.settled(life.shop.customer.account_id, life.now)


def _withdraw(life: Life) -> None:
    known = life.shop.customer.id, life.shop.subscription.id, life.now
    with life._context() as gateway:
        collection.cancel_awaiting_payments(gateway, *known, BACK)
    plan_changes.withdraw(*known)


@pytest.mark.both_databases
def test_who_never_confirms_keeps_the_old_plan_after_a_day(app: Flask) -> None:
    life = _asked(app, "2026-04-16").goes_to("2026-04-18")
    assert (life.subscription.pending_update, life.item.quantity) == (None, 1)
    assert [bill[11:15] for bill in life.bills()] == ["void"]
    assert {"payment_intent.canceled", "customer.subscription.pending_update_expired"} <= set(life.events)
    _true(life)


def test_a_period_ends_and_is_billed_whatever_waits(app: Flask) -> None:
    life = _asked(app, "2026-04-30 12:00:00")
    life.gets_a_card()
    life.goes_to("2026-05-02")
    assert [bill[:15] for bill in life.bills()] == ["2026-04-30 void", "2026-05-01 paid"]
    assert life.period == ("2026-05-01", "2026-06-01")
    _true(life)


def test_an_end_comes_whatever_waits(app: Flask) -> None:
    life = _asked(app, "2026-04-16")
    life.has(cancel_at=at("2026-04-16 06:00:00"), due_at=at("2026-04-16 06:00:00"))
    life.goes_to("2026-04-18")
    assert (life.subscription.status, life.subscription.ended_at) == ("canceled", at("2026-04-16 06:00:00"))


def test_it_can_be_taken_back_and_cancelled(app: Flask) -> None:
    life = _asked(app, "2026-04-16")
    _withdraw(life)
    assert life.subscription.pending_update is None
    life.changes(quantity=5)
    life.cancels(mode="immediately")
    assert life.subscription.status == "canceled"
    assert [bill[11:15] for bill in life.bills()] == ["void", "void"]
    _true(life)


def test_what_was_confirmed_meanwhile_counts(app: Flask) -> None:
    life = _asked(app, "2026-04-16")
    with transaction() as session:
        session.execute(update(SandboxCharge).values(status="succeeded"))
    with pytest.raises(StateChanged, match="no change left to undo"):
        _withdraw(life)
    assert (life.subscription.pending_update, life.item.quantity) == (None, 100)
    _true(life)


@pytest.mark.case("F2", "F3")
@pytest.mark.both_databases
def test_a_provider_that_is_away_for_a_while_takes_no_try(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    life = Life.begins(app)
    life.gets_a_card(world.ASKS)
    life.goes_to("2026-05-01")
    known = life.events

    def away(*_given: object) -> None:
        raise GatewayUnavailable("away")

    for lost in ("find_charge", "cancel_charge") * 2:
        with monkeypatch.context() as outage:
            outage.setattr(app.extensions["gateways"].default, lost, away)
            if lost == "cancel_charge":
                life.pays()  # the customer tries once more, which takes the question back
            life.goes_at(life.now + 901)
        life.goes_at(life.now + 901)
    db.session.remove()
    with reading() as reader:
        mine = PaymentAttempt.customer_id == life.shop.customer.id
        assert list(reader.scalars(select(PaymentAttempt.status).where(mine))) == ["requires_action"]
        tries = select(Invoice.attempt_count).where(Invoice.customer_id == life.shop.customer.id)
        assert max(reader.scalars(tries)) == 1
    assert life.subscription.status == "past_due"
    assert [kind for kind in life.events if not kind.startswith("test_helpers")] == [
        kind for kind in known if not kind.startswith("test_helpers")
    ]
