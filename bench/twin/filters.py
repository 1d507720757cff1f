"""Template filters for amounts and dates. They cache their results, as the portal's filters do."""

from datetime import date, datetime
from decimal import Decimal
from functools import lru_cache
from pathlib import Path
from urllib.parse import quote
from zoneinfo import ZoneInfo

from django import template
from django.utils import formats, timezone, translation
from django.utils.html import escape, format_html
from django.utils.safestring import SafeString, mark_safe
from django.utils.translation import gettext, ngettext

register = template.Library()
COMPONENTS = Path(__file__).parents[2] / "templates" / "components"
# The body of the portal's sprite macro and its marks of cards, so that both pages contain the same icons.
ICONS = (COMPONENTS / "icons.html").read_text()
SPRITE = mark_safe(ICONS.partition("{% macro sprite() %}")[2].partition("{% endmacro %}")[0])
MARKS = {path.stem: mark_safe(path.read_text()) for path in (COMPONENTS / "marks").glob("*.svg")}
SYMBOLS = {"usd": "$", "eur": "€", "gbp": "£"}
STYLES = {"long": "F j, Y", "medium": "M j, Y", "iso": "Y-m-d"}
COUNTRIES = {"US": "United States", "GB": "United Kingdom", "FR": "France", "DE": "Germany"}
TAX_ID_TYPES = {"eu_vat": "VAT", "gb_vat": "VAT", "us_ein": "EIN"}
ENDINGS = ("s", "x", "z", "ch", "sh")
NEAR = 31


@lru_cache(maxsize=8192)
def _money(amount: int, currency: str, _language: str) -> str:
    return SYMBOLS[currency] + formats.number_format(Decimal(amount).scaleb(-2), 2, force_grouping=True)


@register.filter
def money(amount: int, currency: str) -> str:
    """1234 usd → $12.34."""
    return _money(amount, currency, translation.get_language() or "en")


@lru_cache(maxsize=8192)
def _date(at: int, style: str, zone: str, language: str) -> str:
    written = formats.date_format(datetime.fromtimestamp(at, ZoneInfo(zone)), STYLES[style])
    return f"1er{written[1:]}" if language.startswith("fr") and written.startswith("1 ") else written


@register.filter
def day(at: int, style: str = "long") -> str:
    """The day of an instant in the customer's time zone."""
    return _date(at, style, timezone.get_current_timezone_name(), translation.get_language() or "en")


@lru_cache(maxsize=256)
def _in_days(away: int, _language: str) -> str:
    return ngettext("in %(num)s day", "in %(num)s days", away) % {"num": away}


def relative_day(at: int, now: int) -> str:
    """The day, with the distance if it is near: December 1, 2026 (in 5 days)."""
    zone = timezone.get_current_timezone()
    away = (datetime.fromtimestamp(at, zone).date() - datetime.fromtimestamp(now, zone).date()).days
    return f"{day(at)} ({_in_days(away, translation.get_language() or 'en')})" if 0 < away <= NEAR else day(at)


@lru_cache(maxsize=1024)
def _number(value: int, _language: str) -> str:
    return formats.number_format(value, force_grouping=True)


def number(value: int) -> str:
    """A whole number with the language's separators."""
    return _number(value, translation.get_language() or "en")


def plural(label: str) -> str:
    """The plural of an English unit label; what is not a plain word stays as it is, such as GB."""
    if len(label) < 3 or not (label.isalpha() and label.islower()) or label.endswith("s"):
        return label
    if label.endswith("y") and label[-2] not in "aeiou":
        return f"{label[:-1]}ies"
    return f"{label}es" if label.endswith(ENDINGS) else f"{label}s"


@register.filter
def month(method: object) -> str:
    """The last month of a card: May 2027."""
    return formats.date_format(date(method.exp_year, method.exp_month, 1), "F Y")  # type: ignore[attr-defined]


@register.filter
def every(price: object) -> str:
    """per month, every 3 months."""
    count = price.interval_count or 1  # type: ignore[attr-defined]
    if count == 1:
        return {"month": gettext("per month"), "year": gettext("per year")}[price.interval]  # type: ignore[attr-defined]
    return {
        "month": ngettext("every %(num)s month", "every %(num)s months", count),
        "year": ngettext("every %(num)s year", "every %(num)s years", count),
    }[price.interval] % {"num": count}  # type: ignore[attr-defined]


@register.filter
def tax_id_name(kind: str) -> str:
    """The name of a tax id type for customers."""
    return TAX_ID_TYPES[kind]


@register.filter
def address_lines(address: dict[str, str] | None) -> list[str]:
    """A postal address in its country's format."""
    if not address:
        return []
    city, state, code = (address.get(name) or "" for name in ("city", "state", "postal_code"))
    places = {"US": [f"{city}, {state} {code}"], "GB": [city, code]}.get(address["country"], [f"{code} {city}"])
    lines = [address.get("line1"), address.get("line2"), *places, COUNTRIES[address["country"]]]
    return [line for line in lines if line]


@register.simple_tag
def icon(name: str) -> SafeString:
    """An icon of the sprite."""
    return format_html('<svg class="icon" aria-hidden="true" width="20" height="20"><use href="#i-{}"/></svg>', name)


@register.simple_tag
def sprite() -> SafeString:
    """All icons; included once per page."""
    return SPRITE


@register.simple_tag
def mark(method: object) -> SafeString:
    """The mark of a card's brand, else the icon of a card or a bank."""
    kind = method.brand if method.type == "card" else method.type  # type: ignore[attr-defined]
    return MARKS.get(kind) or icon("card" if method.type == "card" else "bank")  # type: ignore[attr-defined]


@lru_cache(maxsize=512)
def _initial(letter: str, background: str) -> str:
    box = f"<rect width='32' height='32' rx='7' fill='{background}'/>"
    text = f"<text x='16' y='23' text-anchor='middle' font-family='sans-serif' font-size='20'>{escape(letter)}</text>"
    drawing = f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 32 32'>{box}{text}</svg>"
    return f"data:image/svg+xml,{quote(drawing, safe=' =/:')}"


@register.simple_tag
def initial(account: object) -> str:
    """An icon with the first letter of the merchant's name, which needs no request."""
    letter = account.business_name.strip()[:1].upper()  # type: ignore[attr-defined]
    return _initial(letter, account.branding["background"])  # type: ignore[attr-defined]
