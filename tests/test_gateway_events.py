"""Events of a payment provider: signed ones make the portal ask; whatever they say, and however they come, the answer counts."""

import json
from typing import Any

import pytest
import time_machine
from flask import Flask
from sqlalchemy import select, update

from portal_site import clock
from portal_site.billing.gateways.sandbox import events
from portal_site.billing.gateways.sandbox.models import SandboxCharge
from portal_site.billing.models import Invoice, PaymentAttempt
from tests import world
from tests.proofs import ledger
from tests.scenarios.history import History
from tests.world import reading

ADDRESS = "/gateways/sandbox/events"
EVERYBODY = {"unscoped": "the test's only charge"}


@pytest.fixture
def debited(app: Flask) -> History:
    """A customer whose renewal of 1 May is being debited."""
    history = History.start(app)
    history.add_card(world.SLOW)
    return history.advance_to("2026-05-01")


def _event(app: Flask, kind: str = "charge.succeeded") -> tuple[dict[str, str], bytes]:
    """Headers and body of an event about the only charge."""
    with reading() as reader:
        reference = str(reader.scalar(select(SandboxCharge.reference)))
    return app.extensions["gateways"].shared("sandbox").make_event(kind, reference)  # type: ignore[no-any-return]


def _send(app: Flask, event: tuple[dict[str, str], bytes], address: str = ADDRESS) -> Any:
    headers, body = event
    return app.test_client().post(address, data=body, headers=headers, content_type="application/json")


def _emitted(history: History, kind: str) -> int:
    return history.events.count(kind)


@pytest.mark.case("F2", "E6")
def test_a_repeated_provider_event_has_no_second_effect(app: Flask, debited: History) -> None:
    debited.settle_debits()
    event = _event(app)
    assert [_send(app, event).status_code for _ in range(3)] == [200, 200, 200]
    assert debited.payments == ["2026-05-01 succeeded"]
    assert [bill[11:15] for bill in debited.invoices()] == ["paid"]
    assert (_emitted(debited, "invoice.paid"), _emitted(debited, "charge.succeeded")) == (1, 1)
    ledger.audit(debited.shop.customer.account_id)


def test_a_failure_begins_dunning_at_the_customers_time(app: Flask, debited: History) -> None:
    debited.advance_to("2026-05-03")
    debited.settle_debits("insufficient_funds")
    assert _send(app, _event(app, "charge.failed")).status_code == 200
    assert (debited.payments, debited.subscription.status) == (["2026-05-01 declined"], "past_due")
    with reading() as reader:
        mine = Invoice.customer_id == debited.shop.customer.id, Invoice.status == "open"
        assert reader.scalar(select(Invoice.next_payment_attempt).where(*mine)) == debited.now + 3 * 24 * 60 * 60


@pytest.mark.case("E6")
@pytest.mark.parametrize("kind", ["charge.succeeded", "charge.failed", "charge.pending", "charge.refunded"])
def test_the_provider_is_asked_instead_of_trusting_an_event(app: Flask, debited: History, kind: str) -> None:
    """Out of order, or by whoever knows the secret: the provider says that the bank is still at work."""
    assert _send(app, _event(app, kind)).status_code == 200
    assert debited.payments == ["2026-05-01 processing"]
    assert _emitted(debited, "payment_intent.processing") == 1


@pytest.mark.case("E6")
def test_provider_events_out_of_order_have_the_same_result(app: Flask, debited: History) -> None:
    late = _event(app, "charge.pending")
    debited.settle_debits()
    assert _send(app, _event(app)).status_code == 200
    assert _send(app, late).status_code == 200
    assert debited.payments == ["2026-05-01 succeeded"]


@pytest.mark.case("E6")
def test_an_event_before_the_recorded_answer_finds_the_attempt_by_its_key(app: Flask, debited: History) -> None:
    with world.transaction() as session:
        mine = PaymentAttempt.customer_id == debited.shop.customer.id
        unknown = {"status": "submitting", "gateway_reference": None, "checked_at": None}
        session.execute(update(PaymentAttempt).where(mine).values(**unknown))
    debited.settle_debits()
    assert _send(app, _event(app)).status_code == 200
    assert debited.payments == ["2026-05-01 succeeded"]


@pytest.mark.case("B6", "E6")
@pytest.mark.parametrize("forged", ["body", "time", "signature", "none", "other secret", "nonsense"])
def test_a_forged_event_is_refused(app: Flask, debited: History, forged: str) -> None:
    debited.settle_debits()
    headers, body = _event(app)
    stamp, _, signature = headers[events.HEADER].partition(",")
    if forged == "body":
        body = body.replace(b"charge.succeeded", b"charge.failed   ")
    elif forged == "time":
        headers[events.HEADER] = f"t={int(stamp[2:]) + 1},{signature}"
    elif forged == "signature":
        headers[events.HEADER] = f"{stamp},v1={'0' * 64}"
    elif forged == "none":
        headers = {}
    elif forged == "other secret":
        headers, body = events.sign(events.secret_of("another"), json.loads(body), clock.now())
    else:
        headers[events.HEADER] = "t=٣,v1=é,,=x"
    assert _send(app, (headers, body)).status_code == 400
    assert debited.payments == ["2026-05-01 processing"]


@pytest.mark.case("E6")
@pytest.mark.parametrize(("seconds", "status"), [(299, 200), (301, 400), (-301, 400)])
def test_an_old_event_is_refused(app: Flask, debited: History, seconds: int, status: int) -> None:
    debited.settle_debits()
    event = _event(app)
    with time_machine.travel(clock.now() + seconds, tick=False):
        assert _send(app, event).status_code == status


def test_an_unknown_provider_has_no_event_endpoint(app: Flask, debited: History) -> None:
    assert _send(app, _event(app), "/gateways/stripe/events").status_code == 404
    assert app.test_client().get(ADDRESS).status_code == 405


@pytest.mark.case("E6")
def test_an_event_about_an_unknown_charge_is_accepted_and_ignored(app: Flask, debited: History) -> None:
    with world.transaction() as session:
        session.execute(update(SandboxCharge).values(reference="sbxc_other"), execution_options=EVERYBODY)
        session.execute(update(SandboxCharge).values(idempotency_key="other"), execution_options=EVERYBODY)
    before = len(debited.events)
    assert _send(app, _event(app)).status_code == 200
    assert len(debited.events) == before
