"""The one way to change a subscription outside a renewal: it keeps the due date right and emits the event of what changed."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy.orm import Session

from portal_site.billing.models import Event, Subscription, SubscriptionItem
from portal_site.billing.subscriptions.due_dates import recompute_due_at
from portal_site.billing.subscriptions.subscription_items import items_object, load_items
from portal_site.db.json_columns import JsonObject

UPDATED = "customer.subscription.updated"


@dataclass
class SubscriptionUpdate:
    """A subscription while it is being changed, and its items."""

    items: list[SubscriptionItem]
    before: JsonObject = field(default_factory=dict)
    after: JsonObject = field(default_factory=dict)

    def note(self, member: str, before: Any, after: Any) -> None:
        """Put a member into the event that is stored in rows of its own, such as the schedule or the discounts."""
        self.before[member], self.after[member] = before, after


@contextmanager
def subscription_update(
    session: Session, subscription: Subscription, at: int, event: str = UPDATED
) -> Iterator[SubscriptionUpdate]:
    """Change a subscription and its items in the block. Afterwards the due date is recomputed and the event is written.

    The event has the values that were different before as `previous_attributes`. Without any, `customer.subscription.updated` is
    not written. The block may emit events of its own, and may hold another such block.
    """
    update = SubscriptionUpdate(load_items(session, subscription))
    before = {**subscription.as_object(), "items": items_object(update.items)}
    yield update
    session.flush()
    items = load_items(session, subscription)
    recompute_due_at(session, subscription, items, at)
    session.flush()
    after = {**subscription.as_object(), "items": items_object(items), **update.after}
    previous = {name: value for name, value in {**before, **update.before}.items() if after[name] != value}
    if previous or event != UPDATED:
        members = {"items": after["items"], **update.after}
        session.add(Event.of(event, subscription, at, previous or None, **members))
