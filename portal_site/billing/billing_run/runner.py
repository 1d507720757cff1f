"""The billing run: renewals and transitions that are due, payments to settle, and invoices to collect.

Workers call `run` repeatedly, and test clocks call it for their customers.
"""

import logging
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, case, func, select
from sqlalchemy.orm import Session

from portal_site.billing.billing_run import batches, parking
from portal_site.billing.billing_run.batches import BatchResult
from portal_site.billing.billing_run.collection_order import CollectionOrder
from portal_site.billing.billing_run.due_pages import DuePages
from portal_site.billing.billing_run.failures import Tally
from portal_site.billing.billing_run.parallel_calls import TOGETHER, ParallelCalls
from portal_site.billing.billing_run.renewal_batch import UNSCOPED
from portal_site.billing.direct_payments import settlement
from portal_site.billing.errors import BillingError
from portal_site.billing.events.actors import ActorType, acting_as
from portal_site.billing.gateways import Charge
from portal_site.billing.gateways.registry import Gateways
from portal_site.billing.models import Customer, Invoice, PaymentAttempt, Subscription
from portal_site.billing.payments import collection, outcomes, refunds
from portal_site.billing.payments.collection import Begun
from portal_site.billing.rules.payments import payment_times
from portal_site.billing.rules.subscriptions.statuses import AttemptStatus, InvoiceStatus, SubscriptionStatus
from portal_site.db import db
from portal_site.db.faults import is_of_surroundings
from portal_site.db.transactions import retry_on_conflict

BATCH = {"sqlite": 350, "postgresql": 500}  # a batch holds SQLite's one write lock for about a tenth of a second
Address = Callable[[str], str]
Calls = ParallelCalls[Begun, Charge | None]
Begin = Callable[..., Begun | PaymentAttempt | None]
Payment = Callable[[Gateways, str, str, int, str], PaymentAttempt | None]
_NOT_PARKED = ~parking.is_parked() | Subscription.id.is_(None)
# The gateway is asked for the outcome of an unsettled payment attempt; the invoice is not charged again.
_NOT_BEING_PAID = ~(
    select(PaymentAttempt.id)
    .where(PaymentAttempt.invoice_id == Invoice.id, PaymentAttempt.settled_at.is_(None))
    .correlate(Invoice)
    .exists()
)
_NEXT_INQUIRY_AT = func.coalesce(PaymentAttempt.checked_at, PaymentAttempt.created) + case(
    (PaymentAttempt.status == AttemptStatus.REQUIRES_ACTION, payment_times.ASK_ABOUT_CONFIRMATION),
    (
        # Without `checked_at` it is from an earlier version of the portal, which used this status for lost answers.
        and_(PaymentAttempt.status == AttemptStatus.PROCESSING, PaymentAttempt.checked_at.is_not(None)),
        payment_times.ASK_ABOUT_PROCESSING,
    ),
    else_=payment_times.ASK_ABOUT_LOST_ANSWER,
)
# Off-session: the customer is not present to authenticate.
_collect_payment = partial(collection.collect, off_session=True)
_resolve_payment = partial(collection.resolve_payment, off_session=True)
log = logging.getLogger("portal.billing")


@dataclass
class RunReport:
    """Counts of a run: its batches, payments asked about, invoices tried, and failures of either.

    `fault` is in one line what kept the run from collecting at all, such as a provider that does not answer.
    """

    batch: BatchResult = field(default_factory=BatchResult)
    settled: int = 0
    collected: int = 0
    failed: int = 0
    fault: str | None = None

    @property
    def did_something(self) -> bool:
        """Whether anything was due."""
        return bool(self.batch.seen or self.settled or self.collected)


@acting_as(ActorType.WORKER)
def run(
    gateways: Gateways,
    at: int,
    return_url: Address,
    clock_id: str | None = None,
    beat: Callable[[RunReport], None] = lambda report: None,
    pool: Executor | None = None,
) -> RunReport:
    """Process everything that is due at `at`. `beat`, a heartbeat for long runs, is called after each batch and collection.

    `return_url` maps an invoice id to the URL to which the customer returns after 3-D Secure authentication. The threads of
    `pool`, each with the app's context, make the calls to providers outside of this program, several at a time. Raises
    RunStopped, after all that could be done, when nothing of a kind went well; and at once what
    `db.faults.is_of_surroundings` says.
    """
    asked, silent = gateways.for_one_run()
    run = _Run(asked, at, return_url, clock_id, beat, pool)
    run.pay(collection.cancel_awaiting_payment, _superseded_payments(at, clock_id))
    run.renew()
    run.resolve()
    run.ask_about_refunds()
    settlement.settle_due(gateways, at, clock_id)  # at the sandbox, which always answers
    run.collect()
    parking.count_failed_collections(run.payments, at)
    run.renewals.stop("nothing that is due can be billed")
    run.payments.stop("no invoice can be collected")
    run.report.fault = silent()
    return run.report


