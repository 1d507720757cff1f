"""What a price costs: its definition, which never changes, checked and as columns of the `prices` table."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from portal_site.billing.errors import BillingError
from portal_site.billing.rules.catalog import members
from portal_site.billing.translation_marks import N_

# Three years at most.
MOST_INTERVALS = {"day": 3 * 365, "week": 156, "month": 36, "year": 3}
MOST_TRIAL_DAYS = 730
MOST_TIERS = 1000
MOST_UNITS = 2**53 - 1  # of a tier or a package: what JSON numbers hold exactly
TAX_BEHAVIORS = ("exclusive", "inclusive", "unspecified")
Columns = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Recurring:
    """How often a price is billed. `trial_period_days` is the default of subscriptions that are created with it."""

    interval: str
    interval_count: int = 1
    trial_period_days: int | None = None


@dataclass(frozen=True, slots=True)
class PriceTier:
    """A tier up to and including `up_to` units (None: all further ones). Amounts are in minor units.

    `unit_amount_decimal` is in the place of `unit_amount` where a unit costs a fraction of the minor unit.
    """

    up_to: int | None
    unit_amount: int | None = None
    unit_amount_decimal: Decimal | None = None
    flat_amount: int | None = None


@dataclass(frozen=True, slots=True)
class TransformQuantity:
    """Units are sold in packages of `divide_by`; a package that is begun counts (`up`) or does not (`down`)."""

    divide_by: int
    round: str = "up"


@dataclass(frozen=True, slots=True)
class PriceDefinition:
    """What a price costs, in minor units: per unit or, with `tiers`, by quantity. Without `recurring` it is paid once."""

    currency: str
    unit_amount: int | None = None
    unit_amount_decimal: Decimal | None = None
    recurring: Recurring | None = None
    tiers_mode: str | None = None
    tiers: tuple[PriceTier, ...] = ()
    transform_quantity: TransformQuantity | None = None
    tax_behavior: str = "unspecified"


def columns(definition: PriceDefinition) -> Columns:
    """The definition as columns of the `prices` table. Raises BillingError, with `param` set, for one that makes no sense."""
    is_tiered = bool(definition.tiers) or definition.tiers_mode is not None
    return {
        "currency": members.currency(definition.currency, "currency"),
        "billing_scheme": "tiered" if is_tiered else "per_unit",
        "tax_behavior": members.choice(definition.tax_behavior, "tax_behavior", TAX_BEHAVIORS),
        **_recurring(definition.recurring),
        **(_by_tiers(definition) if is_tiered else _per_unit(definition)),
    }


def _recurring(recurring: Recurring | None) -> Columns:
    if recurring is None:
        return {"type": "one_time", "interval": None, "interval_count": None, "trial_period_days": None}
    interval = members.choice(recurring.interval, "recurring[interval]", MOST_INTERVALS)
    most, days = MOST_INTERVALS[interval], recurring.trial_period_days
    return {
        "type": "recurring",
        "interval": interval,
        "interval_count": members.whole(recurring.interval_count, "recurring[interval_count]", most),
        "trial_period_days": (
            None if days is None else members.whole(days, "recurring[trial_period_days]", MOST_TRIAL_DAYS)
        ),
    }


def _per_unit(definition: PriceDefinition) -> Columns:
    transform = definition.transform_quantity
    if definition.unit_amount is None and definition.unit_amount_decimal is None:
        raise members.missing("unit_amount")
    amount, exact = _amounts(definition.unit_amount, definition.unit_amount_decimal, "")
    return {
        "unit_amount": amount,
        "unit_amount_decimal": exact,
        "tiers_mode": None,
        "tiers": None,
        "transform_quantity": None if transform is None else _transform(transform),
    }


def _transform(transform: TransformQuantity) -> Columns:
    return {
        "divide_by": members.whole(transform.divide_by, "transform_quantity[divide_by]", MOST_UNITS),
        "round": members.choice(transform.round, "transform_quantity[round]", ("up", "down")),
    }


def _by_tiers(definition: PriceDefinition) -> Columns:
    if definition.recurring is None:
        raise BillingError(N_("Only recurring prices can have tiers: choose an interval."), "", "tiers")
    if definition.unit_amount is not None or definition.unit_amount_decimal is not None:
        problem = N_("Enter amounts in the tiers only: a price with tiers has no other.")
        raise BillingError(problem, "parameters_exclusive", "unit_amount")
    if definition.transform_quantity is not None:
        problem = N_("Choose either tiers or packages: a price cannot have both.")
        raise BillingError(problem, "parameters_exclusive", "transform_quantity")
    if definition.tiers_mode is None:
        raise members.missing("tiers_mode")
    _check_ends([tier.up_to for tier in definition.tiers])
    return {
        "unit_amount": None,
        "unit_amount_decimal": None,
        "tiers_mode": members.choice(definition.tiers_mode, "tiers_mode", ("graduated", "volume")),
        "tiers": [_tier(tier, f"tiers[{number}]") for number, tier in enumerate(definition.tiers)],
        "transform_quantity": None,
    }


def _check_ends(ends: Sequence[int | None]) -> None:
    if not 1 <= len(ends) <= MOST_TIERS:
        raise BillingError(N_("Enter from 1 to %(most)s tiers."), "", "tiers", most=MOST_TIERS)
    if ends[-1] is not None:
        raise BillingError(N_("Let the last tier have no end."), "", f"tiers[{len(ends) - 1}][up_to]")
    before = 0
    for number, end in enumerate(ends[:-1]):
        param = f"tiers[{number}][up_to]"
        if end is None:
            raise BillingError(N_("Only the last tier can be without an end: enter where this one ends."), "", param)
        if members.whole(end, param, MOST_UNITS) <= before:
            raise BillingError(N_("Let each tier end after the one before it."), "", param)
        before = end


def _tier(tier: PriceTier, param: str) -> Columns:
    amount, exact = _amounts(tier.unit_amount, tier.unit_amount_decimal, param)
    flat, exact_flat = _amounts(tier.flat_amount, None, param, "flat_amount")
    if exact is None and exact_flat is None:
        raise members.missing(f"{param}[unit_amount]")
    return {
        "up_to": tier.up_to,
        "unit_amount": amount,
        "unit_amount_decimal": exact,
        "flat_amount": flat,
        "flat_amount_decimal": exact_flat,
    }


def _amounts(
    amount: int | None, exact: Decimal | None, part: str, name: str = "unit_amount"
) -> tuple[int | None, str | None]:
    """An amount as whole minor units, None if it is not whole, and as decimal text; both None if there is none."""
    param = f"{part}[{name}]" if part else name
    if amount is not None and exact is not None:
        problem = N_("Enter this amount once: either whole or with decimals.")
        raise BillingError(problem, "parameters_exclusive", param)
    if exact is not None:
        param = f"{part}[{name}_decimal]" if part else f"{name}_decimal"
        value = members.minor_units(exact, param)
        return (int(value) if value == int(value) else None), members.decimal_text(value)
    if amount is None:
        return None, None
    members.whole(amount, param, members.MOST_AN_AMOUNT, least=0)
    return amount, str(amount)
