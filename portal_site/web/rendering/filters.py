"""Template filters for amounts, dates and names, in the customer's locale and time zone."""

import copy
import re
from datetime import datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from functools import lru_cache
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from babel import Locale, dates, units
from babel.numbers import NumberPattern, format_decimal
from flask import Flask, g

from portal_site.billing.rules.amounts import money as currencies
from portal_site.billing.rules.portal import safe_urls
from portal_site.billing.translation_marks import N_, NN_
from portal_site.web.input import phones
from portal_site.web.rendering import decline_messages, i18n

DAY = 24 * 60 * 60
NEAR = 31  # days within which a date is also given relative to today
LETTER_BESIDE_DIGIT = re.compile(r"(?<=[^\W\d_])(?=\d)")
NO_BREAK_SPACE, MINUS = "\N{NO-BREAK SPACE}", "\N{MINUS SIGN}"
EACH = {"day": N_("per day"), "week": N_("per week"), "month": N_("per month"), "year": N_("per year")}
SEVERAL = {
    "day": NN_("every %(num)s day", "every %(num)s days"),
    "week": NN_("every %(num)s week", "every %(num)s weeks"),
    "month": NN_("every %(num)s month", "every %(num)s months"),
    "year": NN_("every %(num)s year", "every %(num)s years"),
}


def init(app: Flask) -> None:
    """Register the filters, and the globals `locale_tag` and `text_direction`."""
    app.jinja_env.filters.update(
        money=money,
        date=date,
        instant=instant,
        minute=minute,
        iso=iso,
        labelled=labelled,
        month=month,
        number=number,
        country=country,
        days=days,
        days_left=days_left,
        decline_message=decline_messages.message,
        every=every,
        percent=percent,
        phone=phones.pretty,
        safe_link=safe_link,
        stretch=stretch,
    )
    app.jinja_env.globals.update(locale_tag=locale_tag, text_direction=text_direction)


def _locale() -> str:
    return i18n.current().locale


def locale_tag() -> str:
    """The page's locale for the `lang` attribute: en-GB."""
    return _locale().replace("_", "-")


def text_direction() -> str:
    """The direction of the page's script: `ltr` or `rtl`."""
    return Locale.parse(_locale()).text_direction


@lru_cache(maxsize=256)
def _pattern(locale: str, decimals: int) -> NumberPattern:
    # Babel would choose the number of decimals itself, which is wrong for a dozen currencies: RSD 1234.50 as RSD 1,234.
    pattern = copy.copy(Locale.parse(locale).currency_formats["standard"])
    pattern.frac_prec = (decimals, decimals)
    return pattern


def _written(major: Decimal, currency: str, locale: str, decimals: int) -> str:
    # As CLDR spaces currencies and as type is set, neither of which Babel does: KWD 56.250 and −$20.10.
    code, pattern = currency.upper(), _pattern(locale, decimals)
    written = pattern.apply(major, Locale.parse(locale), currency=code, currency_digits=False)
    return LETTER_BESIDE_DIGIT.sub(NO_BREAK_SPACE, written).replace("-", MINUS)


@lru_cache(maxsize=8192)
def format_money(amount: int, currency: str, locale: str) -> str:
    """An amount in minor units in the locale's format: 1234 eur → €12.34 or 12,34 €."""
    return _written(currencies.major(amount, currency), currency, locale, currencies.exponent(currency))


def money(amount: int, currency: str) -> str:
    """An amount in minor units in the page's locale."""
    return format_money(amount, currency, _locale())


@lru_cache(maxsize=1024)
def _unit_money(amount: Decimal, currency: str, locale: str) -> str:
    exponent = amount.normalize().as_tuple().exponent
    decimals = currencies.exponent(currency) + max(0, -exponent if isinstance(exponent, int) else 0)
    return _written(amount.scaleb(-currencies.exponent(currency)), currency, locale, decimals)


def unit_money(amount: Decimal, currency: str) -> str:
    """A unit price in minor units with all its decimals, which may be more than the currency has: 0.5 eur → €0.005."""
    return _unit_money(amount, currency, _locale())


def _zone() -> str:
    own = g._get_current_object()
    whose = own.get("visitor") or own.get("place")  # a customer, or a user's place in an account
    return whose.timezone if whose is not None else "UTC"


@lru_cache(maxsize=256)
def zone(name: str) -> ZoneInfo:
    """A time zone by name. A name that this machine does not know yields UTC, so that the page does not fail."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return ZoneInfo("UTC")


@lru_cache(maxsize=8192)
def _date(at: int, style: str, zone_name: str, locale: str) -> str:
    return _with_ordinal(dates.format_date(datetime.fromtimestamp(at, zone(zone_name)).date(), style, locale), locale)


def _with_ordinal(written: str, locale: str) -> str:
    # CLDR has no ordinal for the first day of a month, which French writes as one.
    return f"1er{written[1:]}" if locale.startswith("fr") and written.startswith("1 ") else written


def date(at: int, style: str = "long") -> str:
    """The day of an instant (seconds since 1970) in the customer's time zone: 3 December 2026."""
    return _date(at, style, _zone(), _locale())


