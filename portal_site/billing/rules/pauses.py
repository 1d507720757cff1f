"""Pausing: nothing is billed and nothing is delivered, what was paid for is kept, and going on begins a new period.

So pausing and resuming bills exactly the time that is used: the rest of the period is credited when the pause begins, and the
first invoice after it takes that credit off.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from portal_site.billing.errors import BillingError
from portal_site.billing.rules import periods, plan_change
from portal_site.billing.rules.agreements import Agreement
from portal_site.billing.rules.invoices import Line
from portal_site.billing.rules.lifecycle import SubscriptionStatus
from portal_site.billing.rules.plan_change import Quote
from portal_site.billing.rules.portal_features import SubscriptionPause
from portal_site.billing.words import N_


@dataclass(frozen=True, slots=True)
class Span:
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


def spans(features: SubscriptionPause) -> list[Span]:
    """The spans that the merchant lets customers choose from."""
    if features.duration_type == "indefinite":
        return [Span()]
    return [Span(option["interval"], option.get("interval_count", 1)) for option in features.interval_options]


@dataclass(frozen=True, slots=True)
class Pause:
    """A pause as it would begin at `at`: until when (None: until resumed), and the credit that waits for its end."""

    at: int
    resumes_at: int | None
    waiting: tuple[Line, ...]

    @property
    def credit(self) -> int:
        """What the time that is not used is worth, in minor units."""
        return -sum(line.total for line in self.waiting)


def refusal(agreement: Agreement, waiting: bool, at: int) -> BillingError | None:
    """Why it cannot be paused now, or None. `waiting` says whether a change waits for its payment."""
    status = agreement.status
    reasons = (
        (status.ended, N_("This subscription has ended.")),
        (is_paused(agreement), N_("This subscription is paused already.")),
        (agreement.cancel_at is not None, N_("This subscription is about to end. Keep it before you pause it.")),
        (status == SubscriptionStatus.TRIALING, N_("A free trial cannot be paused.")),
        (waiting, N_("A change of your plan waits for its payment. Pay it or take it back first.")),
        (
            agreement.has_open_invoice or not status.renews,
            N_("An invoice of this subscription is not paid yet. Pay it before you pause."),
        ),
        (agreement.is_withheld, plan_change.WITHHELD),
        (agreement.is_behind(at), N_("Your renewal is being prepared. Please try again in a few minutes.")),
    )
    return next((BillingError(sentence, "subscription_not_pausable") for holds, sentence in reasons if holds), None)


def is_paused(agreement: Agreement) -> bool:
    """Whether it is paused, in the field's newer or older way."""
    return agreement.collection_paused or agreement.status == SubscriptionStatus.PAUSED


def pause(agreement: Agreement, span: Span, at: int) -> Pause:
    """The pause of this length."""
    waiting = plan_change.refundable(agreement, at)
    return Pause(at, span.end(at), waiting)


def resumption(agreement: Agreement, at: int) -> Quote:
    """What going on at `at` costs: new periods from now on, less the credit that waited."""
    return plan_change.restart(agreement, at)


def resumes_at(status_details: Mapping[str, Any] | None, pause_collection: Mapping[str, Any] | None) -> int | None:
    """When a pause ends by itself, wherever the field keeps that."""
    paused = (status_details or {}).get("paused") or pause_collection or {}
    found = paused.get("resumes_at")
    return int(found) if found is not None else None
