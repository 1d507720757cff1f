"""What an unpaid invoice is reduced by when its subscription ends inside the period: the time that was not there."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

from portal_site.billing.rules.invoicing.invoices import InvoiceLine


@dataclass(frozen=True, slots=True)
class OwedInvoice:
    """An invoice that is not paid, with its charges for time to come. `remaining` is what is left to pay, in minor units."""

    id: str
    number: str
    remaining: int
    lines: tuple[InvoiceLine, ...]


@dataclass(frozen=True, slots=True)
class Reduction:
    """A reduction of an invoice by `lines` (credits, so their totals are ≤ 0): `amount` = `owed_less` + `to_balance`.

    `to_balance` is what the customer's balance had paid of the invoice already.
    """

    invoice_id: str
    number: str
    lines: tuple[InvoiceLine, ...]
    owed_less: int
    to_balance: int

    @classmethod
    def of(cls, invoice: OwedInvoice, credits: Iterable[InvoiceLine]) -> Self | None:
        """The reduction of an invoice by these credits; None if they are worth nothing."""
        lines = tuple(line for line in credits if line.total)
        amount = -sum(line.total for line in lines)
        owed_less = min(amount, invoice.remaining)
        return cls(invoice.id, invoice.number, lines, owed_less, amount - owed_less) if amount > 0 else None

    @property
    def amount(self) -> int:
        """The whole reduction in minor units."""
        return self.owed_less + self.to_balance
