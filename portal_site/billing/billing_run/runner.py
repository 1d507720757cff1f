"""Everything that time brings about, up to an instant: renewals and ends, payments to settle, invoices to collect.

It is called again and again by workers, and by test clocks for the customers that live by them.
"""

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial

from sqlalchemy import ColumnElement, and_, case, func, select
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from portal_site.billing.billing_run import batches, parking
from portal_site.billing.billing_run.batches import BatchResult
from portal_site.billing.billing_run.renewal_batch import UNSCOPED
from portal_site.billing.errors import BillingError
from portal_site.billing.gateways.registry import Gateways
from portal_site.billing.models import Customer, Invoice, PaymentAttempt, Subscription
from portal_site.billing.payments import collection
from portal_site.billing.rules.subscriptions import payment_times
from portal_site.billing.rules.subscriptions.statuses import AttemptStatus, InvoiceStatus, SubscriptionStatus
from portal_site.db import db
from portal_site.db.transactions import is_conflict, reading, retry_on_conflict

BATCH = {"sqlite": 350, "postgresql": 500}  # a batch holds SQLite's one write lock for about a tenth of a second
COLLECTED_AT_ONCE = 200
Address = Callable[[str], str]
Payment = Callable[[Gateways, str, str, int, str], object]
_NOT_PARKED = ~parking.is_parked() | Subscription.id.is_(None)
# Of a try that is not settled yet the gateway is asked, not charged again.
_NOT_BEING_PAID = ~(
    select(PaymentAttempt.id)
    .where(PaymentAttempt.invoice_id == Invoice.id, PaymentAttempt.settled_at.is_(None))
    .correlate(Invoice)
    .exists()
)
_ASKED_NEXT = func.coalesce(PaymentAttempt.checked_at, PaymentAttempt.created) + case(
    (PaymentAttempt.status == AttemptStatus.REQUIRES_ACTION, payment_times.ASK_ABOUT_CONFIRMATION),
    (
        # One that was never asked about was written by a portal of before, which meant a lost answer by it.
        and_(PaymentAttempt.status == AttemptStatus.PROCESSING, PaymentAttempt.checked_at.is_not(None)),
        payment_times.ASK_ABOUT_PROCESSING,
    ),
    else_=payment_times.ASK_ABOUT_LOST_ANSWER,
)
# The customer is not there to be asked anything.
_collect_payment = partial(collection.collect, off_session=True)
_resolve_payment = partial(collection.resolve_payment, off_session=True)
log = logging.getLogger("portal.billing")


@dataclass
class RunReport:
    """What a run did."""

    batch: BatchResult = field(default_factory=BatchResult)
    settled: int = 0
    collected: int = 0
    failed: int = 0

    @property
    def did_something(self) -> bool:
        """Whether there was anything to do."""
        return bool(self.batch.seen or self.settled or self.collected)


def run(
    gateways: Gateways,
    at: int,
    return_url: Address,
    clock_id: str | None = None,
    beat: Callable[[RunReport], None] = lambda report: None,
) -> RunReport:
    """Do all that is due at `at`; `beat` is called after each batch, so that a long run shows that it is alive.

    `return_url` makes the address to which a bank sends the customer of an invoice back.
    """
    report = RunReport()
    for customer_id, invoice_id in _superseded_payments(at, clock_id):
        _safely(
            report, collection.cancel_awaiting_payment, gateways, customer_id, invoice_id, at, return_url(invoice_id)
        )
    most = BATCH[db.engine.dialect.name]
    while (batch := retry_on_conflict(batches.renew_due, at, most, clock_id)).claimed:
        report.batch += batch
        beat(report)
        if batch.late:  # what a worker that was away bills next may depend on whether this is paid
            _collect(report, gateways, at, return_url, clock_id, beat)
    for customer_id, invoice_id in _unresolved_payments(at, clock_id):
        report.settled += 1
        _safely(report, _resolve_payment, gateways, customer_id, invoice_id, at, return_url(invoice_id))
    _collect(report, gateways, at, return_url, clock_id, beat)
    return report


def _collect(
    report: RunReport,
    gateways: Gateways,
    at: int,
    return_url: Address,
    clock_id: str | None,
    beat: Callable[[RunReport], None],
) -> None:
    for customer_id, invoice_id in _to_collect(at, clock_id):
        report.collected += 1
        _safely(report, _collect_payment, gateways, customer_id, invoice_id, at, return_url(invoice_id))
        beat(report)


