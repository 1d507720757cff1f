"""What Stripe's objects and refusals mean for the engine."""

from collections.abc import Mapping
from typing import Any

from portal_site.billing.errors import GatewayUnavailable
from portal_site.billing.gateways import (
    Charge,
    ChargeRequest,
    DisputeDetails,
    Mandate,
    PaymentDetails,
    Refund,
    RefundDetails,
)

AUTHENTICATE = "authentication_required"
CANCELED = "authentication_not_handled"  # the decline code of what was canceled while it waited for the customer
REFUNDS = {"succeeded": "succeeded", "pending": "pending", "requires_action": "pending"}
Object = Mapping[str, Any]


def charge(intent: Object, request: ChargeRequest) -> Charge | None:
    """The state of a payment intent; None while it waits for its confirmation, without which no money moves.

    Raises GatewayUnavailable if it is for another amount or currency than was asked, or in a state that does not exist.
    """
    if (intent["amount"], intent["currency"]) != (request.amount, request.currency):
        raise GatewayUnavailable(
            f"{intent['id']} is for {intent['amount']} {intent['currency']}, not {request.amount} {request.currency}"
        )
    status, reference = intent["status"], str(intent["id"])
    error = intent.get("last_payment_error") or {}
    if status == "requires_confirmation" or (status == "requires_payment_method" and not error):
        return None
    if status in ("succeeded", "processing"):
        return Charge(status, reference)
    if status == "requires_action":
        action = intent.get("next_action") or {}
        return Charge("requires_action", reference, next_action_url=(action.get("redirect_to_url") or {}).get("url"))
    if status == "requires_payment_method":
        if is_to_authenticate(intent):
            return Charge("requires_action", reference)
        return Charge("declined", reference, decline_code(error))
    if status == "canceled":
        return Charge("declined", reference, CANCELED)
    raise GatewayUnavailable(f"{reference} is {status}")


def is_to_authenticate(intent: Object) -> bool:
    """Whether the bank wants the customer, who was not there."""
    error = intent.get("last_payment_error") or {}
    return intent["status"] == "requires_payment_method" and AUTHENTICATE in (
        error.get("code"),
        error.get("decline_code"),
    )


def decline_code(error: Object) -> str:
    """Why a payment failed: the issuer's reason, else Stripe's."""
    return str(error.get("decline_code") or error.get("code") or "generic_decline")


def refund(document: Object) -> Refund:
    """The state of a refund."""
    return Refund(REFUNDS.get(document["status"], "failed"), str(document["id"]))


def refund_details(document: Object) -> RefundDetails:
    """A refund, of which the payment intent is expanded."""
    known = document.get("metadata") or {}
    return RefundDetails(
        str(document["id"]), refund(document).status, document["amount"], _attempt_of(document), known.get("refund"),
        document.get("reason"),
    )  # fmt: skip


def dispute(document: Object) -> DisputeDetails:
    """A dispute, of which the payment intent is expanded.

    The first of its balance transactions takes the money, and the second returns it.
    """
    moved = len(document.get("balance_transactions") or ())
    return DisputeDetails(
        str(document["id"]), document["status"], str(document.get("reason") or "general"), document["amount"],
        document["currency"], _attempt_of(document), moved % 2 == 1,
        (document.get("evidence_details") or {}).get("due_by"),
    )  # fmt: skip


def _attempt_of(document: Object) -> str | None:
    """The payment attempt that a payment intent was made for, as it was told when that was created."""
    intent = document.get("payment_intent")
    found = (intent.get("metadata") or {}).get("attempt") if isinstance(intent, Mapping) else None
    return found if isinstance(found, str) else None


def mandate(document: Object) -> Mandate | None:
    """A mandate, which says nothing for payment methods without a reference."""
    details = document.get("payment_method_details") or {}
    own = details.get(str(details.get("type"))) or {}
    url = str(own.get("url") or "")
    return Mandate(str(own["reference"]), url if url.startswith("https://") else None) if own.get("reference") else None


def details(method: Object) -> PaymentDetails:
    """What identifies a payment method to people."""
    kind = str(method["type"])
    own = method.get(kind) or {}
    return PaymentDetails(
        reference=str(method["id"]), type=kind, last4=str(own.get("last4") or ""), brand=own.get("brand"),
        exp_month=own.get("exp_month"), exp_year=own.get("exp_year"), funding=own.get("funding"),
        country=own.get("country"), fingerprint=own.get("fingerprint"), wallet=(own.get("wallet") or {}).get("type"),
    )  # fmt: skip
