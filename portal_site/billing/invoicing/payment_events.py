"""Payment events: `payment_intent.*`, `charge.*` and `invoice_payment.*`, whose objects have no rows of their own."""

from sqlalchemy import select
from sqlalchemy.orm import Session

from portal_site.billing.events.emission import emit
from portal_site.billing.models import Invoice, PaymentAttempt
from portal_site.billing.resources import payments
from portal_site.billing.rules.subscriptions.statuses import AttemptStatus


def emit_created(session: Session, invoice: Invoice, attempt: PaymentAttempt, at: int) -> None:
    """Emit `payment_intent.created`, for the first payment attempt of an invoice: later ones are of the same intent."""
    _emit_intent(session, "payment_intent.created", invoice, attempt, "requires_confirmation", at)


def emit_requires_action(session: Session, invoice: Invoice, attempt: PaymentAttempt, at: int) -> None:
    """Emit that the customer has to complete 3-D Secure authentication."""
    _emit_intent(session, "payment_intent.requires_action", invoice, attempt, "requires_action", at)


def emit_processing(session: Session, invoice: Invoice, attempt: PaymentAttempt, at: int) -> None:
    """Emit that the bank is processing the payment; the outcome of a debit is known days later."""
    _emit_intent(session, "payment_intent.processing", invoice, attempt, "processing", at)


def emit_outcome(session: Session, invoice: Invoice, attempt: PaymentAttempt, at: int) -> None:
    """Emit the success or failure of a payment attempt."""
    succeeded = attempt.status == AttemptStatus.SUCCEEDED
    if payments.has_charge(attempt):
        kind = "charge.succeeded" if succeeded else "charge.failed"
        emit(session, kind, attempt, at, document=payments.charge(attempt))
    if succeeded:
        _emit_intent(session, "payment_intent.succeeded", invoice, attempt, "succeeded", at)
    else:
        _emit_intent(session, "payment_intent.payment_failed", invoice, attempt, "requires_payment_method", at)


def emit_paid(session: Session, invoice: Invoice, amount: int, at: int) -> None:
    """Emit `invoice_payment.paid`: the payment intent paid `amount` of the invoice, in minor units."""
    emit(session, "invoice_payment.paid", invoice, at, document=payments.invoice_payment(invoice, amount, at))


def emit_canceled(session: Session, invoice: Invoice, at: int) -> None:
    """Emit that the payment intent of a voided invoice is canceled, if there was a payment attempt."""
    last = _last_attempt(session, invoice)
    if last is not None:
        _emit_intent(session, "payment_intent.canceled", invoice, last, "canceled", at)


def _last_attempt(session: Session, invoice: Invoice) -> PaymentAttempt | None:
    of_invoice = PaymentAttempt.customer_id == invoice.customer_id, PaymentAttempt.invoice_id == invoice.id
    latest = PaymentAttempt.created.desc(), PaymentAttempt.id.desc()
    return session.scalar(select(PaymentAttempt).where(*of_invoice).order_by(*latest).limit(1))


def _emit_intent(session: Session, kind: str, invoice: Invoice, attempt: PaymentAttempt, status: str, at: int) -> None:
    document = payments.payment_intent(invoice, attempt, status)
    emit(session, kind, invoice, at, document=document)
