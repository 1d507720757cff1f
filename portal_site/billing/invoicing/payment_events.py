"""What watchers are told of payments.

An invoice is paid through one payment intent, and each try that reaches the customer's bank is a charge of it. Both are the
invoice and its attempts under the field's names, so they have no rows of their own: their ids are those of the rows with
another beginning.
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
    """An object that an event carries, and whose it is."""

    account_id: str
    livemode: bool
    document: JsonObject

    def as_object(self) -> JsonObject:
        return self.document


def emit_created(session: Session, invoice: Invoice, attempt: PaymentAttempt, at: int) -> None:
    """The first try to collect an invoice makes its payment intent."""
    if not _tried_before(session, invoice, but=attempt.id):
        _emit(session, "payment_intent.created", _intent(invoice, attempt, "requires_confirmation"), at)


def emit_requires_action(session: Session, invoice: Invoice, attempt: PaymentAttempt, at: int) -> None:
    """The customer has to confirm at the bank."""
    where = {"type": "redirect_to_url", "redirect_to_url": {"url": attempt.next_action_url, "return_url": None}}
    intent = _intent(invoice, attempt, "requires_action", next_action=where)
    _emit(session, "payment_intent.requires_action", intent, at)


def emit_processing(session: Session, invoice: Invoice, attempt: PaymentAttempt, at: int) -> None:
    """The bank carries the payment out; whether the money comes is known days later."""
    _emit(session, "payment_intent.processing", _intent(invoice, attempt, "processing"), at)


def emit_outcome(session: Session, invoice: Invoice, attempt: PaymentAttempt, at: int) -> None:
    """The try brought the money, or it is over without."""
    if attempt.status == AttemptStatus.SUCCEEDED:
        _emit(session, "charge.succeeded", _charge(invoice, attempt), at)
        paid = _intent(
            invoice, attempt, "succeeded", amount_received=attempt.amount, latest_charge=_with_prefix(attempt.id, "ch")
        )
        _emit(session, "payment_intent.succeeded", paid, at)
        return
    reached = attempt.decline_code != UNCONFIRMED
    if reached:
        _emit(session, "charge.failed", _charge(invoice, attempt), at)
    error = {
        "code": "card_declined" if reached else "payment_intent_authentication_failure",
        "decline_code": attempt.decline_code,
        "payment_method": attempt.payment_method_id,
    }
    charge = _with_prefix(attempt.id, "ch") if reached else None
    failed = _intent(invoice, attempt, "requires_payment_method", last_payment_error=error, latest_charge=charge)
    _emit(session, "payment_intent.payment_failed", failed, at)


def emit_paid(session: Session, invoice: Invoice, amount: int, at: int) -> None:
    """The invoice has what its payment intent brought, `amount` in minor units."""
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
    """The invoice is void: its payment intent, if anybody ever tried to pay, ends with it."""
    last = _tried_before(session, invoice)
    if last is not None:
        _emit(session, "payment_intent.canceled", _intent(invoice, last, "canceled", canceled_at=at), at)


def _tried_before(session: Session, invoice: Invoice, but: str = "") -> PaymentAttempt | None:
    mine = PaymentAttempt.customer_id == invoice.customer_id, PaymentAttempt.invoice_id == invoice.id
    query = select(PaymentAttempt).where(*mine, PaymentAttempt.id != but)
    return session.scalar(query.order_by(PaymentAttempt.created.desc(), PaymentAttempt.id.desc()).limit(1))


def _emit(session: Session, kind: str, what: _EventPayload, at: int) -> None:
    session.add(Event.of(kind, what, at))


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
    took = attempt.status == AttemptStatus.SUCCEEDED
    document = {
        "object": "charge",
        "id": _with_prefix(attempt.id, "ch"),
        "created": attempt.created,
        "livemode": attempt.livemode,
        "amount": attempt.amount,
        "amount_captured": attempt.amount if took else 0,
        "captured": took,
        "paid": took,
        "status": "succeeded" if took else "failed",
        "failure_code": None if took else "card_declined",
        "currency": attempt.currency,
        "customer": attempt.customer_id,
        "payment_intent": _with_prefix(invoice.id, "pi"),
        "payment_method": attempt.payment_method_id,
    }
    return _EventPayload(attempt.account_id, attempt.livemode, document)


def _with_prefix(row_id: str, prefix: str) -> str:
    """The id of what a row is, seen another way: `pi_1xW0…` of `in_1xW0…`."""
    return f"{prefix}_{row_id.partition('_')[2] or row_id}"
