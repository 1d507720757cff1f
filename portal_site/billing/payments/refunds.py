"""Refunds of payments: the refund is stored with its credit note, the provider is called outside any transaction, and its
answer is stored.

A lost answer leaves a refund that is pending; it is asked for again with the same key, so nothing is given back twice. The
credit note of a refund that fails is void.
"""

import logging
from dataclasses import dataclass
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.engine import Connection
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from portal_site.billing.errors import BillingError, GatewayUnavailable, NotFound
from portal_site.billing.events.emission import emit
from portal_site.billing.gateways import Refund as Answer
from portal_site.billing.gateways import RefundDetails, RefundRequest
from portal_site.billing.gateways.registry import Gateways
from portal_site.billing.invoicing import credit_notes
from portal_site.billing.invoicing.invoice_writer import move_balance
from portal_site.billing.loading import ownership
from portal_site.billing.models import CreditNote, Customer, Invoice, PaymentAttempt, PaymentMethod, Refund, TestClock
from portal_site.billing.payments.gateway_events import time_of
from portal_site.billing.resources import payments
from portal_site.billing.rules.payments.payment_times import HOUR
from portal_site.billing.rules.subscriptions.statuses import AttemptStatus, InvoiceStatus
from portal_site.db.transactions import reading, transaction
from portal_site.ids import new_id

log = logging.getLogger("portal.billing")
REQUESTED = "requested_by_customer"
REASONS = ("duplicate", "fraudulent", REQUESTED)  # as at Stripe
UNSCOPED = {"unscoped": "an operator names an invoice, or a billing run asks about all refunds"}
ASKED_AT_ONCE = 200
LATER = {"pending": ("pending", "succeeded", "failed"), "succeeded": ("failed",)}  # what a refund can become


@dataclass(frozen=True, slots=True)
class RefundTerms:
    """How much is given back, in minor units (None: what is left), why (one of REASONS), and words for the customer."""

    amount: int | None = None
    reason: str | None = None
    memo: str | None = None


def refund(gateways: Gateways, customer_id: str, attempt_id: str, at: int, key: str, terms: RefundTerms) -> Refund:
    """Give back a payment, or a part of it, to where it came from, with a credit note. The same key gives back once.

    Raises NotFound, and BillingError if there is less to give back. A refund whose outcome is not known yet is `pending`.
    """
    with transaction() as session:
        lock_customer(session, customer_id)
        attempt = ownership.get_owned(session, PaymentAttempt, customer_id, attempt_id, lock=True)
        known = Refund.customer_id == customer_id, Refund.idempotency_key == key
        row = session.scalar(select(Refund).where(*known)) or _create(session, attempt, at, key, terms)
    return ask(gateways, customer_id, row.id, at) if row.status == "pending" else row


def credit_balance(customer_id: str, invoice_id: str, at: int, key: str, terms: RefundTerms) -> CreditNote:
    """Give back what was paid of an invoice to the customer's balance, with a credit note. The same key gives back once.

    Raises NotFound, and BillingError if there is less to give back, or the customer was deleted.
    """
    with transaction() as session:
        customer = lock_customer(session, customer_id)
        known = CreditNote.customer_id == customer_id, CreditNote.idempotency_key == key
        if (note := session.scalar(select(CreditNote).where(*known))) is not None:
            return note
        if customer.deleted_at is not None:
            raise BillingError("A customer who was deleted has no balance.", "resource_missing", "customer")
        invoice = ownership.get_owned(session, Invoice, customer_id, invoice_id, lock=True)
        amount = _checked(terms, creditable(invoice))
        note = credit_notes.write_for_payment(session, invoice, amount, at, key, **_words(terms))
        move_balance(session, customer, invoice, -amount, "credit_note", at)
        emit(session, "invoice.updated", invoice, at)
        return note


@dataclass(frozen=True, slots=True)
class Refundable:
    """What can be given back of an invoice, in minor units: of its last payment (its id, if there is one), or to the balance."""

    attempt_id: str | None
    of_payment: int
    to_balance: int


def refundable(customer_id: str, invoice_id: str) -> Refundable:
    """What can be given back of a customer's invoice. Nothing is locked; `refund` and `credit_balance` decide."""
    owned = Invoice.customer_id == customer_id, Invoice.id == invoice_id
    paid = PaymentAttempt.customer_id == customer_id, PaymentAttempt.invoice_id == invoice_id
    newest = (
        select(PaymentAttempt.__table__)
        .where(*paid, PaymentAttempt.status == AttemptStatus.SUCCEEDED)
        .order_by(PaymentAttempt.created.desc(), PaymentAttempt.id.desc())
        .limit(1)
    )
    with reading() as reader:
        invoice = reader.execute(select(Invoice.__table__).where(*owned)).first()
        attempt = reader.execute(newest).first()
        if invoice is None:
            raise NotFound("No such invoice: '%(id)s'", "resource_missing", "invoice", id=invoice_id)
        most = min(attempt.amount - _given_back(reader, attempt), _paid(invoice)) if attempt is not None else 0
    return Refundable(None if attempt is None else attempt.id, max(0, most), creditable(invoice))


