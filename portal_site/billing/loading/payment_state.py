"""Whether an invoice of a subscription is being paid, is about to be, or blocks something else."""

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.orm import Session

from portal_site.billing.loading.plans import Reader
from portal_site.billing.models import Invoice, PaymentAttempt, Subscription
from portal_site.billing.rules.subscriptions.plan_change import PENDING_UPDATE_LIFETIME
from portal_site.billing.rules.subscriptions.statuses import UNCONFIRMED, AttemptStatus, SubscriptionStatus


def unsettled_attempt(session: Session, customer_id: str, invoice_id: str | None) -> PaymentAttempt | None:
    """The try to collect an invoice whose outcome is not settled yet, if there is one."""
    query = select(PaymentAttempt).where(
        PaymentAttempt.customer_id == customer_id,
        PaymentAttempt.invoice_id == invoice_id,
        PaymentAttempt.settled_at.is_(None),
    )
    return session.scalar(query)


def is_about_to_be_collected(session: Session, subscription: Subscription, at: int) -> bool:
    """Whether an invoice of it is to be collected at `at`, and nobody has tried yet."""
    tried = select(PaymentAttempt.id).where(
        PaymentAttempt.customer_id == subscription.customer_id, PaymentAttempt.invoice_id == Invoice.id
    )
    fresh = select(Invoice.id).where(
        *_open_invoices_of(subscription),
        Invoice.attempt_count == 0,
        Invoice.next_payment_attempt <= at,
        ~tried.exists(),
    )
    return session.scalar(fresh.limit(1)) is not None


def has_unknown_payment(session: Session, subscription: Subscription) -> bool:
    """Whether of an invoice of it nobody knows yet if it is paid: the answer is lost, or the bank takes its time.

    What waits for the customer at the bank is not paid.
    """
    unsettled = (
        select(PaymentAttempt.id)
        .join(Invoice, Invoice.id == PaymentAttempt.invoice_id)
        .where(
            *_open_invoices_of(subscription),
            PaymentAttempt.settled_at.is_(None),
            PaymentAttempt.status != AttemptStatus.REQUIRES_ACTION,
        )
    )
    return session.scalar(unsettled.limit(1)) is not None


def has_processing_payment(session: Session, subscription: Subscription) -> bool:
    """Whether the bank is carrying out a payment of an invoice of it, which takes days."""
    debits = (
        select(PaymentAttempt.id)
        .join(Invoice, Invoice.id == PaymentAttempt.invoice_id)
        .where(
            *_open_invoices_of(subscription),
            PaymentAttempt.settled_at.is_(None),
            PaymentAttempt.status == AttemptStatus.PROCESSING,
        )
    )
    return session.scalar(debits.limit(1)) is not None


def is_being_debited(reader: Reader, customer_id: str, invoice_id: str | None) -> bool:
    """Whether the bank is carrying out a payment of this invoice: it can be neither taken back nor hurried."""
    query = select(PaymentAttempt.id).where(
        PaymentAttempt.customer_id == customer_id,
        PaymentAttempt.invoice_id == invoice_id,
        PaymentAttempt.settled_at.is_(None),
        PaymentAttempt.status == AttemptStatus.PROCESSING,
    )
    return invoice_id is not None and reader.execute(query).first() is not None


def first_payment_deadline(session: Session, subscription: Subscription) -> int:
    """Until when a subscription waits for its first payment.

    A payment that was under way when the time was up, and failed later, gives as much time again: only then does the customer
    learn that another one is needed.
    """
    deadline = subscription.created + PENDING_UPDATE_LIFETIME
    failed = (
        select(func.max(PaymentAttempt.settled_at))
        .join(Invoice, Invoice.id == PaymentAttempt.invoice_id)
        .where(
            *_open_invoices_of(subscription),
            PaymentAttempt.created < deadline,
            PaymentAttempt.settled_at >= deadline,
            PaymentAttempt.decline_code != UNCONFIRMED,
        )
    )
    answered = session.scalar(failed)
    return deadline if answered is None else answered + PENDING_UPDATE_LIFETIME


def _open_invoices_of(subscription: Subscription) -> tuple[ColumnElement[bool], ...]:
    return (
        Invoice.customer_id == subscription.customer_id,
        Invoice.subscription_id == subscription.id,
        Invoice.status == "open",
    )


def blocking_invoice(subscription: Subscription) -> str | None:
    """The invoice for whose payment a change of the subscription waits, or its beginning."""
    if subscription.status == SubscriptionStatus.INCOMPLETE:
        return subscription.latest_invoice_id
    return (subscription.pending_update or {}).get("invoice")
