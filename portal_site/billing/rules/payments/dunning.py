"""Dunning: when a failed payment is retried, and what happens to the subscription after the last retry."""

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
DISPUTED = ("keep", "cancel_at_period_end", "cancel")


@dataclass(frozen=True, slots=True)
class DunningPolicy:
    """The days to wait after each failed attempt, and what happens after the last one: `cancel`, `unpaid` or `past_due`.

    With `write_off` the invoice is then marked uncollectible. It can still be paid, but is not expected to be. `amount_owed` is
    what is owed for the period in which a subscription ends or becomes unpaid: for the `used_time`, or in `full`. `disputed` is
    what happens to it when a customer disputes a payment at the bank: one of DISPUTED.
    """

    retry_days: tuple[int, ...] = (3, 5, 7)
    then: str = "cancel"
    write_off: bool = False
    amount_owed: str = "used_time"
    disputed: str = "keep"

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> "DunningPolicy":
        """The policy in an account's `dunning`, with defaults for missing members.

        Raises ValueError for an unknown `then`, `amount_owed` or `disputed`, more than eight retries, or days outside 1 to 60.
        """
        days = tuple(document.get("retry_days", cls().retry_days))
        then = document.get("then", cls().then)
        if then not in ENDS or len(days) > 8 or any(not isinstance(day, int) or not 1 <= day <= 60 for day in days):
            raise ValueError(f"not a dunning policy: {document}")
        owed = document.get("amount_owed", cls().amount_owed)
        disputed = document.get("disputed", cls().disputed)
        if owed not in ("used_time", "full") or disputed not in DISPUTED:
            raise ValueError(f"not a dunning policy: {document}")
        return cls(days, then, bool(document.get("write_off", False)), owed, disputed)

    def next_try(self, failed: int, at: int) -> int | None:
        """When to retry after `failed` failed attempts, the last of them at `at`; None when no retries are left."""
        return at + self.retry_days[failed - 1] * DAY if failed <= len(self.retry_days) else None

    def last_try(self, failed: int, next_try: int) -> int:
        """When the last retry will be if all fail, after `failed` failed attempts and with the next one at `next_try`."""
        return next_try + sum(self.retry_days[failed:]) * DAY

    @property
    def end(self) -> SubscriptionStatus:
        """The status of the subscription once the last retry has failed."""
        return ENDS[self.then]
