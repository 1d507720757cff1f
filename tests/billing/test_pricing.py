"""Prices, discounts and the next invoice: tables for the rules, properties for the sums."""

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from portal_site.billing.importing.schemas.billing_schemas import MOST_ITEMS
from portal_site.billing.importing.schemas.field_types import MOST_AN_AMOUNT
from portal_site.billing.rules.amounts import discounts, money, pricing
from portal_site.billing.rules.amounts.discounts import CouponTerms, Discountable, DiscountTerms
from portal_site.billing.rules.amounts.items import Item
from portal_site.billing.rules.amounts.pricing import MOST_A_UNIT, PriceTerms, Tier
from portal_site.billing.rules.amounts.taxes import TaxRate
from portal_site.billing.rules.invoicing.invoices import InvoiceTotals, settle
from portal_site.billing.rules.portal.portal_features import MOST
from portal_site.billing.rules.subscriptions.forecast import next_invoice
from tests.billing.terms import at, off, offer, snapshot
from tests.billing.terms import price as _price

TIERS = (Tier(10, Decimal(100), Decimal(0)), Tier(20, Decimal(80), Decimal(500)), Tier(None, Decimal(50), Decimal(0)))


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
        (_price("0", billing_scheme="tiered", tiers_mode="volume", tiers=TIERS), 20, 1600 + 500),
        (_price("0", billing_scheme="tiered", tiers_mode="volume", tiers=TIERS), 25, 1250),
        (_price("0", billing_scheme="tiered", tiers_mode="graduated", tiers=TIERS), 11, 1000 + 500 + 80),
        (_price("0", billing_scheme="tiered", tiers_mode="graduated", tiers=TIERS[1:]), 0, 500),  # the first is reached
        # What is beyond the last tier has no price.
        (_price("0", billing_scheme="tiered", tiers_mode="graduated", tiers=TIERS[:2]), 25, 1000 + 500 + 800),
        (_price("0", billing_scheme="tiered", tiers_mode="volume", tiers=TIERS[:2]), 25, 0),
        (_price("500", divide_by=10), 10, 500),
        (_price("500", divide_by=10, round_up=False), 20, 1000),
        (_price("-0.5"), 3, -2),
        (_price("0.5"), 1, 1),
    ],
)
def test_the_price_of_a_quantity(terms: PriceTerms, quantity: int, amount: int) -> None:
    assert pricing.amount(terms, quantity) == amount


PRICE: dict[str, Any] = {
    "unit_amount": 1200, "unit_amount_decimal": None, "billing_scheme": "per_unit", "tiers_mode": None, "tiers": None,
    "transform_quantity": None, "usage_type": "licensed",
}  # fmt: skip
STORED_TIERS = [
    {"up_to": 10, "unit_amount": 100, "flat_amount": None},
    {"up_to": None, "unit_amount_decimal": "0.25", "unit_amount": None, "flat_amount_decimal": "500"},
]


@pytest.mark.parametrize(
    ("members", "terms"),
    [
        ({}, _price("1200")),
        ({"unit_amount": None}, _price("0")),
        ({"unit_amount": None, "unit_amount_decimal": "0.02"}, _price("0.02")),
        ({"unit_amount_decimal": "0"}, _price("0")),  # what is exact comes first, even if it is nothing
        ({"usage_type": "metered"}, _price("1200", metered=True)),
        ({"transform_quantity": {"divide_by": 10, "round": "up"}}, _price("1200", divide_by=10)),
        ({"transform_quantity": {"divide_by": 10, "round": "down"}}, _price("1200", divide_by=10, round_up=False)),
        ({"transform_quantity": {"divide_by": 10}}, _price("1200", divide_by=10)),
        ({"transform_quantity": {"round": "down"}}, _price("1200", round_up=False)),
        (
            {"billing_scheme": "tiered", "tiers_mode": "volume", "tiers": STORED_TIERS},
            _price(
                "1200", billing_scheme="tiered", tiers_mode="volume",
                tiers=(Tier(10, Decimal(100), Decimal(0)), Tier(None, Decimal("0.25"), Decimal(500))),
            ),
        ),
    ],
)  # fmt: skip
def test_the_terms_of_a_price_are_read_as_they_are_stored(members: dict[str, Any], terms: PriceTerms) -> None:
    assert PriceTerms.of({**PRICE, **members}, "eur") == terms


Lines = list[tuple[int, str]]


NOTHING_OFF = DiscountTerms("di_0", CouponTerms(None, 0, "eur"), subscription_id="sub")


def _taken(lines: Lines, running: list[DiscountTerms], currency: str = "eur") -> list[list[int]]:
    return discounts.reductions([Discountable(*line) for line in lines], running, currency)


