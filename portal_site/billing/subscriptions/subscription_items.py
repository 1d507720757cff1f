"""Loading a subscription's items, and their form in events."""

from sqlalchemy import select
from sqlalchemy.orm import Session

from portal_site.billing.models import Subscription, SubscriptionItem
from portal_site.billing.models.subscription import object_list
from portal_site.db.json_columns import JsonObject


def load_items(session: Session, subscription: Subscription) -> list[SubscriptionItem]:
    """The subscription's items, oldest first."""
    of_subscription = (
        SubscriptionItem.subscription_id == subscription.id,
        SubscriptionItem.account_id == subscription.account_id,
    )
    # populate_existing: bulk updates of a billing run bypass the session, so its objects may be stale.
    query = select(SubscriptionItem).where(*of_subscription).order_by(SubscriptionItem.created, SubscriptionItem.id)
    return list(session.scalars(query, execution_options={"populate_existing": True}))


def items_object(items: list[SubscriptionItem]) -> JsonObject:
    """The list object of the items in a subscription event."""
    return object_list([item.as_object() for item in items])
