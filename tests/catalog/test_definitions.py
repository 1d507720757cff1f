"""What a price costs is what its definition says, and what cannot be is refused with the member that is wrong."""

from dataclasses import replace
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portal_site.billing.errors import BillingError
from portal_site.billing.rules.amounts import money, pricing
from portal_site.billing.rules.amounts.discounts import CouponTerms
from portal_site.billing.rules.amounts.pricing import PriceTerms
from portal_site.billing.rules.catalog import discount_definitions, price_definitions
from portal_site.billing.rules.catalog.discount_definitions import CodeRestrictions, CouponDefinition
from portal_site.billing.rules.catalog.price_definitions import (
    PriceDefinition,
    PriceTier,
    Recurring,
    TransformQuantity,
)
from tests.catalog.catalogue import AT, DAY, MONTHLY, TEN_A_MONTH, refusal
from tests.catalog.definitions import packages, per_unit, tiered

QUANTITIES = st.integers(0, 999_999)


def _charged(definition: PriceDefinition, quantity: int) -> int:
    """The amount by the rules, from the columns that are stored."""
    columns = {"usage_type": "licensed", **price_definitions.columns(definition)}
    return pricing.amount(PriceTerms.of(columns, columns["currency"]), quantity)


def _rounded(amount: Decimal) -> int:
    return int(amount.quantize(Decimal(1), ROUND_HALF_UP))


def _of_a_unit(of: PriceDefinition | PriceTier) -> Decimal:
    return of.unit_amount_decimal if of.unit_amount_decimal is not None else Decimal(of.unit_amount or 0)


@given(per_unit(), QUANTITIES)
def test_a_price_per_unit_costs_its_amount_for_each(definition: PriceDefinition, quantity: int) -> None:
    assert _charged(definition, quantity) == _rounded(_of_a_unit(definition) * quantity)


@given(packages(), QUANTITIES)
def test_a_price_per_package_costs_its_amount_for_each_package(definition: PriceDefinition, quantity: int) -> None:
    transform = definition.transform_quantity
    assert transform is not None
    whole, rest = divmod(quantity, transform.divide_by)
    bought = whole + (1 if rest and transform.round == "up" else 0)
    assert _charged(definition, quantity) == _rounded(_of_a_unit(definition) * bought)


@given(tiered("volume"), QUANTITIES)
def test_a_volume_price_costs_what_the_tier_of_the_quantity_says(definition: PriceDefinition, quantity: int) -> None:
    tier = next(tier for tier in definition.tiers if tier.up_to is None or quantity <= tier.up_to)
    assert _charged(definition, quantity) == _rounded(_of_a_unit(tier) * quantity + (tier.flat_amount or 0))


@given(tiered("graduated", shortest=True), st.integers(0, 200))
def test_a_graduated_price_costs_each_unit_by_its_own_tier(definition: PriceDefinition, quantity: int) -> None:
    total, reached = Decimal(0), {0}
    for unit in range(1, quantity + 1):
        number = next(n for n, tier in enumerate(definition.tiers) if tier.up_to is None or unit <= tier.up_to)
        total += _of_a_unit(definition.tiers[number])
        reached.add(number)
    total += sum(definition.tiers[number].flat_amount or 0 for number in reached)
    assert _charged(definition, quantity) == _rounded(total)


@pytest.mark.parametrize(
    ("exact", "stored"),
    [("0.5", (None, "0.5")), ("12.50", (None, "12.5")), ("1E+2", (100, "100")), ("0", (0, "0")), ("-0.0", (0, "0"))],
)
def test_an_amount_is_stored_whole_where_it_is_whole(exact: str, stored: tuple[int | None, str]) -> None:
    columns = price_definitions.columns(PriceDefinition("EUR", unit_amount_decimal=Decimal(exact)))
    assert (columns["unit_amount"], columns["unit_amount_decimal"]) == stored
    assert columns["currency"] == "eur"


ENDLESS, TEN = PriceTier(None, 100), PriceTier(10, 200)
TIERED = PriceDefinition("eur", recurring=MONTHLY, tiers_mode="volume", tiers=(TEN, ENDLESS))


