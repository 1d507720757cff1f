"""Payments: charged exactly once, exactly the shown amount, and a lost answer is looked up at the gateway."""

import threading
from dataclasses import dataclass, field
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import select, update

from portal_site.billing.errors import BillingError, GatewayUnavailable, NotFound, StateChanged
from portal_site.billing.gateways import Charge
from portal_site.billing.models import Event, Invoice, PaymentAttempt, PaymentMethod, Subscription
from portal_site.billing.payments import collection
from portal_site.db import db
from portal_site.db.transactions import transaction
from tests import world
from tests.world import reading

AT = 1_790_000_000
BACK = "http://127.0.0.1:8000/back"


@dataclass
class Provider:
    """A provider whose network can fail before or after a charge. `charges` holds what was really charged."""

    name: str = "provider"
    charges: dict[str, Charge] = field(default_factory=dict)
    answer: Charge = field(default_factory=lambda: Charge("succeeded", "ch_1"))
    lose: str = ""  # before: the call never arrives; after: the answer never comes back
    calls: int = 0

    def charge(self, payment_method: str, amount: int, currency: str, idempotency_key: str, return_url: str) -> Charge:
        self.calls += 1
        if self.lose == "before":
            raise GatewayUnavailable("no line")
        self.charges.setdefault(idempotency_key, self.answer)
        if self.lose == "after":
            raise GatewayUnavailable("no answer")
        return self.charges[idempotency_key]

    def find_charge(self, idempotency_key: str) -> Charge | None:
        if self.lose:
            raise GatewayUnavailable("no line")
        return self.charges.get(idempotency_key)

    def cancel_charge(self, idempotency_key: str) -> Charge | None:
        if self.charges[idempotency_key].status == "requires_action":
            self.charges[idempotency_key] = Charge("declined", "ch_1", "authentication_not_handled")
        return self.charges[idempotency_key]


def _open_invoice() -> tuple[world.Scene, Any]:
    scene = world.scene(last="open")
    with reading() as connection:
        return scene, connection.execute(select(Invoice.__table__).where(Invoice.status == "open")).one()


def _pay(gateway: Any, scene: world.Scene, invoice: Any, **changed: Any) -> PaymentAttempt:
    known = {"method_id": scene.method.id, "amount": invoice.amount_remaining, **changed}
    return collection.pay_invoice(gateway, scene.customer.id, invoice.id, known["method_id"], known["amount"], AT, BACK)


def _invoice(invoice: Any) -> Any:
    db.session.remove()
    with reading() as connection:
        return connection.execute(select(Invoice.__table__).where(Invoice.id == invoice.id)).one()


def test_it_works(app: Flask) -> None:
    scene, invoice = _open_invoice()
    assert _pay(Provider(), scene, invoice).status == "succeeded"
    paid = _invoice(invoice)
    assert (paid.status, paid.amount_paid, paid.amount_remaining, paid.paid_at) == ("paid", 2400, 0, AT)
    with reading() as connection:
        assert connection.scalar(select(Subscription.status)) == "active"
        events = set(connection.scalars(select(Event.type)))
    assert {"charge.succeeded", "invoice.paid", "invoice.payment_succeeded", "customer.subscription.updated"} <= events


def test_a_decline_leaves_it_open_and_says_why(app: Flask) -> None:
    scene, invoice = _open_invoice()
    attempt = _pay(Provider(answer=Charge("declined", "ch_1", "insufficient_funds")), scene, invoice)
    assert (attempt.status, attempt.decline_code) == ("declined", "insufficient_funds")
    assert _invoice(invoice).status == "open"


def test_another_amount_than_the_one_shown_charges_nothing(app: Flask) -> None:
    scene, invoice = _open_invoice()
    gateway = Provider()
    with pytest.raises(StateChanged):
        _pay(gateway, scene, invoice, amount=1)
    assert gateway.calls == 0


def test_paying_twice_charges_once(app: Flask) -> None:
    scene, invoice = _open_invoice()
    gateway = Provider()
    _pay(gateway, scene, invoice)
    with pytest.raises(StateChanged):
        _pay(gateway, scene, invoice)
    assert len(gateway.charges) == 1


