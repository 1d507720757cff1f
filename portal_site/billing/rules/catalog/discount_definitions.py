"""What coupons take off and for how long, and which promotion codes can be made of them."""

import re
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from portal_site.billing.errors import BillingError
from portal_site.billing.rules.amounts.promotion_codes import LONGEST
from portal_site.billing.rules.catalog import members
from portal_site.billing.translation_marks import N_

PERCENT_DECIMALS = 2
DURATIONS = ("once", "repeating", "forever")
MOST_MONTHS = 1200
_CODE = re.compile(f"[A-Za-z0-9-]{{1,{LONGEST}}}")
Columns = dict[str, Any]


@dataclass(frozen=True, slots=True)
class CouponDefinition:
    """What a coupon takes off, for how long, and how often it can be redeemed. It never changes.

    Either `percent_off`, or `amount_off` in minor units with its `currency`. `duration_in_months` is for `repeating`.
    """

    percent_off: Decimal | None = None
    amount_off: int | None = None
    currency: str | None = None
    duration: str = "once"
    duration_in_months: int | None = None
    redeem_by: int | None = None
    max_redemptions: int | None = None


@dataclass(frozen=True, slots=True)
class CodeRestrictions:
    """Who may redeem a promotion code, until when and how often. `minimum_amount` is in minor units of its currency."""

    customer_id: str | None = None
    expires_at: int | None = None
    max_redemptions: int | None = None
    first_time_transaction: bool = False
    minimum_amount: int | None = None
    minimum_amount_currency: str | None = None


def coupon_columns(definition: CouponDefinition, at: int) -> Columns:
    """The definition as columns of the `coupons` table. Raises BillingError, with `param` set, for one that makes no sense."""
    return {
        **_reduction(definition),
        **_duration(definition.duration, definition.duration_in_months),
        "redeem_by": members.to_come(definition.redeem_by, "redeem_by", at),
        "max_redemptions": _times(definition.max_redemptions),
    }


def _reduction(definition: CouponDefinition) -> Columns:
    percent, amount, currency = definition.percent_off, definition.amount_off, definition.currency
    if (percent is None) == (amount is None):
        problem = N_("Enter either a percentage or an amount.")
        raise BillingError(problem, "parameter_missing" if percent is None else "parameters_exclusive", "percent_off")
    if percent is not None:
        if currency is not None:
            problem = N_("Leave out the currency: a percentage is taken off in all currencies.")
            raise BillingError(problem, "parameters_exclusive", "currency")
        off = members.percentage(percent, "percent_off", PERCENT_DECIMALS, may_be_zero=False)
        return {"percent_off": off, "amount_off": None, "currency": None}
    if currency is None:
        raise members.missing("currency")
    return {
        "percent_off": None,
        "amount_off": members.whole(amount or 0, "amount_off", members.MOST_AN_AMOUNT),
        "currency": members.currency(currency, "currency"),
    }


def _duration(duration: str, months: int | None) -> Columns:
    members.choice(duration, "duration", DURATIONS)
    if duration != "repeating" and months is not None:
        problem = N_("Leave out the number of months, or let the coupon repeat.")
        raise BillingError(problem, "parameters_exclusive", "duration_in_months")
    if duration == "repeating" and months is None:
        raise members.missing("duration_in_months")
    if months is not None:
        members.whole(months, "duration_in_months", MOST_MONTHS)
    return {"duration": duration, "duration_in_months": months}


def _times(times: int | None) -> int | None:
    return None if times is None else members.whole(times, "max_redemptions", members.MOST_TIMES)


def check_code(code: str) -> str:
    """A promotion code as it was typed, without blanks around it."""
    typed = code.strip()
    if not _CODE.fullmatch(typed):
        problem = N_("Use only letters without accents, digits and dashes, at most %(most)s of them.")
        raise BillingError(problem, "invalid_characters", "code", most=LONGEST)
    return typed


def code_columns(wanted: CodeRestrictions, redeem_by: int | None, most: int | None, at: int) -> Columns:
    """The restrictions as columns of the `promotion_codes` table, within those of the coupon, `redeem_by` and `most` times."""
    expires_at = members.to_come(wanted.expires_at, "expires_at", at)
    if expires_at is not None and redeem_by is not None and expires_at > redeem_by:
        raise BillingError(N_("Let the code end before its coupon does."), "", "expires_at")
    times = _times(wanted.max_redemptions)
    if times is not None and most is not None and times > most:
        problem = N_("Enter at most %(most)s: the coupon cannot be redeemed more often.")
        raise BillingError(problem, "", "max_redemptions", most=most)
    return {
        "customer_id": wanted.customer_id,
        "expires_at": expires_at,
        "max_redemptions": times,
        "first_time_transaction": wanted.first_time_transaction,
        **_minimum(wanted.minimum_amount, wanted.minimum_amount_currency),
    }


def _minimum(amount: int | None, currency: str | None) -> Columns:
    if amount is None and currency is None:
        return {"minimum_amount": None, "minimum_amount_currency": None}
    if amount is None:
        raise members.missing("restrictions[minimum_amount]")
    if currency is None:
        raise members.missing("restrictions[minimum_amount_currency]")
    return {
        "minimum_amount": members.whole(amount, "restrictions[minimum_amount]", members.MOST_AN_AMOUNT),
        "minimum_amount_currency": members.currency(currency, "restrictions[minimum_amount_currency]"),
    }
