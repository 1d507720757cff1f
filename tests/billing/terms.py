"""Short constructors for arguments of the rules: prices, discounts, and a subscription that was just paid."""

from calendar import timegm
from dataclasses import replace
from decimal import Decimal
from itertools import count
from typing import Any

from portal_site.billing.rules.amounts.discounts import CouponTerms, DiscountTerms
from portal_site.billing.rules.amounts.items import Item, PricedPlan
from portal_site.billing.rules.amounts.periods import boundary
from portal_site.billing.rules.amounts.pricing import PriceTerms
from portal_site.billing.rules.amounts.taxes import Tax, TaxRate
from portal_site.billing.rules.invoicing.invoices import InvoiceLine, LineKind, with_discounts_and_tax
from portal_site.billing.rules.subscriptions.plan_change import Quote
from portal_site.billing.rules.subscriptions.snapshot import SubscriptionSnapshot
from portal_site.billing.rules.subscriptions.statuses import SubscriptionStatus

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


def offer(
    unit: int | str, interval: str = "month", every: int = 1, product: str = "team", **members: Any
) -> PricedPlan:
    """A price of so many cents; its id tells it from others."""
    terms = members.pop("terms", None) or price(str(unit), members.pop("currency", "eur"))
    name = f"price_{product}_{unit}_{interval}_{every}"
    return PricedPlan(name, f"prod_{product}", product.title(), terms, interval, every, **members)


def off(
    percent: str | None = None, amount: int | None = None, products: frozenset[str] | None = None, **members: Any
) -> DiscountTerms:
    """A discount at work on subscription `sub`."""
    coupon = CouponTerms(Decimal(percent) if percent else None, amount, "eur" if amount else None, products)
    return DiscountTerms(**{"id": f"di_{percent or amount}", "subscription_id": "sub", **members}, coupon=coupon)


def snapshot(*items: tuple[PricedPlan, int | None] | Item, start: int = 0, **members: Any) -> SubscriptionSnapshot:
    """A subscription `sub` that began at `start` and has paid its first period."""
    made = tuple(
        item if isinstance(item, Item) else _item(f"si_{number}", item, start) for number, item in enumerate(items)
    )
    currency = made[0].offer.terms.currency if made else "eur"
    known = {"id": "sub", "currency": currency, "status": SubscriptionStatus.ACTIVE, "anchor": start, **members}
    fresh = SubscriptionSnapshot(**known, items=made)  # type: ignore[arg-type]
    return fresh if "creditable_lines" in members else replace(fresh, creditable_lines=_paid(fresh))


def _item(name: str, what: tuple[PricedPlan, int | None], start: int) -> Item:
    sold, quantity = what
    return Item(name, sold, quantity, start, boundary(start, sold.interval, sold.interval_count))


def _paid(fresh: SubscriptionSnapshot) -> tuple[InvoiceLine, ...]:
    lines = [
        InvoiceLine(
            LineKind.CYCLE, item.offer, item.id, item.quantity, item.period_start, item.period_end, item.amount,
            taxes=tuple(Tax(rate, 0, 0) for rate in item.tax_rates or fresh.tax_rates), id=f"il_{item.id}",
        )
        for item in fresh.items
    ]  # fmt: skip
    return with_discounts_and_tax(lines, fresh.discounts_in_force(fresh.anchor), fresh.currency)


def after(snapshot: SubscriptionSnapshot, quote: Quote) -> SubscriptionSnapshot:
    """The subscription once a change is made and its invoice paid."""
    credited = {line.credits for line in (*quote.invoice.lines, *quote.deferred_lines) if line.credits}
    new = [
        replace(line, id=line.id or f"il_{next(NUMBERS)}")
        for line in (*quote.invoice.lines, *quote.deferred_lines)
        if line.amount > 0
    ]
    kept = [line for line in snapshot.creditable_lines if line.id not in credited]
    discounts = (*snapshot.discounts, quote.code.terms) if quote.code else snapshot.discounts
    return replace(
        snapshot,
        items=quote.items,
        anchor=quote.anchor,
        trial_end=quote.trial_end,
        balance=quote.invoice.ending_balance,
        discounts=tuple(d for d in discounts if d.id not in quote.consumed_discounts),
        creditable_lines=(*kept, *(line for line in new if line.id not in {k.id for k in kept})),
        pending_lines=() if quote.invoiced else (*snapshot.pending_lines, *_kept(quote, new)),
    )


def _kept(quote: Quote, new: list[InvoiceLine]) -> list[InvoiceLine]:
    credits = [replace(line, id=f"il_{next(NUMBERS)}") for line in quote.deferred_lines if line.amount < 0]
    return credits + new
