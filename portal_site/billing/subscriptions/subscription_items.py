"""The items of a subscription."""

from sqlalchemy import select
from sqlalchemy.orm import Session

from portal_site.billing.models import Subscription, SubscriptionItem
from portal_site.billing.models.subscription import object_list
from portal_site.db.json_columns import JsonObject


def load_items(session: Session, subscription: Subscription) -> list[SubscriptionItem]:
    """The subscription's items."""
    mine = SubscriptionItem.subscription_id == subscription.id, SubscriptionItem.account_id == subscription.account_id
    # populate_existing: a billing run changes rows without this session's knowledge.
    query = select(SubscriptionItem).where(*mine).order_by(SubscriptionItem.created, SubscriptionItem.id)
    return list(session.scalars(query, execution_options={"populate_existing": True}))


def items_object(items: list[SubscriptionItem]) -> JsonObject:
    """Items as an event's subscription carries them."""
    return object_list([item.as_object() for item in items])
