"""Reactivation: a new subscription with the items of an ended one. It is incomplete until paid, for 23 hours at most."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from sqlalchemy import select
from sqlalchemy.orm import Session

from portal_site.billing import resources
from portal_site.billing.errors import BillingError, StateChanged
from portal_site.billing.events.emission import emit
from portal_site.billing.invoicing.invoice_writer import InvoiceWriter, add_open_invoice
from portal_site.billing.loading import confirmations, ownership, snapshots
from portal_site.billing.loading.confirmations import Confirmation, quote_fingerprint
from portal_site.billing.loading.plans import Reader
from portal_site.billing.models import (
    Customer,
    Invoice,
    PaymentMethod,
    PlanChange,
    Price,
    Product,
    Subscription,
    SubscriptionItem,
)
from portal_site.billing.rules.invoicing.invoices import InvoiceTotals
from portal_site.billing.rules.subscriptions import reactivation
from portal_site.billing.rules.subscriptions.plan_change import Quote
from portal_site.billing.rules.subscriptions.snapshot import SubscriptionSnapshot
from portal_site.billing.rules.subscriptions.statuses import ENDED, ChangeOutcome, SubscriptionStatus
from portal_site.billing.subscriptions import applied_discounts, due_dates, subscription_items
from portal_site.db.transactions import reading, transaction
from portal_site.ids import new_id

COPIED_COLUMNS = (
    "currency",
    "description",
    "collection_method",
    "days_until_due",
    "billing_mode",
    "on_behalf_of",
    "default_tax_rates",
)


@dataclass(frozen=True)
class ReactivationPreview:
    """An ended subscription with the quote for reactivating it. `quote` is None if `refusal` says why that is not possible."""

    snapshot: SubscriptionSnapshot
    refusal: BillingError | None
    quote: Quote | None


def preview(customer_id: str, subscription_id: str, at: int) -> ReactivationPreview:
    """The preview of a reactivation now. Raises NotFound."""
    with reading() as reader:
        row, customer = snapshots.load_owned_rows(reader, customer_id, subscription_id)
        return _preview(reader, row, customer, at)


def _preview(reader: Reader, row: Subscription, customer: Customer, at: int) -> ReactivationPreview:
    snapshot = snapshots.load_for_quote(reader, row, customer, at)
    prices = [item.offer.price_id for item in snapshot.items]
    active_prices = (
        select(Price.id)
        .join(Product, Product.id == Price.product_id)
        .where(Price.account_id == row.account_id, Price.id.in_(prices), Price.active, Product.active)
    )
    running_products = (
        select(Price.product_id)
        .join(SubscriptionItem, SubscriptionItem.price_id == Price.id)
        .join(Subscription, Subscription.id == SubscriptionItem.subscription_id)
        .where(Subscription.customer_id == row.customer_id, Subscription.status.not_in(ENDED))
    )
    offered, living = (
        frozenset(row_id for (row_id,) in reader.execute(query)) for query in (active_prices, running_products)
    )
    refusal = reactivation.why_not_reactivatable(snapshot, offered, living)
    return ReactivationPreview(snapshot, refusal, None if refusal else reactivation.quote(snapshot, at))


def reactivate(customer_id: str, subscription_id: str, confirmation: Confirmation, at: int) -> PlanChange:
    """Reactivate on the confirmed terms. A second call with the same confirmation returns the same change.

    The change has the `subscription_id` of the new subscription and the `invoice_id` of its first invoice. Raises NotFound, and
    StateChanged if the terms have changed or the subscription cannot be reactivated any more.
    """
    with transaction() as session:
        customer = ownership.lock_customer(session, customer_id)
        existing = confirmations.find_by_confirmation_key(session, customer_id, confirmation.key)
        if existing is not None:
            return existing
        old = ownership.get_owned(session, Subscription, customer_id, subscription_id, lock=True)
        confirmation.check_time(at)
        current = _preview(session, old, customer, confirmation.at)
        if current.quote is None:
            assert current.refusal
            raise StateChanged(current.refusal.message, current.refusal.code)
        confirmation.check(quote_fingerprint(current.quote))
        return _create_subscription(session, customer, old, current.quote, confirmation.key, at)


def first_invoice(customer_id: str, subscription_id: str) -> str | None:
    """The id of the open first invoice of an incomplete subscription, if any."""
    with reading() as reader:
        owned = Invoice.customer_id == customer_id, Invoice.subscription_id == subscription_id
        query = select(Invoice.id).where(
            *owned, Invoice.status == "open", Invoice.billing_reason == "subscription_create"
        )
        return reader.scalar(query.limit(1))


def _create_subscription(
    session: Session, customer: Customer, old: Subscription, quote: Quote, key: str, at: int
) -> PlanChange:
    """A new subscription with the quote's items, and its first invoice."""
    due = bool(quote.invoice.amount_due)
    new = _add_subscription(session, old, SubscriptionStatus.INCOMPLETE if due else SubscriptionStatus.ACTIVE, at)
    new_ids = _add_items(session, old, new, quote, at)
    change = PlanChange.of(new, key, at)
    change.outcome = ChangeOutcome.PENDING if due else ChangeOutcome.APPLIED
    change.invoice_id = _write_first_invoice(session, customer, new, quote.invoice, new_ids, at)
    if not due:  # otherwise the time of the customer's coupons runs again once it is paid
        applied_discounts.resume_shared_discounts(session, new, at, at)
    applied_discounts.end_discounts(session, new, sorted(quote.consumed_discounts), at)
    items = subscription_items.load_items(session, new)
    due_dates.recompute_due_at(session, new, items, at)
    session.add(change)
    session.flush()
    emit(session, "customer.subscription.created", new, at, items=resources.subscriptions.subscription_items(items))
    return change


