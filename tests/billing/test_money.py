"""Amounts: integers in minor units, and exact on the page in every currency and locale."""

import re
from decimal import Decimal

import pytest
from babel.numbers import get_currency_precision, list_currencies
from hypothesis import given
from hypothesis import strategies as st

from portal_site.billing.rules.amounts import allocation, money
from portal_site.web.rendering.filters import format_money

LOCALES = (
    "af ar bg bn ca cs da de de_AT de_CH el en en_AU en_CA en_GB en_IN en_ZA es es_AR es_CL es_MX et eu fa fi fil fr fr_CA fr_CH "
    "ga gl he hi hr hu id is it it_CH ja ka kk ko lt lv ms nb nl nl_BE pl pt pt_PT ro ru sk sl sq sr sv sw th tr uk ur vi zh"
).split()
CURRENCIES = sorted(list_currencies())
AMOUNTS = st.integers(-(2**62), 2**62)


@pytest.mark.parametrize(
    ("amount", "currency", "written"),
    [
        (1234, "eur", "€12.34"),
        (1234, "jpy", "¥1,234"),
        (1234500, "kwd", "KWD 1,234.500"),
        (123450, "rsd", "RSD 1,234.50"),
        (123400, "isk", "ISK 1,234.00"),
        (500, "ugx", "UGX 5.00"),
        (1234, "mga", "MGA 1,234"),
        (-2010, "usd", "−$20.10"),
        (0, "bhd", "BHD 0.000"),
    ],
)
def test_an_amount_is_written_with_its_currencys_decimals(amount: int, currency: str, written: str) -> None:
    assert format_money(amount, currency, "en").replace("\xa0", " ") == written


@given(AMOUNTS, st.sampled_from(CURRENCIES))
def test_major_and_minor_are_inverse(amount: int, currency: str) -> None:
    assert money.minor(money.major(amount, currency), currency) == amount


def test_finer_than_the_minor_unit_is_refused() -> None:
    with pytest.raises(ValueError, match="finer"):
        money.minor(Decimal("1.005"), "eur")


@pytest.mark.case("D15")
@pytest.mark.parametrize("locale", LOCALES)
def test_what_is_written_reads_back_as_the_same_amount(locale: str) -> None:
    """All ISO currencies × 60 locales: the digits on the page, read by the locale's own rules, are the amount."""
    for currency in CURRENCIES:
        for amount in (0, 1, 99, 100, 123456789):
            written = format_money(amount, currency, locale)
            assert _read(written, currency) == money.major(amount, currency), (currency, written)


def _read(written: str, currency: str) -> Decimal:
    """The number in an amount, by the digits after its last mark: independent of how it was written."""
    digits = "".join(str(int(sign)) if sign.isdecimal() else sign for sign in written)
    number = re.search(r"\d([\d\W]*\d)?", digits)
    assert number is not None, written
    places = money.exponent(currency)
    assert not places or len(re.split(r"\D", number[0])[-1]) == places, written
    return Decimal(re.sub(r"\D", "", number[0])).scaleb(-places)


def test_decimals_differ_from_iso_only_where_stripe_does() -> None:
    fields_own = {
        "MGA",
        "ISK",
        "UGX",
        "BIF",
        "CLP",
        "XAF",
        "XOF",
        "XPF",
        "KMF",
        "GNF",
        "RWF",
        "VND",
        "VUV",
        "PYG",
        "KRW",
        "DJF",
    }
    for currency in ("EUR", "USD", "JPY", "KWD", "BHD", "OMR", "JOD", "TND", "GBP", "CHF", "BRL", "INR"):
        assert money.exponent(currency) == get_currency_precision(currency)
    assert {c for c in fields_own if money.exponent(c) == 2} == {"ISK", "UGX"}


@pytest.mark.case("D15")
@pytest.mark.parametrize(
    ("currency", "minimum", "step"),
    [
        ("eur", 50, 1),
        ("EUR", 50, 1),
        ("gbp", 30, 1),
        ("huf", 17500, 1),
        ("jpy", 50, 1),
        ("rsd", 50, 1),  # where Stripe names no minimum, half of the major unit
        ("kwd", 500, 10),
        ("KWD", 500, 10),
        ("krw", 1, 1),  # of which there is no half
        ("KRW", 1, 1),
        ("isk", 50, 100),
        ("ISK", 50, 100),
    ],
)
def test_what_can_be_charged_in_a_currency(currency: str, minimum: int, step: int) -> None:
    assert (money.minimum_charge(currency), money.step(currency)) == (minimum, step)
    assert isinstance(money.minimum_charge(currency), int)  # and never half of the minor unit


@pytest.mark.parametrize(
    ("total", "weights", "parts"),
    [
        (10, [1, 1], [5, 5]),
        (100, [1, 2], [33, 67]),  # the larger remainder has the unit that is over
        (5, [2, 1, 2], [2, 1, 2]),
        (11, [1, 1], [6, 5]),  # of equal remainders, the first
        (2, [1, 1, 1], [1, 1, 0]),
        (-11, [1, 1], [-6, -5]),
        (-100, [1, 2], [-33, -67]),
        (7, [0, 3, 0], [0, 7, 0]),
        (7, [0, 0, 0], [7, 0, 0]),
        (-7, [0, 0], [-7, 0]),
        (0, [3, 4], [0, 0]),
    ],
)
def test_an_amount_is_split_by_the_largest_remainder(total: int, weights: list[int], parts: list[int]) -> None:
    assert allocation.allocate(total, weights) == parts


@given(AMOUNTS, st.lists(st.integers(0, 10**12), min_size=1, max_size=50))
def test_parts_add_up_to_the_whole_and_are_fair(total: int, weights: list[int]) -> None:
    parts = allocation.allocate(total, weights)
    assert sum(parts) == total
    assert all(part == 0 or (part < 0) == (total < 0) for part in parts)
    whole = sum(weights)
    if whole:
        assert all(abs(part * whole - total * weight) <= whole for part, weight in zip(parts, weights, strict=True))


def test_an_amount_without_parts_is_not_split() -> None:
    assert allocation.allocate(5, []) == []
