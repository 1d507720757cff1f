"""Parking subscriptions that cannot be billed, unparking them, and counting payments without an answer."""

import logging

from sqlalchemy import ColumnElement, case, func, select
from sqlalchemy.orm import Session

from portal_site.billing.billing_run.failures import Tally
from portal_site.billing.billing_run.renewal_batch import TOO_FAR_BEHIND
from portal_site.billing.errors import NotFound
from portal_site.billing.loading import ownership, payment_state
from portal_site.billing.models import Invoice, PaymentAttempt, Subscription
from portal_site.billing.rules.payments.payment_times import LONGEST_PROCESSING
from portal_site.billing.rules.subscriptions.statuses import AttemptStatus
from portal_site.billing.subscriptions import due_dates, subscription_items
from portal_site.db.faults import described, is_of_surroundings
from portal_site.db.transactions import reading, transaction

UNSCOPED = {"unscoped": "an operator looks after all merchants"}
MOST_SHOWN = 20
log = logging.getLogger("portal.billing")
MOST_FAILURES = 3
RETRY = 5 * 60  # seconds until a failed renewal or collection is retried
UNRESOLVED_AFTER = 15 * 60  # seconds after which a payment without an answer is reported to the operator


def count_failed_renewals(tally: Tally, at: int) -> int:
    """Count the failures of a run in which others were billed. Returns how many subscriptions are parked now."""
    return sum(_count(tally, name, at, certain=True) for name in list(tally.failures))


def count_repeated_renewals(tally: Tally, at: int) -> int:
    """Count what failed alone, where the same error was counted before beside others that went well: it is still its own."""
    return sum(_count(tally, name, at, certain=False) for name in list(tally.failures))


def _count(tally: Tally, subscription_id: str, at: int, *, certain: bool) -> bool:
    """Try the subscription again in five minutes, or park it after the third failure. Returns whether it is parked now."""
    customer_id, error = tally.failures[subscription_id]
    with transaction() as session:
        subscription = ownership.get_owned(session, Subscription, customer_id, subscription_id, lock=True)
        if not (certain or _is_known(subscription, error)):
            return False
        del tally.failures[subscription_id]
        if subscription.due_at is None or subscription.due_at > at:
            return False  # another worker has processed it
        parked = _note_failure(subscription, error)
        due_dates.put_off(subscription, None if parked else at + RETRY)
        return parked


def _is_known(subscription: Subscription | None, error: Exception) -> bool:
    return (
        subscription is not None
        and bool(subscription.billing_failures)
        and subscription.billing_error == described(error)
    )


def _note_failure(subscription: Subscription, error: Exception) -> bool:
    """Count a failure. Returns whether it is the third: then the subscription is parked, and waits for an operator."""
    subscription.billing_failures += 1
    subscription.billing_error = described(error)
    return subscription.billing_failures >= MOST_FAILURES


def count_failed_collections(tally: Tally, at: int) -> None:
    """Try the collection of these invoices again in five minutes. The third failure of one parks its subscription.

    Then it is collected once that is unparked. Left out are those of a run in which no invoice was collected, unless the same
    error was counted before.
    """
    for invoice_id, (customer_id, error) in list(tally.failures.items()):
        with transaction() as session:
            ownership.lock_customer(session, customer_id)
            invoice = ownership.get_owned(session, Invoice, customer_id, invoice_id, lock=True)
            name = invoice.subscription_id
            subscription = ownership.get_owned(session, Subscription, customer_id, name, lock=True) if name else None
            if tally.went_well or _is_known(subscription, error):
                del tally.failures[invoice_id]
                _put_off_collection(session, invoice, subscription, error, at)


def _put_off_collection(
    session: Session, invoice: Invoice, subscription: Subscription | None, error: Exception, at: int
) -> None:
    attempt = payment_state.unsettled_attempt(session, invoice.customer_id, invoice.id)
    if attempt is not None:
        attempt.checked_at = at
    if subscription is not None and _note_failure(subscription, error):
        due_dates.put_off(subscription, None)
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


def count_parked() -> int:
    """How many subscriptions are parked."""
    with reading() as reader:
        query = select(func.count()).select_from(Subscription).where(is_parked())
        return reader.scalar(query.execution_options(**UNSCOPED)) or 0


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
        if (
            subscription.billing_error != TOO_FAR_BEHIND
        ):  # by which the next run knows that all its periods may be billed
            subscription.billing_error = None
        subscription.billing_failures, subscription.billed_elsewhere = 0, False
        due_dates.recompute_due_at(session, subscription, subscription_items.load_items(session, subscription), at)


def unpark_all(at: int, cause: str | None = None) -> int:
    """Unpark all subscriptions, or those whose error contains `cause`. Returns how many.

    One that cannot be unparked, because its row is broken, stays as it is.
    """
    unparked, last = 0, ""
    while True:
        query = select(Subscription.id).where(is_parked(), Subscription.id > last).order_by(Subscription.id).limit(500)
        if cause is not None:
            query = query.where(Subscription.billing_error.contains(cause, autoescape=True))
        with reading() as reader:
            ids = list(reader.scalars(query.execution_options(**UNSCOPED)))
        if not ids:
            return unparked
        for last in ids:
            try:
                unpark(last, at)
            except Exception as error:
                if is_of_surroundings(error):
                    raise
                log.exception("%s stays parked", last)
            else:
                unparked += 1
