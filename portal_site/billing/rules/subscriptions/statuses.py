"""The statuses of subscriptions, invoices, confirmed changes and payment attempts, with their labels."""

from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Self

from portal_site.billing.translation_marks import N_


class Tone(StrEnum):
    """How urgent a status is for the reader; pages show it as a colour and a shape."""

    GOOD = "good"
    NOTE = "note"
    WARNING = "warning"
    BAD = "bad"
    QUIET = "quiet"


class _Status(StrEnum):
    """A status with the label and tone that pages show."""

    label: str
    tone: Tone

    def __new__(cls, value: str, label: str = "", tone: Tone = Tone.QUIET) -> Self:
        member = str.__new__(cls, value)
        member._value_ = value
        member.label = label
        member.tone = tone
        return member


class SubscriptionStatus(_Status):
    """Stripe's eight statuses of a subscription."""

    TRIALING = "trialing", N_("Free trial"), Tone.NOTE
    ACTIVE = "active", N_("Active"), Tone.GOOD
    PAST_DUE = "past_due", N_("Payment overdue"), Tone.BAD
    UNPAID = "unpaid", N_("On hold"), Tone.BAD
    INCOMPLETE = "incomplete", N_("Awaiting first payment"), Tone.WARNING
    INCOMPLETE_EXPIRED = "incomplete_expired", N_("Not started"), Tone.QUIET
    PAUSED = "paused", N_("Paused"), Tone.WARNING
    CANCELED = "canceled", N_("Ended"), Tone.QUIET

    @property
    def ended(self) -> bool:
        """Whether the status is final. Only pending lines may still be billed then."""
        return self in (SubscriptionStatus.CANCELED, SubscriptionStatus.INCOMPLETE_EXPIRED)

    def become(self, other: "SubscriptionStatus") -> "SubscriptionStatus":
        """The other status, if this one may change to it. Raises ValueError if not, which is a programming error."""
        if other not in MOVES[self]:
            raise ValueError(f"a subscription that is {self} cannot become {other}")
        return other

    @property
    def renews(self) -> bool:
        """Whether the subscription is billed again at the end of the period."""
        return self in (SubscriptionStatus.TRIALING, SubscriptionStatus.ACTIVE, SubscriptionStatus.PAST_DUE)


# The allowed transitions: by status, the statuses that may follow it.
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
    """When a billing run next has to process a subscription; None if never.

    That is at the first of `period_ends`, if the status renews, or at one of the `others`: ends, expiries and phases.
    """
    moments = [moment for moment in others if moment is not None]
    if SubscriptionStatus(status).renews:
        moments += period_ends
    return min(moments, default=None) if not SubscriptionStatus(status).ended else None


ENDED = tuple(status for status in SubscriptionStatus if status.ended)


class InvoiceStatus(_Status):
    """Stripe's five statuses of an invoice."""

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
    """The outcome of a change that a customer confirmed."""

    APPLIED = "applied"
    SCHEDULED = "scheduled"
    PENDING = "pending"  # awaits its payment
    EXPIRED = "expired"


class AttemptStatus(StrEnum):
    """The status of a payment attempt. The last two are final; the others are in progress.

    SUBMITTING and UNKNOWN mean that the call to the gateway has no answer yet. PROCESSING is an answer: the bank is carrying out
    the payment, which takes days for a debit.
    """

    SUBMITTING = "submitting"  # the gateway is being called, or the process was stopped during the call
    UNKNOWN = "unknown"  # the gateway did not answer
    REQUIRES_ACTION = "requires_action"  # the customer has to complete 3-D Secure authentication
    PROCESSING = "processing"
    SUCCEEDED = "succeeded"
    DECLINED = "declined"


# The decline code of an attempt whose 3-D Secure authentication was not completed. The bank was not asked for money.
UNCONFIRMED = "authentication_not_handled"
