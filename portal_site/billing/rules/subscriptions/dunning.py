"""What follows when a renewal cannot be collected: when to try again, and what becomes of the subscription at last."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from portal_site.billing.rules.subscriptions.statuses import SubscriptionStatus

DAY = 24 * 60 * 60
ENDS = {
    "cancel": SubscriptionStatus.CANCELED,
    "unpaid": SubscriptionStatus.UNPAID,
    "past_due": SubscriptionStatus.PAST_DUE,
}


@dataclass(frozen=True, slots=True)
class DunningPolicy:
    """Days to wait after each failed try, and what happens after the last: `cancel`, `unpaid` or `past_due`.

    `write_off` marks the invoice uncollectible then; it can still be paid, but nobody expects it any more.
    """

    retry_days: tuple[int, ...] = (3, 5, 7)
    then: str = "cancel"
    write_off: bool = False

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> "DunningPolicy":
        """The policy in an account's `dunning`; what it does not say is the default. Raises ValueError for nonsense."""
        days = tuple(document.get("retry_days", cls().retry_days))
        then = document.get("then", cls().then)
        if then not in ENDS or len(days) > 8 or any(not isinstance(day, int) or not 1 <= day <= 60 for day in days):
            raise ValueError(f"not a dunning policy: {document}")
        return cls(days, then, bool(document.get("write_off", False)))

    def next_try(self, failed: int, at: int) -> int | None:
        """When to try again after that many failed tries, or None when it is enough."""
        return at + self.retry_days[failed - 1] * DAY if failed <= len(self.retry_days) else None

    @property
    def end(self) -> SubscriptionStatus:
        """The state of a subscription whose last try failed."""
        return ENDS[self.then]