def _safely(
    report: RunReport, action: Payment, gateways: Gateways, customer_id: str, invoice_id: str, at: int, url: str
) -> None:
    """One invoice that cannot be collected now holds up no other."""
    try:
        retry_on_conflict(action, gateways, customer_id, invoice_id, at, url)
    except BillingError:  # somebody else settled it in between
        report.failed += 1
    except Exception as error:
        if isinstance(error, DBAPIError) and (error.connection_invalidated or is_conflict(error)):
            raise
        log.exception("invoice %s could not be collected", invoice_id)
        report.failed += 1
        parking.postpone_collection(customer_id, invoice_id, at, error)


def _to_collect(at: int, clock_id: str | None) -> Iterator[tuple[str, str]]:
    """The invoices whose next try is due, oldest first. A page at a time: each one leaves the list once it was tried."""
    tried: set[str] = set()
    query = (
        select(Invoice.customer_id, Invoice.id)
        .join(Customer, Customer.id == Invoice.customer_id)
        .outerjoin(Subscription, Subscription.id == Invoice.subscription_id)
        .where(
            Invoice.next_payment_attempt <= at,
            Invoice.status == InvoiceStatus.OPEN,
            _on_clock(clock_id),
            _NOT_PARKED,
            _NOT_BEING_PAID,
        )
        .order_by(Invoice.next_payment_attempt, Invoice.id)
        .limit(COLLECTED_AT_ONCE)
    )
    while True:
        with reading() as reader:
            found = [
                (row[0], row[1]) for row in reader.execute(query.execution_options(**UNSCOPED)) if row[1] not in tried
            ]
        if not found:
            return
        tried |= {invoice_id for _, invoice_id in found}
        yield from found


def _superseded_payments(at: int, clock_id: str | None) -> list[tuple[str, str]]:
    """The payments for a change, or a beginning, that still wait for a customer at the bank when something else is due.

    What time brings about waits for nobody: the payment is given up, and the change with it when its time is over.
    """
    query = (
        select(PaymentAttempt.customer_id, PaymentAttempt.invoice_id)
        .join(Customer, Customer.id == PaymentAttempt.customer_id)
        .join(Invoice, Invoice.id == PaymentAttempt.invoice_id)
        .join(Subscription, Subscription.id == Invoice.subscription_id)
        .where(
            PaymentAttempt.settled_at.is_(None),
            PaymentAttempt.status == AttemptStatus.REQUIRES_ACTION,
            Subscription.due_at <= at,
            Subscription.pending_update.is_not(None) | (Subscription.status == SubscriptionStatus.INCOMPLETE),
            _on_clock(clock_id),
        )
        .order_by(PaymentAttempt.created)
        .limit(COLLECTED_AT_ONCE)
    )
    with reading() as reader:
        return [(row[0], row[1]) for row in reader.execute(query.execution_options(**UNSCOPED))]


def _unresolved_payments(at: int, clock_id: str | None) -> list[tuple[str, str]]:
    """The payments to ask the provider about.

    Those whose answer was lost, those that a customer may have confirmed at the bank without coming back, and debits.
    """
    query = (
        select(PaymentAttempt.customer_id, PaymentAttempt.invoice_id)
        .join(Customer, Customer.id == PaymentAttempt.customer_id)
        .where(
            PaymentAttempt.settled_at.is_(None),
            at >= _ASKED_NEXT,
            _on_clock(clock_id),
        )
        .order_by(PaymentAttempt.created)
        .limit(COLLECTED_AT_ONCE)
    )
    with reading() as reader:
        return [(row[0], row[1]) for row in reader.execute(query.execution_options(**UNSCOPED))]


def _on_clock(clock_id: str | None) -> ColumnElement[bool]:
    return Customer.test_clock_id.is_(None) if clock_id is None else Customer.test_clock_id == clock_id


def next_moment(session: Session, clock_id: str, until: int) -> int | None:
    """The earliest instant up to `until` at which something is due for the customers of a clock."""
    mine = Customer.test_clock_id == clock_id
    firsts = (
        select(func.min(Subscription.due_at)).join(Customer, Customer.id == Subscription.customer_id).where(mine),
        select(func.min(Invoice.next_payment_attempt))
        .join(Customer, Customer.id == Invoice.customer_id)
        .outerjoin(Subscription, Subscription.id == Invoice.subscription_id)
        .where(mine, Invoice.status == InvoiceStatus.OPEN, _NOT_PARKED, _NOT_BEING_PAID),
        select(func.min(_ASKED_NEXT))
        .join(Customer, Customer.id == PaymentAttempt.customer_id)
        .where(mine, PaymentAttempt.settled_at.is_(None), PaymentAttempt.status == AttemptStatus.PROCESSING),
    )
    moments = [session.scalar(query.execution_options(**UNSCOPED)) for query in firsts]
    return min((moment for moment in moments if moment is not None and moment <= until), default=None)
