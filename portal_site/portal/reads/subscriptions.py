"""Subscriptions as a customer sees them: what, how much, until when, and what is planned."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import and_, bindparam, case, literal, null, or_, select, union_all

from portal_site.billing.models import (
    Coupon,
    Discount,
    Price,
    Product,
    SchedulePhase,
    SchedulePhaseItem,
    Subscription,
    SubscriptionItem,
    SubscriptionSchedule,
)
from portal_site.billing.rules import next_invoice, pricing
from portal_site.billing.rules.discounts import CouponTerms
from portal_site.billing.rules.lifecycle import SubscriptionStatus
from portal_site.billing.rules.next_invoice import NextInvoice, RenewingItem
from portal_site.billing.rules.pricing import PriceTerms

MOST = 500
_OWN = (
    Subscription.account_id == bindparam("account_id"),
    Subscription.customer_id == bindparam("customer_id"),
    or_(
        bindparam("on_behalf_of", type_=Subscription.id.type).is_(None),
        Subscription.on_behalf_of == bindparam("on_behalf_of"),
    ),
)
_ENDED_LAST = case({"canceled": 1, "incomplete_expired": 1}, value=Subscription.status, else_=0)
_SUBSCRIPTION = (
    Subscription.id,
    Subscription.status,
    Subscription.currency,
    Subscription.created,
    Subscription.description,
    Subscription.collection_method,
    Subscription.trial_end,
    Subscription.cancel_at,
    Subscription.cancel_at_period_end,
    Subscription.ended_at,
    Subscription.pause_collection,
    Subscription.default_payment_method_id,
)
_PRICE = (
    Price.currency.label("price_currency"),
    Price.type,
    Price.billing_scheme,
    Price.unit_amount,
    Price.unit_amount_decimal,
    Price.interval,
    Price.interval_count,
    Price.usage_type,
    Price.tiers_mode,
    Price.tiers,
    Price.transform_quantity,
    Price.product_id,
    Product.name.label("product"),
    Product.unit_label,
)


def _lines(*only: Any, most: int) -> Any:
    """One row for each item, and one for each item of a phase still to come, with the subscription's columns on each."""
    chosen = (
        select(*_SUBSCRIPTION)
        .where(*_OWN, *only)
        .order_by(_ENDED_LAST, Subscription.created.desc(), Subscription.id)
        .limit(most)
        .cte("chosen")
    )
    return union_all(_items(chosen), _planned_items(chosen))


def _items(chosen: Any) -> Any:
    return (
        select(
            literal("item").label("kind"),
            *chosen.c,
            SubscriptionItem.id.label("item_id"),
            SubscriptionItem.quantity,
            SubscriptionItem.current_period_end.label("until"),
            null().label("origin"),
            *_PRICE,
        )
        .select_from(chosen)
        .join(SubscriptionItem, SubscriptionItem.subscription_id == chosen.c.id)
        .join(Price, Price.id == SubscriptionItem.price_id)
        .join(Product, Product.id == Price.product_id)
    )


def _planned_items(chosen: Any) -> Any:
    schedule_of_it = and_(
        SubscriptionSchedule.subscription_id == chosen.c.id,
        # Said once more for SQLite, which else begins at the far end and reads every merchant's phases.
        SubscriptionSchedule.customer_id == bindparam("customer_id"),
        SubscriptionSchedule.status == "active",
    )
    phase_to_come = and_(
        SchedulePhase.schedule_id == SubscriptionSchedule.id, SchedulePhase.start_date > bindparam("at")
    )
    return (
        select(
            literal("planned").label("kind"),
            *chosen.c,
            SchedulePhaseItem.id.label("item_id"),
            SchedulePhaseItem.quantity,
            SchedulePhase.start_date.label("until"),
            SubscriptionSchedule.origin,
            *_PRICE,
        )
        .select_from(chosen)
        .join(SubscriptionSchedule, schedule_of_it)
        .join(SchedulePhase, phase_to_come)
        .join(SchedulePhaseItem, SchedulePhaseItem.phase_id == SchedulePhase.id)
        .join(Price, Price.id == SchedulePhaseItem.price_id)
        .join(Product, Product.id == Price.product_id)
    )


LINES = _lines(most=MOST)
LINES_OF_ONE = _lines(Subscription.id == bindparam("subscription_id"), most=1)
DISCOUNTS = (
    select(
        Discount.subscription_id,
        Discount.end,
        Discount.promotion_code,
        Coupon.id.label("coupon_id"),
        Coupon.name,
        Coupon.percent_off,
        Coupon.amount_off,
        Coupon.currency.label("coupon_currency"),
        Coupon.duration,
        Coupon.applies_to_products,
    )
    .join(Coupon, and_(Coupon.account_id == Discount.account_id, Coupon.id == Discount.coupon_id))
    .where(
        Discount.account_id == bindparam("account_id"),
        Discount.customer_id == bindparam("customer_id"),
        or_(Discount.end.is_(None), Discount.end > bindparam("at")),
    )
    .order_by(Discount.start, Discount.id)
)


@dataclass(frozen=True, slots=True)
class ItemView:
    """A line of a subscription; `amount` is what the whole quantity costs each interval, None when usage decides."""

    product: str
    product_id: str
    unit_label: str | None
    quantity: int | None
    amount: int | None
    currency: str
    interval: str
    interval_count: int
    until: int
    terms: PriceTerms


@dataclass(frozen=True, slots=True)
class DiscountView:
    """A discount in force, for one subscription or (None) for all of a customer's."""

    subscription_id: str | None
    label: str
    percent_off: str | None
    amount_off: int | None
    currency: str | None
    duration: str
    end: int | None
    terms: CouponTerms