def creditable(invoice: Any) -> int:
    """What of a paid invoice's total was not given back yet, in minor units: credit notes can be about that.

    Here and below it is an entity, or any row with its columns.
    """
    if invoice.status != InvoiceStatus.PAID:
        return 0
    charged: int = invoice.total - invoice.pre_payment_credit_notes_amount
    return max(0, charged - _returned(invoice))


def _paid(invoice: Any) -> int:
    """What was paid of an invoice, by its payments and with credit, and not given back yet. It can be for earlier debts, too."""
    used: int = min(0, invoice.ending_balance or 0) - min(0, invoice.starting_balance)
    charged: int = invoice.amount_paid
    return max(0, charged + max(0, used) - _returned(invoice))


def _returned(invoice: Any) -> int:
    """What was given back after the payment, or taken back by a bank."""
    besides: int = invoice.amount_refunded - invoice.refunds_credited + invoice.amount_disputed
    noted: int = invoice.post_payment_credit_notes_amount
    return noted + besides


def ask(gateways: Gateways, customer_id: str, refund_id: str, at: int) -> Refund:
    """Ask the provider for a refund, which makes it if it does not know it yet, and store the answer."""
    with transaction() as session:
        row = ownership.get_owned(session, Refund, customer_id, refund_id)
        attempt = ownership.get_owned(session, PaymentAttempt, customer_id, row.payment_attempt_id)
        invoice = ownership.get_owned(session, Invoice, customer_id, row.invoice_id)
        method = ownership.get_owned(session, PaymentMethod, customer_id, attempt.payment_method_id)
    gateway = gateways.for_method(method)
    answer: Answer | None = None
    try:
        if gateway is not None:
            reference = attempt.gateway_reference or ""
            given = reference, row.amount, row.id, row.created, row.gateway_reference
            request = RefundRequest(*given, is_on_behalf=invoice.on_behalf_of is not None)
            answer = gateway.refund(request, at)
    except GatewayUnavailable:
        pass
    except SQLAlchemyError:  # the sandbox keeps its refunds in the portal's database
        raise
    except BillingError as error:  # it does not know the charge, or takes no refund of it
        log.error("a payment provider refuses: %s", error)
        answer = Answer("failed", row.id) if row.status == "pending" else None
    except Exception:
        log.exception("a payment provider failed")
    return _record(customer_id, refund_id, answer, at)


def record_outside(gateways: Gateways, account_id: str, details: RefundDetails, real: int) -> Refund | None:
    """Store a refund that was made at the provider, with its credit note; None if it is of no payment of the account's.

    One of ours whose answer was lost is asked for instead. A further call changes nothing.
    """
    with transaction() as session:
        own = select(Refund).where(Refund.account_id == account_id, Refund.id == (details.refund_id or ""))
        row = session.scalar(own)
        if row is None:
            row = _outside(session, account_id, details, real)
        if row is None:
            return None
        at = time_of(session, row.customer_id, real)
    return ask(gateways, row.customer_id, row.id, at) if row.status == "pending" else row


def _outside(session: Session, account_id: str, details: RefundDetails, real: int) -> Refund | None:
    mine = PaymentAttempt.account_id == account_id, PaymentAttempt.id == (details.attempt_id or "")
    attempt = session.scalar(select(PaymentAttempt).where(*mine))
    if attempt is None:
        return None
    lock_customer(session, attempt.customer_id)
    known = Refund.customer_id == attempt.customer_id, Refund.idempotency_key == details.reference
    row = session.scalar(select(Refund).where(*known))
    if row is None and details.status != "failed":
        reason = details.reason if details.reason in REASONS else None
        at = time_of(session, attempt.customer_id, real)
        row = _write(session, attempt, at, details.reference, RefundTerms(details.amount, reason), details.amount)
        row.gateway_reference = details.reference
    return row


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


def payer_of(invoice_id: str, real: int) -> tuple[str, int]:
    """The customer of an invoice, and the customer's time. Raises NotFound."""
    query = (
        select(Invoice.customer_id, TestClock.frozen_time)
        .join(Customer, Customer.id == Invoice.customer_id)
        .outerjoin(TestClock, TestClock.id == Customer.test_clock_id)
        .where(Invoice.id == invoice_id)
    )
    with reading() as reader:
        row = reader.execute(query.execution_options(**UNSCOPED)).first()
    if row is None:
        raise NotFound("No such invoice: '%(id)s'", "resource_missing", "invoice", id=invoice_id)
    return row[0], real if row[1] is None else row[1]


