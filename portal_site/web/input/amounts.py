"""Amounts of money and percentages as people type them, read exactly, or refused where they could mean two things.

A sign between digits is a decimal sign or separates thousands, depending on who types. Where the text itself tells which (`1,50`,
`1 000,50`, `1.234,5`), it is taken so. Where it does not (`1,500`), the page's locale and the currency's decimals may tell;
otherwise it is refused: an amount that is a thousand times too much costs more than typing it again.
"""

import re
from decimal import Decimal

from babel import Locale
from babel.numbers import get_currency_symbol

from portal_site.billing.rules.amounts import money
from portal_site.web.input.typed import plain

LONGEST = 40  # signs
THOUSAND = 3  # digits of a group
BLANKS = re.compile(r"(?<=\d)[\s'’_](?=\d)")
# Groups of three or, as in India, of two in front of the last one.
GROUPED = {
    sign: re.compile(rf"\d{{1,3}}(?:\{sign}\d{{3}})+|\d{{1,2}}(?:\{sign}\d{{2}})+\{sign}\d{{3}}") for sign in "., "
}
PERCENTAGE = re.compile(r"(\d{1,3})(?:[.,](\d{1,20}))?\s?%?")


class NoAmount(ValueError):
    """A text that is no amount. `readings` are the two that it could be, as one would type them."""

    def __init__(self, readings: tuple[str, ...] = ()) -> None:
        super().__init__(*readings)
        self.readings = readings


def read(text: str, currency: str, locale: str) -> Decimal:
    """A typed amount in minor units, which may have decimals: “12.50” eur → 1250, “0.005” eur → 0.5. Raises NoAmount."""
    digits = BLANKS.sub(" ", _without_currency(plain(text), currency, locale))
    if len(digits) > LONGEST:
        raise NoAmount
    whole, decimals = _parts(digits, currency, locale)
    # From a text, since arithmetic would round what has very many digits.
    return Decimal(f"{whole}{decimals}E{money.exponent(currency) - len(decimals)}")


def read_whole(text: str, currency: str, locale: str) -> int:
    """The same for an amount that has no fraction of the minor unit. Raises ValueError if it has, and NoAmount."""
    amount = read(text, currency, locale)
    if amount != amount.to_integral_value():
        raise ValueError(f"finer than the minor unit of {currency}")
    return int(amount)


def read_percentage(text: str) -> Decimal:
    """A typed percentage. It has no thousands, so that “8,875” can only be 8.875. Raises NoAmount."""
    found = PERCENTAGE.fullmatch(plain(text).strip())
    if found is None:
        raise NoAmount
    return Decimal(f"{found[1]}.{found[2] or 0}")


def _without_currency(text: str, currency: str, locale: str) -> str:
    """The text without the currency's own code or symbol at one of its ends."""
    bare = text.strip()
    for name in (currency.upper(), plain(get_currency_symbol(currency.upper(), locale=locale)).upper()):
        for rest in (bare[len(name) :] if bare.upper().startswith(name) else None, bare.upper().removesuffix(name)):
            if rest is not None and rest != bare.upper():
                return rest.strip()
    return bare


def _parts(digits: str, currency: str, locale: str) -> tuple[str, str]:
    """The digits before and behind the decimal sign."""
    signs = re.sub(r"\d", "", digits)
    if not re.fullmatch(r"\d(?:[\d., ]*\d)?|[.,]\d+", digits, re.ASCII) or len(set(signs)) > 2:
        raise NoAmount
    last = signs[-1:]
    if last in ("", " ") or signs.count(last) > 1:  # thousands, if anything, and no decimals
        return _ungrouped(digits, signs), ""
    whole, _, decimals = digits.rpartition(last)
    if len(signs) > 1:
        return _ungrouped(whole, signs[:-1]), decimals
    if len(decimals) != THOUSAND or not re.fullmatch(r"[1-9]\d{0,2}", whole):
        return whole or "0", decimals
    return _told_by_locale(whole, decimals, last, currency, locale)


def _ungrouped(digits: str, signs: str) -> str:
    if not signs:
        return digits
    if len(set(signs)) > 1 or not GROUPED[signs[0]].fullmatch(digits):
        raise NoAmount
    return digits.replace(signs[0], "")


def _told_by_locale(whole: str, decimals: str, sign: str, currency: str, locale: str) -> tuple[str, str]:
    """The parts of an amount with one sign in front of its last three digits, such as 1,500."""
    is_decimal = sign == Locale.parse(locale).number_symbols["latn"]["decimal"]
    exponent = money.exponent(currency)
    if is_decimal and exponent == THOUSAND:
        return whole, decimals
    if not is_decimal and exponent == 0:
        return f"{whole}{decimals}", ""
    raise NoAmount((f"{whole}{decimals}", f"{whole}.{decimals}0"))