@pytest.mark.parametrize(
    ("definition", "param"),
    [
        (PriceDefinition("eur"), "unit_amount"),
        (PriceDefinition("eur", -1), "unit_amount"),
        (PriceDefinition("eur", 100_000_000), "unit_amount"),
        (PriceDefinition("eur", 1, Decimal(1)), "unit_amount"),
        (PriceDefinition("eur", None, Decimal("0.0000000000001")), "unit_amount_decimal"),
        (PriceDefinition("eur", None, Decimal("NaN")), "unit_amount_decimal"),
        (PriceDefinition("eur", None, Decimal("-0.1")), "unit_amount_decimal"),
        (PriceDefinition("eur", None, Decimal("1E+900")), "unit_amount_decimal"),
        (PriceDefinition("eux", 1), "currency"),
        (replace(TEN_A_MONTH, tax_behavior="maybe"), "tax_behavior"),
        (replace(TEN_A_MONTH, recurring=Recurring("hour")), "recurring[interval]"),
        (replace(TEN_A_MONTH, recurring=Recurring("month", 0)), "recurring[interval_count]"),
        (replace(TEN_A_MONTH, recurring=Recurring("month", 37)), "recurring[interval_count]"),
        (replace(TEN_A_MONTH, recurring=Recurring("year", 4)), "recurring[interval_count]"),
        (replace(TEN_A_MONTH, recurring=Recurring("week", 157)), "recurring[interval_count]"),
        (replace(TEN_A_MONTH, recurring=Recurring("day", 1096)), "recurring[interval_count]"),
        (replace(TEN_A_MONTH, recurring=Recurring("day", 1, 731)), "recurring[trial_period_days]"),
        (replace(TEN_A_MONTH, transform_quantity=TransformQuantity(0)), "transform_quantity[divide_by]"),
        (replace(TEN_A_MONTH, transform_quantity=TransformQuantity(2, "off")), "transform_quantity[round]"),
        (replace(TIERED, recurring=None), "tiers"),
        (replace(TIERED, unit_amount=5), "unit_amount"),
        (replace(TIERED, transform_quantity=TransformQuantity(2)), "transform_quantity"),
        (replace(TIERED, tiers_mode=None), "tiers_mode"),
        (replace(TIERED, tiers_mode="stairs"), "tiers_mode"),
        (replace(TIERED, tiers=()), "tiers"),
        (replace(TIERED, tiers=(TEN,) * 1001), "tiers"),
        (replace(TIERED, tiers=(TEN,)), "tiers[0][up_to]"),
        (replace(TIERED, tiers=(ENDLESS, ENDLESS)), "tiers[0][up_to]"),
        (replace(TIERED, tiers=(TEN, TEN, ENDLESS)), "tiers[1][up_to]"),
        (replace(TIERED, tiers=(PriceTier(0, 1), ENDLESS)), "tiers[0][up_to]"),
        (replace(TIERED, tiers=(TEN, PriceTier(None))), "tiers[1][unit_amount]"),
        (replace(TIERED, tiers=(TEN, PriceTier(None, 1, Decimal(1)))), "tiers[1][unit_amount]"),
        (replace(TIERED, tiers=(TEN, PriceTier(None, None, Decimal("1E-13")))), "tiers[1][unit_amount_decimal]"),
        (replace(TIERED, tiers=(TEN, PriceTier(None, flat_amount=-1))), "tiers[1][flat_amount]"),
    ],
)
def test_a_price_that_cannot_be_is_refused(definition: PriceDefinition, param: str) -> None:
    assert refusal(lambda: price_definitions.columns(definition)).param == param


@pytest.mark.parametrize(
    "recurring",
    [Recurring("day", 1095), Recurring("week", 156), Recurring("month", 36), Recurring("year", 3, 730)],
)
def test_a_price_may_recur_every_three_years(recurring: Recurring) -> None:
    columns = price_definitions.columns(replace(TEN_A_MONTH, recurring=recurring))
    assert (columns["interval"], columns["interval_count"]) == (recurring.interval, recurring.interval_count)


