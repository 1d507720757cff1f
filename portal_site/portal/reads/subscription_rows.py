"""The selects that subscriptions are read by: a row for each item now and each item planned, and the discounts."""

from typing import Any

from sqlalchemy import and_, bindparam, case, func, literal, null, or_, select, union_all

from portal_site.billing.models import (
    Coupon,
    Discount,
    InvoiceLineItem,
    Price,
    Product,
    SchedulePhase,
    SchedulePhaseItem,
    Subscription,
    SubscriptionItem,
    SubscriptionSchedule,
)
from portal_site.db.page_query import literal_limit

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
# Lines of changes that wait for the next invoice, added up: the overview says how much it will be, not of what.
_PENDING = (
    select(func.coalesce(func.sum(InvoiceLineItem.total), 0))
    .where(
        InvoiceLineItem.subscription_id == Subscription.id,
        InvoiceLineItem.customer_id == bindparam("customer_id"),
        InvoiceLineItem.invoice_id.is_(None),
    )
    .correlate(Subscription)
    .scalar_subquery()
    .label("pending")
)
_SUBSCRIPTION = (
    Subscription.id,
    Subscription.status,
    Subscription.currency,
    Subscription.created,
    Subscription.description,
    Subscription.collection_method,
    Subscription.billing_cycle_anchor,
    Subscription.default_tax_rates,
    Subscription.trial_end,
    Subscription.cancel_at,
    Subscription.cancel_at_period_end,
    Subscription.canceled_at,
    Subscription.cancellation_details,
    Subscription.ended_at,
    Subscription.pause_collection,
    Subscription.status_details,
    Subscription.pending_update,
    Subscription.default_payment_method_id,
    _PENDING,
)
_PRICE = (
    Price.id.label("price_id"),
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
    Price.tax_behavior,
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
        .limit(literal_limit(most))
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
            SubscriptionItem.current_period_start.label("since"),
            SubscriptionItem.current_period_end.label("until"),
            SubscriptionItem.tax_rates,
            SubscriptionItem.billing_cycle_anchor.label("own_anchor"),
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
            SchedulePhase.start_date.label("since"),
            SchedulePhase.start_date.label("until"),
            null().label("tax_rates"),
            null().label("own_anchor"),
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
        Discount.id,
        Discount.subscription_id,
        Discount.subscription_item_id,
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
