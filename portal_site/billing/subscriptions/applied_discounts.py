"""Adding a discount to a subscription, and ending discounts that are used up or whose item is gone."""

from collections.abc import Collection
from dataclasses import asdict

from sqlalchemy import select
from sqlalchemy.orm import Session

from portal_site.billing.invoicing.invoice_writer import InvoiceWriter
from portal_site.billing.models import Discount, Subscription
from portal_site.billing.rules.subscriptions.pending_update import PendingDiscount


def add_discount(session: Session, subscription: Subscription, discount: PendingDiscount, at: int) -> None:
    """Add a discount to the subscription, for a redeemed promotion code or an accepted retention offer."""
    row = Discount(
        account_id=subscription.account_id,
        customer_id=subscription.customer_id,
        subscription_id=subscription.id,
        **asdict(discount),
    )
    session.add(row)
    session.flush()
    writer = InvoiceWriter(session)
    writer.event("customer.discount.created", subscription, at, row.as_object())
    writer.write()


def end_discounts(session: Session, subscription: Subscription, discount_ids: Collection[str], at: int) -> None:
    """End those of the customer's discounts that are still in force, and emit their events."""
    if not discount_ids:
        return
    running = Discount.end.is_(None) | (Discount.end > at)
    in_force = Discount.customer_id == subscription.customer_id, Discount.id.in_(sorted(discount_ids)), running
    writer = InvoiceWriter(session)
    for discount in session.scalars(select(Discount).where(*in_force)).all():
        discount.end = at
        writer.event("customer.discount.deleted", subscription, at, discount.as_object())
    session.flush()
    writer.write()
