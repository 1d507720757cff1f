"""Amounts as people type them: read exactly in every spelling that means one thing, and refused in every other."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portal_site.billing.rules.amounts import money
from portal_site.web.input import amounts
from portal_site.web.input.amounts import NoAmount
from portal_site.web.rendering.filters import _unit_money, format_money
from portal_site.web.rendering.i18n import LOCALES

CURRENCIES = sorted(money.SUPPORTED)
TAGS = [tag.replace("-", "_") for tag in LOCALES]
MANY = st.integers(0, 10**12)
of_any = st.sampled_from(CURRENCIES), st.sampled_from(TAGS)
WIDE = str.maketrans("0123456789.", "０１２３４５６７８９．")


@pytest.mark.parametrize(
    ("typed", "currency", "minor"),
    [
        ("12.50", "eur", "1250"),
        ("1,50", "eur", "150"),
        ("12,5", "eur", "1250"),
        ("1 000,50", "eur", "100050"),
        ("1\u202f000,50 €", "eur", "100050"),
        ("1.000,50", "eur", "100050"),
        ("1,000.50", "eur", "100050"),
        ("1’000.50", "chf", "100050"),
        ("1,00,000.50", "inr", "10000050"),
        ("1,000,000", "usd", "100000000"),
        ("1.234,567", "eur", "123456.7"),
        ("0.005", "eur", "0.5"),
        ("0,005", "eur", "0.5"),
        (".5", "eur", "50"),
        ("0", "eur", "0"),
        ("$5", "usd", "500"),
        ("USD 5", "usd", "500"),
        ("5 usd", "usd", "500"),
        ("1,500", "jpy", "1500"),
        ("1500", "jpy", "1500"),
        ("0.5", "jpy", "0.5"),
        ("12.500", "kwd", "12500"),
        ("12.5", "kwd", "12500"),
        ("1,234.500", "kwd", "1234500"),
        ("0.000000000001", "eur", "0.0000000001"),
    ],
)
def test_what_is_typed_is_read_exactly(typed: str, currency: str, minor: str) -> None:
    assert amounts.read(typed, currency, "en") == Decimal(minor)
    assert amounts.read(f"  {typed.translate(WIDE)} ", currency, "en") == Decimal(minor)


@pytest.mark.parametrize(
    ("typed", "currency", "locale"),
    [
        ("1,500", "eur", "en"), ("1.500", "eur", "en"), ("1.500", "eur", "fr"), ("1.500", "jpy", "en"), ("1,500", "kwd", "en"),
        ("12.500", "kwd", "fr"), ("999,999", "usd", "en"),
    ],
)  # fmt: skip
def test_what_could_be_a_thousand_times_as_much_is_refused_with_both_readings(
    typed: str, currency: str, locale: str
) -> None:
    with pytest.raises(NoAmount) as refused:
        amounts.read(typed, currency, locale)
    great, small = (amounts.read(reading, currency, locale) for reading in refused.value.readings)
    assert great == small * 1000


@pytest.mark.parametrize(
    "typed",
    ["", " ", "-5", "−5", "1e5", "1..5", "1 50", "5.", "1,234,56", "1,000.5,0", "$5", "ten", "1.5,000", "1.000.00", "0x10",
     "5 EUR EUR", "EUR", "NaN", "∞", "1/2", "½5", "1\n5", "9" * 41, "1\0", "５，，５"],
)  # fmt: skip
def test_what_is_no_amount_is_refused(typed: str) -> None:
    with pytest.raises(NoAmount):
        amounts.read(typed, "eur", "en")


@given(MANY, *of_any)
def test_what_the_page_writes_is_read_as_the_same_amount(minor: int, currency: str, locale: str) -> None:
    assert amounts.read_whole(format_money(minor, currency, locale), currency, locale) == minor


@given(st.decimals(0, 10**9, places=6), *of_any)
def test_fractions_are_read_as_they_are_or_refused_and_never_as_another_amount(
    minor: Decimal, currency: str, locale: str
) -> None:
    try:
        found = amounts.read(_unit_money(minor, currency, locale), currency, locale)
    except NoAmount as refused:
        assert len(refused.readings) == 2
    else:
        assert found == minor


@given(st.text("0123456789., '\u202f", max_size=12), *of_any)
def test_digits_are_never_added_or_lost(typed: str, currency: str, locale: str) -> None:
    """Whatever is read consists of the digits that were typed, so that no more than the decimal sign can be in doubt."""
    try:
        found = amounts.read(typed, currency, locale)
    except NoAmount:
        return
    digits = "".join(sign for sign in typed if sign.isdigit())
    assert "".join(map(str, found.as_tuple().digits)) == (digits.lstrip("0") or "0")


@given(MANY, *of_any)
def test_finer_than_the_minor_unit_is_no_whole_amount(minor: int, currency: str, locale: str) -> None:
    text = f"{money.major(minor, currency):.{money.exponent(currency)}f}{'.' * (not money.exponent(currency))}0005"
    with pytest.raises(ValueError, match="finer"):
        amounts.read_whole(text, currency, locale)


@pytest.mark.parametrize(("typed", "read"), [("8.875", "8.875"), ("8,875 %", "8.875"), ("100%", "100"), ("0", "0")])
def test_a_percentage_has_no_thousands(typed: str, read: str) -> None:
    assert amounts.read_percentage(typed) == Decimal(read)


@pytest.mark.parametrize("typed", ["", "-1", "1,000.5", "1e1", "5%%", "1000", "."])
def test_what_is_no_percentage_is_refused(typed: str) -> None:
    with pytest.raises(NoAmount):
        amounts.read_percentage(typed)
