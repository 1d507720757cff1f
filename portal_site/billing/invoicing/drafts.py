"""Invoices that the merchant keeps for later while it has paused collection: sent after all, or thrown away."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import and_, select
from sqlalchemy.orm import Session

from portal_site.billing.errors import BillingError, NotFound
from portal_site.billing.invoicing import voiding
from portal_site.billing.invoicing.invoice_writer import due_date, invoice_parties, move_balance, with_next_number
from portal_site.billing.loading import ownership, snapshots
from portal_site.billing.models import Coupon, Customer, Discount, Event, Invoice, Subscription, TestClock
from portal_site.billing.rules.subscriptions.statuses import InvoiceStatus, SubscriptionStatus
from portal_site.db.transactions import reading, transaction

UNSCOPED = {"unscoped": "an operator names an invoice, whosever it is"}
MOST_SHOWN = 200


@dataclass(frozen=True, slots=True)
class Draft:
    """A draft in short; `total` in minor units."""

    id: str
    customer: str
    created: int
    total: int
    currency: str


def drafts(account_id: str | None) -> Sequence[Draft]:
    """The oldest drafts of an account. Raises NotFound, and BillingError where an account has to be named."""
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
    """Make an invoice of a draft: it gets a number, uses the customer's balance as it is now, and is collected.

    Raises NotFound, and BillingError for what is no draft.
    """
    with transaction() as session:
        customer, invoice, at = _draft(session, invoice_id, at)
        subscription = ownership.get_owned(session, Subscription, customer.id, invoice.subscription_id or "", lock=True)
        snapshot = snapshots.load(session, [subscription], {customer.id: customer}, at)[subscription.id]
        due, after = snapshot.settled(invoice.total)
        payer = with_next_number(session, customer)
        changed = invoice_parties(payer) | {
            "number": f"{payer.invoice_prefix}-{payer.number:04d}",
            "status": InvoiceStatus.OPEN,
            "due_date": due_date(subscription, at),
            "amount_due": due,
            "amount_remaining": due,
            "starting_balance": snapshot.usable_balance,
            "ending_balance": after,
            "finalized_at": at,
        }
        for name, value in changed.items():
            setattr(invoice, name, value)
        ended = SubscriptionStatus(subscription.status).ended  # then nobody's card is tried
        automatic = subscription.collection_method == "charge_automatically" and not ended
        invoice.next_payment_attempt = at if due and automatic else None
        kind = "invoice_too_small" if due == 0 and after > 0 else "applied_to_invoice"
        move_balance(session, customer, invoice, after - snapshot.usable_balance, kind, at)
        session.flush()
        session.add(Event.of("invoice.finalized", invoice, at))
        if not due:
            invoice.status, invoice.paid_at = InvoiceStatus.PAID, at
            session.flush()
            session.add_all([Event.of("invoice.paid", invoice, at), Event.of("invoice.payment_succeeded", invoice, at)])
    return invoice


def discard(invoice_id: str, at: int) -> None:
    """Throw a draft away: its time is not billed, and what had waited for an invoice waits again. Raises as `finalize`."""
    with transaction() as session:
        customer, invoice, at = _draft(session, invoice_id, at)
        for line in voiding.release_pending_lines(session, invoice):
            session.delete(line)
        _give_back_coupons(session, invoice)
        mine = Subscription.customer_id == customer.id, Subscription.latest_invoice_id == invoice.id
        for subscription in session.scalars(select(Subscription).where(*mine)).all():
            subscription.latest_invoice_id = None
        session.flush()
        session.add(Event.of("invoice.deleted", invoice, at))
        session.delete(invoice)


def _give_back_coupons(session: Session, invoice: Invoice) -> None:
    """What was for one invoice is for another one then."""
    names = [part["discount"] for part in invoice.total_discount_amounts]
    mine = Discount.customer_id == invoice.customer_id, Discount.id.in_(names), Discount.end.is_not(None)
    of_it = Coupon.id == Discount.coupon_id, Coupon.account_id == Discount.account_id, Coupon.duration == "once"
    for discount in session.scalars(select(Discount).join(Coupon, and_(*of_it)).where(*mine)).all():
        discount.end = None


def _draft(session: Session, invoice_id: str, at: int) -> tuple[Customer, Invoice, int]:
    """The draft's customer, the draft, and what time it is for them: that of a test clock, where they live by one."""
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
