"""Loading and changing a subscription's items."""

from collections.abc import Collection

from sqlalchemy import select
from sqlalchemy.orm import Session

from portal_site.billing.models import Discount, Subscription, SubscriptionItem
from portal_site.billing.rules.subscriptions.pending_update import PendingUpdate
from portal_site.billing.subscriptions import applied_discounts


def load_items(session: Session, subscription: Subscription) -> list[SubscriptionItem]:
    """The subscription's items, oldest first."""
    of_subscription = (
        SubscriptionItem.subscription_id == subscription.id,
        SubscriptionItem.account_id == subscription.account_id,
    )
    # populate_existing: bulk updates of a billing run bypass the session, so its objects may be stale.
    query = select(SubscriptionItem).where(*of_subscription).order_by(SubscriptionItem.created, SubscriptionItem.id)
    return list(session.scalars(query, execution_options={"populate_existing": True}))


def apply_items(session: Session, subscription: Subscription, update: PendingUpdate, at: int) -> list[SubscriptionItem]:
    """Change, add and remove the subscription's items as the update says. Returns all items afterwards."""
    items = {item.id: item for item in load_items(session, subscription)}
    _remove(session, subscription, [items[item_id] for item_id in update.removed_items if item_id in items], at)
    for wanted in update.items:
        item = items.get(wanted.id)
        if item is None and wanted.created is None:
            continue  # it was removed since the change was confirmed
        if item is None:
            item = SubscriptionItem(
                id=wanted.id,
                account_id=subscription.account_id,
                subscription_id=subscription.id,
                created=wanted.created,
            )
        item.price_id, item.quantity = wanted.price_id, wanted.quantity
        item.current_period_start, item.current_period_end = wanted.period_start, wanted.period_end
        item.billing_cycle_anchor = wanted.anchor
        session.add(item)
    session.flush()
    return load_items(session, subscription)


def _remove(session: Session, subscription: Subscription, removed: Collection[SubscriptionItem], at: int) -> None:
    """Remove items, and end their discounts. The rows of the discounts stay, because invoices refer to them."""
    if not removed:
        return
    item_ids = [item.id for item in removed]
    on_items = Discount.customer_id == subscription.customer_id, Discount.subscription_item_id.in_(item_ids)
    discounts = session.scalars(select(Discount).where(*on_items)).all()
    applied_discounts.end_discounts(session, subscription, [discount.id for discount in discounts], at)
    for discount in discounts:
        discount.subscription_item_id = None
    session.flush()
    for item in removed:
        session.delete(item)
    session.flush()
