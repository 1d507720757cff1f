"""Payment events: `payment_intent.*`, `charge.*` and `invoice_payment.*`.

An invoice has one payment intent, and each payment attempt that reaches the customer's bank is a charge of it. They have no rows
of their own: a payment intent is derived from the invoice and a charge from the attempt, with the row's id under another prefix.
"""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from portal_site.billing.models import Event, Invoice, PaymentAttempt
from portal_site.billing.rules.subscriptions.statuses import UNCONFIRMED, AttemptStatus
from portal_site.db.json_columns import JsonObject


@dataclass(slots=True)
class _EventPayload:
    """The object of an event, with the members that `Event.of` needs."""

    account_id: str
    livemode: bool
    document: JsonObject

    def as_object(self) -> JsonObject:
        return self.document


def emit_created(session: Session, invoice: Invoice, attempt: PaymentAttempt, at: int) -> None:
    """Emit `payment_intent.created` for the first payment attempt of an invoice."""
    if not _last_attempt(session, invoice, excluding=attempt.id):
        _emit(session, "payment_intent.created", _intent(invoice, attempt, "requires_confirmation"), at)


def emit_requires_action(session: Session, invoice: Invoice, attempt: PaymentAttempt, at: int) -> None:
    """Emit that the customer has to complete 3-D Secure authentication."""
    next_action = {"type": "redirect_to_url", "redirect_to_url": {"url": attempt.next_action_url, "return_url": None}}
    intent = _intent(invoice, attempt, "requires_action", next_action=next_action)
    _emit(session, "payment_intent.requires_action", intent, at)


def emit_processing(session: Session, invoice: Invoice, attempt: PaymentAttempt, at: int) -> None:
    """Emit that the bank is processing the payment; the outcome of a debit is known days later."""
    _emit(session, "payment_intent.processing", _intent(invoice, attempt, "processing"), at)


def emit_outcome(session: Session, invoice: Invoice, attempt: PaymentAttempt, at: int) -> None:
    """Emit the success or failure of a payment attempt.

    An attempt without completed 3-D Secure authentication did not reach the bank, so it has no charge.
    """
    if attempt.status == AttemptStatus.SUCCEEDED:
        _emit(session, "charge.succeeded", _charge(invoice, attempt), at)
        paid = _intent(
            invoice, attempt, "succeeded", amount_received=attempt.amount, latest_charge=_with_prefix(attempt.id, "ch")
        )
        _emit(session, "payment_intent.succeeded", paid, at)
        return
    reached_bank = attempt.decline_code != UNCONFIRMED
    if reached_bank:
        _emit(session, "charge.failed", _charge(invoice, attempt), at)
    error = {
        "code": "card_declined" if reached_bank else "payment_intent_authentication_failure",
        "decline_code": attempt.decline_code,
        "payment_method": attempt.payment_method_id,
    }
    charge = _with_prefix(attempt.id, "ch") if reached_bank else None
    failed = _intent(invoice, attempt, "requires_payment_method", last_payment_error=error, latest_charge=charge)
    _emit(session, "payment_intent.payment_failed", failed, at)


def emit_paid(session: Session, invoice: Invoice, amount: int, at: int) -> None:
    """Emit `invoice_payment.paid`: the payment intent paid `amount` of the invoice, in minor units."""
    payment = {
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
    _emit(session, "invoice_payment.paid", _EventPayload(invoice.account_id, invoice.livemode, payment), at)


def emit_canceled(session: Session, invoice: Invoice, at: int) -> None:
    """Emit that the payment intent of a voided invoice is canceled, if there was a payment attempt."""
    last = _last_attempt(session, invoice)
    if last is not None:
        _emit(session, "payment_intent.canceled", _intent(invoice, last, "canceled", canceled_at=at), at)


def _last_attempt(session: Session, invoice: Invoice, excluding: str = "") -> PaymentAttempt | None:
    of_invoice = PaymentAttempt.customer_id == invoice.customer_id, PaymentAttempt.invoice_id == invoice.id
    query = select(PaymentAttempt).where(*of_invoice, PaymentAttempt.id != excluding)
    return session.scalar(query.order_by(PaymentAttempt.created.desc(), PaymentAttempt.id.desc()).limit(1))


def _emit(session: Session, kind: str, payload: _EventPayload, at: int) -> None:
    session.add(Event.of(kind, payload, at))


def _intent(invoice: Invoice, attempt: PaymentAttempt, status: str, **members: Any) -> _EventPayload:
    document = {
        "object": "payment_intent",
        "id": _with_prefix(invoice.id, "pi"),
        "created": invoice.finalized_at or invoice.created,
        "livemode": invoice.livemode,
        "amount": attempt.amount,
        "amount_received": 0,
        "currency": attempt.currency,
        "customer": invoice.customer_id,
        "payment_method": attempt.payment_method_id,
        "status": status,
        "latest_charge": None,
        "next_action": None,
        "last_payment_error": None,
        "canceled_at": None,
        **members,
    }
    return _EventPayload(invoice.account_id, invoice.livemode, document)


def _charge(invoice: Invoice, attempt: PaymentAttempt) -> _EventPayload:
    succeeded = attempt.status == AttemptStatus.SUCCEEDED
    document = {
        "object": "charge",
        "id": _with_prefix(attempt.id, "ch"),
        "created": attempt.created,
        "livemode": attempt.livemode,
        "amount": attempt.amount,
        "amount_captured": attempt.amount if succeeded else 0,
        "captured": succeeded,
        "paid": succeeded,
        "status": "succeeded" if succeeded else "failed",
        "failure_code": None if succeeded else "card_declined",
        "currency": attempt.currency,
        "customer": attempt.customer_id,
        "payment_intent": _with_prefix(invoice.id, "pi"),
        "payment_method": attempt.payment_method_id,
    }
    return _EventPayload(attempt.account_id, attempt.livemode, document)


def _with_prefix(row_id: str, prefix: str) -> str:
    """The row's id with another prefix: `pi_1xW0…` for `in_1xW0…`."""
    return f"{prefix}_{row_id.partition('_')[2] or row_id}"
