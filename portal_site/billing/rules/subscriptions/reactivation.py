"""Rules for reactivating an ended subscription: a new subscription with the same items, at their current prices."""

from dataclasses import replace

from portal_site.billing.errors import BillingError
from portal_site.billing.rules.subscriptions import plan_change
from portal_site.billing.rules.subscriptions.plan_change import Quote
from portal_site.billing.rules.subscriptions.snapshot import SubscriptionSnapshot
from portal_site.billing.rules.subscriptions.statuses import SubscriptionStatus
from portal_site.billing.translation_marks import N_


def why_not_reactivatable(
    snapshot: SubscriptionSnapshot, offered: frozenset[str], living: frozenset[str]
) -> BillingError | None:
    """Why the subscription cannot be reactivated, or None.

    `offered` are those of its price ids that are still active; `living` are the product ids of the customer's subscriptions that
    have not ended.
    """
    product_ids = {item.offer.product_id for item in snapshot.items}
    reasons = (
        (not snapshot.status.ended, N_("This subscription is still active.")),
        (bool(product_ids & living), N_("You already have this plan.")),
        (
            not snapshot.items or any(item.offer.price_id not in offered for item in snapshot.items),
            N_("This plan is no longer available. Please contact us."),
        ),
        (
            snapshot.collection_method == "send_invoice",
            N_("You pay this subscription by invoice. Please contact us to resubscribe."),
        ),
        (snapshot.has_open_invoice, N_("An invoice for this subscription is unpaid. Pay it first.")),
    )
    return next(
        (BillingError(message, "subscription_not_restartable") for applies, message in reasons if applies), None
    )


def quote(snapshot: SubscriptionSnapshot, at: int) -> Quote:
    """The quote for reactivating at `at`. The customer's discounts and balance apply, those of the old subscription do not."""
    snapshot = snapshot.with_shared_discounts_resumed(at)
    customer_discounts = tuple(
        discount for discount in snapshot.discounts if discount.subscription_id is None and discount.item_id is None
    )
    reactivated = replace(
        snapshot, status=SubscriptionStatus.ACTIVE, cancel_at=None, pause_collection=None, resumes_at=None, trial_end=None,
        phases=(), awaiting_payment=None, discounts=customer_discounts, pending_lines=(), creditable_lines=(),
    )  # fmt: skip
    return plan_change.restart_periods(reactivated, at)
