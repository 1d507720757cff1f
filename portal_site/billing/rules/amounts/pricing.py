"""The amount for a quantity of one price for one period, before discounts and tax."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

# The highest unit price in minor units: a billion euros. A subscription with twenty items of 999,999 such units, plus 100 %
# tax, stays below 2**62, so that every sum fits into the database's 64-bit integers.
MOST_A_UNIT = 10**11


@dataclass(frozen=True, slots=True)
class Tier:
    """A tier of a tiered price: units up to and including `up_to` (None: unlimited). Amounts are in minor units."""

    up_to: int | None
    unit_amount: Decimal
    flat_amount: Decimal


@dataclass(frozen=True, slots=True)
class PriceTerms:
    """The members of a price that its amount depends on. `unit_amount` is in minor units and may have decimals."""

    currency: str
    unit_amount: Decimal
    billing_scheme: str = "per_unit"
    tiers_mode: str | None = None
    tiers: tuple[Tier, ...] = ()
    divide_by: int = 1
    round_up: bool = True
    metered: bool = False

    @classmethod
    def of(cls, price: Mapping[str, Any], currency: str) -> "PriceTerms":
        """The terms from the columns of the `prices` table."""
        transform = price["transform_quantity"] or {}
        return cls(
            currency=currency,
            unit_amount=_amount(price, "unit_amount"),
            billing_scheme=price["billing_scheme"],
            tiers_mode=price["tiers_mode"],
            tiers=_tiers(price["tiers"] or ()),
            divide_by=transform.get("divide_by", 1),
            round_up=transform.get("round", "up") == "up",
            metered=price["usage_type"] == "metered",
        )


def _amount(source: Mapping[str, Any], name: str) -> Decimal:
    exact = source.get(f"{name}_decimal")
    return Decimal(exact) if exact is not None else Decimal(source.get(name) or 0)


def _tiers(tiers: Sequence[Mapping[str, Any]]) -> tuple[Tier, ...]:
    return tuple(Tier(tier.get("up_to"), _amount(tier, "unit_amount"), _amount(tier, "flat_amount")) for tier in tiers)


def amount(terms: PriceTerms, quantity: int) -> int:
    """The price of `quantity` units in minor units, rounded half up once, at the end."""
    packages = _packages(terms, quantity)
    if terms.billing_scheme != "tiered":
        exact = terms.unit_amount * packages
    elif terms.tiers_mode == "volume":
        exact = _volume(terms.tiers, packages)
    else:
        exact = _graduated(terms.tiers, packages)
    return int(exact.to_integral_value(ROUND_HALF_UP))


def _packages(terms: PriceTerms, quantity: int) -> int:
    if terms.round_up:
        return -(-quantity // terms.divide_by)
    return quantity // terms.divide_by


def _volume(tiers: Sequence[Tier], quantity: int) -> Decimal:
    """All units at the price of the tier that the quantity falls into, plus that tier's flat amount."""
    for tier in tiers:
        if tier.up_to is None or quantity <= tier.up_to:
            return tier.unit_amount * quantity + tier.flat_amount
    return Decimal(0)


def _graduated(tiers: Sequence[Tier], quantity: int) -> Decimal:
    """Each unit at the price of its own tier, plus the flat amount of every tier that is reached."""
    total, start = Decimal(0), 0
    for index, tier in enumerate(tiers):
        units = max(0, (quantity if tier.up_to is None else min(quantity, tier.up_to)) - start)
        if units or index == 0:
            total += tier.unit_amount * units + tier.flat_amount
        start = start if tier.up_to is None else tier.up_to
    return total
