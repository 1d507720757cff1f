"""A subscription as the rules see it: all that decides what it will cost, and nothing else."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Self

from portal_site.billing.rules import discounts, invoices
from portal_site.billing.rules.discounts import DiscountTerms
from portal_site.billing.rules.invoices import Bill, Line
from portal_site.billing.rules.items import Item
from portal_site.billing.rules.lifecycle import SubscriptionStatus
from portal_site.billing.rules.taxes import TaxRate


@dataclass(frozen=True, slots=True)
class Agreement:
    """A subscription's terms at one instant.

    `balance` is the customer's in minor units; it is nothing, and nothing can be put on it, while it is in another currency
    (`foreign_purse`). `pending` are lines that wait for the next invoice; `debits` are lines that were paid, reach beyond the
    instant and have not been credited, by the item they are of. `due_at` is when a billing run has something to do about it next;
    `is_withheld` says that an invoice for time that is not over was not collected.
    """

    id: str
    currency: str
    status: SubscriptionStatus
    anchor: int
    items: tuple[Item, ...]
    collection_method: str = "charge_automatically"
    billing_mode: str = "flexible"
    trial_end: int | None = None
    cancel_at: int | None = None
    due_at: int | None = None
    collection_paused: bool = False
    discounts: tuple[DiscountTerms, ...] = ()
    tax_rates: tuple[TaxRate, ...] = ()
    balance: int = 0
    foreign_purse: bool = False
    pending: tuple[Line, ...] = ()
    debits: tuple[Line, ...] = ()
    managed_elsewhere: bool = False
    has_open_invoice: bool = False
    is_withheld: bool = False
    metadata: dict[str, str] = field(default_factory=dict)

    @property
    def period_end(self) -> int:
        """When something is billed next."""
        return min(item.period_end for item in self.items)

    def is_behind(self, at: int) -> bool:
        """Whether something that was due is not done yet: until then nobody can say what holds."""
        return self.period_end <= at or (self.due_at is not None and self.due_at <= at)

    def running_discounts(self, at: int) -> tuple[DiscountTerms, ...]:
        """The discounts on an invoice at `at`."""
        return discounts.applying(self.discounts, self.id, at)

    def bill(self, lines: Sequence[Line], balance: int | None = None) -> Bill:
        """The invoice over these lines, settled with the balance: its own, or what is left of it after others were billed.

        Without lines nothing is due, whatever is owed from before.
        """
        usable = self.balance if balance is None else balance
        if not lines:
            return Bill(self.currency, (), 0, 0, 0, 0, usable, usable, 0)
        return invoices.bill(lines, usable, self.currency, exact=self.foreign_purse)

    def settled(self, total: int) -> tuple[int, int]:
        """What is due for a total, and the customer's balance afterwards."""
        return invoices.settled(total, self.balance, self.currency, exact=self.foreign_purse)

    def until(self, end: int) -> Self:
        """The same if it ends then."""
        return replace(self, cancel_at=end)

    def without_discounts(self, spent: frozenset[str]) -> Self:
        """The same once these discounts have been used up."""
        return replace(self, discounts=tuple(d for d in self.discounts if d.id not in spent)) if spent else self
