"""Prices, discounts and the next invoice: tables for the rules, properties for the sums."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portal_site.billing.rules import discounts, pricing
from portal_site.billing.rules.discounts import CouponTerms
from portal_site.billing.rules.next_invoice import RenewingItem, next_invoice, settle
from portal_site.billing.rules.pricing import PriceTerms, Tier

TIERS = (Tier(10, Decimal(100), Decimal(0)), Tier(20, Decimal(80), Decimal(500)), Tier(None, Decimal(50), Decimal(0)))


def _price(unit: str, **members: object) -> PriceTerms:
    return PriceTerms("eur", Decimal(unit), **members)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("terms", "quantity", "amount"),
    [
        (_price("1200"), 0, 0),
        (_price("1200"), 3, 3600),
        (_price("0.5"), 3, 2),
        (_price("0.02"), 1000, 20),
        (_price("500", divide_by=10), 11, 1000),
        (_price("500", divide_by=10, round_up=False), 19, 500),
        (_price("0", billing_scheme="tiered", tiers_mode="graduated", tiers=TIERS), 0, 0),
        (_price("0", billing_scheme="tiered", tiers_mode="graduated", tiers=TIERS), 10, 1000),
        (_price("0", billing_scheme="tiered", tiers_mode="graduated", tiers=TIERS), 25, 1000 + 500 + 800 + 250),
        (_price("0", billing_scheme="tiered", tiers_mode="volume", tiers=TIERS), 10, 1000),
        (_price("0", billing_scheme="tiered", tiers_mode="volume", tiers=TIERS), 11, 880 + 500),
        (_price("0", billing_scheme="tiered", tiers_mode="volume", tiers=TIERS), 25, 1250),
    ],
)
def test_a_quantity_costs(terms: PriceTerms, quantity: int, amount: int) -> None:
    assert pricing.amount(terms, quantity) == amount


def _off(percent: str | None = None, amount: int | None = None, products: frozenset[str] | None = None) -> CouponTerms:
    return CouponTerms(Decimal(percent) if percent else None, amount, "eur" if amount else None, products)


@pytest.mark.parametrize(
    ("lines", "coupons", "taken"),
    [
        ([(1000, "a")], [_off("15")], [[150]]),
        ([(999, "a")], [_off("33.33")], [[333]]),
        ([(1000, "a"), (500, "b")], [_off(amount=300)], [[200, 100]]),
        ([(1000, "a"), (500, "b")], [_off(amount=300, products=frozenset("b"))], [[0, 300]]),
        ([(100, "a")], [_off(amount=300)], [[100]]),
        ([(1000, "a")], [_off("50"), _off("50")], [[500], [250]]),
        ([(1000, "a"), (-400, "a")], [_off("10")], [[100, 0]]),
    ],
)
def test_coupons_take_off(lines: list[tuple[int, str]], coupons: list[CouponTerms], taken: list[list[int]]) -> None:
    assert discounts.reductions(lines, coupons, "eur") == taken


def test_an_amount_in_another_currency_takes_nothing_off() -> None:
    assert discounts.reductions([(1000, "a")], [_off(amount=300)], "usd") == [[0]]


COUPONS = st.one_of(
    st.decimals("0.01", "100", places=2).map(lambda percent: _off(str(percent))),
    st.integers(1, 10**9).map(lambda amount: _off(amount=amount)),
)
LINES = st.lists(st.tuples(st.integers(-(10**9), 10**9), st.sampled_from("abc")), max_size=20)


@given(LINES, st.lists(COUPONS, max_size=5))
def test_no_line_falls_below_zero_and_none_rises(lines: list[tuple[int, str]], coupons: list[CouponTerms]) -> None:
    taken = discounts.reductions(lines, coupons, "eur")
    for position, (amount, _) in enumerate(lines):
        off = [shares[position] for shares in taken]
        assert all(share >= 0 for share in off)
        assert sum(off) <= max(0, amount)


@given(st.integers(-(10**12), 10**12), st.integers(-(10**12), 10**12))
def test_a_balance_is_used_up_or_kept_to_the_cent(total: int, balance: int) -> None:
    due, after = settle(total, balance)
    assert due >= 0
    assert after <= 0
    assert due + after == total + balance


def test_the_next_invoice_adds_up() -> None:
    items = [RenewingItem(_price("1200"), "a", 2, 100), RenewingItem(_price("9900"), "b", 1, 500)]
    found = next_invoice(items, [_off("10")], -500, "eur")
    assert found is not None
    assert (found.date, found.subtotal, found.discount, found.balance_used, found.amount_due) == (
        100,
        2400,
        240,
        500,
        1660,
    )
    assert not found.varies


def test_usage_makes_it_vary() -> None:
    found = next_invoice([RenewingItem(_price("2", metered=True), "a", None, 100)], [], 0, "eur")
    assert found is not None
    assert (found.amount_due, found.varies) == (0, True)


def test_nothing_renews() -> None:
    assert next_invoice([], [], -500, "eur") is None


@given(
    st.lists(st.tuples(st.integers(0, 10**7), st.integers(0, 1000), st.integers(1, 3)), min_size=1, max_size=10),
    st.lists(COUPONS, max_size=3),
    st.integers(-(10**9), 10**9),
)
def test_due_is_subtotal_less_discount_less_balance(
    items: list[tuple[int, int, int]], coupons: list[CouponTerms], balance: int
) -> None:
    renewing = [RenewingItem(_price(str(unit)), "a", quantity, end) for unit, quantity, end in items]
    found = next_invoice(renewing, coupons, balance, "eur")
    assert found is not None
    assert found.amount_due == found.subtotal - found.discount - found.balance_used
    assert found.amount_due >= 0
    assert found.date == min(end for _, _, end in items)
