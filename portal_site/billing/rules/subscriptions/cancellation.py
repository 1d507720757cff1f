"""What cancelling a subscription brings about: when it ends, what is credited, and what goes with it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

from portal_site.billing.errors import BillingError
from portal_site.billing.rules.invoicing.invoices import InvoiceTotals
from portal_site.billing.rules.subscriptions import plan_change
from portal_site.billing.rules.subscriptions.snapshot import SubscriptionSnapshot
from portal_site.billing.rules.subscriptions.statuses import SubscriptionStatus
from portal_site.billing.translation_marks import N_

LONGEST_COMMENT = 500
LAST = "other"
# States in which no paid time runs: there is no end of a period to wait for.
IDLE = (SubscriptionStatus.UNPAID, SubscriptionStatus.PAUSED, SubscriptionStatus.INCOMPLETE)


@dataclass(frozen=True, slots=True)
class CancellationQuote:
    """A cancellation as it would be made at `at`.

    `invoice` is the invoice for what is settled at once: pending lines and credit for unused time; it has no lines when nothing
    is settled. `drops` says that pending lines or a change that waits for its payment are given up with it, `lost` how much
    credit is among them, such as that of a pause.
    """

    at: int
    ends_at: int
    invoice: InvoiceTotals
    drops: bool
    lost: int = 0

    @property
    def immediate(self) -> bool:
        """Whether the service ends now."""
        return self.ends_at <= self.at

    @property
    def invoiced(self) -> bool:
        """Whether an invoice is made today."""
        return bool(self.invoice.lines)


def why_not_cancelable(snapshot: SubscriptionSnapshot) -> BillingError | None:
    """Why it cannot be cancelled, or None. Nothing but being over, or about to be, is a reason."""
    if snapshot.status.ended:
        return BillingError(N_("This subscription has already ended."), "subscription_ended")
    if snapshot.cancel_at is not None:
        return BillingError(N_("This subscription is already cancelled."), "subscription_canceled")
    return None


def quote(
    snapshot: SubscriptionSnapshot, mode: str, proration_behavior: str, waiting: bool, at: int
) -> CancellationQuote:
    """What a cancellation at `at` would be, by the merchant's `mode` (at_period_end, immediately) and proration.

    At the period's end everything that was ordered is delivered, so of several items the longest period counts. `waiting`
    says whether a change waits for its payment.
    """
    at_once = mode == "immediately" or snapshot.status in IDLE
    if not at_once:
        ends_at = max(item.period_end for item in snapshot.items)
        # Before the worker's minute, what waited for the renewal is billed without one.
        return CancellationQuote(
            at, ends_at, snapshot.invoice_for(snapshot.pending_lines if ends_at <= at else ()), drops=waiting
        )
    if proration_behavior == "none":
        worth = -sum(line.total for line in snapshot.pending_lines)
        return CancellationQuote(
            at, at, snapshot.invoice_for(()), drops=waiting or bool(snapshot.pending_lines), lost=max(0, worth)
        )
    lines = (*snapshot.pending_lines, *plan_change.credits_on_end(snapshot, at))
    return CancellationQuote(at, at, snapshot.invoice_for(lines), drops=waiting)


def can_be_kept(status: str, cancel_at: int | None, at_period_end: bool, details: Mapping[str, Any] | None) -> bool:
    """Whether a customer may take its end back: it was asked for, and has not come. A day that the merchant set stays."""
    asked_for = at_period_end or (details or {}).get("reason") == "cancellation_requested"
    return not SubscriptionStatus(status).ended and asked_for and (at_period_end or cancel_at is not None)


def shuffled(reasons: Sequence[str], session_id: str) -> list[str]:
    """The reasons in an order of this session's own, so that none profits from standing first; «other» stays last."""
    order = [reason for reason in reasons if reason != LAST]
    Random(session_id).shuffle(order)  # noqa: S311 - fair, not secret
    return [*order, *(reason for reason in reasons if reason == LAST)]
