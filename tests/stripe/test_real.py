"""The same journeys at a second instance and, with STRIPE_TEST_KEY set to a secret key of test mode, at Stripe itself."""

import os
import secrets
import time
from dataclasses import replace
from typing import Any

import pytest
import stripe

from portal_site.billing.errors import GatewayUnavailable
from portal_site.billing.gateways import ChargeRequest, CustomerDetails, RefundRequest
from portal_site.billing.gateways.stripe import client as clients
from portal_site.billing.gateways.stripe.gateway import StripeGateway
from tests.stripe.second import Second

KEY = os.environ.get("STRIPE_TEST_KEY", "")
BACK = "https://portal.example/back"


@pytest.fixture(params=["second", "stripe"])
def api(request: pytest.FixtureRequest) -> Any:
    """Stripe's library."""
    if request.param == "second":
        second: Second = request.getfixturevalue("second")
        return second.client
    if not KEY.startswith(("sk_test_", "rk_test_")):
        pytest.skip("STRIPE_TEST_KEY is not set: no key of Stripe's test mode")
    return clients.client(KEY)


@pytest.fixture
def gateway(api: stripe.StripeClient) -> StripeGateway:
    return StripeGateway(api, False, "eur", lambda _words: None)


def _request(api: Any, gateway: StripeGateway, token: str) -> ChargeRequest:
    name = secrets.token_hex(8)
    customer = gateway.create_customer(CustomerDetails(name, False, "Test", f"{name}@example.com"), f"customer_{name}")
    method = api.v1.payment_methods.attach(token, {"customer": customer}).id
    return ChargeRequest(
        payment_method=method, amount=2400, currency="eur", idempotency_key=f"charge_{name}", created=int(time.time()),
        return_url=BACK, customer=customer, off_session=True, description="Test", metadata={"attempt": name},
    )  # fmt: skip


@pytest.mark.case("E12", "D20")
def test_a_card_pays_once_and_is_refunded_up_to_what_it_paid(api: Any, gateway: StripeGateway) -> None:
    request = _request(api, gateway, "pm_card_visa")
    charge = gateway.charge(request)
    assert charge.status == "succeeded"
    assert gateway.charge(request) == charge
    asked = gateway.find_charge(replace(request, reference=charge.reference), request.created + 60)
    assert asked == charge
    name = request.idempotency_key
    first = gateway.refund(RefundRequest(charge.reference, 1000, f"refund_{name}", request.created), request.created)
    assert first.status in ("succeeded", "pending")
    over = gateway.refund(RefundRequest(charge.reference, 1401, f"over_{name}", request.created), request.created)
    assert over.status == "failed"
    gateway.forget(request.payment_method)
    assert gateway.find_method(request.payment_method) is None


def test_a_card_is_declined_and_stays_so_under_its_key(api: Any, gateway: StripeGateway) -> None:
    request = _request(api, gateway, "pm_card_chargeCustomerFail")
    declined = gateway.charge(request)
    assert declined.status == "declined"
    assert declined.decline_code
    assert gateway.charge(request).status == "declined"


def test_a_bank_that_wants_the_customer_is_answered_by_the_customer(api: Any, gateway: StripeGateway) -> None:
    request = _request(api, gateway, "pm_card_threeDSecure2Required")
    alone = gateway.charge(request)
    assert (alone.status, alone.next_action_url) == ("requires_action", None)
    present = replace(request, off_session=False, reference=alone.reference)
    led = gateway.charge(present)
    assert (led.status, led.reference) == ("requires_action", alone.reference)
    assert led.next_action_url
    canceled = gateway.cancel_charge(present)
    assert canceled is not None
    assert canceled.status == "declined"


def test_a_page_for_a_card_is_begun(api: Any, gateway: StripeGateway) -> None:
    name = secrets.token_hex(8)
    customer = gateway.create_customer(CustomerDetails(name, False), f"customer_{name}")
    begun = gateway.begin_setup(customer, False, BACK)
    assert begun.url.startswith("http")
    found = gateway.find_setup(begun.reference)
    assert found is not None
    assert found.details is None
    with pytest.raises(GatewayUnavailable):
        gateway.begin_setup(customer, True, BACK)
