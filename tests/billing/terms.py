"""Short words for what the rules take: offers, discounts, and a subscription that was just paid."""

from calendar import timegm
from dataclasses import replace
from decimal import Decimal
from itertools import count
from typing import Any

from portal_site.billing.rules.agreements import Agreement
from portal_site.billing.rules.discounts import CouponTerms, DiscountTerms
from portal_site.billing.rules.invoices import Line, LineKind, charged
from portal_site.billing.rules.items import Item, Offer
from portal_site.billing.rules.lifecycle import SubscriptionStatus
from portal_site.billing.rules.periods import boundary
from portal_site.billing.rules.plan_change import Quote
from portal_site.billing.rules.pricing import PriceTerms
from portal_site.billing.rules.taxes import Tax, TaxRate

NUMBERS = count()
VAT = TaxRate("txr_vat", "VAT", Decimal(20), inclusive=False)
INCLUDED = TaxRate("txr_incl", "MwSt.", Decimal(19), inclusive=True)


def at(text: str) -> int:
    """`2026-01-31` or `2026-01-31 12:00:00` (UTC) as seconds since 1970."""
    day, _, time = text.partition(" ")
    year, month, date = map(int, day.split("-"))
    hour, minute, second = map(int, time.split(":")) if time else (0, 0, 0)
    return timegm((year, month, date, hour, minute, second))


def price(unit: str, currency: str = "eur", **members: Any) -> PriceTerms:
    return PriceTerms(currency, Decimal(unit), **members)


def offer(unit: int | str, interval: str = "month", every: int = 1, product: str = "team", **members: Any) -> Offer:
    """A price of so many cents; its id tells it from others."""
    terms = members.pop("terms", None) or price(str(unit), members.pop("currency", "eur"))
    name = f"price_{product}_{unit}_{interval}_{every}"
    return Offer(name, f"prod_{product}", product.title(), terms, interval, every, **members)


def off(
    percent: str | None = None, amount: int | None = None, products: frozenset[str] | None = None, **members: Any
) -> DiscountTerms:
    """A discount at work on subscription `sub`."""
    coupon = CouponTerms(Decimal(percent) if percent else None, amount, "eur" if amount else None, products)
    return DiscountTerms(**{"id": f"di_{percent or amount}", "subscription_id": "sub", **members}, coupon=coupon)


def agreement(*items: tuple[Offer, int | None] | Item, start: int = 0, **members: Any) -> Agreement:
    """A subscription `sub` that began at `start` and has paid its first period."""
    made = tuple(
        item if isinstance(item, Item) else _item(f"si_{number}", item, start) for number, item in enumerate(items)
    )
    currency = made[0].offer.terms.currency if made else "eur"
    known = {"id": "sub", "currency": currency, "status": SubscriptionStatus.ACTIVE, "anchor": start, **members}
    fresh = Agreement(**known, items=made)  # type: ignore[arg-type]
    return fresh if "debits" in members else replace(fresh, debits=_paid(fresh))


def _item(name: str, what: tuple[Offer, int | None], start: int) -> Item:
    sold, quantity = what
    return Item(name, sold, quantity, start, boundary(start, sold.interval, sold.interval_count))


def _paid(fresh: Agreement) -> tuple[Line, ...]:
    lines = [
        Line(
            LineKind.CYCLE, item.offer, item.id, item.quantity, item.period_start, item.period_end, item.amount,
            taxes=tuple(Tax(rate, 0, 0) for rate in item.tax_rates or fresh.tax_rates), id=f"il_{item.id}",
        )
        for item in fresh.items
    ]  # fmt: skip
    return charged(lines, fresh.running_discounts(fresh.anchor), fresh.currency)


def after(agreement: Agreement, quote: Quote) -> Agreement:
    """The subscription once a change is made and its invoice paid."""
    credited = {line.credits for line in (*quote.bill.lines, *quote.waiting) if line.credits}
    new = [
        replace(line, id=line.id or f"il_{next(NUMBERS)}")
        for line in (*quote.bill.lines, *quote.waiting)
        if line.amount > 0
    ]
    kept = [line for line in agreement.debits if line.id not in credited]
    discounts = (*agreement.discounts, quote.code) if quote.code else agreement.discounts
    return replace(
        agreement,
        items=quote.items,
        anchor=quote.anchor,
        trial_end=quote.trial_end,
        balance=quote.bill.ending_balance,
        discounts=tuple(d for d in discounts if d.id not in quote.spent),
        debits=(*kept, *(line for line in new if line.id not in {k.id for k in kept})),
        pending=() if quote.invoiced else (*agreement.pending, *_kept(quote, new)),
    )


def _kept(quote: Quote, new: list[Line]) -> list[Line]:
    credits = [replace(line, id=f"il_{next(NUMBERS)}") for line in quote.waiting if line.amount < 0]
    return credits + new
