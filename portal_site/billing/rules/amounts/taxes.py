"""Tax on invoice lines by the merchant's tax rates. Which rates apply to a customer is not decided here."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from portal_site.billing.rules.amounts.allocation import allocate

# Customers with these values of `tax_exempt` are billed without tax. With `reverse` the customer has to declare it.
UNTAXED = frozenset({"exempt", "reverse"})


@dataclass(frozen=True, slots=True)
class TaxRate:
    """A tax rate in percent, either included in the price or added to it."""

    id: str
    display_name: str
    percentage: Decimal
    inclusive: bool

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> "TaxRate":
        """The rate from a subscription's stored copy. The percentage of a tax rate never changes."""
        return cls(
            id=str(document["id"]),
            display_name=str(document.get("display_name") or ""),
            percentage=Decimal(str(document["percentage"])),
            inclusive=bool(document["inclusive"]),
        )


@dataclass(frozen=True, slots=True)
class Tax:
    """The tax of one rate on a line: `amount` on a net amount of `taxable`, both in minor units."""

    rate: TaxRate
    amount: int
    taxable: int


def taxes(amount: int, rates: Sequence[TaxRate]) -> tuple[Tax, ...]:
    """The taxes on a line's amount after discounts, in minor units. Inclusive taxes are part of `amount`."""
    if not rates:
        return ()
    inclusive_rates = [rate for rate in rates if rate.inclusive]
    net, line_taxes = amount, []
    if inclusive_rates:
        percentage = sum((rate.percentage for rate in inclusive_rates), Decimal(0))
        net = _rounded(Decimal(amount) * 100 / (100 + percentage))
        # The rates are rounded together, so that net amount and taxes add up to the gross amount exactly.
        shares = allocate(amount - net, [int(rate.percentage * 10_000) for rate in inclusive_rates])
        line_taxes = [Tax(rate, share, net) for rate, share in zip(inclusive_rates, shares, strict=True)]
    line_taxes += [Tax(rate, _rounded(net * rate.percentage / 100), net) for rate in rates if not rate.inclusive]
    return tuple(line_taxes)


def on_top(line_taxes: Iterable[Tax]) -> int:
    """The sum of the exclusive taxes: what the taxes add to the price, in minor units."""
    return sum([tax.amount for tax in line_taxes if not tax.rate.inclusive])


def _rounded(amount: Decimal) -> int:
    return int(amount.to_integral_value(ROUND_HALF_UP))
