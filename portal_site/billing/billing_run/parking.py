"""Parking subscriptions that cannot be billed, unparking them, and counting payments without an answer."""

from sqlalchemy import ColumnElement, case, func, select

from portal_site.billing.errors import NotFound
from portal_site.billing.loading import ownership, payment_state
from portal_site.billing.models import Invoice, PaymentAttempt, Subscription
from portal_site.billing.rules.payments.payment_times import LONGEST_PROCESSING
from portal_site.billing.rules.subscriptions.statuses import AttemptStatus
from portal_site.billing.subscriptions import due_dates, subscription_items
from portal_site.db.transactions import reading, transaction

UNSCOPED = {"unscoped": "an operator looks after all merchants"}
MOST_SHOWN = 20
MOST_FAILURES = 3
RETRY = 5 * 60  # seconds until a failed renewal or collection is retried
UNRESOLVED_AFTER = 15 * 60  # seconds after which a payment without an answer is reported to the operator


def note_failure(subscription: Subscription, at: int, error: Exception) -> bool:
    """Retry the subscription in five minutes, or park it after the third failure. Returns whether it is parked now.

    A parked subscription waits for an operator.
    """
    subscription.billing_failures += 1
    subscription.billing_error = f"{type(error).__name__}: {error}"[:500]
    subscription.due_at = None if subscription.billing_failures >= MOST_FAILURES else at + RETRY
    return subscription.due_at is None


def postpone_collection(customer_id: str, invoice_id: str, at: int, error: Exception) -> None:
    """Retry the collection of an invoice in five minutes, after an unexpected error.

    The third failure parks its subscription; then the invoice is collected once that is unparked.
    """
    with transaction() as session:
        ownership.lock_customer(session, customer_id)
        invoice = ownership.get_owned(session, Invoice, customer_id, invoice_id, lock=True)
        attempt = payment_state.unsettled_attempt(session, customer_id, invoice_id)
        if attempt is not None:
            attempt.checked_at = at
        if invoice.subscription_id is not None:
            subscription = ownership.get_owned(session, Subscription, customer_id, invoice.subscription_id, lock=True)
            due_at = subscription.due_at
            subscription.due_at = None if note_failure(subscription, at, error) else due_at
        if invoice.next_payment_attempt is not None:
            invoice.next_payment_attempt = at + RETRY


def is_parked() -> ColumnElement[bool]:
    """The SQL condition for parked subscriptions, which are neither billed nor collected."""
    return Subscription.due_at.is_(None) & Subscription.billing_error.is_not(None)


def parked() -> list[tuple[str, str]]:
    """Parked subscriptions as (id, reason), at most MOST_SHOWN."""
    query = (
        select(Subscription.id, Subscription.billing_error)
        .where(is_parked())
        .order_by(Subscription.id)
        .limit(MOST_SHOWN)
    )
    with reading() as reader:
        return [(row[0], row[1] or "") for row in reader.execute(query.execution_options(**UNSCOPED))]


def count_unresolved(at: int) -> int:
    """The number of payments without an answer from their provider for 15 minutes, or two weeks if processing."""
    limit = case((PaymentAttempt.status == AttemptStatus.PROCESSING, LONGEST_PROCESSING), else_=UNRESOLVED_AFTER)
    unresolved = PaymentAttempt.settled_at.is_(None), PaymentAttempt.status != AttemptStatus.REQUIRES_ACTION
    with reading() as reader:
        query = (
            select(func.count()).select_from(PaymentAttempt).where(*unresolved, PaymentAttempt.created + limit <= at)
        )
        return reader.scalar(query, execution_options=UNSCOPED) or 0


def unpark(subscription_id: str, at: int) -> None:
    """Unpark a subscription, so that it is billed and its invoices are collected again. Raises NotFound."""
    with transaction() as session:
        query = select(Subscription.customer_id).where(Subscription.id == subscription_id)
        customer_id = session.scalar(query.execution_options(**UNSCOPED))
        if customer_id is None:
            raise NotFound("No such subscription: '%(id)s'", "resource_missing", "subscription", id=subscription_id)
        ownership.lock_customer(session, customer_id)
        subscription = ownership.get_owned(session, Subscription, customer_id, subscription_id, lock=True)
        subscription.billing_error, subscription.billing_failures = None, 0
        due_dates.recompute_due_at(session, subscription, subscription_items.load_items(session, subscription), at)
