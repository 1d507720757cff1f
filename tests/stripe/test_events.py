"""Events that Stripe sends to an account's address: signed, for this account and mode, stored once, and answered at once."""

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest
import stripe
import time_machine
from flask import Flask
from sqlalchemy import select

from portal_site import encryption
from portal_site.billing.gateways.registry import Gateways
from portal_site.billing.gateways.stripe.connections import StripeConnector
from portal_site.billing.gateways.stripe.models import StripeConnection
from portal_site.billing.models import ProviderEvent
from portal_site.db.transactions import transaction
from portal_site.rate_limits.rules import RULES
from tests import world
from tests.world import reading

AT = world.HALF
SECRET, FORMER, LIVE = "whsec_now", "whsec_before", "whsec_live"


@pytest.fixture(autouse=True)
def now() -> Iterator[time_machine.Traveller]:
    with time_machine.travel(AT, tick=False) as clock:
        yield clock


@pytest.fixture
def account_id(app: Flask, monkeypatch: pytest.MonkeyPatch) -> str:
    """An account that has connected both modes; the secret of test mode was rolled an hour ago."""
    sandbox = app.extensions["gateways"].shared("sandbox")
    monkeypatch.setitem(app.extensions, "gateways", Gateways(StripeConnector("http://127.0.0.1:1"), sandbox))
    account_id = str(world.scene().account_id)
    with transaction() as session:
        for livemode, secret in ((False, SECRET), (True, LIVE)):
            session.add(
                StripeConnection(
                    account_id=account_id,
                    livemode=livemode,
                    created=AT,
                    secret_key=encryption.encrypt("stripe", "sk"),
                    redacted="sk",
                    stripe_account="acct_1",
                    checked_at=AT,
                    webhook_secret=encryption.encrypt("stripe", secret),
                    former_secret=encryption.encrypt("stripe", FORMER),
                    former_secret_until=AT + 3600,
                )
            )
    return account_id


def _event(**changed: Any) -> bytes:
    document = {
        "id": "evt_1", "object": "event", "type": "payment_intent.succeeded", "livemode": False, "created": AT,
        "data": {"object": {"id": "pi_1", "object": "payment_intent", "metadata": {"attempt": "payatt_1"}}},
    }  # fmt: skip
    return json.dumps({**document, **changed}).encode()


def _headers(body: bytes, secret: str = SECRET, at: int = AT) -> dict[str, str]:
    header = stripe.WebhookSignature.generate_signature_header(body.decode(), secret, at)
    return {"Stripe-Signature": header, "Content-Type": "application/json"}


def _send(app: Flask, account_id: str, body: bytes, headers: dict[str, str]) -> int:
    return app.test_client().post(f"/webhooks/stripe/{account_id}", data=body, headers=headers).status_code


def _stored() -> list[ProviderEvent]:
    with reading() as reader:
        return list(reader.execute(select(ProviderEvent).order_by(ProviderEvent.id)))  # type: ignore[arg-type]


@pytest.mark.case("E6")
def test_an_event_is_stored_once_however_often_it_comes(app: Flask, account_id: str) -> None:
    body = _event()
    for shift in (0, 0, 60):  # each delivery is signed anew
        assert _send(app, account_id, body, _headers(body, at=AT + shift)) == 200
    (row,) = _stored()
    assert (row.id, row.subject, row.reference, row.attempt_id) == ("evt_1", "charge", "pi_1", "payatt_1")
    assert (row.due_at, row.livemode, row.tries) == (AT, False, 0)


def test_an_unknown_type_is_kept_and_left_alone(app: Flask, account_id: str) -> None:
    body = _event(type="issuing_card.created")
    assert _send(app, account_id, body, _headers(body)) == 200
    (row,) = _stored()
    assert (row.subject, row.due_at) == ("other", None)


@pytest.mark.case("F15")
def test_each_mode_has_a_secret_and_a_rolled_one_counts_for_a_while(
    app: Flask, account_id: str, now: time_machine.Traveller
) -> None:
    live, test = _event(id="evt_live", livemode=True), _event()
    assert _send(app, account_id, live, _headers(live, LIVE)) == 200
    assert _send(app, account_id, test, _headers(test, FORMER)) == 200
    assert _send(app, account_id, live, _headers(live, SECRET)) == 400  # of the other mode
    now.shift(3600)
    assert _send(app, account_id, test, _headers(test, FORMER, AT + 3600)) == 400
    assert [row.livemode for row in _stored()] == [False, True]


@pytest.mark.case("E6")
@pytest.mark.parametrize(
    ("body", "headers"),
    [
        (_event(), {}),
        (_event(), {"Stripe-Signature": "t=1,v1=00"}),
        (_event(), {"Stripe-Signature": "nonsense"}),
        (_event(), _headers(_event(), "whsec_other")),
        (_event(), _headers(_event(id="evt_2"))),
        (_event(), _headers(_event(), at=AT - 301)),
        (_event(), _headers(_event(), at=AT + 301)),
        (_event(), {"Stripe-Signature": _headers(_event())["Stripe-Signature"].replace("v1=", "v0=")}),
        (_event(account="acct_other"), _headers(_event(account="acct_other"))),
        (_event(livemode=True), _headers(_event(livemode=True))),
        (b"[]", _headers(b"[]")),
        (b'{"id": "evt_1"}', _headers(b'{"id": "evt_1"}')),
    ],
)
def test_what_is_not_genuine_is_refused(app: Flask, account_id: str, body: bytes, headers: dict[str, str]) -> None:
    assert _send(app, account_id, body, headers) == 400
    assert _stored() == []


def test_an_event_of_another_account_is_refused(app: Flask, account_id: str) -> None:
    body, other = _event(), str(world.scene("Other").account_id)
    assert _send(app, other, body, _headers(body)) == 400
    assert _send(app, "acct_none", body, _headers(body)) == 400
    assert app.test_client().post(f"/webhooks/none/{account_id}", data=body).status_code == 404
    assert app.test_client().post(f"/webhooks/sandbox/{account_id}", data=body).status_code == 404
    assert _stored() == []


def test_an_event_that_is_too_large_is_not_read(app: Flask, account_id: str) -> None:
    body = _event(padding="x" * 10_000_000)
    assert _send(app, account_id, body, _headers(body)) == 413
    assert _stored() == []


def test_the_answer_comes_at_once(app: Flask, account_id: str) -> None:
    bodies = [_event(id=f"evt_{number}") for number in range(20)]
    _send(app, account_id, bodies[0], _headers(bodies[0]))  # loads the library
    took = []
    for body in bodies:
        headers, began = _headers(body), time.perf_counter()
        assert _send(app, account_id, body, headers) == 200
        took.append(time.perf_counter() - began)
    assert sorted(took)[len(took) // 2] < 0.05


@pytest.mark.case("E6")
def test_who_sends_forged_events_is_slowed_down_and_stripe_is_not(app: Flask, account_id: str) -> None:
    forged = _event(id="evt_forged")
    limits = app.extensions["rate_limits"]
    limits.set_rate("refused events", "5 per minute")
    try:
        for number in range(30):  # genuine ones do not count
            body = _event(id=f"evt_{number}")
            assert _send(app, account_id, body, _headers(body)) == 200
        answers = [_send(app, account_id, forged, _headers(forged, "whsec_wrong")) for _ in range(7)]
        assert answers == [400] * 5 + [429] * 2
    finally:
        limits.set_rate("refused events", RULES["refused events"].rate)
        limits.reset()
