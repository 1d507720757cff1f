"""Definitions of prices, coupons and tax rates for property tests."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any

from hypothesis import strategies as st

from portal_site.billing.rules.amounts import money
from portal_site.billing.rules.catalog.discount_definitions import CouponDefinition
from portal_site.billing.rules.catalog.price_definitions import (
    MOST_INTERVALS,
    TAX_BEHAVIORS,
    PriceDefinition,
    PriceTier,
    Recurring,
    TransformQuantity,
)

CURRENCIES = st.sampled_from(sorted(money.SUPPORTED))
WHOLE = st.integers(0, 99_999_999)
EXACT = st.decimals(0, 99_999_999, places=12)
# An amount is given whole or with decimals: (unit_amount, unit_amount_decimal).
AMOUNTS = st.one_of(WHOLE.map(lambda amount: (amount, None)), EXACT.map(lambda amount: (None, amount)))
RECURRING = st.sampled_from(sorted(MOST_INTERVALS)).flatmap(
    lambda interval: st.builds(
        Recurring,
        interval=st.just(interval),
        interval_count=st.integers(1, MOST_INTERVALS[interval]),
        trial_period_days=st.none() | st.integers(1, 730),
    )
)


@st.composite
def per_unit(draw: Callable[..., Any]) -> PriceDefinition:
    """A price per unit, once or recurring."""
    amount, exact = draw(AMOUNTS)
    return PriceDefinition(
        draw(CURRENCIES), amount, exact, draw(st.none() | RECURRING), tax_behavior=draw(st.sampled_from(TAX_BEHAVIORS))
    )


@st.composite
def packages(draw: Callable[..., Any]) -> PriceDefinition:
    """A price per package of some units."""
    amount, exact = draw(AMOUNTS)
    transform = TransformQuantity(draw(st.integers(1, 2000)), draw(st.sampled_from(("up", "down"))))
    return PriceDefinition(draw(CURRENCIES), amount, exact, draw(RECURRING), transform_quantity=transform)


@st.composite
def tiered(draw: Callable[..., Any], mode: str | None = None, *, shortest: bool = False) -> PriceDefinition:
    """A price with tiers of a mode; the `shortest` ones are reached by small quantities."""
    ends = draw(st.lists(st.integers(1, 100 if shortest else 999_999), max_size=5, unique=True))
    tiers = []
    for end in [*sorted(ends), None]:
        amount, exact = draw(AMOUNTS | st.just((None, None)))
        has_amount = amount is not None or exact is not None
        flat: int | None = draw(st.none() | WHOLE if has_amount else WHOLE)
        tiers.append(PriceTier(end, amount, exact, flat))
    chosen = mode or draw(st.sampled_from(("graduated", "volume")))
    return PriceDefinition(draw(CURRENCIES), recurring=draw(RECURRING), tiers_mode=chosen, tiers=tuple(tiers))


PRICES = st.one_of(per_unit(), packages(), tiered())
PERCENTAGES = st.decimals(0, 100, places=4)


@st.composite
def coupons(draw: Callable[..., Any], at: int) -> CouponDefinition:
    """A coupon that is created at this time."""
    percent: Decimal | None = draw(st.none() | st.decimals("0.01", 100, places=2))
    duration = draw(st.sampled_from(("once", "repeating", "forever")))
    return CouponDefinition(
        percent_off=percent,
        amount_off=draw(st.integers(1, 99_999_999)) if percent is None else None,
        currency=draw(CURRENCIES) if percent is None else None,
        duration=duration,
        duration_in_months=draw(st.integers(1, 1200)) if duration == "repeating" else None,
        redeem_by=draw(st.none() | st.integers(at + 1, at + 5 * 365 * 24 * 60 * 60)),
        max_redemptions=draw(st.none() | st.integers(1, 2**31 - 1)),
    )
