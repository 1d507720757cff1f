"""Derived values of a subscription for the overview: amounts, the next invoice and scheduled changes."""

from calendar import timegm
from collections.abc import Sequence
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from bench.twin.models import Discount, PaymentMethod, PhaseItem, Subscription

RENEWING = ("trialing", "active", "past_due")
ENDED = ("canceled", "incomplete_expired")
BRANDS = {"amex": "American Express", "mastercard": "Mastercard", "visa": "Visa"}
TYPES = {"sepa_debit": "SEPA"}
EXPIRY_NOTICE = 31 * 24 * 60 * 60


def complete(subscription: Subscription, discounts: Sequence[Discount], planned: Sequence[PhaseItem]) -> None:
    """Add the attributes to a subscription that its template shows."""
    items = list(subscription.items.all())
    for item in items:
        item.amount, item.until = (item.price.unit_amount or 0) * (item.quantity or 0), item.current_period_end
    for item in planned:
        item.amount, item.until = (item.price.unit_amount or 0) * (item.quantity or 0), item.phase.start_date
    end = min((item.until for item in items), default=None)
    date = min((item.until for item in planned), default=None)
    subscription.lines = items
    subscription.products = ", ".join(dict.fromkeys(item.price.product.name for item in items))
    subscription.discounts = discounts
    subscription.planned = [item for item in planned if item.until == date]
    subscription.planned_at = date
    subscription.ended = subscription.status in ENDED
    subscription.ends_at = subscription.cancel_at or (end if subscription.cancel_at_period_end else None)
    subscription.resumes_at = (subscription.pause_collection or {}).get("resumes_at")
    subscription.next_invoice = _next_invoice(subscription)


def _next_invoice(subscription: Subscription) -> dict[str, Any] | None:
    if subscription.status not in RENEWING or subscription.resumes_at is not None:
        return None
    end = min((item.until for item in subscription.lines), default=0)
    changes = subscription.planned and subscription.planned_at <= end
    items = subscription.planned if changes else subscription.lines
    if subscription.ends_at is not None:
        items = [item for item in items if item.until < subscription.ends_at]
    if not items:
        return None
    date = min(item.until for item in items)
    left = sum(item.amount for item in items if item.until == date)
    for discount in subscription.discounts:
        if discount.end is None or discount.end > date:
            off = Decimal(left) * Decimal(discount.coupon.percent_off) / 100
            left -= int(off.quantize(Decimal(1), ROUND_HALF_UP))
    return {"date": date, "amount": left}


def complete_method(
    method: PaymentMethod, default: str | None, subscriptions: Sequence[Subscription], now: int
) -> None:
    """Add the attributes to a payment method that its template shows."""
    method.name = BRANDS.get(method.brand or "") or TYPES[method.type]
    method.is_default = method.id == default
    method.expiry = _expiry(method, now)
    method.used_by = ", ".join(
        dict.fromkeys(
            item.price.product.name
            for subscription in subscriptions
            if not subscription.ended
            and subscription.collection_method == "charge_automatically"
            and (subscription.default_payment_method_id or default) == method.id
            for item in subscription.lines
        )
    )


def _expiry(method: PaymentMethod, now: int) -> str:
    if not method.exp_month or not method.exp_year:
        return ""
    year, month = divmod(method.exp_year * 12 + method.exp_month, 12)
    end = timegm((year, month + 1, 1, 0, 0, 0))
    if now >= end:
        return "expired"
    return "expiring" if now >= end - EXPIRY_NOTICE else ""
