"""The only way to change a subscription outside a renewal: recomputes the due date and emits the event with the changes."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from sqlalchemy.orm import Session

from portal_site.billing.events.emission import emit
from portal_site.billing.models import Subscription, SubscriptionItem
from portal_site.billing.resources import subscriptions as resources
from portal_site.billing.subscriptions.due_dates import recompute_due_at
from portal_site.billing.subscriptions.subscription_items import load_items
from portal_site.db.json_columns import JsonObject

UPDATED = "customer.subscription.updated"


@dataclass
class SubscriptionUpdate:
    """The items of a subscription that is being changed, and members of the event from `note`, before and after."""

    items: list[SubscriptionItem]
    before: JsonObject = field(default_factory=dict)
    after: JsonObject = field(default_factory=dict)

    def note(self, member: str, before: object, after: object) -> None:
        """Add a member to the event that is not a column of the subscription, such as the schedule or the discounts."""
        self.before[member], self.after[member] = before, after


@contextmanager
def subscription_update(
    session: Session, subscription: Subscription, at: int, event: str = UPDATED
) -> Iterator[SubscriptionUpdate]:
    """Change a subscription and its items in the block. Afterwards the due date is recomputed and the event is emitted.

    The event has the previous values of the changed members as `previous_attributes`. If nothing changed,
    `customer.subscription.updated` is not emitted. The block may emit events of its own, and may contain another such block.
    """
    update = SubscriptionUpdate(load_items(session, subscription))
    before = _document(subscription, update.items)
    yield update
    session.flush()
    items = load_items(session, subscription)
    recompute_due_at(session, subscription, items, at)
    session.flush()
    after = {**_document(subscription, items), **update.after}
    previous = {name: value for name, value in {**before, **update.before}.items() if after[name] != value}
    if previous or event != UPDATED:
        emit(session, event, subscription, at, document=after, previous=previous)


def _document(subscription: Subscription, items: list[SubscriptionItem]) -> JsonObject:
    return {**resources.subscription(subscription), "items": resources.subscription_items(items)}
