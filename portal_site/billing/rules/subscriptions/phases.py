"""What a subscription schedule's phase does to the items of its subscription when it begins."""

from dataclasses import dataclass, replace

from portal_site.billing.rules.invoicing.invoices import InvoiceTotals, consumed_discounts
from portal_site.billing.rules.subscriptions.item_changes import (
    ItemChanges,
    ItemDifference,
    ProrationPolicy,
    change_items,
)
from portal_site.billing.rules.subscriptions.snapshot import Billed, SubscriptionSnapshot


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


@dataclass(frozen=True, slots=True)
class PhaseStart:
    """A phase that began: the subscription afterwards, and the invoice of its proration, if one is written at once."""

    subscription: SubscriptionSnapshot
    invoice: InvoiceTotals | None = None
    consumed: frozenset[str] = frozenset()


def begin_next_phase(snapshot: SubscriptionSnapshot, date: int) -> PhaseStart:
    """The beginning of the subscription's next phase at `date`, as a billing run bills it."""
    phase, *later = snapshot.phases
    cancel_at = min((at for at in (snapshot.cancel_at, phase.cancels_at) if at is not None), default=None)
    snapshot = replace(snapshot, cancel_at=cancel_at)
    difference = ItemDifference.between(snapshot.items, phase.target(snapshot.items))
    if not difference:
        return PhaseStart(replace(snapshot, phases=tuple(later)))
    before, policy = terms(snapshot.as_of(date), phase.proration_behavior)
    changes = change_items(before, difference, policy, date)
    after = _billed(snapshot, changes)
    after = replace(after, items=changes.items, anchor=changes.subscription.anchor, phases=tuple(later))
    if not changes.lines:
        return PhaseStart(after)
    invoice = changes.subscription.invoice_for(changes.lines)
    return PhaseStart(after, invoice, consumed_discounts(changes.lines, changes.subscription.discounts))


def _billed(snapshot: SubscriptionSnapshot, changes: ItemChanges) -> SubscriptionSnapshot:
    """The subscription once the lines of a phase are written: invoiced, or pending until the next invoice."""
    if changes.lines:
        due = changes.subscription.invoice_for(changes.lines).amount_due
        return replace(snapshot.after_billing(changes.lines, snapshot.billed(due)), pending_lines=())
    pending = tuple(line.with_id(position) for position, line in enumerate(changes.deferred_lines))
    return replace(
        snapshot.after_billing(changes.deferred_lines, Billed.PENDING),
        pending_lines=(*snapshot.pending_lines, *pending),
    )


def changes_items(snapshot: SubscriptionSnapshot) -> bool:
    """Whether the next phase changes anything. What waits for its payment is discarded then."""
    return bool(ItemDifference.between(snapshot.items, snapshot.phases[0].target(snapshot.items)))
