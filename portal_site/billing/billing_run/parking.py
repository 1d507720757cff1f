"""What a billing run gave up on, and letting it go on: subscriptions that cannot be billed, payments that cannot be made."""

from sqlalchemy import ColumnElement, case, func, select

from portal_site.billing.errors import NotFound
from portal_site.billing.loading import ownership, payment_state
from portal_site.billing.models import Invoice, PaymentAttempt, Subscription
from portal_site.billing.rules.subscriptions.payment_times import LONGEST_PROCESSING
from portal_site.billing.rules.subscriptions.statuses import AttemptStatus
from portal_site.billing.subscriptions import due_dates, subscription_items
from portal_site.db.transactions import reading, transaction

UNSCOPED = {"unscoped": "an operator looks after all merchants"}
MOST_SHOWN = 20
MOST_FAILURES = 3
RETRY = 5 * 60  # seconds
UNRESOLVED_AFTER = 15 * 60  # seconds after which a payment without an answer is a case for an operator


def note_failure(subscription: Subscription, at: int, error: Exception) -> bool:
    """Try again later, or park what failed too often: an operator has to look at it. Whether it is parked now."""
    subscription.billing_failures += 1
    subscription.billing_error = f"{type(error).__name__}: {error}"[:500]
    subscription.due_at = None if subscription.billing_failures >= MOST_FAILURES else at + RETRY
    return subscription.due_at is None


def postpone_collection(customer_id: str, invoice_id: str, at: int, error: Exception) -> None:
    """An invoice could not even be tried: it is tried again later, after three times once its subscription is unparked."""
    with transaction() as session:
        ownership.lock_customer(session, customer_id)
        invoice = ownership.get_owned(session, Invoice, customer_id, invoice_id, lock=True)
        attempt = payment_state.unsettled_attempt(session, customer_id, invoice_id)
        if attempt is not None:
            attempt.checked_at = at
        if invoice.subscription_id is not None:
            subscription = ownership.get_owned(session, Subscription, customer_id, invoice.subscription_id, lock=True)
            due = subscription.due_at
            subscription.due_at = None if note_failure(subscription, at, error) else due
        if invoice.next_payment_attempt is not None:
            invoice.next_payment_attempt = at + RETRY


def is_parked() -> ColumnElement[bool]:
    """The condition on subscriptions: an operator has to look at it, so nothing is billed and nothing collected."""
    return Subscription.due_at.is_(None) & Subscription.billing_error.is_not(None)


def parked() -> list[tuple[str, str]]:
    """Some of the parked subscriptions, each with the reason."""
    query = (
        select(Subscription.id, Subscription.billing_error)
        .where(is_parked())
        .order_by(Subscription.id)
        .limit(MOST_SHOWN)
    )
    with reading() as reader:
        return [(row[0], row[1] or "") for row in reader.execute(query.execution_options(**UNSCOPED))]


def count_unresolved(at: int) -> int:
    """How many payments have had no answer from their provider for too long."""
    patience = case((PaymentAttempt.status == AttemptStatus.PROCESSING, LONGEST_PROCESSING), else_=UNRESOLVED_AFTER)
    silent = PaymentAttempt.settled_at.is_(None), PaymentAttempt.status != AttemptStatus.REQUIRES_ACTION
    with reading() as reader:
        query = select(func.count()).select_from(PaymentAttempt).where(*silent, PaymentAttempt.created + patience <= at)
        return reader.scalar(query, execution_options=UNSCOPED) or 0


def unpark(subscription_id: str, at: int) -> None:
    """Let a parked subscription be billed again, and what is due of its invoices be collected."""
    with transaction() as session:
        query = select(Subscription.customer_id).where(Subscription.id == subscription_id)
        customer_id = session.scalar(query.execution_options(**UNSCOPED))
        if customer_id is None:
            raise NotFound("No such subscription: '%(id)s'", "resource_missing", "subscription", id=subscription_id)
        ownership.lock_customer(session, customer_id)
        subscription = ownership.get_owned(session, Subscription, customer_id, subscription_id, lock=True)
        subscription.billing_error, subscription.billing_failures = None, 0
        due_dates.recompute_due_at(session, subscription, subscription_items.load_items(session, subscription), at)
