"""Tax on the lines of an invoice by the merchant's own rates; which rates apply to whom is not decided here."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from portal_site.billing.rules.amounts.allocation import allocate

# Customers with these answers to `tax_exempt` are billed without tax; `reverse` leaves it to the customer to declare.
UNTAXED = frozenset({"exempt", "reverse"})


@dataclass(frozen=True, slots=True)
class TaxRate:
    """A percentage that is part of the price (inclusive) or comes on top of it."""

    id: str
    display_name: str
    percentage: Decimal
    inclusive: bool

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> "TaxRate":
        """A rate as a subscription stores it; its percentage never changes once it exists."""
        return cls(
            id=str(document["id"]),
            display_name=str(document.get("display_name") or ""),
            percentage=Decimal(str(document["percentage"])),
            inclusive=bool(document["inclusive"]),
        )


@dataclass(frozen=True, slots=True)
class Tax:
    """So much tax of one rate in a line, on `taxable` minor units without it."""

    rate: TaxRate
    amount: int
    taxable: int


def taxes(amount: int, rates: Sequence[TaxRate]) -> tuple[Tax, ...]:
    """The taxes of a line over `amount` (after discounts). Inclusive ones are found in it, the others come on top."""
    if not rates:
        return ()
    inside = [rate for rate in rates if rate.inclusive]
    total = sum((rate.percentage for rate in inside), Decimal(0))
    net = _rounded(Decimal(amount) * 100 / (100 + total))
    shares = allocate(amount - net, [int(rate.percentage * 10_000) for rate in inside])
    found = [Tax(rate, share, net) for rate, share in zip(inside, shares, strict=True)]
    found += [Tax(rate, _rounded(net * rate.percentage / 100), net) for rate in rates if not rate.inclusive]
    return tuple(found)


def on_top(found: Iterable[Tax]) -> int:
    """What these taxes add to the price."""
    return sum(tax.amount for tax in found if not tax.rate.inclusive)


def _rounded(amount: Decimal) -> int:
    return int(amount.quantize(Decimal(1), ROUND_HALF_UP))
