"""The billing run: claims what is due, lets the rules decide, and writes it, hundreds of subscriptions in one transaction.

Safe to run twice, in many processes, and to be killed at any instant: what is due is in the database, a customer's rows are
locked while they are worked on, and no period of a subscription can be billed twice.
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
# A schedule with something to do: its own phases, looked up for the few that have one.
_SCHEDULE = (
    select(func.min(SubscriptionSchedule.id))
    .where(
        SubscriptionSchedule.subscription_id == Subscription.id,
        # Said once more for the index that finds them.
        SubscriptionSchedule.customer_id == Subscription.customer_id,
        SubscriptionSchedule.status == "active",
    )
    .correlate(Subscription)
    .scalar_subquery()
    .label("schedule_id")
)


@dataclass
class BatchResult:
    """What one transaction did: how many customers it took, how many subscriptions it looked at, billed, and found late.

    Late are also those whose next step waits for an invoice that was not tried yet.
    """

    claimed: int = 0
    seen: int = 0
    invoiced: int = 0
    late: int = 0
    parked: int = 0

    def __add__(self, other: "BatchResult") -> "BatchResult":
        return BatchResult(**{name: value + getattr(other, name) for name, value in vars(self).items()})


def renew_due(at: int, most: int, clock_id: str | None = None) -> BatchResult:
    """Bring up to `most` subscriptions that are due at `at` one step forward; `claimed` is 0 when none is due.

    `clock_id` takes the customers of one test clock, None those of real time. A subscription that cannot be billed is
    parked after three tries, and the others go on.
    """
    claimed: list[str] = []
    try:
        with transaction() as session:
            customers = _claim(session, at, most, clock_id)
            claimed = list(customers)
            done = _renew(session, customers, at)
    except Exception as error:
        lost = isinstance(error, DBAPIError) and (error.connection_invalidated or is_conflict(error))
        if lost or not claimed:
            raise
        done = _renew_in_halves(claimed, at)
    # Not what was seen: another worker may have finished these customers' work just before they were locked here, and more
    # is due behind them.
    done.claimed = len(claimed)
    return done


def _renew_in_halves(customer_ids: Sequence[str], at: int) -> BatchResult:
    """A batch failed: its halves on their own, down to the customer that is the reason."""
    if len(customer_ids) == 1:
        return _renew_alone(customer_ids[0], at)
    middle = len(customer_ids) // 2
    done = BatchResult()
    for half in (customer_ids[:middle], customer_ids[middle:]):
        try:
            with transaction() as session:
                done += _renew(session, _locked(session, half), at)
        except Exception:
            done += _renew_in_halves(half, at)
    return done


def _renew_alone(customer_id: str, at: int) -> BatchResult:
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
        due = Subscription.customer_id == customer_id, Subscription.due_at <= at
        for subscription in session.scalars(select(Subscription).where(*due)):
            parked += parking.note_failure(subscription, at, error)
    return BatchResult(seen=1, parked=parked)


def _claim(session: Session, at: int, most: int, clock_id: str | None) -> dict[str, Any]:
    """The customers of the subscriptions that are due first, locked; those that another worker has are passed over."""
    whose = Customer.test_clock_id.is_(None) if clock_id is None else Customer.test_clock_id == clock_id
    query = (
        select(*_CUSTOMER)
        .join(Subscription, Subscription.customer_id == Customer.id)
        .where(Subscription.due_at <= at, whose)
        .order_by(Subscription.due_at, Subscription.id)
        .limit(most)
        .with_for_update(of=Customer, skip_locked=True)
    )
    return {row.id: row for row in as_namespaces(session.execute(query, execution_options=UNSCOPED))}


def _locked(session: Session, customer_ids: Sequence[str]) -> dict[str, Any]:
    # In one order for all workers, so that two of them cannot wait for each other.
    query = select(*_CUSTOMER).where(Customer.id.in_(customer_ids)).order_by(Customer.id).with_for_update(of=Customer)
    return {row.id: row for row in as_namespaces(session.execute(query))}


def _due(session: Session, customer_ids: Iterable[str], at: int) -> list[Any]:
    """The subscriptions of these customers that are due first; what is due later comes in the next batch.

    So a customer's invoices are written in the order of their dates, even by a worker that was away: earlier ones use the balance
    and single-use coupons first, as the portal's forecast says.
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
    rows = _due(session, customers, at)
    special = [row for row in rows if transitions.may_have_transition(row)]
    unpaid = 0
    if special:
        later, unpaid = _apply_transitions(session, special, at)
        customers = _locked(session, list(customers))
        rows = [row for row in _all_of(session, [row.id for row in rows]) if row.id not in later]
    run = RenewalBatch(session, customers, rows, at)
    run.decide()
    run.write()
    seen, late = len(rows) + len(special), run.late + unpaid
    return BatchResult(seen=seen, invoiced=run.invoiced, late=late, parked=run.parked)


def _apply_transitions(session: Session, special: Iterable[Any], at: int) -> tuple[set[str], int]:
    """Take the steps that are not renewals; the ids of those that have to wait, and how many wait for a payment."""
    later, unpaid = set(), 0
    for row in special:
        customer = ownership.lock_customer(session, row.customer_id)
        due, before = row.due_at, None
        # A worker that was away finds several steps behind each other; each says when the next one is due.
        while due is not None and due != before and due <= at:
            outcome = transitions.apply_due_transitions(session, customer, row.id, at)
            unpaid += outcome == Outcome.AFTER_PAYMENT
            if outcome != Outcome.TAKEN:
                later.add(row.id)
                break
            due, before = ownership.get_owned(session, Subscription, customer.id, row.id).due_at, due
    session.flush()
    return later, unpaid


def _all_of(session: Session, ids: Sequence[str]) -> list[Any]:
    query = (
        select(*snapshots.SUBSCRIPTION_COLUMNS, _SCHEDULE)
        .where(Subscription.id.in_(ids))
        .order_by(Subscription.due_at, Subscription.id)
    )
    return as_namespaces(session.execute(query, execution_options=UNSCOPED))
