"""What a subscription schedule's phase does to the items of its subscription when it begins."""

from dataclasses import replace

from portal_site.billing.rules.subscriptions.item_changes import ItemDifference, ProrationPolicy, change_items
from portal_site.billing.rules.subscriptions.snapshot import PlannedPhase, SubscriptionSnapshot


def can_be_prorated(snapshot: SubscriptionSnapshot) -> bool:
    """Whether the change is prorated: not while paused or with unpaid invoices, because its time is not paid for then."""
    is_unpaid = snapshot.has_open_invoice or snapshot.has_uncollected_invoice
    return snapshot.status.renews and not snapshot.collection_paused and not is_unpaid


def terms(snapshot: SubscriptionSnapshot, proration_behavior: str) -> tuple[SubscriptionSnapshot, ProrationPolicy]:
    """The subscription and the policy with which a phase changes its items.

    A phase does not end a trial, and the items that it adds have periods of their own. Without proration, the old periods
    continue, also those of a classic subscription whose interval changes.
    """
    if not can_be_prorated(snapshot):
        proration_behavior = "none"
    if proration_behavior == "none":
        snapshot = replace(snapshot, billing_mode="flexible")
    return snapshot, ProrationPolicy(
        proration_behavior, trial_update_behavior="continue_trial", added_item_period="own"
    )


def begin_next_phase(snapshot: SubscriptionSnapshot) -> SubscriptionSnapshot | None:
    """The subscription after its next phase began; None if that causes a proration, whose amount is not known yet."""
    phase = snapshot.phases[0]
    difference = ItemDifference.between(snapshot.items, phase.target(snapshot.items))
    if _causes_proration(snapshot, phase, difference):
        return None
    before, policy = terms(snapshot, "none")
    changes = change_items(before, difference, policy, phase.start)
    cancel_at = min((at for at in (snapshot.cancel_at, phase.cancels_at) if at is not None), default=None)
    return replace(snapshot, items=changes.items, phases=snapshot.phases[1:], cancel_at=cancel_at)


def _causes_proration(snapshot: SubscriptionSnapshot, phase: PlannedPhase, difference: ItemDifference) -> bool:
    if phase.proration_behavior == "none" or not can_be_prorated(snapshot):
        return False
    return any(item.period_end > phase.start for item in snapshot.items if item.id in difference.replaced)