@pytest.mark.parametrize(
    ("lines", "coupons", "taken"),
    [
        ([(1000, "a")], [off("15")], [[150]]),
        ([(999, "a")], [off("33.33")], [[333]]),
        ([(1000, "a"), (500, "b")], [off(amount=300)], [[200, 100]]),
        ([(1000, "a"), (500, "b")], [off(amount=300, products=frozenset("b"))], [[0, 300]]),
        ([(100, "a")], [off(amount=300)], [[100]]),
        ([(1000, "a")], [off("50"), off("50")], [[500], [250]]),
        ([(1000, "a"), (-400, "a")], [off("10")], [[100, 0]]),
        ([(25, "a")], [off("10")], [[3]]),  # a half is the customer's
        ([(1000, "a")], [NOTHING_OFF], [[0]]),
    ],
)
def test_the_amount_that_coupons_take_off(lines: Lines, coupons: list[DiscountTerms], taken: list[list[int]]) -> None:
    assert _taken(lines, coupons) == taken


def test_an_amount_in_another_currency_takes_nothing_off() -> None:
    assert _taken([(1000, "a")], [off(amount=300)], "usd") == [[0]]
    assert _taken([(1000, "a")], [off("10")], "usd") == [[100]]


@pytest.mark.parametrize(
    ("members", "terms"),
    [
        ({"percent_off": "12.5"}, CouponTerms(Decimal("12.5"), None, None)),
        ({"amount_off": 300, "coupon_currency": "eur"}, CouponTerms(None, 300, "eur")),
        ({"percent_off": 10, "applies_to_products": ["a", "b"]}, CouponTerms(Decimal(10), None, None, frozenset("ab"))),
        ({"percent_off": 10, "applies_to_products": []}, CouponTerms(Decimal(10), None, None)),
    ],
)
def test_the_terms_of_a_coupon_are_read_as_they_are_stored(members: dict[str, Any], terms: CouponTerms) -> None:
    nothing = {"percent_off": None, "amount_off": None, "coupon_currency": None, "applies_to_products": None}
    assert CouponTerms.of({**nothing, **members}) == terms


@pytest.mark.parametrize(
    ("duration", "months", "end"),
    [
        ("repeating", 3, "2026-04-30"),
        ("repeating", 1, "2026-02-28"),
        ("repeating", None, "2026-02-28"),  # a month, where nothing is said
        ("forever", None, None),
        ("forever", 3, None),
        ("once", None, None),
    ],
)
def test_a_repeating_discount_ends_after_its_months(duration: str, months: int | None, end: str | None) -> None:
    assert discounts.discount_end(duration, months, at("2026-01-31")) == (at(end) if end else None)


COUPONS = st.one_of(
    st.decimals("0.01", "100", places=2).map(lambda percent: off(str(percent))),
    st.integers(1, 10**9).map(lambda amount: off(amount=amount)),
)
LINES = st.lists(st.tuples(st.integers(-(10**9), 10**9), st.sampled_from("abc")), max_size=20)


@given(LINES, st.lists(COUPONS, max_size=5))
def test_no_line_falls_below_zero_and_none_rises(lines: Lines, coupons: list[DiscountTerms]) -> None:
    taken = _taken(lines, coupons)
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


@pytest.mark.case("D15")
@given(
    st.integers(-(10**12), 10**12),
    st.integers(-(10**6), 10**6),
    st.sampled_from(["isk", "ugx", "kwd", "tnd", "eur", "jpy"]),
)
def test_a_charge_is_a_multiple_of_what_providers_take_and_the_rest_is_owed(
    total: int, balance: int, currency: str
) -> None:
    step = {"isk": 100, "ugx": 100, "kwd": 10, "tnd": 10}.get(currency, 1)
    due, after = settle(total, balance, money.minimum_charge(currency), money.step(currency))
    assert due + after == total + balance
    assert due % step == 0
    assert after < max(step, money.minimum_charge(currency))


@pytest.mark.parametrize(
    ("total", "balance", "credit_used", "carried"),
    [
        (1000, 0, 0, 0),
        (1000, -300, 300, 0),
        (200, -300, 200, 0),
        (-500, 0, -500, 0),
        (30, 0, 0, 30),  # too little to be charged
        (1000, 30, 0, -30),
        (320, -300, 300, 20),  # credit pays most of it, and the rest is too little
        (-500, 30, -470, -30),
    ],
)
def test_credit_and_carried_amounts_are_distinguished(total: int, balance: int, credit_used: int, carried: int) -> None:
    due, after = settle(total, balance, minimum=50)
    found = InvoiceTotals("eur", (), total, 0, 0, total, balance, after, due)
    assert (found.credit_used, found.carried) == (credit_used, carried)
    assert found.credit_used + found.carried == found.balance_used


@pytest.mark.case("D19")
@pytest.mark.parametrize(
    ("total", "balance", "settled"),
    [
        (49, 0, (0, 49)),
        (50, 0, (50, 0)),
        (30, 30, (60, 0)),
        (2000, -1970, (0, 30)),
        (0, 0, (0, 0)),
        (-500, 0, (0, -500)),
    ],
)
def test_amounts_below_the_minimum_charge_are_owed(total: int, balance: int, settled: tuple[int, int]) -> None:
    assert settle(total, balance, minimum=50) == settled


