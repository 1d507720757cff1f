"""The limits of single members: texts, metadata, choices, currencies, numbers, percentages and instants.

Each function returns the value as it is stored. It raises BillingError with the name of the parameter and what to do about it.
"""

import re
from collections.abc import Collection, Mapping
from decimal import Context, Decimal

from portal_site.billing.errors import BillingError
from portal_site.billing.rules.amounts import money
from portal_site.billing.rules.amounts.periods import months_after
from portal_site.billing.translation_marks import N_

LONGEST_TEXT = 5000
MOST_KEYS, LONGEST_KEY, LONGEST_VALUE = 50, 40, 500  # of metadata
MOST_AN_AMOUNT = 99_999_999  # in minor units: eight digits
AMOUNT_DECIMALS = 12
MOST_TIMES = 2**31 - 1  # redemptions
FARTHEST = 5 * 12  # months that a coupon or a code can be redeemed for
_UNPRINTABLE = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]")
_BREAKS = re.compile(r"[\t\n\r]")
_EXACT = Context(prec=60)  # more digits than an amount within the limits has, so that nothing is rounded unseen


def missing(param: str) -> BillingError:
    """The refusal of a member that must be given."""
    return BillingError(N_("Please fill in this field."), "parameter_missing", param)


def line(value: str, param: str, most: int = LONGEST_TEXT) -> str:
    """A text in one line that must not be empty."""
    text = optional_line(value, param, most)
    if text is None:
        raise missing(param)
    return text


def optional_line(value: str | None, param: str, most: int = LONGEST_TEXT) -> str | None:
    """A text in one line; None for an empty one."""
    text = optional_text(value, param, most)
    if text is not None and _BREAKS.search(text):
        raise BillingError(N_("Write this in one line."), "invalid_characters", param)
    return text


def optional_text(value: str | None, param: str, most: int = LONGEST_TEXT) -> str | None:
    """A text that may have several lines; None for an empty one."""
    text = (value or "").replace("\r\n", "\n").strip()  # browsers send two characters for a line break
    if len(text) > most:
        raise BillingError(N_("Shorten this to at most %(most)s characters."), "", param, most=most)
    if _UNPRINTABLE.search(text):
        raise BillingError(N_("Remove the characters that cannot be printed."), "invalid_characters", param)
    return text or None


def metadata(changes: Mapping[str, str | None] | None, stored: Mapping[str, str]) -> dict[str, str]:
    """The metadata after a change. A key without a value is removed, others stay as they are; None removes all of them."""
    if changes is None:
        return {}
    merged = dict(stored)
    for key, value in changes.items():
        param = f"metadata[{key}]"
        if value is None or value == "":
            merged.pop(key, None)
            continue
        if not 0 < len(key) <= LONGEST_KEY or re.search(r"[\[\]]", key):
            problem = N_("Give each key of the metadata a name of at most %(most)s characters without square brackets.")
            raise BillingError(problem, "", "metadata", most=LONGEST_KEY)
        if len(value) > LONGEST_VALUE:
            raise BillingError(N_("Shorten this to at most %(most)s characters."), "", param, most=LONGEST_VALUE)
        if _UNPRINTABLE.search(key + value):
            raise BillingError(N_("Remove the characters that cannot be printed."), "invalid_characters", param)
        merged[key] = value
    if len(merged) > MOST_KEYS:
        raise BillingError(N_("Keep at most %(most)s keys of metadata."), "", "metadata", most=MOST_KEYS)
    return merged


def choice(value: str, param: str, choices: Collection[str]) -> str:
    """One of some words."""
    if value not in choices:
        raise BillingError(N_("Choose one of these: %(choices)s."), "", param, choices=", ".join(choices))
    return value


def currency(value: str, param: str) -> str:
    """The code of a supported currency, in lower case."""
    code = value.strip().lower()
    if code not in money.SUPPORTED:
        raise BillingError(N_("Choose a supported currency, such as eur or usd."), "", param)
    return code


def whole(value: int, param: str, most: int, least: int = 1) -> int:
    """A whole number between two limits."""
    if not least <= value <= most:
        problem = N_("Enter a whole number from %(least)s to %(most)s.")
        raise BillingError(problem, "parameter_invalid_integer", param, least=least, most=most)
    return value


def minor_units(value: Decimal, param: str) -> Decimal:
    """An amount in minor units that may have decimals."""
    if not value.is_finite() or not 0 <= value <= MOST_AN_AMOUNT or not _has_at_most(value, AMOUNT_DECIMALS):
        problem = N_("Enter an amount from 0 to %(most)s with at most %(decimals)s decimals.")
        raise BillingError(problem, "", param, most=MOST_AN_AMOUNT, decimals=AMOUNT_DECIMALS)
    return value


def percentage(value: Decimal, param: str, decimals: int, *, may_be_zero: bool) -> str:
    """A percentage of up to 100 as decimal text."""
    within = value.is_finite() and 0 <= value <= 100 and (may_be_zero or value > 0)
    if not within or not _has_at_most(value, decimals):
        problem = (
            N_("Enter a percentage from 0 to 100 with at most %(decimals)s decimals.")
            if may_be_zero
            else N_("Enter a percentage greater than 0, of at most 100, with at most %(decimals)s decimals.")
        )
        raise BillingError(problem, "", param, decimals=decimals)
    return decimal_text(value)


def decimal_text(value: Decimal) -> str:
    """A number within the limits as it is stored: without an exponent, and without zeros at its end."""
    text = format(abs(value), "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


def _has_at_most(value: Decimal, decimals: int) -> bool:
    return value == value.quantize(Decimal(1).scaleb(-decimals), context=_EXACT)


def to_come(value: int | None, param: str, at: int) -> int | None:
    """An instant in the next five years, if one is given."""
    if value is None:
        return None
    if value <= at:
        raise BillingError(N_("Choose a time in the future."), "", param)
    if value > months_after(at, FARTHEST):
        raise BillingError(N_("Choose a time within the next five years."), "", param)
    return value
