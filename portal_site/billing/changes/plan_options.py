"""Loads a subscription with the plans and add-ons that a configuration offers for it."""

from dataclasses import dataclass, replace

from sqlalchemy import bindparam, select

from portal_site.billing.errors import BillingError
from portal_site.billing.loading import plans, snapshots
from portal_site.billing.loading.plans import Reader
from portal_site.billing.models import (
    Customer,
    InvoiceLineItem,
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


@dataclass(frozen=True)
class Owner:
    """Whose subscription it is, and whether in live mode: what the offered prices have to match."""

    account_id: str
    customer_id: str
    livemode: bool


def load(
    reader: Reader, row: Subscription, customer: Customer, features: SubscriptionUpdate, at: int
) -> PlanChangeOptions:
    """The options of a subscription. `row` and `customer` are as from `snapshots.load_owned_rows`."""
    snapshot = snapshots.load_for_quote(reader, row, customer, at)
    return of_snapshot(reader, snapshot, Owner(customer.account_id, customer.id, row.livemode), features, at)


def of_snapshot(
    reader: Reader, snapshot: SubscriptionSnapshot, owner: Owner, features: SubscriptionUpdate, at: int
) -> PlanChangeOptions:
    """The options of a subscription whose snapshot was loaded for a quote."""
    origins = _schedule_origins(reader, owner.customer_id, snapshot.id, at)
    snapshot = replace(snapshot, managed_by_merchant_schedule=any(origin != "portal" for origin in origins))
    offers = plans.load_offers(reader, owner.account_id, owner.livemode, features.all_price_ids)
    policy = PortalPolicy(snapshot, features, offers)
    is_active = snapshot.status == SubscriptionStatus.ACTIVE
    lacks_invoice = is_active and not _is_billed(reader, owner.customer_id, snapshot, at)
    return PlanChangeOptions(policy, policy.why_not_changeable(at), "portal" in origins, lacks_invoice)


_LINES_BEYOND = (
    select(InvoiceLineItem.id)
    .where(
        InvoiceLineItem.customer_id == bindparam("customer_id"),
        InvoiceLineItem.subscription_id == bindparam("subscription_id"),
        InvoiceLineItem.period_end > bindparam("at"),
    )
    .limit(1)
)


def _is_billed(reader: Reader, customer_id: str, snapshot: SubscriptionSnapshot, at: int) -> bool:
    """Whether a line reaches beyond `at`, whatever became of its invoice; a free period needs none."""
    if snapshot.creditable_lines or not any(item.amount for item in snapshot.items):
        return True
    given = {"customer_id": customer_id, "subscription_id": snapshot.id, "at": at}
    return reader.execute(_LINES_BEYOND, given).first() is not None


_ORIGINS = (
    select(SubscriptionSchedule.origin)
    .join(SchedulePhase, SchedulePhase.schedule_id == SubscriptionSchedule.id)
    .where(
        SubscriptionSchedule.customer_id == bindparam("customer_id"),
        SubscriptionSchedule.subscription_id == bindparam("subscription_id"),
        SubscriptionSchedule.status == "active",
        (SchedulePhase.start_date > bindparam("at")) | (SubscriptionSchedule.origin == "merchant"),
    )
)


def _schedule_origins(reader: Reader, customer_id: str, subscription_id: str, at: int) -> list[str]:
    """The origins of its active schedules: of all the merchant's, and of the portal's with a future phase.

    A merchant's schedule fixes the items of the subscription for as long as its current phase lasts.
    """
    given = {"customer_id": customer_id, "subscription_id": subscription_id, "at": at}
    return [origin for (origin,) in reader.execute(_ORIGINS, given)]