def relative_date(at: int, now: int) -> str:
    """The date, with the distance if it is near: 1 December 2026 (in 5 days)."""
    own = zone(_zone())
    away = (datetime.fromtimestamp(at, own).date() - datetime.fromtimestamp(now, own).date()).days
    return f"{date(at)} ({_in_days(away, _locale())})" if 0 < away <= NEAR else date(at)


@lru_cache(maxsize=256)
def _in_days(away: int, locale: str) -> str:
    return dates.format_timedelta(
        timedelta(days=away), granularity="day", threshold=100, add_direction=True, locale=locale
    )


def instant(at: int) -> str:
    """Date and time to the second, with the zone's name, in the customer's time zone."""
    moment = datetime.fromtimestamp(at, zone(_zone()))
    return _with_ordinal(dates.format_datetime(moment, "long", tzinfo=zone(_zone()), locale=_locale()), _locale())


def minute(at: int) -> str:
    """Date and time to the minute, for deadlines; with the distance from UTC unless the time zone is the customer's own."""
    moment = datetime.fromtimestamp(at, zone(_zone()))
    written = i18n.gettext(
        "%(date)s at %(time)s", date=date(at), time=dates.format_time(moment, "short", locale=_locale())
    )
    if getattr(g.get("visitor"), "customer_timezone", None):
        return written
    return f"{written} ({dates.get_timezone_gmt(moment, 'long', locale=_locale())})"


def month(year_and_month: tuple[int, int]) -> str:
    """A month of a year, for a card's expiry: May 2027."""
    year, number = year_and_month
    return dates.format_skeleton("yMMMM", datetime(year, number, 1), locale=_locale())  # noqa: DTZ001 - a day, not an instant


@lru_cache(maxsize=8192)
def _iso(at: int, zone_name: str) -> str:
    return datetime.fromtimestamp(at, zone(zone_name)).date().isoformat()


def iso(at: int) -> str:
    """The ISO date in the customer's time zone, for `datetime` attributes."""
    return _iso(at, _zone())


def labelled(label: str, words: str) -> str:
    """The words after their label, with the colon as the page's language sets it."""
    return i18n.gettext("%(label)s: %(words)s", label=label, words=words)


def number(value: int | Decimal) -> str:
    """A number with the locale's separators."""
    return _number(value, _locale())


def days(seconds: int) -> str:
    """A duration in days, with at most two decimals: 12, 11.54."""
    return number((Decimal(seconds) / DAY).quantize(Decimal("0.01")).normalize() + 0)


def days_left(line: Any) -> str:
    """The prorated days of a line, with as many decimals (2 to 5) as the shown calculation needs to yield the line's amount."""
    period_days = (Decimal(line.share_whole) / DAY).quantize(Decimal("0.01"))
    for decimals in range(2, 6):
        prorated_days = (Decimal(line.share_left) / DAY).quantize(Decimal(1).scaleb(-decimals))
        amount = abs(prorated_days / period_days * line.share_amount).quantize(Decimal(1), ROUND_HALF_UP)
        if amount == abs(line.amount):
            break
    return format_decimal(prorated_days.normalize() + 0, locale=_locale(), decimal_quantization=False)


def percent(value: str | Decimal) -> str:
    """A percentage with all its decimals in the locale's format: 33.3 → 33.3%."""
    share = Decimal(value).normalize()
    exponent = share.as_tuple().exponent
    pattern = _percent_pattern(_locale(), max(0, -exponent) if isinstance(exponent, int) else 0)
    return pattern.apply(share / 100, _locale())


@lru_cache(maxsize=1024)
def _number(value: int | Decimal, locale: str) -> str:
    return format_decimal(value, locale=locale)


@lru_cache(maxsize=64)
def _percent_pattern(locale: str, decimals: int) -> NumberPattern:
    pattern = copy.copy(Locale.parse(locale).percent_formats[None])
    pattern.frac_prec = (decimals, decimals)
    return pattern


def country(code: str) -> str:
    """A country's name in the page's language, or the code itself if it is unknown."""
    return Locale.parse(_locale()).territories.get(code, code)


def every(interval: str, count: int) -> str:
    """A billing interval: per month, every 3 months, …"""
    if count == 1:
        return i18n.translate(EACH[interval])
    return i18n.translate_plural(*SEVERAL[interval], count)


def safe_link(address: str | None) -> str:
    """A merchant's URL for an `href`, or an empty string for an unsafe one."""
    return address if address and safe_urls.is_safe(address) else ""


def stretch(count: int, interval: str) -> str:
    """A duration: 3 months."""
    return units.format_unit(count, f"duration-{interval}", "long", locale=_locale())


__all__ = ["format_money", "init", "zone"]
