"""Prices, tiers, coupons, codes and tax rates in words, as the catalogue's pages show them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from sqlalchemy import Row

from portal_site.billing.rules.amounts import pricing
from portal_site.billing.rules.amounts.items import PricedPlan
from portal_site.billing.rules.amounts.pricing import PriceTerms, Tier
from portal_site.dashboard.reads.checklist import State
from portal_site.portal.wording import prices, retention
from portal_site.web.rendering import units
from portal_site.web.rendering.filters import date, every, money, number, percent, stretch, unit_money

EXAMPLES = (1, 10, 100)  # quantities whose price a new price's page shows
ACTIVE, ARCHIVED = State("Active", "good"), State("Archived", "quiet")
TAXES = {"exclusive": "Tax is added", "inclusive": "Tax is included", "unspecified": ""}


@dataclass(frozen=True)
class PriceWords:
    """A price as its product's page shows it."""

    id: str
    words: str
    details: Sequence[str]
    active: bool
    nickname: str
    lookup_key: str

    @property
    def state(self) -> State:
        """As a badge."""
        return state(self.active)


def state(active: bool) -> State:
    """Whether something is active or archived, as a badge."""
    return ACTIVE if active else ARCHIVED


def price(row: Row[Any], unit_label: str | None) -> PriceWords:
    """A price in words."""
    terms = PriceTerms.of(row._asdict(), row.currency)
    details = [*tiers(terms.tiers if terms.billing_scheme == "tiered" else (), terms.currency)]
    details += filter(None, [TAXES.get(row.tax_behavior, "")])
    if row.trial_period_days:
        details.append(f"{stretch(row.trial_period_days, 'day')} of trial")
    words = amount(terms, row.interval, row.interval_count or 1, unit_label)
    return PriceWords(row.id, words, details, row.active, row.nickname or "", row.lookup_key or "")


def amount(terms: PriceTerms, interval: str | None, count: int, unit_label: str | None) -> str:
    """What a price costs, in the words that customers read: €12.00 per month."""
    if interval is None:
        each = f"for each {number(terms.divide_by)}" if terms.divide_by > 1 else ""
        return " ".join(filter(None, (unit_money(terms.unit_amount, terms.currency), each, "once")))
    plan = PricedPlan("", "", "", terms, interval, count, unit_label)
    is_plain = terms.billing_scheme != "tiered" and terms.divide_by == 1 and terms.unit_amount == int(terms.unit_amount)
    return " ".join(filter(None, prices.of_offer(plan, several=not is_plain)))


def tiers(found: Sequence[Tier], currency: str) -> list[str]:
    """Each tier in words: “1 to 10: €5.00 each”."""
    words, start = [], 1
    for tier in found:
        span = f"{number(start)} and more" if tier.up_to is None else f"{number(start)} to {number(tier.up_to)}"
        parts = [f"{unit_money(tier.unit_amount, currency)} each"] if tier.unit_amount or not tier.flat_amount else []
        parts += [unit_money(tier.flat_amount, currency)] if tier.flat_amount else []
        words.append(f"{span}: {' and '.join(parts)}")
        start = (tier.up_to or 0) + 1
    return words


def examples(columns: Mapping[str, Any], unit_label: str | None) -> list[tuple[str, str]]:
    """What some quantities of a price cost, as (quantity, amount); `columns` are those of its definition."""
    terms = PriceTerms.of({**columns, "usage_type": "licensed"}, columns["currency"])
    often = every(columns["interval"], columns["interval_count"]) if columns["interval"] else "once"
    return [
        (
            units.named(number(count), count, unit_label) if unit_label else number(count),
            f"{money(pricing.amount(terms, count), terms.currency)} {often}",
        )
        for count in EXAMPLES
    ]


def coupon_off(row: Row[Any]) -> str:
    """What a coupon takes off, and for how long."""
    off = retention.off(row.percent_off, row.amount_off, row.currency)
    if row.duration == "repeating":
        return f"{off} off for {stretch(row.duration_in_months or 1, 'month')}"
    return f"{off} off {'one invoice' if row.duration == 'once' else 'for good'}"


def coupon_state(row: Row[Any], at: int) -> State:
    """Whether a coupon can be redeemed."""
    if not row.valid:
        return State("Ended", "quiet")
    return _redeemable(row.redeem_by, row.times_redeemed, row.max_redemptions, at) or ACTIVE


def code_state(row: Row[Any], coupon: Row[Any], at: int) -> State:
    """Whether a promotion code can be redeemed."""
    if not row.active:
        return State("Off", "quiet")
    ended = _redeemable(row.expires_at, row.times_redeemed, row.max_redemptions, at)
    of_coupon = coupon_state(coupon, at)
    return ended or (ACTIVE if of_coupon is ACTIVE else of_coupon)


def _redeemable(until: int | None, times: int, most: int | None, at: int) -> State | None:
    if until is not None and until <= at:
        return State("Expired", "quiet")
    return State("Used up", "quiet") if most is not None and times >= most else None


def limits(until: int | None, times: int, most: int | None) -> list[str]:
    """Until when and how often something can be redeemed."""
    redeemed = f"redeemed {number(times)} of {number(most)} times" if most else f"redeemed {number(times)} times"
    return [*([f"until {date(until - 1)}"] if until else []), "redeemed once" if times == 1 and not most else redeemed]


def code_details(row: Row[Any], customer: str) -> list[str]:
    """The restrictions of a promotion code."""
    found = limits(row.expires_at, row.times_redeemed, row.max_redemptions)
    if row.first_time_transaction:
        found.append("for new customers")
    if row.minimum_amount is not None:
        found.append(f"from {money(row.minimum_amount, row.minimum_amount_currency)} on")
    return [*found, *([f"for {customer}"] if row.customer_id else [])]


def tax_rate(row: Row[Any]) -> str:
    """A tax rate: VAT, 20 %, added to prices."""
    how = "included in prices" if row.inclusive else "added to prices"
    return f"{row.display_name}, {percent(Decimal(row.percentage))}, {how}"


def tax_rate_details(row: Row[Any]) -> str:
    """Where a tax rate is for, and what it is called for oneself."""
    place = "-".join(filter(None, (row.country, row.state)))
    return ", ".join(filter(None, (row.jurisdiction, place, row.description)))