def lock_customer(session: Session, customer_id: str) -> Customer:
    """Lock the customer, even if it is deleted: what it paid may still be given back."""
    return session.scalars(select(Customer).where(Customer.id == customer_id).with_for_update()).one()


def _given_back(reader: Session | Connection, attempt: Any) -> int:
    """What was given back of a payment, or is about to be."""
    valid = (
        Refund.customer_id == attempt.customer_id,
        Refund.payment_attempt_id == attempt.id,
        Refund.status != "failed",
    )
    return int(reader.scalar(select(func.coalesce(func.sum(Refund.amount), 0)).where(*valid)) or 0)


def _create(session: Session, attempt: PaymentAttempt, at: int, key: str, terms: RefundTerms) -> Refund:
    invoice = ownership.get_owned(session, Invoice, attempt.customer_id, attempt.invoice_id, lock=True)
    left = attempt.amount - _given_back(session, attempt) if attempt.status == AttemptStatus.SUCCEEDED else 0
    return _write(session, attempt, at, key, terms, _checked(terms, min(left, _paid(invoice))))


def _write(session: Session, attempt: PaymentAttempt, at: int, key: str, terms: RefundTerms, amount: int) -> Refund:
    """The refund that is to be made, with its credit note, as far as the invoice has something left to credit."""
    invoice = ownership.get_owned(session, Invoice, attempt.customer_id, attempt.invoice_id, lock=True)
    credited = min(amount, creditable(invoice))
    row = Refund(
        id=new_id("re"), account_id=attempt.account_id, customer_id=attempt.customer_id, invoice_id=attempt.invoice_id,
        payment_attempt_id=attempt.id, livemode=attempt.livemode, created=at, amount=amount,
        currency=attempt.currency, reason=terms.reason, status="pending", idempotency_key=key,
    )  # fmt: skip
    session.add(row)
    invoice.amount_refunded += amount
    session.flush()
    emit(session, "refund.created", row, at)
    if credited:
        credit_notes.write_for_payment(session, invoice, credited, at, row.id, refund_id=row.id, **_words(terms))
    emit(session, "invoice.updated", invoice, at)
    return row


def _checked(terms: RefundTerms, left: int) -> int:
    """The amount of these terms, of which `left` is left. Raises BillingError."""
    if left <= 0:
        raise BillingError("Nothing is left of this payment to refund.", "charge_already_refunded", "charge")
    if not 0 < (left if terms.amount is None else terms.amount) <= left:
        raise BillingError("At most %(left)s minor units can be refunded.", "amount_too_large", "amount", left=left)
    if terms.reason is not None and terms.reason not in REASONS:
        raise BillingError("No such reason: '%(reason)s'", "parameter_invalid", "reason", reason=terms.reason)
    return left if terms.amount is None else terms.amount


def _words(terms: RefundTerms) -> dict[str, str | None]:
    """What the credit note says. A refund's reasons are also a credit note's, but for the customer's request."""
    return {"reason": terms.reason if terms.reason != REQUESTED else None, "memo": terms.memo or None}


def _take_back(session: Session, row: Refund, at: int) -> None:
    """A refund failed: the invoice was not refunded, and the credit note is void."""
    invoice = ownership.get_owned(session, Invoice, row.customer_id, row.invoice_id, lock=True)
    invoice.amount_refunded -= row.amount
    of_refund = CreditNote.customer_id == row.customer_id, CreditNote.refund_id == row.id
    if (note := session.scalar(select(CreditNote).where(*of_refund))) is not None:
        credit_notes.void(session, invoice, note, at)
    session.flush()
    emit(session, "invoice.updated", invoice, at)


def _record(customer_id: str, refund_id: str, answer: Answer | None, at: int) -> Refund:
    """Store an answer; None: the provider did not give one.

    What has failed stays so. What has succeeded can still fail, days later, when the customer's bank sends the money back.
    """
    with transaction() as session:
        lock_customer(session, customer_id)
        row = ownership.get_owned(session, Refund, customer_id, refund_id, lock=True)
        before = row.status
        if before == "pending":
            row.checked_at = at
        if answer is None or answer.status not in LATER.get(before, ()):
            return row
        row.gateway_reference, row.status = answer.reference, answer.status
        session.flush()
        if answer.status == "pending":
            return row
        attempt = ownership.get_owned(session, PaymentAttempt, customer_id, row.payment_attempt_id)
        if answer.status == "failed":
            _take_back(session, row, at)
            emit(session, "refund.failed", row, at)
        else:
            charge = payments.charge(attempt, _given_back(session, attempt))
            emit(session, "charge.refunded", attempt, at, document=charge)
        emit(session, "refund.updated", row, at, previous={"status": before})
    return row
