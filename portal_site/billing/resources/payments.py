"""Payment methods, and the objects of a payment: payment intent, charge and invoice payment.

An invoice has one payment intent, and each payment attempt that reaches the customer's bank is a charge of it. They have no rows
of their own: a payment intent is derived from the invoice and a charge from the attempt, with the row's id under another prefix.
"""

from typing import Any

from portal_site.billing.models import Dispute, Invoice, PaymentAttempt, Refund
from portal_site.billing.models.columns import values
from portal_site.billing.rules.subscriptions.statuses import UNCONFIRMED, AttemptStatus
from portal_site.db.json_columns import JsonObject

ADDRESS = ("city", "country", "line1", "line2", "postal_code", "state")
CARD, SEPA_DEBIT = "card", "sepa_debit"


def payment_method(row: Any) -> JsonObject:
    """A `payment_method`, reduced to what identifies it to people; one that is detached, or nobody's yet, has no customer."""
    named = values(row, "id", "created", "livemode", "type")
    attached = getattr(row, "detached_at", None) is None
    return {
        "object": "payment_method",
        **named,
        "allow_redisplay": "unspecified",
        "billing_details": billing_details(row.billing_details),
        "customer": getattr(row, "customer_id", None) if attached else None,
        "customer_account": None,
        "metadata": row.metadata_,
        row.type: _details(row),
    }


def billing_details(stored: JsonObject | None) -> JsonObject:
    """Whose payment method it is, with all members."""
    known = stored or {}
    address = {**dict.fromkeys(ADDRESS), **(known.get("address") or {})}
    return {"address": address, **{name: known.get(name) for name in ("email", "name", "phone", "tax_id")}}


def _details(row: Any) -> JsonObject:
    if row.type == SEPA_DEBIT:
        made_by = {"charge": None, "setup_attempt": None}
        return {
            **values(row, "country", "fingerprint", "last4"), "bank_code": None, "branch_code": None,
            "generated_from": made_by,
        }  # fmt: skip
    if row.type != CARD:
        return values(row, "last4", "country")
    wallet = getattr(row, "wallet", None)  # which one that is nobody's yet does not have
    return {
        **values(row, "brand", "country", "exp_month", "exp_year", "fingerprint", "funding", "last4"),
        "checks": dict.fromkeys(("address_line1_check", "address_postal_code_check", "cvc_check")),
        "display_brand": row.brand,
        "generated_from": None,
        "networks": {"available": [row.brand] if row.brand else [], "preferred": None},
        "regulated_status": "unregulated",
        "three_d_secure_usage": {"supported": True},
        "wallet": {"type": wallet, "dynamic_last4": None} if wallet else None,
    }


def payment_intent(invoice: Invoice, attempt: PaymentAttempt, status: str) -> JsonObject:
    """The `payment_intent` of an invoice as its latest attempt leaves it, in one of Stripe's statuses of an intent."""
    succeeded, failed = status == "succeeded", status == "requires_payment_method"
    return {
        "object": "payment_intent",
        "id": _with_prefix(invoice.id, "pi"),
        "created": invoice.finalized_at or invoice.created,
        "livemode": invoice.livemode,
        "amount": attempt.amount,
        "amount_received": attempt.amount if succeeded else 0,
        "currency": attempt.currency,
        "customer": invoice.customer_id,
        "payment_method": attempt.payment_method_id,
        "status": status,
        "latest_charge": charge_id(attempt) if succeeded or (failed and has_charge(attempt)) else None,
        "next_action": _next_action(attempt) if status == "requires_action" else None,
        "last_payment_error": _payment_error(attempt) if failed else None,
        "canceled_at": invoice.voided_at if status == "canceled" else None,
    }


def has_charge(attempt: PaymentAttempt) -> bool:
    """Whether a settled attempt is a charge: without completed 3-D Secure authentication it did not reach the bank."""
    return attempt.decline_code != UNCONFIRMED


def charge_id(attempt: PaymentAttempt) -> str:
    """The id of the charge that a payment attempt is."""
    return _with_prefix(attempt.id, "ch")


def _next_action(attempt: PaymentAttempt) -> JsonObject:
    return {"type": "redirect_to_url", "redirect_to_url": {"url": attempt.next_action_url, "return_url": None}}


def _payment_error(attempt: PaymentAttempt) -> JsonObject:
    return {
        "code": "card_declined" if has_charge(attempt) else "payment_intent_authentication_failure",
        "decline_code": attempt.decline_code,
        "payment_method": attempt.payment_method_id,
    }


def charge(attempt: PaymentAttempt, refunded: int = 0) -> JsonObject:
    """The `charge` that a settled payment attempt is, of which `refunded` was given back; amounts are in minor units."""
    succeeded = attempt.status == AttemptStatus.SUCCEEDED
    return {
        "object": "charge",
        "id": charge_id(attempt),
        "created": attempt.created,
        "livemode": attempt.livemode,
        "amount": attempt.amount,
        "amount_captured": attempt.amount if succeeded else 0,
        "amount_refunded": refunded,
        "refunded": 0 < refunded == attempt.amount,
        "captured": succeeded,
        "paid": succeeded,
        "status": "succeeded" if succeeded else "failed",
        "failure_code": None if succeeded else "card_declined",
        "currency": attempt.currency,
        "customer": attempt.customer_id,
        "payment_intent": _with_prefix(attempt.invoice_id, "pi"),
        "payment_method": attempt.payment_method_id,
    }


def refund(row: Refund) -> JsonObject:
    """A `refund`: money of a charge that is given back, in minor units."""
    return {
        "object": "refund",
        **values(row, "id", "created", "amount", "currency", "reason", "status"),
        "charge": _with_prefix(row.payment_attempt_id, "ch"),
        "payment_intent": _with_prefix(row.invoice_id, "pi"),
    }


def dispute(row: Dispute) -> JsonObject:
    """A `dispute`: money of a charge that its customer wants back from the bank, in minor units."""
    evidence = {"due_by": row.evidence_due_by, "past_due": False, "has_evidence": False, "submission_count": 0}
    return {
        "object": "dispute",
        **values(row, "id", "created", "livemode", "amount", "currency", "reason", "status"),
        "charge": _with_prefix(row.payment_attempt_id, "ch"),
        "payment_intent": _with_prefix(row.invoice_id, "pi"),
        "is_charge_refundable": row.status.startswith("warning_"),
        "evidence_details": evidence,
    }


def invoice_payment(invoice: Invoice, amount: int, at: int) -> JsonObject:
    """The `invoice_payment` by which the payment intent paid `amount` of the invoice, in minor units."""
    return {
        "object": "invoice_payment",
        "id": _with_prefix(invoice.id, "inpay"),
        "created": at,
        "livemode": invoice.livemode,
        "invoice": invoice.id,
        "amount_requested": amount,
        "amount_paid": amount,
        "currency": invoice.currency,
        "is_default": True,
        "payment": {"type": "payment_intent", "payment_intent": _with_prefix(invoice.id, "pi")},
        "status": "paid",
        "status_transitions": {"canceled_at": None, "paid_at": at},
    }


def _with_prefix(row_id: str, prefix: str) -> str:
    """The row's id with another prefix: `pi_1xW0…` for `in_1xW0…`."""
    return f"{prefix}_{row_id.partition('_')[2] or row_id}"
