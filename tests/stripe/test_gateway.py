"""The Stripe gateway with the official library, over loopback, against the API of a second instance.

Each outcome of a charge, and each way in which an answer can fail to come.
"""

import itertools
import random
from collections.abc import Iterator
from dataclasses import replace

import pytest
from sqlalchemy import delete, update

from portal_site.billing.api_access import api_keys
from portal_site.billing.errors import GatewayUnavailable
from portal_site.billing.gateways import ChargeRequest, CustomerDetails, RefundRequest
from portal_site.billing.gateways.stripe import client as clients
from portal_site.billing.gateways.stripe.gateway import REPLAYED, StripeGateway
from portal_site.billing.models import IdempotentRequest, PaymentIntent
from portal_site.db.transactions import transaction
from tests import world
from tests.api.payments.merchants import answer, browser
from tests.stripe.faults import DONE, LOST, REFUSED, STORED
from tests.stripe.second import Second, served

AT = 1_800_000_000
BACK = "https://portal.example/back"
ENDURED = (*LOST, *REFUSED, *STORED)
_numbers = itertools.count()


@pytest.fixture(scope="module")
def address(second_instance: Second) -> Iterator[str]:
    with served(second_instance.line) as where:
        yield where


@pytest.fixture
def noted() -> list[str]:
    """Why the key did not work."""
    return []


@pytest.fixture
def gateway(second: Second, address: str, noted: list[str]) -> StripeGateway:
    return _gateway(second.token, address, noted)


def _gateway(key: str, address: str, noted: list[str]) -> StripeGateway:
    return StripeGateway(clients.client(key, None, address), False, "eur", noted.append)


def _request(second: Second, number: str = world.VISA, **changed: object) -> ChargeRequest:
    customer, method = second.method(number)
    name = next(_numbers)
    request = ChargeRequest(
        payment_method=method, amount=2400, currency="eur", idempotency_key=f"charge_{name}", created=AT,
        return_url=BACK, customer=customer, off_session=True, description="A-0001",
        type="sepa_debit" if number == world.SLOW else "card",
        metadata={"invoice": "in_1", "attempt": f"payatt_{name}"},
    )  # fmt: skip
    return replace(request, **changed)  # type: ignore[arg-type]


def _taken(second: Second) -> int:
    """How much money moved there."""
    return sum(charge.amount for charge in second.charges() if charge.status == "succeeded")


@pytest.mark.parametrize(
    ("number", "status", "code"),
    [
        (world.VISA, "succeeded", None),
        (world.SLOW, "processing", None),
        (world.FAILS, "declined", "generic_decline"),
        (world.ASKS, "requires_action", None),
    ],
)
def test_each_outcome_of_a_charge(
    second: Second, gateway: StripeGateway, number: str, status: str, code: str | None
) -> None:
    request = _request(second, number)
    charge = gateway.charge(request)
    assert (charge.status, charge.decline_code) == (status, code)
    again = gateway.charge(request)
    assert (again.status, again.decline_code, again.reference) == (status, code, charge.reference)
    found = gateway.find_charge(replace(request, reference=charge.reference), AT + 60)
    assert found is not None
    assert (found.status, found.reference) == (status, charge.reference)


def test_a_method_that_is_gone_is_declined(second: Second, gateway: StripeGateway) -> None:
    request = _request(second)
    gateway.forget(request.payment_method)
    for _ in range(2):
        charge = gateway.charge(request)
        assert charge.status == "declined"
    unknown = gateway.charge(_request(second, payment_method="pm_none"))
    assert (unknown.status, unknown.decline_code) == ("declined", "resource_missing")
    assert second.charges() == []


def test_who_has_to_authenticate_is_sent_to_the_bank_once_present(second: Second, gateway: StripeGateway) -> None:
    request = _request(second, world.ASKS)
    alone = gateway.charge(request)
    assert (alone.status, alone.next_action_url) == ("requires_action", None)
    present = replace(request, off_session=False, reference=alone.reference)
    assert gateway.find_charge(present, AT + 60) is None  # nothing moves while it is only asked about
    led = gateway.charge(present)
    assert led.status == "requires_action"
    with second.app.app_context():
        answer(browser(second.app), led.next_action_url or "", answer="complete")
    found = gateway.find_charge(present, AT + 120)
    assert found is not None
    assert found.status == "succeeded"
    assert _taken(second) == 2400


