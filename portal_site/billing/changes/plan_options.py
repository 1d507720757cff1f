"""What a subscription may become, by the prices that the configuration offers. Not a verb, but every change begins so."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import select

from portal_site.billing.errors import BillingError
from portal_site.billing.loading import plans, snapshots
from portal_site.billing.loading.plans import Reader
from portal_site.billing.models import Price, SchedulePhase, SubscriptionSchedule
from portal_site.billing.rules.amounts.items import Item, PricedPlan
from portal_site.billing.rules.portal.portal_features import SubscriptionUpdate
from portal_site.billing.rules.subscriptions import plan_change
from portal_site.billing.rules.subscriptions.snapshot import SubscriptionSnapshot


@dataclass(frozen=True)
class PlanChangeOptions:
    """A subscription before a change: its snapshot, and what it may become.

    `refusal` says why nothing can be changed at all, `planned` whether the customer planned a change for the period's end.
    """

    snapshot: SubscriptionSnapshot
    offers: dict[str, PricedPlan]
    refusal: BillingError | None
    planned: bool
    pending_update: Mapping[str, Any] | None


def load(reader: Reader, row: Any, customer: Any, features: SubscriptionUpdate, at: int) -> PlanChangeOptions:
    """The situation of a subscription's row, for a customer's. Both as `snapshots.rows` finds them."""
    snapshot = snapshots.load_for_quote(reader, row, customer, at)
    origins = _schedules(reader, row, at)
    snapshot = replace(snapshot, managed_by_merchant_schedule=any(origin != "portal" for origin in origins))
    fitting = (Price.active, Price.type == "recurring", Price.usage_type == "licensed", Price.livemode == row.livemode)
    offers = plans.load_plans(reader, customer.account_id, features.price_ids, *fitting)
    return PlanChangeOptions(
        snapshot, offers, plan_change.why_not_changeable(snapshot, at), "portal" in origins, row.pending_update
    )


def _schedules(reader: Reader, row: Any, at: int) -> list[str]:
    """Who made the schedules that it has: of the portal's those that have a phase to come, of a merchant's all.

    A merchant's holds the subscription to its phase for as long as that lasts.
    """
    query = (
        select(SubscriptionSchedule.origin)
        .join(SchedulePhase, SchedulePhase.schedule_id == SubscriptionSchedule.id)
        .where(
            SubscriptionSchedule.customer_id == row.customer_id,
            SubscriptionSchedule.subscription_id == row.id,
            SubscriptionSchedule.status == "active",
            (SchedulePhase.start_date > at) | (SubscriptionSchedule.origin == "merchant"),
        )
    )
    return [origin for (origin,) in reader.execute(query)]


def plans_for_item(found: PlanChangeOptions, features: SubscriptionUpdate, item: Item) -> list[PricedPlan]:
    """The offers that an item may move to, its own first. A product that another item has already is not among them."""
    if item.offer.terms.metered:
        return []
    others = {other.offer.product_id for other in found.snapshot.items if other.id != item.id}
    offered = [found.offers[price] for price in features.price_ids if price in found.offers]
    fitting = [
        offer
        for offer in offered
        if offer.product_id not in others
        and offer.price_id != item.offer.price_id
        and plan_change.incompatibility(item, offer, found.snapshot.currency) is None
    ]
    return [item.offer, *(fitting if "price" in features.default_allowed_updates else [])]


def incompatibility(found: PlanChangeOptions, features: SubscriptionUpdate) -> BillingError | None:
    """Why there is nothing to choose from, where plans are offered but fit none of the items; None where there is."""
    items = [item for item in found.snapshot.items if not item.offer.terms.metered]
    if "price" not in features.default_allowed_updates or any(
        len(plans_for_item(found, features, item)) > 1 for item in items
    ):
        return None
    reasons = (
        plan_change.incompatibility(item, found.offers[price], found.snapshot.currency)
        for item in items
        for price in features.price_ids
        if price in found.offers
    )
    return next((reason for reason in reasons if reason is not None), None)
