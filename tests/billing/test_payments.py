"""Payments: charged exactly once, exactly the shown amount, and a lost answer is looked up at the gateway."""

import threading
from dataclasses import dataclass, field
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import select, update

from portal_site.billing.errors import BillingError, GatewayUnavailable, NotFound, StateChanged
from portal_site.billing.gateways import Charge, ChargeRequest
from portal_site.billing.gateways.registry import Gateways
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

    name: str = "sandbox"  # in whose place it stands
    charges: dict[str, Charge] = field(default_factory=dict)
    answer: Charge = field(default_factory=lambda: Charge("succeeded", "ch_1"))
    lose: str = ""  # before: the call never arrives; after: the answer never comes back
    calls: int = 0
    requests: list[ChargeRequest] = field(default_factory=list)

    def charge(self, request: ChargeRequest) -> Charge:
        self.calls += 1
        self.requests.append(request)
        if self.lose == "before":
            raise GatewayUnavailable("no line")
        self.charges.setdefault(request.idempotency_key, self.answer)
        if self.lose == "after":
            raise GatewayUnavailable("no answer")
        return self.charges[request.idempotency_key]

    def find_charge(self, request: ChargeRequest, at: int) -> Charge | None:
        if self.lose:
            raise GatewayUnavailable("no line")
        return self.charges.get(request.idempotency_key)

    def cancel_charge(self, request: ChargeRequest) -> Charge | None:
        if self.charges[request.idempotency_key].status == "requires_action":
            self.charges[request.idempotency_key] = Charge("declined", "ch_1", "authentication_not_handled")
        return self.charges[request.idempotency_key]


def _open_invoice() -> tuple[world.Scene, Any]:
    scene = world.scene(last="open")
    with reading() as connection:
        return scene, connection.execute(select(Invoice.__table__).where(Invoice.status == "open")).one()


def _pay(gateway: Any, scene: world.Scene, invoice: Any, **changed: Any) -> PaymentAttempt:
    known = {"method_id": scene.method.id, "amount": invoice.amount_remaining, **changed}
    return collection.pay_invoice(
        Gateways(gateway), scene.customer.id, invoice.id, known["method_id"], known["amount"], AT, BACK
    )


def _invoice(invoice: Any) -> Any:
    db.session.remove()
    with reading() as connection:
        return connection.execute(select(Invoice.__table__).where(Invoice.id == invoice.id)).one()


def test_an_invoice_is_paid(app: Flask) -> None:
    scene, invoice = _open_invoice()
    assert _pay(Provider(), scene, invoice).status == "succeeded"
    paid = _invoice(invoice)
    assert (paid.status, paid.amount_paid, paid.amount_remaining, paid.paid_at) == ("paid", 2400, 0, AT)
    with reading() as connection:
        assert connection.scalar(select(Subscription.status)) == "active"
        events = set(connection.scalars(select(Event.type)))
    assert {"charge.succeeded", "invoice.paid", "invoice.payment_succeeded", "customer.subscription.updated"} <= events


def test_a_declined_invoice_stays_open_with_the_reason(app: Flask) -> None:
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
        collection.pay_invoice(
            Gateways(Provider()), stranger.customer.id, invoice.id, stranger.method.id, 2400, AT, BACK
        )


@pytest.mark.case("F2")
@pytest.mark.parametrize(("lost", "charged"), [("before", 0), ("after", 1)])
def test_a_lost_answer_is_asked_for_and_never_charged_again(app: Flask, lost: str, charged: int) -> None:
    scene, invoice = _open_invoice()
    gateway = Provider(lose=lost)
    assert _pay(gateway, scene, invoice).status == "unknown"
    assert _invoice(invoice).status == "open"
    assert len(gateway.charges) == charged
    gateway.lose = ""
    settled = collection.resolve_payment(Gateways(gateway), scene.customer.id, invoice.id, AT + 60, BACK)
    assert settled is not None
    assert settled.status == "succeeded"
    assert _invoice(invoice).status == "paid"
    assert len(gateway.charges) == 1


def test_no_second_attempt_while_a_payment_is_unresolved(app: Flask) -> None:
    scene, invoice = _open_invoice()
    gateway = Provider(lose="after")
    _pay(gateway, scene, invoice)
    assert _pay(gateway, scene, invoice).status == "unknown"
    assert len(gateway.charges) == 1


def test_a_payment_is_settled_after_authentication(app: Flask) -> None:
    scene, invoice = _open_invoice()
    gateway = Provider(answer=Charge("requires_action", "ch_1", None, "https://bank.example/3ds"))
    attempt = _pay(gateway, scene, invoice)
    assert (attempt.status, attempt.next_action_url) == ("requires_action", "https://bank.example/3ds")
    gateway.charges[attempt.idempotency_key] = Charge("succeeded", "ch_1")
    settled = collection.resolve_payment(Gateways(gateway), scene.customer.id, invoice.id, AT, BACK)
    assert settled is not None
    assert settled.status == "succeeded"
    assert collection.resolve_payment(Gateways(gateway), scene.customer.id, invoice.id, AT, BACK) is None


def test_a_new_attempt_cancels_an_unauthenticated_one(app: Flask) -> None:
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


def test_eight_concurrent_payments_charge_once(app: Flask) -> None:
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


def test_a_method_is_charged_by_the_provider_that_holds_it(app: Flask) -> None:
    scene, invoice = _open_invoice()
    newer, older = Provider(name="newer"), Provider(name="sandbox")
    gateways = Gateways(newer, older)
    method = scene.method.id
    assert collection.pay_invoice(gateways, scene.customer.id, invoice.id, method, 2400, AT, BACK).status == "succeeded"
    assert (newer.calls, older.calls) == (0, 1)
    assert gateways.preferred(scene.customer) is newer
    assert [gateways.for_method(scene.method), gateways.named("gone", scene.customer)] == [older, None]


def test_a_provider_that_is_no_longer_there_charges_nothing_and_the_customer_is_told(app: Flask) -> None:
    scene, invoice = _open_invoice()
    gateways = Gateways(Provider(name="newer"))
    known = gateways, scene.customer.id, invoice.id, scene.method.id, 2400, AT, BACK
    attempt = collection.pay_invoice(*known)
    assert (attempt.status, attempt.decline_code) == ("declined", "payment_method_unactivated")
    assert _invoice(invoice).status == "open"


def test_a_payment_with_a_removed_provider_stays_unresolved(app: Flask) -> None:
    scene, invoice = _open_invoice()
    _pay(Provider(lose="after"), scene, invoice)
    gone = Gateways(Provider(name="newer"))
    settled = collection.resolve_payment(gone, scene.customer.id, invoice.id, AT + 60, BACK)
    assert settled is not None
    assert settled.status == "unknown"


@pytest.mark.parametrize("off_session", [False, True])
def test_a_charge_names_its_purpose_and_whether_it_is_off_session(app: Flask, off_session: bool) -> None:
    scene, invoice = _open_invoice()
    gateway = Provider()
    known = scene.customer.id, invoice.id, AT, BACK
    collection.collect(Gateways(gateway), *known, off_session=off_session)
    [request] = gateway.requests
    assert (request.amount, request.currency, request.created, request.return_url) == (2400, "eur", AT, BACK)
    assert (request.off_session, request.reference) == (off_session, None)
    assert request.description == invoice.number
    assert {**request.metadata, "attempt": ""} == {"invoice": invoice.id, "customer": scene.customer.id, "attempt": ""}
