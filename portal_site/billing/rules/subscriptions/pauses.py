"""Rules for pausing a subscription: nothing is billed or delivered during the pause, and resuming begins new periods.

A pause bills exactly the time that is used: the rest of the period is credited as pending lines when the pause begins, and the
first invoice after the pause takes that credit off.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from portal_site.billing.errors import BillingError
from portal_site.billing.rules.amounts import periods
from portal_site.billing.rules.invoicing.invoices import InvoiceLine
from portal_site.billing.rules.portal.portal_features import SubscriptionPause
from portal_site.billing.rules.subscriptions import item_changes, plan_change
from portal_site.billing.rules.subscriptions.plan_change import Quote
from portal_site.billing.rules.subscriptions.snapshot import BILLED_ELSEWHERE, SubscriptionSnapshot
from portal_site.billing.rules.subscriptions.statuses import SubscriptionStatus
from portal_site.billing.translation_marks import N_


@dataclass(frozen=True, slots=True)
class PauseLength:
    """The length of a pause: `count` intervals or, without an interval, until the customer resumes."""

    interval: str | None = None
    count: int = 1

    @property
    def key(self) -> str:
        """The value in a form: `{count}-{interval}`, or `open` without an interval."""
        return f"{self.count}-{self.interval}" if self.interval else "open"

    def end(self, at: int) -> int | None:
        """When a pause that begins at `at` ends; None if it lasts until the customer resumes."""
        return periods.boundary(at, self.interval, self.count) if self.interval else None


def pause_lengths(features: SubscriptionPause) -> list[PauseLength]:
    """The lengths that the merchant offers."""
    if features.duration_type == "indefinite":
        return [PauseLength()]
    return [PauseLength(option["interval"], option.get("interval_count", 1)) for option in features.interval_options]


@dataclass(frozen=True, slots=True)
class Pause:
    """A pause that begins at `at`. `resumes_at` is None if it lasts until resumed; `deferred_lines` credit unused time."""

    at: int
    resumes_at: int | None
    deferred_lines: tuple[InvoiceLine, ...]

    @property
    def credit(self) -> int:
        """The credit for the unused time, as a positive amount in minor units."""
        return -sum(line.total for line in self.deferred_lines)


def why_not_pausable(snapshot: SubscriptionSnapshot, waiting: bool, at: int) -> BillingError | None:
    """Why the subscription cannot be paused now, or None. `waiting` says whether there is a pending update."""
    status = snapshot.status
    reasons = (
        (status.ended, N_("This subscription has ended.")),
        (snapshot.billed_elsewhere, BILLED_ELSEWHERE),
        (snapshot.is_paused, N_("This subscription is already paused.")),
        (
            snapshot.cancel_at is not None,
            N_("This subscription is set to end, so it cannot be paused."),
        ),
        (status == SubscriptionStatus.TRIALING, N_("A free trial cannot be paused.")),
        (waiting, N_("A plan change is awaiting payment. Pay for it or undo it first.")),
        (
            snapshot.has_open_invoice or not status.renews,
            N_("An invoice for this subscription is unpaid. Pay it before you pause."),
        ),
        (snapshot.has_uncollected_invoice, plan_change.UNCOLLECTED_INVOICE),
        (snapshot.is_behind(at), N_("Your renewal is being processed. Please try again in a few minutes.")),
    )
    return next((BillingError(message, "subscription_not_pausable") for applies, message in reasons if applies), None)


def pause(snapshot: SubscriptionSnapshot, span: PauseLength, at: int) -> Pause:
    """A pause of this length that begins at `at`."""
    credit_lines = item_changes.credits_on_end(snapshot, at)
    return Pause(at, span.end(at), credit_lines)


def resumption(snapshot: SubscriptionSnapshot, at: int) -> Quote:
    """The quote for resuming at `at`: new periods from then on, less the pending credit."""
    return plan_change.restart_periods(snapshot.with_resumed_discounts(at).with_shared_discounts_resumed(at), at)


def suspended_ends(status_details: Mapping[str, Any] | None, at: int) -> dict[str, int]:
    """The ends, by id, that the discounts have which a pause suspended, if it is over at `at`: later by its length."""
    paused = (status_details or {}).get("paused") or {}
    length = at - paused.get("transitioned_at", at)
    return {discount_id: end + length for discount_id, end in (paused.get("discount_ends") or {}).items()}


def resumes_at(status_details: Mapping[str, Any] | None, pause_collection: Mapping[str, Any] | None) -> int | None:
    """When the pause ends automatically, or None. Stripe keeps it in `status_details.paused` or in `pause_collection`."""
    paused = (status_details or {}).get("paused") or pause_collection or {}
    moment = paused.get("resumes_at")
    return int(moment) if moment is not None else None
