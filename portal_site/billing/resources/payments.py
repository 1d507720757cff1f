"""Payment methods, and the objects of a payment: payment intent, charge and invoice payment.

An invoice has one payment intent, and each payment attempt that reaches the customer's bank is a charge of it. They have no rows
of their own: a payment intent is derived from the invoice and a charge from the attempt, with the row's id under another prefix.
"""

from portal_site.billing.models import Invoice, PaymentAttempt, PaymentMethod, Refund
from portal_site.billing.models.columns import values
from portal_site.billing.rules.subscriptions.statuses import UNCONFIRMED, AttemptStatus
from portal_site.db.json_columns import JsonObject


def payment_method(row: PaymentMethod) -> JsonObject:
    """A `payment_method`, reduced to what identifies it to people."""
    shown = ("last4", "funding", "country") if row.type == "card" else ("last4", "country")
    details = values(row, *shown)
    if row.type == "card":
        details |= values(row, "brand", "exp_month", "exp_year")
    named = values(row, "id", "created", "livemode", "type")
    return {"object": "payment_method", **named, "customer": row.customer_id, row.type: details}


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
