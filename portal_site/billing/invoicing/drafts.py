"""Draft invoices, withheld while the merchant has paused collection with `keep_as_draft`: list, finalize, discard."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import and_, select
from sqlalchemy.orm import Session

from portal_site.billing.errors import BillingError, NotFound
from portal_site.billing.events.emission import emit
from portal_site.billing.invoicing import voiding
from portal_site.billing.invoicing.invoice_rows import balance_type, due_date, invoice_parties, number_of
from portal_site.billing.invoicing.invoice_writer import move_balance, with_next_number
from portal_site.billing.loading import ownership, snapshots
from portal_site.billing.models import Coupon, Customer, Discount, Invoice, Subscription, TestClock
from portal_site.billing.rules.subscriptions.statuses import InvoiceStatus, SubscriptionStatus
from portal_site.db.transactions import reading, transaction

UNSCOPED = {"unscoped": "an operator names an invoice, whosever it is"}
MOST_SHOWN = 200


@dataclass(frozen=True, slots=True)
class Draft:
    """A draft in a listing. `customer` is the e-mail address, or the id without one; `total` is in minor units."""

    id: str
    customer: str
    created: int
    total: int
    currency: str


def drafts(account_id: str | None) -> Sequence[Draft]:
    """The oldest drafts of an account, at most MOST_SHOWN. Raises NotFound, and BillingError if the account must be named."""
    with transaction() as session:
        account = ownership.get_account(session, account_id)
    query = (
        select(Invoice.id, Customer.email, Invoice.customer_id, Invoice.created, Invoice.total, Invoice.currency)
        .join(Customer, Customer.id == Invoice.customer_id)
        .where(Invoice.account_id == account.id, Invoice.status == InvoiceStatus.DRAFT)
        .order_by(Invoice.created, Invoice.id)
        .limit(MOST_SHOWN)
    )
    with reading() as reader:
        return [Draft(row[0], row[1] or row[2], *row[3:]) for row in reader.execute(query)]


def finalize(invoice_id: str, at: int) -> Invoice:
    """Finalize a draft: it gets a number, uses the customer's current balance, and is collected automatically.

    Raises NotFound, and BillingError if the invoice is not a draft.
    """
    with transaction() as session:
        customer, invoice, at = _lock_draft(session, invoice_id, at)
        subscription = ownership.get_owned(session, Subscription, customer.id, invoice.subscription_id or "", lock=True)
        snapshot = snapshots.load(session, [subscription], {customer.id: customer}, at)[subscription.id]
        _number(session, customer, invoice)
        due, ending_balance = snapshot.settled(invoice.total)
        invoice.status, invoice.finalized_at, invoice.due_date = InvoiceStatus.OPEN, at, due_date(subscription, at)
        invoice.amount_due = invoice.amount_remaining = due
        invoice.starting_balance, invoice.ending_balance = snapshot.usable_balance, ending_balance
        ended = SubscriptionStatus(subscription.status).ended  # then the card is not charged automatically
        automatic = subscription.collection_method == "charge_automatically" and not ended
        invoice.next_payment_attempt = at if due and automatic else None
        moved = ending_balance - snapshot.usable_balance
        move_balance(session, customer, invoice, moved, balance_type(due, ending_balance), at)
        _emit_finalized(session, invoice, at)
    return invoice


def _number(session: Session, customer: Customer, invoice: Invoice) -> None:
    """Give the invoice the customer's next number, and the names and addresses of today."""
    payer = with_next_number(session, customer)
    invoice.number = number_of(payer)
    for name, value in invoice_parties(payer).items():
        setattr(invoice, name, value)


def _emit_finalized(session: Session, invoice: Invoice, at: int) -> None:
    """Emit the events of a finalized invoice. One of which nothing is due is paid with it."""
    session.flush()
    emit(session, "invoice.finalized", invoice, at)
    if not invoice.amount_due:
        invoice.status, invoice.paid_at = InvoiceStatus.PAID, at
        session.flush()
        emit(session, "invoice.paid", invoice, at)
        emit(session, "invoice.payment_succeeded", invoice, at)


def discard(invoice_id: str, at: int) -> None:
    """Delete a draft: its period is not billed, and its pending lines become pending again. Raises as `finalize`."""
    with transaction() as session:
        customer, invoice, at = _lock_draft(session, invoice_id, at)
        for line in voiding.release_pending_lines(session, invoice):
            session.delete(line)
        _restore_single_use_discounts(session, invoice)
        has_latest = Subscription.customer_id == customer.id, Subscription.latest_invoice_id == invoice.id
        for subscription in session.scalars(select(Subscription).where(*has_latest)).all():
            subscription.latest_invoice_id = None
        session.flush()
        emit(session, "invoice.deleted", invoice, at)
        session.delete(invoice)


def _restore_single_use_discounts(session: Session, invoice: Invoice) -> None:
    """Make the single-use discounts of the invoice available again."""
    discount_ids = [part["discount"] for part in invoice.total_discount_amounts]
    consumed = Discount.customer_id == invoice.customer_id, Discount.id.in_(discount_ids), Discount.end.is_not(None)
    single_use = Coupon.id == Discount.coupon_id, Coupon.account_id == Discount.account_id, Coupon.duration == "once"
    for discount in session.scalars(select(Discount).join(Coupon, and_(*single_use)).where(*consumed)).all():
        discount.end = None


def _lock_draft(session: Session, invoice_id: str, at: int) -> tuple[Customer, Invoice, int]:
    """The customer, the draft, both locked, and the current time: that of the customer's test clock, else `at`."""
    query = select(Invoice.customer_id).where(Invoice.id == invoice_id)
    customer_id = session.scalar(query.execution_options(**UNSCOPED))
    if customer_id is None:
        raise NotFound("No such invoice: '%(id)s'", "resource_missing", "invoice", id=invoice_id)
    customer = ownership.lock_customer(session, customer_id)
    invoice = ownership.get_owned(session, Invoice, customer_id, invoice_id, lock=True)
    if invoice.status != InvoiceStatus.DRAFT:
        raise BillingError("%(id)s is no draft any more.", "invoice_not_draft", "invoice", id=invoice_id)
    clock = select(TestClock.frozen_time).where(TestClock.id == customer.test_clock_id)
    frozen = session.scalar(clock.where(TestClock.account_id == customer.account_id))
    return customer, invoice, at if frozen is None else frozen
