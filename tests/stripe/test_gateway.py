"""The Stripe gateway with the official library over the network: charges, refunds and set-ups, and every lost answer."""

import itertools
import random
from collections.abc import Iterator
from dataclasses import replace

import pytest

from portal_site.billing.errors import GatewayUnavailable
from portal_site.billing.gateways import ChargeRequest, CustomerDetails, RefundRequest
from portal_site.billing.gateways.stripe import client as clients
from portal_site.billing.gateways.stripe.gateway import REPLAYED, StripeGateway
from tests.stripe.double import KEY, Double, running

AT = 1_800_000_000
BACK = "https://portal.example/back"
_numbers = itertools.count()


@pytest.fixture(scope="module")
def double() -> Iterator[Double]:
    with running() as started:
        yield started


@pytest.fixture
def noted(double: Double) -> list[str]:
    """Nothing is left of the test before; why the key did not work."""
    for known in (double.objects, double.answers, double.faults, double.calls, double.lacks):
        known.clear()
    return []


@pytest.fixture
def gateway(double: Double, noted: list[str]) -> StripeGateway:
    return StripeGateway(clients.client(KEY, None, double.address), False, "eur", noted.append)


def _request(method: str = "pm_ok", **changed: object) -> ChargeRequest:
    number = next(_numbers)
    request = ChargeRequest(
        payment_method=method, amount=2400, currency="eur", idempotency_key=f"charge_{number}", created=AT,
        return_url=BACK, customer="cus_1", off_session=True, description="A-0001",
        metadata={"invoice": "in_1", "attempt": f"payatt_{number}"},
    )  # fmt: skip
    return replace(request, **changed)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("method", "status", "code"),
    [
        ("pm_ok", "succeeded", None),
        ("pm_slow", "processing", None),
        ("pm_declined", "declined", "insufficient_funds"),
        ("pm_gone", "declined", "resource_missing"),
        ("pm_asks", "requires_action", None),
    ],
)
def test_each_outcome_of_a_charge(gateway: StripeGateway, method: str, status: str, code: str | None) -> None:
    request = _request(method)
    charge = gateway.charge(request)
    assert (charge.status, charge.decline_code) == (status, code)
    again = gateway.charge(request)
    assert (again.status, again.decline_code) == (status, code)
    if method != "pm_gone":
        found = gateway.find_charge(replace(request, reference=charge.reference), AT + 60)
        assert found is not None
        assert (found.status, found.reference) == (status, charge.reference)


def test_who_has_to_authenticate_is_sent_to_the_bank_once_present(gateway: StripeGateway, double: Double) -> None:
    request = _request("pm_asks")
    alone = gateway.charge(request)
    assert (alone.status, alone.next_action_url) == ("requires_action", None)
    present = replace(request, off_session=False, reference=alone.reference)
    assert gateway.find_charge(present, AT + 60) is None  # nothing moves while it is only asked about
    led = gateway.charge(present)
    assert (led.status, led.next_action_url) == ("requires_action", f"{double.address}/bank")
    double.objects[alone.reference]["status"] = "succeeded"  # the bank is satisfied
    found = gateway.find_charge(present, AT + 120)
    assert found is not None
    assert found.status == "succeeded"
    assert double.charged == 2400


def test_a_waiting_charge_is_canceled_unless_it_was_paid(gateway: StripeGateway, double: Double) -> None:
    request = _request("pm_asks", off_session=False)
    waiting = gateway.charge(request)
    named = replace(request, reference=waiting.reference)
    canceled = gateway.cancel_charge(named)
    assert canceled is not None
    assert (canceled.status, canceled.decline_code) == ("declined", "authentication_not_handled")
    paid = gateway.charge(request := _request())
    kept = gateway.cancel_charge(replace(request, reference=paid.reference))
    assert kept is not None
    assert kept.status == "succeeded"


@pytest.mark.case("F2")
@pytest.mark.parametrize("fault", ["lose", "drop", "500", "429", "409"])
@pytest.mark.parametrize("step", [0, 1])
def test_a_lost_answer_is_asked_about_and_charges_once(
    gateway: StripeGateway, double: Double, fault: str, step: int
) -> None:
    request = _request()
    double.faults[:] = [*[""] * step, fault]
    with pytest.raises(GatewayUnavailable):
        gateway.charge(request)
    found = gateway.find_charge(request, AT + 60) or gateway.charge(request)
    assert found.status == "succeeded"
    assert double.charged == 2400
    assert sum(name.startswith("pi_") for name in double.objects) == 1


@pytest.mark.case("F2")
@pytest.mark.parametrize(
    ("method", "status"), [("pm_ok", "succeeded"), ("pm_slow", "processing"), ("pm_declined", "declined")]
)
def test_whoever_asks_about_a_lost_answer_is_told_and_nothing_moves(
    gateway: StripeGateway, double: Double, method: str, status: str
) -> None:
    """A repeated creation is answered with what was said the first time, which is older than the confirmation."""
    request = _request(method)
    double.faults[:] = ["", "lose"]
    with pytest.raises(GatewayUnavailable):
        gateway.charge(request)
    before = len(double.calls)
    for asked in (request, replace(request, off_session=False, return_url=f"{BACK}/other")):
        found = gateway.find_charge(asked, AT + 60)
        assert found is not None
        assert found.status == status
    assert not [call for call in double.calls[before:] if call.endswith("/confirm")]