@pytest.mark.case("B2")
def test_a_strangers_invoice_or_card_does_not_exist(app: Flask) -> None:
    scene, invoice = _open_invoice()
    stranger = world.scene("Other")
    with pytest.raises(NotFound):
        _pay(Provider(), scene, invoice, method_id=stranger.method.id)
    with pytest.raises(NotFound):
        collection.pay_invoice(Provider(), stranger.customer.id, invoice.id, stranger.method.id, 2400, AT, BACK)


@pytest.mark.case("F2")
@pytest.mark.parametrize(("lost", "charged"), [("before", 0), ("after", 1)])
def test_a_lost_answer_is_asked_for_and_never_charged_again(app: Flask, lost: str, charged: int) -> None:
    scene, invoice = _open_invoice()
    gateway = Provider(lose=lost)
    assert _pay(gateway, scene, invoice).status == "unknown"
    assert _invoice(invoice).status == "open"
    assert len(gateway.charges) == charged
    gateway.lose = ""
    settled = collection.resolve_payment(gateway, scene.customer.id, invoice.id, AT + 60, BACK)
    assert settled is not None
    assert settled.status == "succeeded"
    assert _invoice(invoice).status == "paid"
    assert len(gateway.charges) == 1


def test_while_nobody_knows_no_second_try_begins(app: Flask) -> None:
    scene, invoice = _open_invoice()
    gateway = Provider(lose="after")
    _pay(gateway, scene, invoice)
    assert _pay(gateway, scene, invoice).status == "unknown"
    assert len(gateway.charges) == 1


def test_authentication_is_waited_for_then_settled(app: Flask) -> None:
    scene, invoice = _open_invoice()
    gateway = Provider(answer=Charge("requires_action", "ch_1", None, "https://bank.example/3ds"))
    attempt = _pay(gateway, scene, invoice)
    assert (attempt.status, attempt.next_action_url) == ("requires_action", "https://bank.example/3ds")
    gateway.charges[attempt.idempotency_key] = Charge("succeeded", "ch_1")
    settled = collection.resolve_payment(gateway, scene.customer.id, invoice.id, AT, BACK)
    assert settled is not None
    assert settled.status == "succeeded"
    assert collection.resolve_payment(gateway, scene.customer.id, invoice.id, AT, BACK) is None


def test_trying_again_gives_up_the_question_that_nobody_answered(app: Flask) -> None:
    scene, invoice = _open_invoice()
    gateway = Provider(answer=Charge("requires_action", "ch_1", None, "https://bank.example/3ds"))
    first = _pay(gateway, scene, invoice)
    gateway.answer = Charge("succeeded", "ch_2")
    assert _pay(gateway, scene, invoice).status == "succeeded"
    assert gateway.charges[first.idempotency_key].status == "declined"


def test_a_removed_card_pays_nothing(app: Flask) -> None:
    scene, invoice = _open_invoice()
    with transaction() as session:
        mine = PaymentMethod.customer_id == scene.customer.id
        session.execute(update(PaymentMethod).where(mine).values(detached_at=AT))
    with pytest.raises(BillingError, match="Choose one of your payment methods"):
        _pay(Provider(), scene, invoice)


def test_eight_at_once_charge_once(app: Flask) -> None:
    scene, invoice = _open_invoice()
    gateway, barrier, outcomes = Provider(), threading.Barrier(8), []

    def click() -> None:
        with app.app_context():
            barrier.wait()
            try:
                outcomes.append(_pay(gateway, scene, invoice).status)
            except StateChanged:
                outcomes.append("refused")
            except Exception as error:
                outcomes.append(repr(error))

    threads = [threading.Thread(target=click) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(outcomes) <= {"succeeded", "refused"}, outcomes
    assert len(gateway.charges) == 1
    paid = _invoice(invoice)
    assert (paid.status, paid.amount_paid) == ("paid", 2400)
