"""Batches of a billing run: claim due subscriptions, let the rules decide, and write hundreds of them in one transaction.

It can run in several processes and be killed at any time: due dates are in the database, a customer's rows are locked while they
are processed, and no period of a subscription can be billed twice.
"""

from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from portal_site.billing.billing_run import parking, transitions
from portal_site.billing.billing_run.due_subscriptions import DueSubscription
from portal_site.billing.billing_run.failures import Tally
from portal_site.billing.billing_run.renewal_batch import UNSCOPED, RenewalBatch
from portal_site.billing.billing_run.transitions import Outcome
from portal_site.billing.loading import ownership, snapshots
from portal_site.billing.models import Customer, Subscription, SubscriptionSchedule
from portal_site.db.faults import is_of_surroundings
from portal_site.db.page_query import as_namespaces
from portal_site.db.transactions import transaction

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
    Customer.other_balances,
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
_SUBSCRIPTION = (*snapshots.SUBSCRIPTION_COLUMNS, Subscription.billing_error, _SCHEDULE)


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


def renew_due(at: int, most: int, clock_id: str | None = None, tally: Tally | None = None) -> BatchResult:
    """Process up to `most` subscriptions that are due at `at`; `claimed` is 0 if none is due.

    With `clock_id`, those of the customers on that test clock, else those of customers without a test clock. `tally` is the
    run's: what failed in it before is left out. A subscription that fails to be billed is put off, and parked after the third
    failure, without affecting others. If no invoice could be written in the whole run, nothing is counted yet. Raises what
    no row is the reason of: a database that cannot be reached, or that takes no writes.
    """
    tally = Tally() if tally is None else tally
    claimed: list[str] = []
    try:
        with transaction() as session:
            customers = _claim(session, at, most, clock_id, tally)
            claimed = list(customers)
            result = _renew(session, customers, at, skip=tally.failures)
    except Exception as error:
        if not claimed or is_of_surroundings(error):
            raise
        result = _renew_in_halves(claimed, at, tally)
    tally.went_well += result.invoiced
    result.parked += parking.count_failed_renewals(tally, at) if tally.went_well else 0
    # Not `seen`: another worker may have processed all these customers just before they were locked here, while further
    # subscriptions are due.
    result.claimed = len(claimed)
    return result


def _renew_in_halves(customer_ids: Sequence[str], at: int, tally: Tally) -> BatchResult:
    """Process the halves of a failed batch on their own, down to the subscription that causes the failure."""
    if len(customer_ids) == 1:
        return _renew_one_by_one(customer_ids[0], at, tally)
    middle = len(customer_ids) // 2
    result = BatchResult()
    for half in (customer_ids[:middle], customer_ids[middle:]):
        try:
            with transaction() as session:
                result += _renew(session, _locked(session, half), at, skip=tally.failures)
        except Exception as error:
            if is_of_surroundings(error):
                raise
            result += _renew_in_halves(half, at, tally)
    return result


def _renew_one_by_one(customer_id: str, at: int, tally: Tally) -> BatchResult:
    """Process each due subscription of a customer on its own: the sisters of one that fails go on."""
    due = select(Subscription.id).where(Subscription.customer_id == customer_id, Subscription.due_at <= at)
    with transaction() as session:
        ids = session.scalars(due.order_by(Subscription.step_at, Subscription.id)).all()
    result = BatchResult()
    for subscription_id in ids:
        if subscription_id in tally.failures:
            continue
        others = [*tally.failures, *(other for other in ids if other != subscription_id)]
        try:
            with transaction() as session:
                result += _renew(session, _locked(session, [customer_id]), at, skip=others)
        except Exception as error:
            if is_of_surroundings(error):
                raise
            tally.failures[subscription_id] = customer_id, error
            result.seen += 1
    return result


def _claim(session: Session, at: int, most: int, clock_id: str | None, tally: Tally) -> dict[str, Customer]:
    """Lock and return the customers of the subscriptions that are due first, by id. Skips customers locked by other workers.

    After a batch of which nothing could be billed, it is a random sample of the others: a single cause fails all of them too,
    while a merchant's broken price, say, does not. After two such batches it is nobody.
    """
    if len(tally.failures) > most and not tally.went_well:
        return {}
    on_clock = Customer.test_clock_id.is_(None) if clock_id is None else Customer.test_clock_id == clock_id
    order = (func.random(),) if tally.failures else (Subscription.due_at, Subscription.id)
    query = (
        select(*_CUSTOMER)
        .join(Subscription, Subscription.customer_id == Customer.id)
        .where(Subscription.due_at <= at, on_clock)
        .order_by(*order)
        .limit(most)
        .with_for_update(of=Customer, skip_locked=True)
    )
    if tally.failures:
        query = query.where(Subscription.id.not_in(list(tally.failures)))
    return {row.id: row for row in as_namespaces(session.execute(query, execution_options=UNSCOPED))}


def _locked(session: Session, customer_ids: Sequence[str]) -> dict[str, Customer]:
    # Every worker locks in the same order, which avoids deadlocks.
    query = select(*_CUSTOMER).where(Customer.id.in_(customer_ids)).order_by(Customer.id).with_for_update(of=Customer)
    return {row.id: row for row in as_namespaces(session.execute(query))}


def _due(session: Session, customer_ids: Iterable[str], at: int, skip: Container[str]) -> list[DueSubscription]:
    """The due subscriptions of each customer that are not in `skip`, with the earliest date; later ones come in the next batch.

    So a customer's invoices are written in the order of their dates, even after the worker was not running: earlier ones use the
    balance and single-use coupons first, as in the portal's forecast.
    """
    query = (
        select(*_SUBSCRIPTION)
        .where(Subscription.customer_id.in_(list(customer_ids)), Subscription.due_at <= at)
        .order_by(Subscription.step_at, Subscription.id)
    )
    first: dict[str, int] = {}
    rows = [row for row in as_namespaces(session.execute(query)) if row.id not in skip]
    return [row for row in rows if row.step_at == first.setdefault(row.customer_id, row.step_at)]


def _renew(session: Session, customers: Mapping[str, Customer], at: int, skip: Container[str]) -> BatchResult:
    """Apply the due transitions of these locked customers' subscriptions, then renew those that do not have to wait."""
    rows = _due(session, customers, at, skip)
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


def _apply_transitions(session: Session, rows: Iterable[DueSubscription], at: int) -> tuple[set[str], int]:
    """Apply due transitions. Returns the ids of the subscriptions that have to wait, and how many of them wait for a payment.

    A subscription whose next step is of a later date comes in the next batch, because another one of the customer may be due
    before that, after the worker was not running.
    """
    later, unpaid = set(), 0
    for row in rows:
        customer = ownership.lock_customer(session, row.customer_id)
        outcome = transitions.apply_due_transitions(session, customer, row.id, at)
        unpaid += outcome == Outcome.AFTER_PAYMENT
        step_at = ownership.get_owned(session, Subscription, customer.id, row.id).step_at
        if outcome != Outcome.TAKEN or (step_at is not None and step_at > (row.step_at or at)):
            later.add(row.id)
    session.flush()
    return later, unpaid


def _reload(session: Session, ids: Sequence[str]) -> list[DueSubscription]:
    """The subscriptions again, in the order of the ids: one that has just ended has no date to be sorted by."""
    query = select(*_SUBSCRIPTION).where(Subscription.id.in_(ids))
    found = as_namespaces(session.execute(query, execution_options=UNSCOPED))
    place = {name: number for number, name in enumerate(ids)}
    return sorted(found, key=lambda row: place[row.id])
