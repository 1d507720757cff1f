"""The states of subscriptions, invoices and payment attempts, and the words for them."""

from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Self

from portal_site.billing.translation_marks import N_


class Tone(StrEnum):
    """What a state asks of the reader; pages turn it into a colour and a shape."""

    GOOD = "good"
    NOTE = "note"
    WARNING = "warning"
    BAD = "bad"
    QUIET = "quiet"


class _Status(StrEnum):
    """A state with its word for people and what it asks of them."""

    label: str
    tone: Tone

    def __new__(cls, value: str, label: str = "", tone: Tone = Tone.QUIET) -> Self:
        member = str.__new__(cls, value)
        member._value_ = value
        member.label = label
        member.tone = tone
        return member


class SubscriptionStatus(_Status):
    """The field's eight states of a subscription."""

    TRIALING = "trialing", N_("Free trial"), Tone.NOTE
    ACTIVE = "active", N_("Active"), Tone.GOOD
    PAST_DUE = "past_due", N_("Payment overdue"), Tone.BAD
    UNPAID = "unpaid", N_("Unpaid"), Tone.BAD
    INCOMPLETE = "incomplete", N_("Awaiting first payment"), Tone.WARNING
    INCOMPLETE_EXPIRED = "incomplete_expired", N_("Not started"), Tone.QUIET
    PAUSED = "paused", N_("Paused"), Tone.WARNING
    CANCELED = "canceled", N_("Cancelled"), Tone.QUIET

    @property
    def ended(self) -> bool:
        """Whether nothing will ever be billed for it again."""
        return self in (SubscriptionStatus.CANCELED, SubscriptionStatus.INCOMPLETE_EXPIRED)

    def become(self, other: "SubscriptionStatus") -> "SubscriptionStatus":
        """The other state, if it may follow this one. Raises ValueError: nothing in the program may try what may not be."""
        if other not in MOVES[self]:
            raise ValueError(f"a subscription that is {self} cannot become {other}")
        return other

    @property
    def renews(self) -> bool:
        """Whether the next period will be billed if nobody does anything."""
        return self in (SubscriptionStatus.TRIALING, SubscriptionStatus.ACTIVE, SubscriptionStatus.PAST_DUE)


# From each state, those that it may become. What is not here does not happen.
MOVES: Mapping[SubscriptionStatus, frozenset[SubscriptionStatus]] = {
    SubscriptionStatus(before): frozenset(map(SubscriptionStatus, after.split()))
    for before, after in {
        "incomplete": "active trialing incomplete_expired",
        "trialing": "active past_due unpaid paused canceled",
        "active": "past_due unpaid paused canceled",
        "past_due": "active unpaid paused canceled",
        "unpaid": "active canceled",
        "paused": "active past_due canceled",
        "canceled": "",
        "incomplete_expired": "",
    }.items()
}


def next_due(status: str, period_ends: Iterable[int], *others: int | None) -> int | None:
    """When something has to be done about a subscription next: a renewal, or one of the `others` (ends, expiries, phases)."""
    moments = [moment for moment in others if moment is not None]
    if SubscriptionStatus(status).renews:
        moments += period_ends
    return min(moments, default=None) if not SubscriptionStatus(status).ended else None


class InvoiceStatus(_Status):
    """The field's five states of an invoice."""

    DRAFT = "draft", N_("Draft"), Tone.QUIET
    OPEN = "open", N_("Open"), Tone.WARNING
    PAID = "paid", N_("Paid"), Tone.GOOD
    UNCOLLECTIBLE = "uncollectible", N_("Uncollectible"), Tone.BAD
    VOID = "void", N_("Void"), Tone.QUIET

    @property
    def payable(self) -> bool:
        """Whether a customer can still pay it."""
        return self in (InvoiceStatus.OPEN, InvoiceStatus.UNCOLLECTIBLE)


class ChangeOutcome(StrEnum):
    """What became of a change that a customer confirmed."""

    APPLIED = "applied"
    SCHEDULED = "scheduled"
    PENDING = "pending"  # it waits for its payment
    EXPIRED = "expired"


class AttemptStatus(StrEnum):
    """How a try to collect stands. The first three are under way; the others are settled."""

    PROCESSING = "processing"
    REQUIRES_ACTION = "requires_action"
    UNKNOWN = "unknown"
    SUCCEEDED = "succeeded"
    DECLINED = "declined"
