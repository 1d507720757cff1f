"""Refunds of payments: the refund is stored, the provider is called outside any transaction, and its answer is stored.

A lost answer leaves a refund that is pending; it is asked for again with the same key, so nothing is given back twice.
"""

import logging

from sqlalchemy import func, select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from portal_site.billing.errors import BillingError, GatewayUnavailable, NotFound
from portal_site.billing.events.emission import emit
from portal_site.billing.gateways import Refund as Answer
from portal_site.billing.gateways import RefundRequest
from portal_site.billing.gateways.registry import Gateways
from portal_site.billing.loading import ownership
from portal_site.billing.models import Customer, Invoice, PaymentAttempt, PaymentMethod, Refund, TestClock
from portal_site.billing.resources import payments
from portal_site.billing.rules.payments.payment_times import HOUR
from portal_site.billing.rules.subscriptions.statuses import AttemptStatus
from portal_site.db.transactions import reading, transaction
from portal_site.ids import new_id

log = logging.getLogger("portal.billing")
REASONS = ("duplicate", "fraudulent", "requested_by_customer")  # as at Stripe
UNSCOPED = {"unscoped": "an operator names an invoice, or a billing run asks about all refunds"}
ASKED_AT_ONCE = 200


def refund(
    gateways: Gateways,
    customer_id: str,
    attempt_id: str,
    at: int,
    key: str,
    amount: int | None = None,
    reason: str | None = None,
) -> Refund:
    """Give back `amount` minor units of a payment (None: what is left of it). The same key gives back once.

    Raises NotFound, and BillingError if there is less to give back. A refund whose outcome is not known yet is `pending`.
    """
    with transaction() as session:
        _lock_customer(session, customer_id)
        attempt = ownership.get_owned(session, PaymentAttempt, customer_id, attempt_id, lock=True)
        known = Refund.customer_id == customer_id, Refund.idempotency_key == key
        row = session.scalar(select(Refund).where(*known)) or _create(session, attempt, at, key, amount, reason)
    return ask(gateways, customer_id, row.id, at) if row.status == "pending" else row


def ask(gateways: Gateways, customer_id: str, refund_id: str, at: int) -> Refund:
    """Ask the provider for a pending refund, which makes it if it does not know it yet, and store the answer."""
    with transaction() as session:
        row = ownership.get_owned(session, Refund, customer_id, refund_id)
        attempt = ownership.get_owned(session, PaymentAttempt, customer_id, row.payment_attempt_id)
        method = ownership.get_owned(session, PaymentMethod, customer_id, attempt.payment_method_id)
    gateway = gateways.for_method(method)
    answer: Answer | None = None
    try:
        if gateway is not None:
            reference = attempt.gateway_reference or ""
            request = RefundRequest(reference, row.amount, row.id, row.created, row.gateway_reference)
            answer = gateway.refund(request, at)
    except GatewayUnavailable:
        pass
    except SQLAlchemyError:  # the sandbox keeps its refunds in the portal's database
        raise
    except BillingError as error:  # it does not know the charge, or takes no refund of it
        log.error("a payment provider refuses: %s", error)
        answer = Answer("failed", row.id)
    except Exception:
        log.exception("a payment provider failed")
    return _record(customer_id, refund_id, answer, at)


def pending(at: int, clock_id: str | None) -> list[tuple[str, str]]:
    """The refunds that a provider is to be asked about, as (customer id, refund id), at most once an hour each."""
    on_clock = Customer.test_clock_id.is_(None) if clock_id is None else Customer.test_clock_id == clock_id
    query = (
        select(Refund.customer_id, Refund.id)
        .join(Customer, Customer.id == Refund.customer_id)
        .where(Refund.status == "pending", func.coalesce(Refund.checked_at, Refund.created) <= at - HOUR, on_clock)
        .order_by(Refund.created, Refund.id)
        .limit(ASKED_AT_ONCE)
    )
    with reading() as reader:
        return [(row[0], row[1]) for row in reader.execute(query.execution_options(**UNSCOPED))]