@dataclass
class _Run:
    """One run: what it works with, and what came of it so far."""

    gateways: Gateways
    at: int
    return_url: Address
    clock_id: str | None
    beat: Callable[[RunReport], None]
    pool: Executor | None = None
    report: RunReport = field(default_factory=RunReport)
    renewals: Tally = field(default_factory=Tally)
    payments: Tally = field(default_factory=Tally)

    def renew(self) -> None:
        """Renew all that is due, batch by batch."""
        most = BATCH[db.engine.dialect.name]
        while (batch := retry_on_conflict(batches.renew_due, self.at, most, self.clock_id, self.renewals)).claimed:
            self.report.batch += batch
            self.beat(self.report)
            if batch.late:  # after downtime, the next bill may depend on whether these invoices are paid
                self.collect()
        self.report.batch.parked += parking.count_repeated_renewals(self.renewals, self.at)

    def resolve(self) -> None:
        """Ask for the outcomes of payments: of several at a time, if that may be."""
        calls = Calls(self.pool, self._record_all) if self.pool is not None else None
        action = _resolve_payment if calls is None else partial(self._begin, calls, collection.begin_inquiry)
        for unresolved in _unresolved_payments(self.at, self.clock_id):
            self.report.settled += 1
            self.pay(action, [unresolved])
            self.beat(self.report)
        if calls is not None:
            calls.finish()

    def collect(self) -> None:
        """Collect each due invoice. If several calls are made at a time, test mode waits: its limits are narrower."""
        if self.pool is None:
            due = DuePages(due_invoices(self.at, self.clock_id), Invoice.next_payment_attempt, Invoice.id)
            for _account_id, customer_id, invoice_id in due:
                self.pay(_collect_payment, self._not_failed([(customer_id, invoice_id)]))
                self.beat(self.report)
            return
        calls = Calls(self.pool, self._record_all)
        for livemode in (True, False):
            order = CollectionOrder(due_invoices(self.at, self.clock_id, livemode))
            while invoices := order.take(TOGETHER, Counter(begun.attempt.account_id for begun in calls.under_way)):
                self._begin_all(calls, self._not_failed(invoices))
                self.beat(self.report)
        calls.finish()

    def _not_failed(self, invoices: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
        left = [invoice for invoice in invoices if invoice[1] not in self.payments.failures]
        self.report.collected += len(left)
        return left

    def _begin_all(self, calls: Calls, invoices: Sequence[tuple[str, str]]) -> None:
        """Begin to collect these invoices together. If that fails, whichever is the reason fails again alone."""
        begun: Sequence[Begun | PaymentAttempt] = ()
        given = self.gateways, invoices, self.at, self.return_url
        try:
            begun, invoices = retry_on_conflict(collection.begin_collections, *given)
        except Exception as error:
            if is_of_surroundings(error):
                raise
        for one in begun:
            if isinstance(one, Begun):
                calls.call(one.ask, one)
            else:
                self.payments.went_well += 1
        for invoice in invoices:
            self.pay(partial(self._begin, calls, collection.begin_collection), [invoice])

    def _begin(self, calls: Calls, begin: Begin, *given: Any) -> PaymentAttempt | None:
        """Begin a payment, or a question about one; a provider outside of this program is called meanwhile."""
        begun = begin(*given, off_session=True)
        if not isinstance(begun, Begun):
            return begun
        if not begun.is_remote:
            return begun.record(begun.ask())
        calls.call(begun.ask, begun)
        self.payments.went_well -= 1  # what is begun has not gone well yet
        return None

    def _record_all(self, done: Sequence[tuple[Begun, Callable[[], Charge | None]]]) -> None:
        """Record the outcomes together. If that fails, whichever is the reason fails again alone."""
        for some in (done[first : first + TOGETHER] for first in range(0, len(done), TOGETHER)):
            try:
                answers = [(begun.attempt, answer()) for begun, answer in some]
                attempts = retry_on_conflict(outcomes.record_all, answers, self.at)
            except Exception as error:
                if is_of_surroundings(error):
                    raise
                for begun, answer in some:
                    self._record(begun, answer)
            else:
                self.payments.went_well += len(attempts)
                self.report.failed += sum(attempt.status == AttemptStatus.UNKNOWN for attempt in attempts)

    def _record(self, begun: Begun, answer: Callable[[], Charge | None]) -> None:
        def record(*_given: Any) -> PaymentAttempt:
            return begun.record(answer())

        self.pay(record, [(begun.attempt.customer_id, begun.attempt.invoice_id)])

    def ask_about_refunds(self) -> None:
        """Ask for refunds whose answer was lost, or which take days. The failure of one does not affect the others."""
        for customer_id, refund_id in refunds.pending(self.at, self.clock_id):
            try:
                retry_on_conflict(refunds.ask, self.gateways, customer_id, refund_id, self.at)
            except Exception as error:
                if is_of_surroundings(error):
                    raise
                log.exception("refund %s could not be made", refund_id)
                self.report.failed += 1

    def pay(self, action: Payment, invoices: Iterable[tuple[str, str]]) -> None:
        """Run `action` for invoices (customer id, invoice id). The failure of one does not affect the others."""
        for customer_id, invoice_id in invoices:
            try:
                url = self.return_url(invoice_id)
                attempt = retry_on_conflict(action, self.gateways, customer_id, invoice_id, self.at, url)
                self.payments.went_well += 1
                self.report.failed += attempt is not None and attempt.status == AttemptStatus.UNKNOWN
            except BillingError:  # it was settled elsewhere in between
                self.report.failed += 1
            except Exception as error:
                if is_of_surroundings(error):
                    raise
                log.exception("invoice %s could not be collected", invoice_id)
                self.report.failed += 1
                self.payments.failures[invoice_id] = customer_id, error


def due_invoices(at: int, clock_id: str | None, livemode: bool | None = None) -> Select[str, str, str]:
    """The due invoices of one mode, or of both: account id, customer id, invoice id."""
    of_mode = () if livemode is None else (Invoice.livemode.is_(livemode),)
    return (
        select(Invoice.account_id, Invoice.customer_id, Invoice.id)
        .join(Customer, Customer.id == Invoice.customer_id)
        .outerjoin(Subscription, Subscription.id == Invoice.subscription_id)
        .where(
            Invoice.next_payment_attempt <= at,
            Invoice.status == InvoiceStatus.OPEN,
            _on_clock(clock_id),
            _NOT_PARKED,
            _NOT_BEING_PAID,
            *of_mode,
        )
    )


def _superseded_payments(at: int, clock_id: str | None) -> Iterator[tuple[str, str]]:
    """Payments of pending updates or first invoices that still await authentication when the subscription is due.

    Due steps do not wait for the customer: the payment is canceled, and the pending update discarded if it has expired. Pairs
    of (customer id, invoice id).
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
    )
    return iter(DuePages(query, PaymentAttempt.created, PaymentAttempt.id))


def _unresolved_payments(at: int, clock_id: str | None) -> Iterator[tuple[str, str]]:
    """Payments whose outcome is to be asked from the provider, as (customer id, invoice id).

    Those whose answer was lost, those that the customer may have authenticated (3-D Secure) without returning, and debits.
    """
    query = (
        select(PaymentAttempt.customer_id, PaymentAttempt.invoice_id)
        .join(Customer, Customer.id == PaymentAttempt.customer_id)
        .where(
            PaymentAttempt.settled_at.is_(None),
            at >= _NEXT_INQUIRY_AT,
            _on_clock(clock_id),
        )
    )
    return iter(DuePages(query, PaymentAttempt.created, PaymentAttempt.id))


def _on_clock(clock_id: str | None) -> ColumnElement[bool]:
    return Customer.test_clock_id.is_(None) if clock_id is None else Customer.test_clock_id == clock_id


def next_moment(session: Session, clock_id: str, until: int) -> int | None:
    """The earliest time up to `until` at which something is due for the customers of a test clock, or None."""
    on_clock = Customer.test_clock_id == clock_id
    queries = (
        select(func.min(Subscription.due_at)).join(Customer, Customer.id == Subscription.customer_id).where(on_clock),
        select(func.min(Invoice.next_payment_attempt))
        .join(Customer, Customer.id == Invoice.customer_id)
        .outerjoin(Subscription, Subscription.id == Invoice.subscription_id)
        .where(on_clock, Invoice.status == InvoiceStatus.OPEN, _NOT_PARKED, _NOT_BEING_PAID),
        select(func.min(_NEXT_INQUIRY_AT))
        .join(Customer, Customer.id == PaymentAttempt.customer_id)
        .where(on_clock, PaymentAttempt.settled_at.is_(None), PaymentAttempt.status == AttemptStatus.PROCESSING),
    )
    moments = [session.scalar(query.execution_options(**UNSCOPED)) for query in queries]
    return min((moment for moment in moments if moment is not None and moment <= until), default=None)
