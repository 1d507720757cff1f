"""Proration by the second: a fair part of an amount, the same for charges and credits."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portal_site.billing.rules.amounts.proration import ProrationFactor

AMOUNTS = st.integers(-(10**14), 10**14)
PARTS = st.integers(1, 400 * 86_400).flatmap(
    lambda period: st.builds(ProrationFactor, st.integers(0, period), st.just(period))
)


@pytest.mark.parametrize(
    ("amount", "seconds", "period_seconds", "part"),
    [
        (1000, 1, 2, 500),
        (100, 1, 3, 33),
        (100, 2, 3, 67),
        (1, 1, 2, 1),  # a half goes away from zero, for a charge and for a credit
        (-1, 1, 2, -1),
        (3, 1, 2, 2),
        (-3, 1, 2, -2),
        (-100, 1, 3, -33),
        (-100, 2, 3, -67),
    ],
)
def test_a_part_is_rounded_half_away_from_zero(amount: int, seconds: int, period_seconds: int, part: int) -> None:
    assert ProrationFactor(seconds, period_seconds).of(amount) == part


@given(AMOUNTS, PARTS)
def test_a_part_is_the_nearest_whole_number(amount: int, factor: ProrationFactor) -> None:
    exact = Fraction(amount * factor.seconds, factor.period_seconds)
    assert abs(factor.of(amount) - exact) <= Fraction(1, 2)


@given(AMOUNTS, PARTS)
def test_a_credit_is_the_charge_with_its_sign_turned(amount: int, factor: ProrationFactor) -> None:
    assert factor.of(-amount) == -factor.of(amount)


@given(AMOUNTS, st.integers(1, 400 * 86_400))
def test_all_of_a_period_is_the_amount_and_none_of_it_nothing(amount: int, period: int) -> None:
    assert ProrationFactor(period, period).of(amount) == amount
    assert ProrationFactor(0, period).of(amount) == 0
