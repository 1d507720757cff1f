"""Payment state of a subscription's invoices: payments in progress, payments that are due, and invoices that block a change."""

from collections.abc import Sequence

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.orm import Session

from portal_site.billing.loading.plans import Reader
from portal_site.billing.models import Invoice, PaymentAttempt, Subscription
from portal_site.billing.rules.subscriptions.plan_change import PENDING_UPDATE_LIFETIME
from portal_site.billing.rules.subscriptions.statuses import UNCONFIRMED, AttemptStatus, SubscriptionStatus


def unsettled_attempt(session: Session, customer_id: str, invoice_id: str | None) -> PaymentAttempt | None:
    """The payment attempt of an invoice whose outcome is not settled yet, if there is one."""
    query = select(PaymentAttempt).where(
        PaymentAttempt.customer_id == customer_id,
        PaymentAttempt.invoice_id == invoice_id,
        PaymentAttempt.settled_at.is_(None),
    )
    return session.scalar(query)


def attempts_of(session: Session, invoices: Sequence[Invoice]) -> dict[str, list[PaymentAttempt]]:
    """All payment attempts of these invoices, by the invoice's id."""
    query = select(PaymentAttempt).where(
        PaymentAttempt.customer_id.in_({invoice.customer_id for invoice in invoices}),
        PaymentAttempt.invoice_id.in_([invoice.id for invoice in invoices]),
    )
    found: dict[str, list[PaymentAttempt]] = {invoice.id: [] for invoice in invoices}
    for attempt in session.scalars(query):
        found[attempt.invoice_id].append(attempt)
    return found


def is_about_to_be_collected(session: Session, subscription: Subscription, at: int) -> bool:
    """Whether one of its open invoices is due for collection at `at` and has no payment attempt yet."""
    attempts = select(PaymentAttempt.id).where(
        PaymentAttempt.customer_id == subscription.customer_id, PaymentAttempt.invoice_id == Invoice.id
    )
    untried = select(Invoice.id).where(
        *_open_invoices_of(subscription),
        Invoice.attempt_count == 0,
        Invoice.next_payment_attempt <= at,
        ~attempts.exists(),
    )
    return session.scalar(untried.limit(1)) is not None


def has_unknown_payment(session: Session, subscription: Subscription) -> bool:
    """True while a payment of one of its open invoices has an unknown outcome: no answer yet, or still processing.

    A payment that awaits 3-D Secure authentication is not among them: it is known to be unpaid.
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
    """Whether a payment of one of its open invoices is processing at the bank, which takes days."""
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
    """Whether a payment of this invoice is processing at the bank. It can be neither canceled nor sped up."""
    query = select(PaymentAttempt.id).where(
        PaymentAttempt.customer_id == customer_id,
        PaymentAttempt.invoice_id == invoice_id,
        PaymentAttempt.settled_at.is_(None),
        PaymentAttempt.status == AttemptStatus.PROCESSING,
    )
    return invoice_id is not None and reader.execute(query).first() is not None


def first_payment_deadline(session: Session, subscription: Subscription) -> int:
    """When an incomplete subscription expires if its first invoice is not paid: 23 hours after its creation.

    A payment that was in progress at that time and failed later gives another 23 hours from the failure, because only then does
    the customer learn that another payment is needed.
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
    failed_at = session.scalar(failed)
    return deadline if failed_at is None else failed_at + PENDING_UPDATE_LIFETIME


def _open_invoices_of(subscription: Subscription) -> tuple[ColumnElement[bool], ...]:
    return (
        Invoice.customer_id == subscription.customer_id,
        Invoice.subscription_id == subscription.id,
        Invoice.status == "open",
    )


def blocking_invoice(subscription: Subscription) -> str | None:
    """The id of the invoice whose payment a pending update or the first period awaits."""
    if subscription.status == SubscriptionStatus.INCOMPLETE:
        return subscription.latest_invoice_id
    return subscription.pending_update.invoice_id if subscription.pending_update else None
