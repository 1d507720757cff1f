"""Reactivation: a new subscription with the items of an ended one. It is incomplete until paid, for 23 hours at most."""

from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from portal_site.billing.changes import new_subscriptions
from portal_site.billing.errors import BillingError, StateChanged
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
from portal_site.billing.rules.subscriptions import starts
from portal_site.billing.rules.subscriptions.plan_change import Quote
from portal_site.billing.rules.subscriptions.snapshot import SubscriptionSnapshot
from portal_site.billing.rules.subscriptions.statuses import ENDED
from portal_site.billing.subscriptions import subscription_items
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
    refusal = starts.why_not_reactivatable(snapshot, offered, living)
    return ReactivationPreview(snapshot, refusal, None if refusal else starts.quote_again(snapshot, at))


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
    """A new subscription with the quote's items, which are those of the old one, and its first invoice."""
    new = Subscription(
        id=new_id("sub"), account_id=old.account_id, customer_id=old.customer_id, livemode=old.livemode, created=at,
        start_date=at, default_payment_method_id=_payment_method(session, old),
        **{name: getattr(old, name) for name in COPIED_COLUMNS},
    )  # fmt: skip
    # The items keep their order: those of one second are ordered by their ids.
    new_ids = dict(zip((item.id for item in quote.items), sorted(new_id("si") for _ in quote.items), strict=True))
    rates = {item.id: item.tax_rates for item in subscription_items.load_items(session, old)}
    return new_subscriptions.write(session, customer, new, quote, key, at, ids=new_ids, rates=rates)


def _payment_method(session: Session, old: Subscription) -> str | None:
    """The id of the old subscription's own payment method, if it is still attached to the customer."""
    attached = PaymentMethod.customer_id == old.customer_id, PaymentMethod.detached_at.is_(None)
    return session.scalar(select(PaymentMethod.id).where(PaymentMethod.id == old.default_payment_method_id, *attached))
