"""What the merchant does to the simulated customer's subscription."""

from sqlalchemy import select

from portal_site.billing.models import Subscription, SubscriptionItem, SubscriptionSchedule
from portal_site.billing.subscriptions import due_dates, subscription_items
from portal_site.db.transactions import transaction
from tests import world
from tests.world import reading


class MerchantMoves:
    """The merchant's moves of a Play."""

    ids: tuple[str, str]
    account_id: str
    prices: dict[str, str]
    now: int

    def is_given_notice(self, seconds: int | None) -> None:
        """The merchant sets the subscription's `cancel_at`, or removes it (None)."""
        with transaction() as session:
            owned = Subscription.customer_id == self.ids[0], Subscription.id == self.ids[1]
            subscription = session.scalars(select(Subscription).where(*owned)).one()
            if subscription.ended_at is None:
                subscription.cancel_at = seconds and self.now + seconds
                items = subscription_items.load_items(session, subscription)
                due_dates.recompute_due_at(session, subscription, items, self.now)

    def is_planned_for(
        self, seconds: int, price: str, quantity: int, proration: str, lasts: int | None, behavior: str
    ) -> None:
        """The merchant schedules another plan in `seconds`, which replaces all items, for `lasts` seconds (None: open-ended).

        Nothing happens if the subscription has an active schedule, or has ended.
        """
        with reading() as reader:
            owned = SubscriptionItem.subscription_id == self.ids[1], SubscriptionItem.account_id == self.account_id
            items = reader.execute(select(SubscriptionItem.price_id, SubscriptionItem.quantity).where(*owned)).all()
            active = SubscriptionSchedule.subscription_id == self.ids[1], SubscriptionSchedule.status == "active"
            schedule_id = reader.scalar(select(SubscriptionSchedule.id).where(*active).limit(1))
            ended_at = reader.scalar(select(Subscription.ended_at).where(Subscription.id == self.ids[1]))
        if schedule_id is None and ended_at is None:
            start, current = self.now + seconds, {row.price_id: row.quantity for row in items}
            end = lasts and start + lasts
            phases = [(self.now, current), (start, {self.prices[price]: quantity})]
            world.plan(*self.ids, phases, end, proration, end_behavior=behavior)
