"""Coming back: an ended subscription begun again with what it had, at today's price of it, as a new subscription."""

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
    """Why it cannot be begun again, or None.

    `offered` are the prices of it that are still sold, `living` the products of the customer's running subscriptions.
    """
    mine = {item.offer.product_id for item in snapshot.items}
    reasons = (
        (not snapshot.status.ended, N_("This subscription is still active.")),
        (bool(mine & living), N_("You already have this plan.")),
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
    return next((BillingError(sentence, "subscription_not_restartable") for holds, sentence in reasons if holds), None)


def quote(snapshot: SubscriptionSnapshot, at: int) -> Quote:
    """What beginning again at `at` costs. Discounts and credit of the customer's count; those of the old subscription do not."""
    own = tuple(
        discount for discount in snapshot.discounts if discount.subscription_id is None and discount.item_id is None
    )
    begun = replace(
        snapshot, status=SubscriptionStatus.ACTIVE, cancel_at=None, collection_paused=False, trial_end=None,
        discounts=own, pending_lines=(), creditable_lines=(),
    )  # fmt: skip
    return plan_change.restart_periods(begun, at)
