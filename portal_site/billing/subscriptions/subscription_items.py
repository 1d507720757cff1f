"""Loading a subscription's items."""

from sqlalchemy import select
from sqlalchemy.orm import Session

from portal_site.billing.models import Subscription, SubscriptionItem


def load_items(session: Session, subscription: Subscription) -> list[SubscriptionItem]:
    """The subscription's items, oldest first."""
    of_subscription = (
        SubscriptionItem.subscription_id == subscription.id,
        SubscriptionItem.account_id == subscription.account_id,
    )
    # populate_existing: bulk updates of a billing run bypass the session, so its objects may be stale.
    query = select(SubscriptionItem).where(*of_subscription).order_by(SubscriptionItem.created, SubscriptionItem.id)
    return list(session.scalars(query, execution_options={"populate_existing": True}))