@pytest.mark.parametrize(
    ("running", "applied"),
    [
        ([off("10", id="a"), off("5", id="b", subscription_id=None)], ["a"]),
        ([off("5", id="b", subscription_id=None)], ["b"]),
        ([off("10", id="a"), off("20", id="c", item_id="si_1")], ["c", "a"]),
        ([off("10", id="a", end=100)], []),
        ([off("10", id="a", end=101)], ["a"]),
        ([off("10", id="a", start=100)], ["a"]),
        ([off("10", id="a", start=101)], []),
        ([off("10", id="a", end=100), off("5", id="b", subscription_id=None)], ["b"]),
        ([off("10", id="a"), off("20", id="d")], ["a", "d"]),
        ([off("10", id="a", subscription_id="sub_other")], []),
    ],
    ids=[
        "the customer's gives way",
        "the customer's",
        "items first",
        "over",
        "not yet over",
        "begins",
        "to come",
        "over, so the customer's",
        "in their order",
        "another's",
    ],
)
def test_which_discounts_apply(running: list[DiscountTerms], applied: list[str]) -> None:
    assert [discount.id for discount in discounts.discounts_in_force(running, "sub", 100)] == applied


def test_a_discount_on_an_item_leaves_the_others_alone() -> None:
    lines = [Discountable(1000, "a", "si_0"), Discountable(1000, "a", "si_1")]
    assert discounts.reductions(lines, [off("10", item_id="si_1")], "eur") == [[0, 100]]


def test_the_next_invoice_adds_up() -> None:
    items = Item("si_0", offer(1200), 2, 0, 100), Item("si_1", offer(9900, product="more"), 1, 0, 500)
    found = next_invoice(snapshot(*items, discounts=(off("10"),), balance=-500))
    assert found is not None
    amounts = found.subtotal, found.discount, found.tax, found.balance_used, found.amount_due
    assert (found.date, *amounts) == (100, 2400, 240, 0, 500, 1660)
    assert not found.varies


def test_usage_makes_it_vary() -> None:
    found = next_invoice(snapshot((offer("2", terms=_price("2", metered=True)), None)))
    assert found is not None
    assert (found.amount_due, found.varies) == (0, True)


def test_nothing_renews() -> None:
    assert next_invoice(snapshot()) is None
    ending = snapshot((offer(1200), 1), start=0, cancel_at=2_678_400)
    assert next_invoice(ending) is None


@given(
    st.lists(st.tuples(st.integers(0, 10**7), st.integers(0, 1000), st.integers(1, 3)), min_size=1, max_size=10),
    st.lists(COUPONS, max_size=3),
    st.integers(-(10**9), 10**9),
)
def test_due_is_subtotal_less_discount_less_balance(
    items: list[tuple[int, int, int]], coupons: list[DiscountTerms], balance: int
) -> None:
    renewing = [
        Item(f"si_{n}", offer(unit, product=f"p{n}"), quantity, 0, end) for n, (unit, quantity, end) in enumerate(items)
    ]
    found = next_invoice(snapshot(*renewing, discounts=tuple(coupons), balance=balance))
    assert found is not None
    assert found.amount_due == found.subtotal - found.discount - found.balance_used
    assert found.amount_due >= 0
    assert found.date == min(end for _, _, end in items)


def _graduated(unit: int, flat: int) -> PriceTerms:
    tiers = (Tier(10, Decimal(unit), Decimal(flat)), Tier(None, Decimal(unit), Decimal(flat)))
    return _price("0", billing_scheme="tiered", tiers_mode="graduated", tiers=tiers)


UNITS = st.integers(-MOST_A_UNIT, MOST_A_UNIT)
DEAREST = st.one_of(UNITS.map(lambda unit: _price(str(unit))), st.builds(_graduated, UNITS, UNITS))


@pytest.mark.case("D2")
@given(
    st.lists(st.tuples(DEAREST, st.integers(0, MOST)), min_size=1, max_size=MOST_ITEMS),
    st.integers(0, 100),
    st.integers(-MOST_AN_AMOUNT, MOST_AN_AMOUNT),
)
@example([(_graduated(MOST_A_UNIT, MOST_A_UNIT), MOST)] * MOST_ITEMS, 100, MOST_AN_AMOUNT)
def test_whatever_may_be_sold_fits_into_64_bits(sold: list[tuple[PriceTerms, int]], percent: int, balance: int) -> None:
    rates = (TaxRate("txr_one", "Tax", Decimal(percent), inclusive=False),)
    items = [Item(f"si_{n}", offer(n, terms=terms), quantity, 0, 9) for n, (terms, quantity) in enumerate(sold)]
    found = next_invoice(snapshot(*items, tax_rates=rates, balance=balance))
    assert found is not None
    amounts = found.subtotal, found.discount, found.tax, found.balance_used, found.amount_due
    assert all(abs(amount) < 2**63 for amount in amounts)
    assert abs(found.subtotal) + abs(found.tax) < 2**62
