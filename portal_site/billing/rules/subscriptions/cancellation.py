"""Rules for cancelling a subscription: when it ends, what is invoiced, credited or discarded, and who may undo it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from random import Random
from typing import Any

from portal_site.billing.errors import BillingError
from portal_site.billing.rules.invoicing.invoices import InvoiceTotals
from portal_site.billing.rules.invoicing.reductions import Reduction
from portal_site.billing.rules.subscriptions import item_changes
from portal_site.billing.rules.subscriptions.snapshot import BILLED_ELSEWHERE, SubscriptionSnapshot
from portal_site.billing.rules.subscriptions.statuses import SubscriptionStatus
from portal_site.billing.translation_marks import N_

LONGEST_COMMENT = 500
LAST = "other"
# Statuses without a running paid period. There is no period end to wait for, so the cancellation is immediate.
IDLE = (SubscriptionStatus.UNPAID, SubscriptionStatus.PAUSED, SubscriptionStatus.INCOMPLETE)


@dataclass(frozen=True, slots=True)
class CancellationQuote:
    """A cancellation as it would be made at `at`.

    `invoice` is written at once, for pending lines and credit for unused time; it has no lines if there is nothing to settle.
    `drops` is true if pending lines or a pending update are discarded. `lost` is the credit among the discarded lines, such as
    the credit of a pause, in minor units. `reductions` are those of unpaid invoices, by what a paid one would be credited.
    """

    at: int
    ends_at: int
    invoice: InvoiceTotals
    drops: bool
    lost: int = 0
    reductions: tuple[Reduction, ...] = ()

    @property
    def immediate(self) -> bool:
        """Whether the subscription ends now."""
        return self.ends_at <= self.at

    @property
    def invoiced(self) -> bool:
        """Whether an invoice is written today."""
        return bool(self.invoice.lines)


def why_not_cancelable(snapshot: SubscriptionSnapshot) -> BillingError | None:
    """Why the subscription cannot be cancelled, or None. It can unless it has ended, is to end, or is not billed here yet."""
    if snapshot.status.ended:
        return BillingError(N_("This subscription has already ended."), "subscription_ended")
    if snapshot.billed_elsewhere:
        return BillingError(BILLED_ELSEWHERE, "subscription_not_changeable")
    if snapshot.cancel_at is not None:
        return BillingError(N_("This subscription is already set to end."), "subscription_canceled")
    return None


def quote(
    snapshot: SubscriptionSnapshot, mode: str, proration_behavior: str, waiting: bool, at: int
) -> CancellationQuote:
    """The cancellation at `at` with the merchant's `mode` (at_period_end, immediately) and `proration_behavior`.

    With at_period_end the subscription ends with the latest current period of its items, so that each item is delivered for as
    long as it was ordered. `waiting` says whether there is a pending update.
    """
    at_once = mode == "immediately" or snapshot.status in IDLE
    if waiting or snapshot.status == SubscriptionStatus.INCOMPLETE:
        snapshot = snapshot.given_up()
    if not at_once:
        ends_at = max(item.period_end for item in snapshot.items)
        # The period may be over before the worker has renewed it. No renewal will take the pending lines, so bill them now.
        return CancellationQuote(
            at, ends_at, snapshot.invoice_for(snapshot.pending_lines if ends_at <= at else ()), drops=waiting
        )
    if proration_behavior == "none":
        worth = -sum(line.total for line in snapshot.pending_lines)
        return CancellationQuote(
            at, at, snapshot.invoice_for(()), drops=waiting or bool(snapshot.pending_lines), lost=max(0, worth)
        )
    credits = (line for line in item_changes.credits_on_end(snapshot, at) if line.amount)
    lines = (*snapshot.pending_lines, *credits)
    return CancellationQuote(at, at, snapshot.invoice_for(lines), drops=waiting, reductions=to_used_time(snapshot, at))


def to_used_time(snapshot: SubscriptionSnapshot, at: int) -> tuple[Reduction, ...]:
    """The reductions of the unpaid invoices to the time until `at`, exactly by what would be credited of paid ones."""
    reductions = []
    for invoice in snapshot.owed:
        credits = item_changes.credits_on_end(replace(snapshot, creditable_lines=invoice.lines), at)
        line_of = {line.item_id: line.id for line in invoice.lines}
        named = (replace(line, credits=line.credits or line_of[line.item_id]) for line in credits)
        reductions.append(Reduction.of(invoice, named))
    return tuple(reduction for reduction in reductions if reduction is not None)


def can_be_kept(status: str, cancel_at: int | None, at_period_end: bool, details: Mapping[str, Any] | None) -> bool:
    """Whether the customer may undo the scheduled cancellation: it was requested, and the subscription has not ended.

    `details` are the subscription's `cancellation_details`. A `cancel_at` that the merchant set cannot be undone.
    """
    was_requested = at_period_end or (details or {}).get("reason") == "cancellation_requested"
    return not SubscriptionStatus(status).ended and was_requested and (at_period_end or cancel_at is not None)


def end_without_method(
    status: str, collection_method: str, trial_end: int | None, settings: Mapping[str, Any] | None
) -> int | None:
    """When a subscription ends if nobody leaves a payment method; None if that does not end it.

    `settings` are Stripe's `trial_settings`. Other behaviors than `cancel` bill the first invoice as any other.
    """
    behavior = ((settings or {}).get("end_behavior") or {}).get("missing_payment_method")
    is_charged = status == SubscriptionStatus.TRIALING and collection_method == "charge_automatically"
    return trial_end if is_charged and behavior == "cancel" else None


def is_for_want_of_method(status: str, trial_end: int | None, cancel_at: int | None, canceled_at: int | None) -> bool:
    """Whether the end that is set comes from the trial, and not from somebody who asked for it."""
    nobody_asked = canceled_at is None and cancel_at is not None
    return status == SubscriptionStatus.TRIALING and nobody_asked and cancel_at == trial_end


def shuffled(reasons: Sequence[str], session_id: str) -> list[str]:
    """The reasons in a random order, fixed for the session, so that no reason is favored by its position; `other` is last."""
    order = [reason for reason in reasons if reason != LAST]
    Random(session_id).shuffle(order)  # noqa: S311 - not used for security
    return [*order, *(reason for reason in reasons if reason == LAST)]
