"""What is typed into the forms of the catalogue: amounts, percentages and days. A refusal names the field."""

from datetime import date, datetime, time, timedelta
from decimal import Decimal

from portal_site.billing.errors import BillingError
from portal_site.billing.rules.amounts import money
from portal_site.web.input import amounts
from portal_site.web.input.amounts import NoAmount
from portal_site.web.rendering import filters, i18n

FARTHEST = 9000  # a year: calendars end soon after


def exact(typed: str | None, currency: str, param: str) -> Decimal | None:
    """An amount in minor units that may have decimals; None if nothing was typed. Raises BillingError."""
    if not (typed or "").strip():
        return None
    try:
        return amounts.read(typed or "", currency, i18n.current().locale)
    except NoAmount as no_amount:
        raise _refusal(no_amount, currency, param) from None


def whole(typed: str | None, currency: str, param: str) -> int | None:
    """An amount in whole minor units; None if nothing was typed. Raises BillingError."""
    amount = exact(typed, currency, param)
    if amount is None or amount == amount.to_integral_value():
        return None if amount is None else int(amount)
    decimals = money.exponent(currency)
    problem = "Enter %(currency)s with at most %(decimals)s decimals." if decimals else "%(currency)s has no decimals."
    raise BillingError(problem, "", param, currency=currency.upper(), decimals=decimals)


def _refusal(no_amount: NoAmount, currency: str, param: str) -> BillingError:
    if no_amount.readings:
        great, small = no_amount.readings
        problem = "This can be read in two ways: type %(great)s or %(small)s."
        return BillingError(problem, "", param, great=great, small=small)
    example = str(money.major(1250, currency))
    return BillingError("Enter an amount such as %(example)s.", "", param, example=example)


def percentage(typed: str | None, param: str) -> Decimal | None:
    """A percentage; None if nothing was typed. Raises BillingError."""
    if not (typed or "").strip():
        return None
    try:
        return amounts.read_percentage(typed or "")
    except NoAmount:
        raise BillingError("Enter a percentage such as 12.5.", "", param) from None


def end_of(day: date | None, timezone: str, param: str) -> int | None:
    """The instant at which a day ends in a time zone; None without a day. Raises BillingError."""
    if day is None:
        return None
    if not 1970 <= day.year < FARTHEST:
        raise BillingError("Choose a time within the next five years.", "", param)
    return int(datetime.combine(day + timedelta(days=1), time(), filters.zone(timezone)).timestamp())
