"""Adding a discount to a subscription, and ending discounts that are used up or whose item is gone."""

from collections.abc import Collection
from dataclasses import asdict

from sqlalchemy import select
from sqlalchemy.orm import Session

from portal_site.billing.events.emission import emit
from portal_site.billing.models import Discount, Subscription
from portal_site.billing.resources.subscriptions import discount as discount_object
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
    emit(session, "customer.discount.created", subscription, at, document=discount_object(row))


def end_discounts(session: Session, subscription: Subscription, discount_ids: Collection[str], at: int) -> None:
    """End those of the customer's discounts that are still in force, and emit their events."""
    if not discount_ids:
        return
    running = Discount.end.is_(None) | (Discount.end > at)
    in_force = Discount.customer_id == subscription.customer_id, Discount.id.in_(sorted(discount_ids)), running
    for discount in session.scalars(select(Discount).where(*in_force)).all():
        discount.end = at
        emit(session, "customer.discount.deleted", subscription, at, document=discount_object(discount))
    session.flush()
