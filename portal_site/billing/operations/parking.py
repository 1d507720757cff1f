"""Subscriptions that a billing run gave up on, and letting them go on."""

from sqlalchemy import select

from portal_site.billing.errors import NotFound
from portal_site.billing.models import Subscription
from portal_site.billing.operations import lookups, pending_updates
from portal_site.db import reading, transaction

UNSCOPED = {"unscoped": "an operator looks after all merchants"}
MOST_SHOWN = 20


def parked() -> list[tuple[str, str]]:
    """Some of the parked subscriptions, each with the reason."""
    waiting = Subscription.due_at.is_(None), Subscription.billing_error.is_not(None)
    query = (
        select(Subscription.id, Subscription.billing_error).where(*waiting).order_by(Subscription.id).limit(MOST_SHOWN)
    )
    with reading() as reader:
        return [(row[0], row[1] or "") for row in reader.execute(query.execution_options(**UNSCOPED))]


def unpark(subscription_id: str, at: int) -> None:
    """Let a parked subscription be billed again."""
    with transaction() as session:
        query = select(Subscription.customer_id).where(Subscription.id == subscription_id)
        customer_id = session.scalar(query.execution_options(**UNSCOPED))
        if customer_id is None:
            raise NotFound("No such subscription: '%(id)s'", "resource_missing", "subscription", id=subscription_id)
        lookups.locked_customer(session, customer_id)
        subscription = lookups.own(session, Subscription, customer_id, subscription_id, lock=True)
        subscription.billing_error, subscription.billing_failures = None, 0
        pending_updates.reschedule(session, subscription, pending_updates.items_of(session, subscription), at)