def test_a_waiting_charge_is_canceled_unless_it_was_paid(second: Second, gateway: StripeGateway) -> None:
    request = _request(second, world.ASKS, off_session=False)
    waiting = gateway.charge(request)
    canceled = gateway.cancel_charge(replace(request, reference=waiting.reference))
    assert canceled is not None
    assert (canceled.status, canceled.decline_code) == ("declined", "authentication_not_handled")
    paid = gateway.charge(request := _request(second))
    kept = gateway.cancel_charge(replace(request, reference=paid.reference))
    assert kept is not None
    assert kept.status == "succeeded"


@pytest.mark.case("F2")
@pytest.mark.parametrize("fault", ENDURED)
@pytest.mark.parametrize("step", [0, 1])
def test_a_lost_answer_is_asked_about_and_charges_once(
    second: Second, gateway: StripeGateway, fault: str, step: int
) -> None:
    request = _request(second)
    second.line.next[:] = [*[""] * step, fault]
    with pytest.raises(GatewayUnavailable):
        gateway.charge(request)
    found = gateway.find_charge(request, AT + 60) or gateway.charge(request)
    assert found.status == "succeeded"
    assert _taken(second) == 2400
    assert [row.status for row in second.intents()].count("succeeded") == 1


@pytest.mark.case("F2", "E5")
def test_a_stored_error_is_not_asked_for_until_it_is_forgotten(second: Second, gateway: StripeGateway) -> None:
    """Under its key the error would come again for a day. What it was stored for is asked first, then done under another key."""
    for fault, step in itertools.product(STORED, (0, 1)):
        before, request = _taken(second), _request(second)
        second.line.next[:] = [*[""] * step, fault]
        with pytest.raises(GatewayUnavailable):
            gateway.charge(request)
        assert len(second.line.stored) == 1
        found = gateway.find_charge(request, AT + 60) or gateway.charge(request)
        assert (found.status, _taken(second) - before) == ("succeeded", 2400), (fault, step)
        second.line.stored.clear()  # a day later
        again = gateway.find_charge(request, AT + REPLAYED + 1)
        assert again is not None
        assert (again.status, _taken(second) - before) == ("succeeded", 2400), (fault, step)


@pytest.mark.case("F2")
@pytest.mark.parametrize("fault", DONE)
@pytest.mark.parametrize("step", [0, 1])
def test_an_answer_that_comes_twice_or_late_counts_once(
    second: Second, gateway: StripeGateway, fault: str, step: int
) -> None:
    second.line.slow = 0.2
    request = _request(second)
    second.line.next[:] = [*[""] * step, fault]
    charge = gateway.charge(request)
    other = gateway.charge(_request(second, amount=1100))  # over the same connection
    assert (charge.status, other.status, _taken(second)) == ("succeeded", "succeeded", 3500)
    assert charge.reference != other.reference


@pytest.mark.case("F2", "F3")
def test_an_answer_that_takes_too_long_is_a_lost_one(
    second: Second, address: str, noted: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clients, "READ", 0.1)
    clients.client.cache_clear()
    impatient = _gateway(second.token, address, noted)
    monkeypatch.undo()
    clients.client.cache_clear()
    second.line.slow = 0.5
    request = _request(second)
    second.line.next[:] = ["", "slow"]
    with pytest.raises(GatewayUnavailable):
        impatient.charge(request)
    patient = _gateway(second.token, address, noted)
    found = patient.find_charge(request, AT + 60)
    assert found is not None
    assert (found.status, _taken(second)) == ("succeeded", 2400)


@pytest.mark.case("F2")
@pytest.mark.parametrize(
    ("number", "status"), [(world.VISA, "succeeded"), (world.SLOW, "processing"), (world.FAILS, "declined")]
)
def test_whoever_asks_about_a_lost_answer_is_told_and_nothing_moves(
    second: Second, gateway: StripeGateway, number: str, status: str
) -> None:
    """A repeated creation is answered with what was said the first time, which is older than the confirmation."""
    request = _request(second, number)
    second.line.next[:] = ["", "lose"]
    with pytest.raises(GatewayUnavailable):
        gateway.charge(request)
    before = len(second.line.calls)
    for asked in (request, replace(request, off_session=False, return_url=f"{BACK}/other")):
        found = gateway.find_charge(asked, AT + 60)
        assert found is not None
        assert found.status == status
    assert not [call for call in second.line.calls[before:] if call.endswith("/confirm")]


@pytest.mark.case("F2")
def test_any_sequence_of_faults_charges_exactly_once(second: Second, gateway: StripeGateway) -> None:
    second.line.losses = 0.4
    for seed in range(25):
        second.line.dice, request, outcome = random.Random(seed), _request(second), None
        before = _taken(second)
        for _ in range(300):
            try:
                outcome = gateway.find_charge(request, AT + 60) or gateway.charge(request)
                break
            except GatewayUnavailable:
                continue
        assert outcome is not None, seed
        assert (outcome.status, _taken(second) - before) == ("succeeded", 2400), seed


