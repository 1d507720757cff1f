"""Loads a subscription with the plans and add-ons that a configuration offers for it."""

from dataclasses import dataclass, replace

from sqlalchemy import select

from portal_site.billing.errors import BillingError
from portal_site.billing.loading import plans, snapshots
from portal_site.billing.loading.plans import Reader
from portal_site.billing.models import (
    Customer,
    InvoiceLineItem,
    Price,
    SchedulePhase,
    Subscription,
    SubscriptionSchedule,
)
from portal_site.billing.rules.portal.portal_features import SubscriptionUpdate
from portal_site.billing.rules.subscriptions.portal_policy import PortalPolicy
from portal_site.billing.rules.subscriptions.snapshot import SubscriptionSnapshot
from portal_site.billing.rules.subscriptions.statuses import SubscriptionStatus


@dataclass(frozen=True)
class PlanChangeOptions:
    """A subscription before a change, with what its customer may ask for (`policy`).

    `refusal` says why the subscription cannot be changed at all, if so. `planned` is true if the customer has planned a change
    for the end of the period. `lacks_invoice` is true if it runs and no invoice of its period is here, as after an import of
    a part, so that nothing of the period is credited.
    """

    policy: PortalPolicy
    refusal: BillingError | None
    planned: bool
    lacks_invoice: bool = False

    @property
    def snapshot(self) -> SubscriptionSnapshot:
        """The subscription."""
        return self.policy.snapshot


def load(
    reader: Reader, row: Subscription, customer: Customer, features: SubscriptionUpdate, at: int
) -> PlanChangeOptions:
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
    offers = plans.load_plans(reader, customer.account_id, features.all_price_ids, *offerable)
    policy = PortalPolicy(snapshot, features, offers)
    lacks_invoice = row.status == SubscriptionStatus.ACTIVE and not _is_billed(reader, row, snapshot, at)
    return PlanChangeOptions(policy, policy.why_not_changeable(at), "portal" in origins, lacks_invoice)


def _is_billed(reader: Reader, row: Subscription, snapshot: SubscriptionSnapshot, at: int) -> bool:
    """Whether a line reaches beyond `at`, whatever became of its invoice; a free period needs none."""
    if snapshot.creditable_lines or not any(item.amount for item in snapshot.items):
        return True
    lines = select(InvoiceLineItem.id).where(
        InvoiceLineItem.customer_id == row.customer_id,
        InvoiceLineItem.subscription_id == row.id,
        InvoiceLineItem.period_end > at,
    )
    return reader.execute(lines.limit(1)).first() is not None


def _schedule_origins(reader: Reader, row: Subscription, at: int) -> list[str]:
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
