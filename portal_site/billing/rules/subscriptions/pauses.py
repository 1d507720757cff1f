"""Pausing: nothing is billed and nothing is delivered, what was paid for is kept, and going on begins a new period.

So pausing and resuming bills exactly the time that is used: the rest of the period is credited when the pause begins, and the
first invoice after it takes that credit off.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from portal_site.billing.errors import BillingError
from portal_site.billing.rules.amounts import periods
from portal_site.billing.rules.invoicing.invoices import InvoiceLine
from portal_site.billing.rules.portal.portal_features import SubscriptionPause
from portal_site.billing.rules.subscriptions import plan_change
from portal_site.billing.rules.subscriptions.plan_change import Quote
from portal_site.billing.rules.subscriptions.snapshot import SubscriptionSnapshot
from portal_site.billing.rules.subscriptions.statuses import SubscriptionStatus
from portal_site.billing.translation_marks import N_


@dataclass(frozen=True, slots=True)
class PauseLength:
    """How long a pause lasts; without an interval, until the customer resumes."""

    interval: str | None = None
    count: int = 1

    @property
    def key(self) -> str:
        """The span as a form carries it."""
        return f"{self.count}-{self.interval}" if self.interval else "open"

    def end(self, at: int) -> int | None:
        """When a pause from `at` on is over."""
        return periods.boundary(at, self.interval, self.count) if self.interval else None


def pause_lengths(features: SubscriptionPause) -> list[PauseLength]:
    """The spans that the merchant lets customers choose from."""
    if features.duration_type == "indefinite":
        return [PauseLength()]
    return [PauseLength(option["interval"], option.get("interval_count", 1)) for option in features.interval_options]


@dataclass(frozen=True, slots=True)
class Pause:
    """A pause as it would begin at `at`: until when (None: until resumed), and the credit that waits for its end."""

    at: int
    resumes_at: int | None
    deferred_lines: tuple[InvoiceLine, ...]

    @property
    def credit(self) -> int:
        """What the time that is not used is worth, in minor units."""
        return -sum(line.total for line in self.deferred_lines)


def why_not_pausable(snapshot: SubscriptionSnapshot, waiting: bool, at: int) -> BillingError | None:
    """Why it cannot be paused now, or None. `waiting` says whether a change waits for its payment."""
    status = snapshot.status
    reasons = (
        (status.ended, N_("This subscription has ended.")),
        (is_paused(snapshot), N_("This subscription is already paused.")),
        (
            snapshot.cancel_at is not None,
            N_("This subscription is set to end. Undo the cancellation before you pause it."),
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
    return next((BillingError(sentence, "subscription_not_pausable") for holds, sentence in reasons if holds), None)


def is_paused(snapshot: SubscriptionSnapshot) -> bool:
    """Whether it is paused, in the field's newer or older way."""
    return snapshot.collection_paused or snapshot.status == SubscriptionStatus.PAUSED


def pause(snapshot: SubscriptionSnapshot, span: PauseLength, at: int) -> Pause:
    """The pause of this length."""
    waiting = plan_change.credits_on_end(snapshot, at)
    return Pause(at, span.end(at), waiting)


def resumption(snapshot: SubscriptionSnapshot, at: int) -> Quote:
    """What going on at `at` costs: new periods from now on, less the credit that waited."""
    return plan_change.restart_periods(snapshot, at)


def resumes_at(status_details: Mapping[str, Any] | None, pause_collection: Mapping[str, Any] | None) -> int | None:
    """When a pause ends by itself, wherever the field keeps that."""
    paused = (status_details or {}).get("paused") or pause_collection or {}
    found = paused.get("resumes_at")
    return int(found) if found is not None else None
