"""Template filters for amounts and dates. They cache their results, as the portal's filters do."""

from datetime import date, datetime
from decimal import Decimal
from functools import lru_cache
from pathlib import Path
from zoneinfo import ZoneInfo

from django import template
from django.utils import formats, timezone, translation
from django.utils.html import format_html
from django.utils.safestring import SafeString, mark_safe
from django.utils.translation import gettext, ngettext

register = template.Library()
ICONS = Path(__file__).parents[2] / "templates" / "components" / "icons.html"
# The body of the portal's sprite macro, so that both pages contain the same icons.
SPRITE = mark_safe(ICONS.read_text().partition("{% macro sprite() %}")[2].partition("{% endmacro %}")[0])
SYMBOLS = {"usd": "$", "eur": "€", "gbp": "£"}
STYLES = {"long": "F j, Y", "medium": "M j, Y", "iso": "Y-m-d"}
COUNTRIES = {"US": "United States", "GB": "United Kingdom", "FR": "France", "DE": "Germany"}
TAX_ID_TYPES = {"eu_vat": "VAT", "gb_vat": "VAT", "us_ein": "EIN"}
LABELS = {
    "trialing": ("Free trial", "note"),
    "active": ("Active", "good"),
    "past_due": ("Payment overdue", "bad"),
    "canceled": ("Cancelled", "quiet"),
    "open": ("Open", "warning"),
    "paid": ("Paid", "good"),
    "uncollectible": ("Uncollectible", "bad"),
    "void": ("Void", "quiet"),
}


@lru_cache(maxsize=8192)
def _money(amount: int, currency: str, _language: str) -> str:
    return SYMBOLS[currency] + formats.number_format(Decimal(amount).scaleb(-2), 2, force_grouping=True)


@register.filter
def money(amount: int, currency: str) -> str:
    """1234 usd → $12.34."""
    return _money(amount, currency, translation.get_language() or "en")


@lru_cache(maxsize=8192)
def _date(at: int, style: str, zone: str, _language: str) -> str:
    return formats.date_format(datetime.fromtimestamp(at, ZoneInfo(zone)), STYLES[style])


@register.filter
def day(at: int, style: str = "long") -> str:
    """The day of an instant in the customer's time zone."""
    return _date(at, style, timezone.get_current_timezone_name(), translation.get_language() or "en")


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
def badge(status: str) -> SafeString:
    """A badge with the label and the colour of a status."""
    label, tone = LABELS[status]
    return format_html('<span class="badge badge-{}">{}</span>', tone, gettext(label))
