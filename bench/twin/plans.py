"""Derived values of subscriptions and payment methods for the overview: amounts, the next invoice and planned changes."""

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
    """Add the attributes to a subscription that its template, its next step and its actions are made of."""
    items = list(subscription.items.all())
    for item in items:
        item.amount, item.until = (item.price.unit_amount or 0) * (item.quantity or 0), item.current_period_end
    for item in planned:
        item.amount, item.until = (item.price.unit_amount or 0) * (item.quantity or 0), item.phase.start_date
    date = min((item.until for item in planned), default=None)
    subscription.lines = items
    subscription.products = ", ".join(dict.fromkeys(item.price.product.name for item in items))
    subscription.discounts = discounts
    subscription.planned = [item for item in planned if item.until == date]
    subscription.planned_at = date
    subscription.planned_by_customer = bool(planned) and planned[0].phase.schedule.origin == "portal"
    _complete_state(subscription)
    subscription.next_invoice = _next_invoice(subscription)


def _complete_state(subscription: Subscription) -> None:
    end = min((item.until for item in subscription.lines), default=None)
    requested = (subscription.cancellation_details or {}).get("reason") == "cancellation_requested"
    subscription.ended = subscription.status in ENDED
    subscription.ends_at = subscription.cancel_at or (end if subscription.cancel_at_period_end else None)
    subscription.can_be_kept = not subscription.ended and (
        subscription.cancel_at_period_end or (requested and subscription.cancel_at is not None)
    )
    subscription.resumes_at = (subscription.pause_collection or {}).get("resumes_at")
    # With paused collection it is paused for customers, though Stripe calls it active.
    collection_paused = subscription.pause_collection is not None
    subscription.state = "paused" if collection_paused and subscription.status == "active" else subscription.status
    subscription.is_paused = collection_paused or subscription.status == "paused"


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


def complete_methods(
    methods: Sequence[PaymentMethod], default: str | None, subscriptions: Sequence[Subscription], now: int
) -> None:
    """Add the attributes to the payment methods that their template shows, and to each subscription its payment method."""
    charged = [s for s in subscriptions if not s.ended and s.collection_method == "charge_automatically"]
    by_id = {method.id: method for method in methods}
    for subscription in subscriptions:
        subscription.method = by_id.get(subscription.default_payment_method_id or default)
    for method in methods:
        method.name = BRANDS.get(method.brand or "") or TYPES[method.type]
        method.is_default = method.id == default
        method.is_kept = (method.is_default and len(methods) > 1) or (len(methods) == 1 and bool(charged))
        method.expiry = _expiry(method, now)
        used = (item.price.product.name for s in charged if s.method is method for item in s.lines)
        method.used_by = ", ".join(dict.fromkeys(used))


def _expiry(method: PaymentMethod, now: int) -> str:
    if not method.exp_month or not method.exp_year:
        return ""
    year, month = divmod(method.exp_year * 12 + method.exp_month, 12)
    end = timegm((year, month + 1, 1, 0, 0, 0))
    if now >= end:
        return "expired"
    return "expiring" if now >= end - EXPIRY_NOTICE else ""
