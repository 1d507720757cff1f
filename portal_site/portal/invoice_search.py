"""The filters of the invoice history: a year, unpaid invoices, or a typed number or amount."""

import re
import unicodedata
from collections.abc import Mapping

from babel.numbers import NumberFormatError, parse_decimal
from flask import g
from flask_babel import get_locale

from portal_site.billing.rules.amounts import money
from portal_site.portal.reads.invoice_history import InvoiceFilter

LONGEST = 60
MOST_AMOUNT = 10**15


def wanted(arguments: Mapping[str, str]) -> InvoiceFilter:
    """The filters in the query; invalid ones are left out."""
    text = " ".join(unicodedata.normalize("NFKC", arguments.get("q", "")).split())[:LONGEST]
    if text:
        return InvoiceFilter(text=text, numbers=_numbers(text), amount=_amount(text))
    year = arguments.get("year", "")
    if re.fullmatch(r"20\d\d|19[7-9]\d", year, re.ASCII):
        return InvoiceFilter(year=int(year))
    return InvoiceFilter(unpaid=arguments.get("status") == "unpaid")


def _numbers(text: str) -> tuple[str, ...]:
    """The invoice numbers that may be meant: the text itself, and for digits alone the customer's number with them."""
    number = text.upper().replace(" ", "")
    own = f"{g.visitor.invoice_prefix}-{int(number):04d}" if g.visitor.invoice_prefix and number.isdecimal() else None
    return tuple(dict.fromkeys(filter(None, (text, number, own))))


def _amount(text: str) -> int | None:
    """The amount in minor units of the customer's currency, in any notation; None if the text is no amount."""
    if g.visitor.currency is None:
        return None
    plain = re.sub(r"[^0-9.,'\u2019-]", "", text)
    if not re.search(r"[0-9]", plain) or re.search(r"[A-Za-z]{4}", text):
        return None
    try:
        amount = parse_decimal(plain, locale=get_locale(), strict=False)
    except (NumberFormatError, ValueError):
        return None
    minor = amount.scaleb(money.exponent(g.visitor.currency))
    return int(minor) if minor == minor.to_integral_value() and abs(minor) < MOST_AMOUNT else None
