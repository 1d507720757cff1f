"""What the gateway says of disputes and refunds that Stripe tells of."""

from typing import Any

import pytest

from portal_site.billing.errors import GatewayUnavailable
from portal_site.billing.gateways import DisputeDetails, RefundDetails, RefundRequest
from portal_site.billing.gateways.stripe.gateway import StripeGateway
from tests.stripe.double import Double


@pytest.fixture(autouse=True)
def payment(double: Double) -> None:
    """The payment that all of them are about."""
    double.objects["pi_1"] = {"id": "pi_1", "object": "payment_intent", "metadata": {"attempt": "payatt_1"}}


def _dispute(double: Double, **members: Any) -> str:
    known = {
        "object": "dispute", "amount": 1000, "currency": "eur", "reason": "fraudulent", "status": "needs_response",
        "payment_intent": "pi_1", "balance_transactions": [], "evidence_details": {"due_by": 1_800_000_000},
    }  # fmt: skip
    return str(double.new("du", **{**known, **members})["id"])


@pytest.mark.parametrize(
    ("moves", "is_withdrawn"),
    [([], False), ([{"amount": -1000}], True), ([{"amount": -1000}, {"amount": 1000}], False)],
)
def test_a_dispute_says_who_has_the_money(
    gateway: StripeGateway, double: Double, moves: list[Any], is_withdrawn: bool
) -> None:
    name = _dispute(double, balance_transactions=moves)
    assert gateway.find_dispute(name) == DisputeDetails(
        name, "needs_response", "fraudulent", 1000, "eur", "payatt_1", is_withdrawn, 1_800_000_000
    )


def test_a_dispute_of_a_payment_that_was_not_made_here_names_none(gateway: StripeGateway, double: Double) -> None:
    name = _dispute(double, payment_intent=None, evidence_details=None, reason=None)
    found = gateway.find_dispute(name)
    assert found is not None
    assert (found.attempt_id, found.evidence_due_by, found.reason) == (None, None, "general")
    assert gateway.find_dispute("du_unknown") is None


def test_a_refund_says_of_which_payment_it_is_and_whether_it_is_ours(gateway: StripeGateway, double: Double) -> None:
    members = {"object": "refund", "amount": 300, "payment_intent": "pi_1", "status": "pending"}
    theirs = double.new("re", **members, metadata={}, reason="duplicate")["id"]
    ours = double.new("re", **members, metadata={"refund": "re_ours"})["id"]
    assert gateway.find_refund(theirs) == RefundDetails(theirs, "pending", 300, "payatt_1", None, "duplicate")
    assert gateway.find_refund(ours) == RefundDetails(ours, "pending", 300, "payatt_1", "re_ours")
    assert gateway.find_refund("re_unknown") is None


def test_a_refund_that_was_made_and_is_not_found_has_not_failed(gateway: StripeGateway, double: Double) -> None:
    with pytest.raises(GatewayUnavailable, match="re_gone is not known"):
        gateway.refund(RefundRequest("pi_1", 300, "re_ours", 0, "re_gone"), 0)
    later = double.new("re", object="refund", amount=300, payment_intent="pi_1", status="failed", metadata={})["id"]
    assert gateway.refund(RefundRequest("pi_1", 300, "re_ours", 0, later), 0).status == "failed"
