"""The plans that a subscription may change to, among the prices that the configuration offers."""

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
    """A subscription before a change: its snapshot, and the offered plans by price id.

    `refusal` says why the subscription cannot be changed at all, if so. `planned` is true if the customer has planned a change
    for the end of the period.
    """

    snapshot: SubscriptionSnapshot
    offers: dict[str, PricedPlan]
    refusal: BillingError | None
    planned: bool
    pending_update: Mapping[str, Any] | None


def load(reader: Reader, row: Any, customer: Any, features: SubscriptionUpdate, at: int) -> PlanChangeOptions:
    """The options of a subscription. `row` and `customer` are as from `snapshots.load_owned_rows`."""
    snapshot = snapshots.load_for_quote(reader, row, customer, at)
    origins = _schedule_origins(reader, row, at)
    snapshot = replace(snapshot, managed_by_merchant_schedule=any(origin != "portal" for origin in origins))
    offerable = (
        Price.active,
        Price.type == "recurring",
        Price.usage_type == "licensed",
        Price.livemode == row.livemode,
    )
    offers = plans.load_plans(reader, customer.account_id, features.price_ids, *offerable)
    return PlanChangeOptions(
        snapshot, offers, plan_change.why_not_changeable(snapshot, at), "portal" in origins, row.pending_update
    )


def _schedule_origins(reader: Reader, row: Any, at: int) -> list[str]:
    """The origins of its active schedules: of all the merchant's, and of the portal's with a future phase.

    A merchant's schedule fixes the items of the subscription for as long as its current phase lasts.
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


def plans_for_item(options: PlanChangeOptions, features: SubscriptionUpdate, item: Item) -> list[PricedPlan]:
    """The plans that an item may change to, its own first; none for metered items.

    Products that another item has are left out.
    """
    if item.offer.terms.metered:
        return []
    other_product_ids = {other.offer.product_id for other in options.snapshot.items if other.id != item.id}
    offered = [options.offers[price] for price in features.price_ids if price in options.offers]
    compatible = [
        offer
        for offer in offered
        if offer.product_id not in other_product_ids
        and offer.price_id != item.offer.price_id
        and plan_change.incompatibility(item, offer, options.snapshot.currency) is None
    ]
    return [item.offer, *(compatible if "price" in features.default_allowed_updates else [])]


def incompatibility(options: PlanChangeOptions, features: SubscriptionUpdate) -> BillingError | None:
    """Why none of the offered plans is compatible with any item; None if one is, or if plans cannot be changed."""
    items = [item for item in options.snapshot.items if not item.offer.terms.metered]
    if "price" not in features.default_allowed_updates or any(
        len(plans_for_item(options, features, item)) > 1 for item in items
    ):
        return None
    reasons = (
        plan_change.incompatibility(item, options.offers[price], options.snapshot.currency)
        for item in items
        for price in features.price_ids
        if price in options.offers
    )
    return next((reason for reason in reasons if reason is not None), None)