@dataclass(frozen=True, slots=True)
class PlannedChange:
    """What a schedule will make of the subscription at `date`; the customer's own choice or the merchant's."""

    date: int
    items: tuple[ItemView, ...]
    by_customer: bool


@dataclass(frozen=True, slots=True)
class SubscriptionView:
    """All that the portal shows of a subscription. `next_invoice` is None when nothing more will be billed."""

    id: str
    status: SubscriptionStatus
    currency: str
    created: int
    description: str | None
    collection_method: str
    trial_end: int | None
    cancel_at: int | None
    ended_at: int | None
    resumes_at: int | None
    payment_method_id: str | None
    items: tuple[ItemView, ...]
    discounts: tuple[DiscountView, ...]
    planned: PlannedChange | None
    next_invoice: NextInvoice | None

    @property
    def products(self) -> list[str]:
        """The names of what it contains."""
        return list(dict.fromkeys(item.product for item in self.items))


def build(
    lines: Iterable[Mapping[str, Any]],
    discounts: Iterable[Mapping[str, Any]],
    balance: int,
    balance_currency: str | None,
) -> list[SubscriptionView]:
    """The subscriptions in those rows: running ones first, then newest first.

    Credit is used by whichever is billed first, so each next invoice shows what will be left for it.
    """
    groups: dict[str, list[Mapping[str, Any]]] = {}
    for line in lines:
        groups.setdefault(line["id"], []).append(line)
    discount_views = [_discount(row) for row in discounts]
    found = [_subscription(group, discount_views) for group in groups.values()]
    found.sort(key=lambda view: (view.status.ended, -view.created, view.id))
    return _with_next_invoices(found, balance, balance_currency)


def _subscription(group: Sequence[Mapping[str, Any]], discounts: Sequence[DiscountView]) -> SubscriptionView:
    first = group[0]
    items = tuple(sorted((_item(row) for row in group if row["kind"] == "item"), key=lambda item: item.product))
    period_end = min((item.until for item in items), default=None)
    return SubscriptionView(
        id=first["id"],
        status=_status(first),
        currency=first["currency"],
        created=first["created"],
        description=first["description"],
        collection_method=first["collection_method"],
        trial_end=first["trial_end"],
        cancel_at=first["cancel_at"] or (period_end if first["cancel_at_period_end"] else None),
        ended_at=first["ended_at"],
        resumes_at=(first["pause_collection"] or {}).get("resumes_at"),
        payment_method_id=first["default_payment_method_id"],
        items=items,
        discounts=tuple(d for d in discounts if d.subscription_id in (None, first["id"])),
        planned=_planned([row for row in group if row["kind"] == "planned"]),
        next_invoice=None,
    )


def _status(row: Mapping[str, Any]) -> SubscriptionStatus:
    """As the customer has to see it: what collects nothing is paused, though the field calls it active."""
    status = SubscriptionStatus(row["status"])
    return SubscriptionStatus.PAUSED if status == SubscriptionStatus.ACTIVE and row["pause_collection"] else status


def _item(row: Mapping[str, Any]) -> ItemView:
    terms = PriceTerms.of(row)
    return ItemView(
        product=row["product"],
        product_id=row["product_id"],
        unit_label=row["unit_label"],
        quantity=row["quantity"],
        amount=None if terms.metered else pricing.amount(terms, row["quantity"] or 0),
        currency=row["price_currency"],
        interval=row["interval"] or "month",
        interval_count=row["interval_count"] or 1,
        until=row["until"],
        terms=terms,
    )


def _planned(rows: Sequence[Mapping[str, Any]]) -> PlannedChange | None:
    """The nearest phase only: what comes after it is too far away to matter on this page."""
    if not rows:
        return None
    date = min(row["until"] for row in rows)
    items = tuple(_item(row) for row in rows if row["until"] == date)
    return PlannedChange(date, items, by_customer=rows[0]["origin"] == "portal")


def _discount(row: Mapping[str, Any]) -> DiscountView:
    return DiscountView(
        subscription_id=row["subscription_id"],
        label=row["promotion_code"] or row["name"] or row["coupon_id"],
        percent_off=row["percent_off"],
        amount_off=row["amount_off"],
        currency=row["coupon_currency"],
        duration=row["duration"],
        end=row["end"],
        terms=CouponTerms.of(row),
    )


def _with_next_invoices(
    views: Sequence[SubscriptionView], balance: int, balance_currency: str | None
) -> list[SubscriptionView]:
    first_billed = sorted(views, key=lambda view: min((item.until for item in view.items), default=0))
    invoices: dict[str, NextInvoice | None] = {}
    for view in first_billed:
        usable = balance if view.currency == balance_currency else 0
        invoices[view.id] = invoice = _next_invoice(view, usable)
        if invoice is not None:
            balance += invoice.balance_used
    return [replace(view, next_invoice=invoices[view.id]) for view in views]


def _next_invoice(view: SubscriptionView, balance: int) -> NextInvoice | None:
    if not view.status.renews:
        return None
    items = [item for item in _items_at_renewal(view) if view.cancel_at is None or item.until < view.cancel_at]
    renewing = [RenewingItem(item.terms, item.product_id, item.quantity, item.until) for item in items]
    date = min((item.until for item in items), default=0)
    coupons = [d.terms for d in view.discounts if d.end is None or d.end > date]
    return next_invoice.next_invoice(renewing, coupons, balance, view.currency)


def _items_at_renewal(view: SubscriptionView) -> Sequence[ItemView]:
    """The items that will be billed next: the planned ones if the change comes with the renewal."""
    period_end = min((item.until for item in view.items), default=0)
    if view.planned is not None and view.planned.date <= period_end:
        return view.planned.items
    return view.items