@pytest.mark.case("F2")
def test_any_sequence_of_faults_charges_exactly_once(gateway: StripeGateway, double: Double) -> None:
    for seed in range(60):
        dice, request, outcome = random.Random(seed), _request(), None
        before = double.charged
        for _ in range(300):
            double.faults[:] = [dice.choice(["", "", "lose", "drop", "500", "429"]) for _ in range(3)]
            try:
                outcome = gateway.find_charge(request, AT + 60) or gateway.charge(request)
                break
            except GatewayUnavailable:
                continue
        assert outcome is not None, seed
        assert (outcome.status, double.charged - before) == ("succeeded", 2400), seed


@pytest.mark.case("F2")
def test_after_a_day_a_lost_charge_is_searched_and_never_repeated(gateway: StripeGateway, double: Double) -> None:
    request = _request()
    double.faults[:] = ["", "lose"]
    with pytest.raises(GatewayUnavailable):
        gateway.charge(request)
    double.answers.clear()  # the keys are forgotten
    found = gateway.find_charge(request, AT + REPLAYED + 1)
    assert found is not None
    assert (found.status, double.charged) == ("succeeded", 2400)
    assert gateway.find_charge(_request(), AT + REPLAYED + 1) is None
    with pytest.raises(GatewayUnavailable):
        gateway.find_charge(_request(customer=None), AT + REPLAYED + 1)


def test_another_amount_than_was_asked_is_no_answer(gateway: StripeGateway, double: Double) -> None:
    charge = gateway.charge(request := _request())
    double.objects[charge.reference]["amount"] = 2401
    with pytest.raises(GatewayUnavailable, match="is for 2401 eur, not 2400 eur"):
        gateway.find_charge(replace(request, reference=charge.reference), AT)


def test_a_charge_of_live_mode_never_goes_through_test_mode(gateway: StripeGateway, double: Double) -> None:
    with pytest.raises(GatewayUnavailable):
        gateway.charge(_request(livemode=True))
    assert double.calls == []


@pytest.mark.parametrize("fault", ["", "lose", "drop", "500"])
def test_a_refund_gives_back_once(gateway: StripeGateway, double: Double, fault: str) -> None:
    charge = gateway.charge(_request())
    request = RefundRequest(charge.reference, 1000, f"re_{next(_numbers)}", AT)
    double.faults[:] = [fault]
    if fault:
        with pytest.raises(GatewayUnavailable):
            gateway.refund(request, AT)
    first = gateway.refund(request, AT)
    assert first.status == "succeeded"
    assert gateway.refund(replace(request, reference=first.reference), AT + REPLAYED * 2) == first
    double.answers.clear()
    assert gateway.refund(request, AT + REPLAYED + 1) == first  # its answer was lost long ago
    assert gateway.refund(RefundRequest(charge.reference, 1401, "re_more", AT), AT).status == "failed"
    assert [one["amount"] for one in double.objects.values() if "refund" in one] == [1000]


def test_a_method_is_entered_and_forgotten_at_stripe(gateway: StripeGateway, double: Double) -> None:
    customer = gateway.create_customer(CustomerDetails("cus_ours", False, "Hedda", "hedda@acme.example"), "customer_1")
    assert (
        gateway.create_customer(CustomerDetails("cus_ours", False, "Hedda", "hedda@acme.example"), "customer_1")
        == customer
    )
    begun = gateway.begin_setup(customer, False, BACK)
    assert begun.url == f"{double.address}/pay"
    found = gateway.find_setup(begun.reference)
    assert found is not None
    assert found.details is None
    card = {"last4": "4242", "brand": "visa", "exp_month": 12, "exp_year": 2040, "funding": "credit", "country": "US"}
    method = double.new("pm", type="card", card=card, customer=customer)
    double.objects[begun.reference] |= {
        "status": "complete", "setup_intent": {"status": "succeeded", "payment_method": method}
    }  # fmt: skip
    found = gateway.find_setup(begun.reference)
    assert found is not None
    assert found.details is not None
    assert (found.details.reference, found.details.last4, found.details.type) == (method["id"], "4242", "card")
    assert gateway.find_method(method["id"]) == found.details
    gateway.forget(method["id"])
    gateway.forget("pm_unknown")
    assert (gateway.find_method(method["id"]), gateway.find_setup("cs_none")) == (None, None)


def test_a_key_that_stops_working_declines_nobody(gateway: StripeGateway, double: Double, noted: list[str]) -> None:
    revoked = StripeGateway(clients.client("sk_test_other", None, double.address), False, "eur", noted.append)
    with pytest.raises(GatewayUnavailable):
        revoked.charge(_request())
    double.lacks.add("payment_intents")
    with pytest.raises(GatewayUnavailable):
        gateway.charge(_request())
    assert len(noted) == 2