def test_every_currency_with_rules_of_its_own_is_supported() -> None:
    special = money.ZERO_DECIMAL | money.THREE_DECIMAL | money.WITHOUT_CENTS | money.MINIMUM.keys()
    assert special <= money.SUPPORTED


@pytest.mark.parametrize(
    ("members", "param"),
    [
        ({}, "percent_off"),
        ({"percent_off": Decimal(5), "amount_off": 5}, "percent_off"),
        ({"percent_off": Decimal(0)}, "percent_off"),
        ({"percent_off": Decimal("100.01")}, "percent_off"),
        ({"percent_off": Decimal("33.333")}, "percent_off"),
        ({"percent_off": Decimal("Infinity")}, "percent_off"),
        ({"percent_off": Decimal(5), "currency": "eur"}, "currency"),
        ({"amount_off": 5}, "currency"),
        ({"amount_off": 0, "currency": "eur"}, "amount_off"),
        ({"amount_off": 100_000_000, "currency": "eur"}, "amount_off"),
        ({"amount_off": 5, "currency": "xxx"}, "currency"),
        ({"percent_off": Decimal(5), "duration": "always"}, "duration"),
        ({"percent_off": Decimal(5), "duration": "repeating"}, "duration_in_months"),
        ({"percent_off": Decimal(5), "duration_in_months": 3}, "duration_in_months"),
        ({"percent_off": Decimal(5), "duration": "repeating", "duration_in_months": 0}, "duration_in_months"),
        ({"percent_off": Decimal(5), "redeem_by": AT}, "redeem_by"),
        ({"percent_off": Decimal(5), "redeem_by": AT + 1828 * DAY}, "redeem_by"),
        ({"percent_off": Decimal(5), "max_redemptions": 0}, "max_redemptions"),
    ],
)
def test_a_coupon_that_cannot_be_is_refused(members: dict[str, Any], param: str) -> None:
    definition = CouponDefinition(**members)
    assert refusal(lambda: discount_definitions.coupon_columns(definition, AT)).param == param


@given(st.decimals("0.01", 100, places=2))
def test_a_percentage_is_taken_off_as_it_was_entered(percent: Decimal) -> None:
    columns = discount_definitions.coupon_columns(CouponDefinition(percent_off=percent), AT)
    assert CouponTerms.of({**columns, "coupon_currency": None, "applies_to_products": None}).percent_off == percent
    assert float(columns["percent_off"]) == float(percent)


@pytest.mark.parametrize(
    ("members", "param"),
    [
        ({"expires_at": AT}, "expires_at"),
        ({"expires_at": AT + 1828 * DAY}, "expires_at"),
        ({"expires_at": AT + 11 * DAY}, "expires_at"),
        ({"max_redemptions": 0}, "max_redemptions"),
        ({"max_redemptions": 6}, "max_redemptions"),
        ({"minimum_amount": 500}, "restrictions[minimum_amount_currency]"),
        ({"minimum_amount_currency": "eur"}, "restrictions[minimum_amount]"),
        ({"minimum_amount": 0, "minimum_amount_currency": "eur"}, "restrictions[minimum_amount]"),
        ({"minimum_amount": 5, "minimum_amount_currency": "eux"}, "restrictions[minimum_amount_currency]"),
    ],
)
def test_restrictions_of_a_code_that_cannot_be_are_refused(members: dict[str, Any], param: str) -> None:
    """The coupon can be redeemed for ten days, and five times."""
    restrictions = CodeRestrictions(**members)
    error = refusal(lambda: discount_definitions.code_columns(restrictions, AT + 10 * DAY, 5, AT))
    assert error.param == param


@pytest.mark.parametrize(
    "code", ["Été", "TEN OFF", "A_B", "A" * 501, "<b>", "\N{FULLWIDTH LATIN CAPITAL LETTER A}", "A\0"]
)
def test_a_code_has_letters_digits_and_dashes_only(code: str) -> None:
    with pytest.raises(BillingError, match="letters"):
        discount_definitions.check_code(code)
    assert discount_definitions.check_code(" Ten-Off-2026 ") == "Ten-Off-2026"