def payment_of(invoice_id: str, real: int) -> tuple[str, str, int]:
    """The last payment of an invoice, as customer id and attempt id, and the customer's time. Raises NotFound."""
    query = (
        select(PaymentAttempt.customer_id, PaymentAttempt.id, TestClock.frozen_time)
        .join(Customer, Customer.id == PaymentAttempt.customer_id)
        .outerjoin(TestClock, TestClock.id == Customer.test_clock_id)
        .where(PaymentAttempt.invoice_id == invoice_id, PaymentAttempt.status == AttemptStatus.SUCCEEDED)
        .order_by(PaymentAttempt.created.desc(), PaymentAttempt.id.desc())
        .limit(1)
    )
    with reading() as reader:
        row = reader.execute(query.execution_options(**UNSCOPED)).first()
    if row is None:
        raise NotFound("Nothing was paid here of the invoice '%(id)s'.", "resource_missing", "invoice", id=invoice_id)
    return row[0], row[1], real if row[2] is None else row[2]


def _lock_customer(session: Session, customer_id: str) -> None:
    """Lock the customer, even if it is deleted: what it paid may still be given back."""
    session.execute(select(Customer.id).where(Customer.id == customer_id).with_for_update())


def _given_back(session: Session, attempt: PaymentAttempt) -> int:
    """What was given back of a payment, or is about to be."""
    valid = (
        Refund.customer_id == attempt.customer_id,
        Refund.payment_attempt_id == attempt.id,
        Refund.status != "failed",
    )
    return int(session.scalar(select(func.coalesce(func.sum(Refund.amount), 0)).where(*valid)) or 0)


def _create(
    session: Session, attempt: PaymentAttempt, at: int, key: str, amount: int | None, reason: str | None
) -> Refund:
    left = attempt.amount - _given_back(session, attempt) if attempt.status == AttemptStatus.SUCCEEDED else 0
    if left <= 0:
        raise BillingError("Nothing is left of this payment to refund.", "charge_already_refunded", "charge")
    if not 0 < (left if amount is None else amount) <= left:
        raise BillingError("At most %(left)s minor units can be refunded.", "amount_too_large", "amount", left=left)
    if reason is not None and reason not in REASONS:
        raise BillingError("No such reason: '%(reason)s'", "parameter_invalid", "reason", reason=reason)
    row = Refund(
        id=new_id("re"), account_id=attempt.account_id, customer_id=attempt.customer_id, invoice_id=attempt.invoice_id,
        payment_attempt_id=attempt.id, livemode=attempt.livemode, created=at, amount=left if amount is None else amount,
        currency=attempt.currency, reason=reason, status="pending", idempotency_key=key,
    )  # fmt: skip
    session.add(row)
    _add_to_invoice(session, row, row.amount)
    emit(session, "refund.created", row, at)
    return row


def _add_to_invoice(session: Session, row: Refund, amount: int) -> None:
    invoice = ownership.get_owned(session, Invoice, row.customer_id, row.invoice_id, lock=True)
    invoice.amount_refunded += amount
    session.flush()


def _record(customer_id: str, refund_id: str, answer: Answer | None, at: int) -> Refund:
    """Store an answer; None: the provider did not give one. What is settled already stays as it is."""
    with transaction() as session:
        _lock_customer(session, customer_id)
        row = ownership.get_owned(session, Refund, customer_id, refund_id, lock=True)
        if row.status != "pending":
            return row
        row.checked_at = at
        if answer is None:
            return row
        row.gateway_reference, row.status = answer.reference, answer.status
        session.flush()
        if answer.status == "pending":
            return row
        attempt = ownership.get_owned(session, PaymentAttempt, customer_id, row.payment_attempt_id)
        if answer.status == "failed":
            _add_to_invoice(session, row, -row.amount)
            emit(session, "refund.failed", row, at)
        else:
            charge = payments.charge(attempt, _given_back(session, attempt))
            emit(session, "charge.refunded", attempt, at, document=charge)
        emit(session, "refund.updated", row, at, previous={"status": "pending"})
    return row