def _add_subscription(session: Session, old: Subscription, status: SubscriptionStatus, at: int) -> Subscription:
    new = Subscription(
        id=new_id("sub"), account_id=old.account_id, customer_id=old.customer_id, livemode=old.livemode, created=at,
        start_date=at, billing_cycle_anchor=at, default_payment_method_id=_payment_method(session, old),
        status=status,
        **{name: getattr(old, name) for name in COPIED_COLUMNS},
    )  # fmt: skip
    session.add(new)
    session.flush()
    return new


def _add_items(session: Session, old: Subscription, new: Subscription, quote: Quote, at: int) -> dict[str, str]:
    """Add the items of the quote, which are the old subscription's, to the new one. Returns the new ids by old id."""
    # The items keep their order: those of one second are ordered by their ids.
    new_ids = dict(zip((item.id for item in quote.items), sorted(new_id("si") for _ in quote.items), strict=True))
    rates = {item.id: item.tax_rates for item in subscription_items.load_items(session, old)}
    for item in quote.items:
        row = SubscriptionItem(
            id=new_ids[item.id], account_id=old.account_id, subscription_id=new.id, price_id=item.offer.price_id,
            created=at, quantity=item.quantity, current_period_start=item.period_start,
            current_period_end=item.period_end, tax_rates=rates[item.id],
        )  # fmt: skip
        session.add(row)
    session.flush()
    return new_ids


def _write_first_invoice(
    session: Session,
    customer: Customer,
    new: Subscription,
    bill: InvoiceTotals,
    new_ids: Mapping[str, str],
    at: int,
) -> str:
    """The invoice of the quote, with the ids of the new items."""
    lines = tuple(replace(line, item_id=new_ids[line.item_id]) for line in bill.lines)
    writer = InvoiceWriter(session)
    invoice_id = add_open_invoice(
        writer, customer, new, replace(bill, lines=lines), at, billing_reason="subscription_create"
    )
    writer.write()
    return invoice_id


def _payment_method(session: Session, old: Subscription) -> str | None:
    """The id of the old subscription's own payment method, if it is still attached to the customer."""
    attached = PaymentMethod.customer_id == old.customer_id, PaymentMethod.detached_at.is_(None)
    return session.scalar(select(PaymentMethod.id).where(PaymentMethod.id == old.default_payment_method_id, *attached))
