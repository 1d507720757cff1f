"""Batches of a billing run: claim due subscriptions, let the rules decide, and write hundreds of them in one transaction.

It can run in several processes and be killed at any time: due dates are in the database, a customer's rows are locked while they
are processed, and no period of a subscription can be billed twice.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from portal_site.billing.billing_run import parking, transitions
from portal_site.billing.billing_run.renewal_batch import UNSCOPED, RenewalBatch
from portal_site.billing.billing_run.transitions import Outcome
from portal_site.billing.loading import ownership, snapshots
from portal_site.billing.models import Customer, Subscription, SubscriptionSchedule
from portal_site.db.page_query import as_namespaces
from portal_site.db.transactions import is_conflict, transaction

_CUSTOMER = (
    Customer.id,
    Customer.account_id,
    Customer.livemode,
    Customer.name,
    Customer.email,
    Customer.phone,
    Customer.address,
    Customer.shipping,
    Customer.balance,
    Customer.currency,
    Customer.tax_exempt,
    Customer.invoice_prefix,
    Customer.next_invoice_sequence,
)
# The id of an active schedule. Phases are only loaded for the few subscriptions that have one.
_SCHEDULE = (
    select(func.min(SubscriptionSchedule.id))
    .where(
        SubscriptionSchedule.subscription_id == Subscription.id,
        # Redundant, but lets the query use the index (customer_id, status).
        SubscriptionSchedule.customer_id == Subscription.customer_id,
        SubscriptionSchedule.status == "active",
    )
    .correlate(Subscription)
    .scalar_subquery()
    .label("schedule_id")
)


@dataclass
class BatchResult:
    """Counts of one transaction: customers `claimed`; subscriptions `seen`, `invoiced`, billed `late` and `parked`.

    Late is a renewal more than a day after its date. `late` also counts the subscriptions whose next transition has to wait for
    the collection of an invoice that has no payment attempt yet.
    """

    claimed: int = 0
    seen: int = 0
    invoiced: int = 0
    late: int = 0
    parked: int = 0

    def __add__(self, other: "BatchResult") -> "BatchResult":
        return BatchResult(**{name: value + getattr(other, name) for name, value in vars(self).items()})


def renew_due(at: int, most: int, clock_id: str | None = None) -> BatchResult:
    """Process up to `most` subscriptions that are due at `at`; `claimed` is 0 if none is due.

    With `clock_id`, those of the customers on that test clock, else those of customers without a test clock. A subscription
    that fails to be billed is parked after the third failure, without affecting others.
    """
    claimed: list[str] = []
    try:
        with transaction() as session:
            customers = _claim(session, at, most, clock_id)
            claimed = list(customers)
            result = _renew(session, customers, at)
    except Exception as error:
        is_transient = isinstance(error, DBAPIError) and (error.connection_invalidated or is_conflict(error))
        if is_transient or not claimed:
            raise
        result = _renew_in_halves(claimed, at)
    # Not `seen`: another worker may have processed all these customers just before they were locked here, while further
    # subscriptions are due.
    result.claimed = len(claimed)
    return result


def _renew_in_halves(customer_ids: Sequence[str], at: int) -> BatchResult:
    """Process the halves of a failed batch on their own, down to the customer that causes the failure."""
    if len(customer_ids) == 1:
        return _renew_customer(customer_ids[0], at)
    middle = len(customer_ids) // 2
    result = BatchResult()
    for half in (customer_ids[:middle], customer_ids[middle:]):
        try:
            with transaction() as session:
                result += _renew(session, _locked(session, half), at)
        except Exception:
            result += _renew_in_halves(half, at)
    return result


def _renew_customer(customer_id: str, at: int) -> BatchResult:
    try:
        with transaction() as session:
            return _renew(session, _locked(session, [customer_id]), at)
    except Exception as error:
        if isinstance(error, DBAPIError) and is_conflict(error):
            raise
        return _note_failure(customer_id, at, error)


def _note_failure(customer_id: str, at: int, error: Exception) -> BatchResult:
    parked = 0
    with transaction() as session:
        is_due = Subscription.customer_id == customer_id, Subscription.due_at <= at
        for subscription in session.scalars(select(Subscription).where(*is_due)):
            parked += parking.note_failure(subscription, at, error)
    return BatchResult(seen=1, parked=parked)


def _claim(session: Session, at: int, most: int, clock_id: str | None) -> dict[str, Any]:
    """Lock and return the customers of the subscriptions that are due first, by id. Skips customers locked by other workers."""
    on_clock = Customer.test_clock_id.is_(None) if clock_id is None else Customer.test_clock_id == clock_id
    query = (
        select(*_CUSTOMER)
        .join(Subscription, Subscription.customer_id == Customer.id)
        .where(Subscription.due_at <= at, on_clock)
        .order_by(Subscription.due_at, Subscription.id)
        .limit(most)
        .with_for_update(of=Customer, skip_locked=True)
    )
    return {row.id: row for row in as_namespaces(session.execute(query, execution_options=UNSCOPED))}


def _locked(session: Session, customer_ids: Sequence[str]) -> dict[str, Any]:
    # Every worker locks in the same order, which avoids deadlocks.
    query = select(*_CUSTOMER).where(Customer.id.in_(customer_ids)).order_by(Customer.id).with_for_update(of=Customer)
    return {row.id: row for row in as_namespaces(session.execute(query))}


def _due(session: Session, customer_ids: Iterable[str], at: int) -> list[Any]:
    """The subscriptions of each customer with its earliest due date; those due later come in the next batch.

    So a customer's invoices are written in the order of their dates, even after the worker was not running: earlier ones use the
    balance and single-use coupons first, as in the portal's forecast.
    """
    query = (
        select(*snapshots.SUBSCRIPTION_COLUMNS, _SCHEDULE)
        .where(Subscription.customer_id.in_(list(customer_ids)), Subscription.due_at <= at)
        .order_by(Subscription.due_at, Subscription.id)
    )
    first: dict[str, int] = {}
    rows = as_namespaces(session.execute(query))
    return [row for row in rows if row.due_at == first.setdefault(row.customer_id, row.due_at)]


def _renew(session: Session, customers: Mapping[str, Any], at: int) -> BatchResult:
    """Apply the due transitions of these locked customers' subscriptions, then renew those that do not have to wait."""
    rows = _due(session, customers, at)
    with_transitions = [row for row in rows if transitions.may_have_transition(row)]
    unpaid = 0
    if with_transitions:
        later, unpaid = _apply_transitions(session, with_transitions, at)
        customers = _locked(session, list(customers))
        rows = [row for row in _reload(session, [row.id for row in rows]) if row.id not in later]
    batch = RenewalBatch(session, customers, rows, at)
    batch.decide()
    batch.write()
    seen, late = len(rows) + len(with_transitions), batch.late + unpaid
    return BatchResult(seen=seen, invoiced=batch.invoiced, late=late, parked=batch.parked)


def _apply_transitions(session: Session, rows: Iterable[Any], at: int) -> tuple[set[str], int]:
    """Apply due transitions. Returns the ids of the subscriptions that have to wait, and how many of them wait for a payment."""
    later, unpaid = set(), 0
    for row in rows:
        customer = ownership.lock_customer(session, row.customer_id)
        due, before = row.due_at, None
        # After the worker was not running, several transitions may be due; each sets the due date of the next.
        while due is not None and due != before and due <= at:
            outcome = transitions.apply_due_transitions(session, customer, row.id, at)
            unpaid += outcome == Outcome.AFTER_PAYMENT
            if outcome != Outcome.TAKEN:
                later.add(row.id)
                break
            due, before = ownership.get_owned(session, Subscription, customer.id, row.id).due_at, due
    session.flush()
    return later, unpaid


def _reload(session: Session, ids: Sequence[str]) -> list[Any]:
    query = (
        select(*snapshots.SUBSCRIPTION_COLUMNS, _SCHEDULE)
        .where(Subscription.id.in_(ids))
        .order_by(Subscription.due_at, Subscription.id)
    )
    return as_namespaces(session.execute(query, execution_options=UNSCOPED))