@pytest.mark.case("F2")
def test_after_a_day_a_lost_charge_is_searched_and_never_repeated(second: Second, gateway: StripeGateway) -> None:
    request = _request(second)
    second.line.next[:] = ["", "lose"]
    with pytest.raises(GatewayUnavailable):
        gateway.charge(request)
    _forget_keys(second)
    found = gateway.find_charge(request, AT + REPLAYED + 1)
    assert found is not None
    assert (found.status, _taken(second)) == ("succeeded", 2400)
    assert gateway.find_charge(_request(second), AT + REPLAYED + 1) is None
    with pytest.raises(GatewayUnavailable):
        gateway.find_charge(_request(second, customer=None), AT + REPLAYED + 1)


def _forget_keys(second: Second) -> None:
    with second.app.app_context(), transaction() as session:
        session.execute(delete(IdempotentRequest).where(IdempotentRequest.account_id == second.account_id))


def test_another_amount_than_was_asked_is_no_answer(second: Second, gateway: StripeGateway) -> None:
    charge = gateway.charge(request := _request(second))
    with second.app.app_context(), transaction() as session:
        mine = PaymentIntent.account_id == second.account_id, PaymentIntent.id == charge.reference
        session.execute(update(PaymentIntent).where(*mine).values(amount=2401))
    with pytest.raises(GatewayUnavailable, match="is for 2401 eur, not 2400 eur"):
        gateway.find_charge(replace(request, reference=charge.reference), AT)


def test_a_charge_of_live_mode_never_goes_through_test_mode(second: Second, gateway: StripeGateway) -> None:
    with pytest.raises(GatewayUnavailable):
        gateway.charge(_request(second, livemode=True))
    assert second.line.calls == []


@pytest.mark.case("D20")
@pytest.mark.parametrize("fault", ["", *ENDURED])
def test_a_refund_gives_back_once(second: Second, gateway: StripeGateway, fault: str) -> None:
    charge = gateway.charge(_request(second))
    request = RefundRequest(charge.reference, 1000, f"re_{next(_numbers)}", AT)
    second.line.next[:] = [fault]
    if fault:
        with pytest.raises(GatewayUnavailable):
            gateway.refund(request, AT)
    first = gateway.refund(request, AT)
    assert first.status == "succeeded"
    assert gateway.refund(replace(request, reference=first.reference), AT + REPLAYED * 2) == first
    _forget_keys(second)
    assert gateway.refund(request, AT + REPLAYED + 1) == first  # its answer was lost long ago
    assert gateway.refund(RefundRequest(charge.reference, 1401, "re_more", AT), AT).status == "failed"
    assert [one.amount for one in second.refunds()] == [1000]


def test_a_method_is_entered_and_forgotten_at_stripe(second: Second, gateway: StripeGateway) -> None:
    details = CustomerDetails("cus_ours", False, "Hedda", "hedda@acme.example")
    customer = gateway.create_customer(details, "customer_1")
    assert gateway.create_customer(details, "customer_1") == customer
    begun = gateway.begin_setup(customer, False, BACK)
    found = gateway.find_setup(begun.reference)
    assert found is not None
    assert found.details is None
    with second.app.app_context():
        answer(browser(second.app), begun.url, kind="card", number=world.VISA, expiry="12/39", cvc="123")
    found = gateway.find_setup(begun.reference)
    assert found is not None
    assert found.details is not None
    assert (found.details.last4, found.details.type, found.details.brand) == ("4242", "card", "visa")
    name = found.details.reference
    assert gateway.find_method(name) == found.details
    gateway.forget(name)
    gateway.forget("pm_unknown")
    assert (gateway.find_method(name), gateway.find_setup("cs_none")) == (None, None)


def test_a_key_that_stops_working_declines_nobody(
    second: Second, gateway: StripeGateway, address: str, noted: list[str]
) -> None:
    request = _request(second)
    with pytest.raises(GatewayUnavailable):
        _gateway("sk_test_other", address, noted).charge(request)
    with second.app.app_context():
        restricted = api_keys.create(second.account_id, AT, livemode=False, rights={"customers": "write"})
    with pytest.raises(GatewayUnavailable):
        _gateway(restricted.token, address, noted).charge(request)
    assert len(noted) == 2
    assert gateway.charge(request).status == "succeeded"
