"""A subscription as the rules see it: all that decides what it will cost, and nothing else."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Self

from portal_site.billing.rules.amounts import discounts
from portal_site.billing.rules.amounts.discounts import DiscountTerms
from portal_site.billing.rules.amounts.items import Item
from portal_site.billing.rules.amounts.taxes import TaxRate
from portal_site.billing.rules.invoicing import invoices
from portal_site.billing.rules.invoicing.invoices import InvoiceLine, InvoiceTotals
from portal_site.billing.rules.subscriptions.statuses import SubscriptionStatus


@dataclass(frozen=True, slots=True)
class SubscriptionSnapshot:
    """Everything about a subscription, and its customer, that decides an amount or whether a change is possible.

    `balance` is the customer's, in minor units: negative is credit. It is 0, and nothing can be added to it, while the customer's
    balance is in another currency (`balance_in_other_currency`). `pending_lines` go on the next invoice. `creditable_lines` were
    paid, reach beyond the snapshot's instant and have not been credited yet. `due_at` is when a billing run has to do something
    about the subscription next. `has_uncollected_invoice` is true while an invoice for the current period is a draft or
    uncollectible.
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
    balance_in_other_currency: bool = False
    pending_lines: tuple[InvoiceLine, ...] = ()
    creditable_lines: tuple[InvoiceLine, ...] = ()
    managed_by_merchant_schedule: bool = False
    has_open_invoice: bool = False
    has_uncollected_invoice: bool = False
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
        return discounts.discounts_in_force(self.discounts, self.id, at)

    def invoice_for(self, lines: Sequence[InvoiceLine], balance: int | None = None) -> InvoiceTotals:
        """The invoice over these lines, settled with the balance: its own, or what is left of it after others were billed.

        Without lines nothing is due, whatever is owed from before.
        """
        usable = self.balance if balance is None else balance
        if not lines:
            return InvoiceTotals(self.currency, (), 0, 0, 0, 0, usable, usable, 0)
        return invoices.total_up(lines, usable, self.currency, exact=self.balance_in_other_currency)

    def settled(self, total: int) -> tuple[int, int]:
        """What is due for a total, and the customer's balance afterwards."""
        return invoices.settled(total, self.balance, self.currency, exact=self.balance_in_other_currency)

    def until(self, end: int) -> Self:
        """The same if it ends then."""
        return replace(self, cancel_at=end)

    def without_discounts(self, spent: frozenset[str]) -> Self:
        """The same once these discounts have been used up."""
        return replace(self, discounts=tuple(d for d in self.discounts if d.id not in spent)) if spent else self
