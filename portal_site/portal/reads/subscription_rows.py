"""The selects for subscriptions on pages. They have the columns of billing.loading.snapshots, which the forecast needs."""

from typing import Any

from sqlalchemy import (
    JSON,
    and_,
    bindparam,
    case,
    func,
    literal,
    literal_column,
    null,
    or_,
    select,
    type_coerce,
    union_all,
)

from portal_site.billing.loading.plans import PLAN_COLUMNS
from portal_site.billing.loading.snapshots import DISCOUNT_COLUMNS, SUBSCRIPTION_COLUMNS
from portal_site.billing.models import (
    Coupon,
    Discount,
    Invoice,
    InvoiceLineItem,
    Price,
    Product,
    SchedulePhase,
    SchedulePhaseItem,
    Subscription,
    SubscriptionItem,
    SubscriptionSchedule,
)
from portal_site.billing.rules.subscriptions.statuses import ENDED
from portal_site.db.page_query import literal_limit

MOST = 500
_OWN = Subscription.account_id == bindparam("account_id"), Subscription.customer_id == bindparam("customer_id")
# PostgreSQL answers in JSON, where columns lose their types, so the document is read where it is used.
_COLUMNS = tuple(
    type_coerce(column, JSON).label(column.key) if column is Subscription.pending_update else column
    for column in SUBSCRIPTION_COLUMNS
)
_ENDED_LAST = case(dict.fromkeys(ENDED, 1), value=Subscription.status, else_=0)


def _rows(*only: Any, first: Any = None) -> Any:
    """One row for each item, and one for each item of a phase still to come, with the subscription's columns on each."""
    order = (_ENDED_LAST, Subscription.created.desc(), Subscription.id)
    chosen = (
        select(*_COLUMNS)
        .where(*_OWN, *only)
        .order_by(*(order if first is None else (first.desc(), *order)))
        .limit(literal_limit(MOST))
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
            SubscriptionItem.current_period_start,
            SubscriptionItem.current_period_end,
            SubscriptionItem.created.label("item_created"),
            SubscriptionItem.tax_rates,
            SubscriptionItem.billing_cycle_anchor.label("item_anchor"),
            null().label("phase_id"),
            null().label("start_date"),
            null().label("end_date"),
            null().label("proration_behavior"),
            null().label("origin"),
            null().label("end_behavior"),
            *PLAN_COLUMNS,
        )
        .select_from(chosen)
        .join(SubscriptionItem, SubscriptionItem.subscription_id == chosen.c.id)
        .join(Price, Price.id == SubscriptionItem.price_id)
        .join(Product, Product.id == Price.product_id)
    )


def _planned_items(chosen: Any) -> Any:
    schedule_of_it = and_(
        SubscriptionSchedule.subscription_id == chosen.c.id,
        # Redundant, but without it SQLite starts from the phases of all merchants.
        SubscriptionSchedule.customer_id == bindparam("customer_id"),
        SubscriptionSchedule.status == "active",
    )
    # A phase that is overdue because the worker was not running still decides what will be billed.
    not_begun = or_(SchedulePhase.start_date > bindparam("at"), SchedulePhase.start_date >= chosen.c.step_at)
    phase_to_come = and_(SchedulePhase.schedule_id == SubscriptionSchedule.id, not_begun)
    return (
        select(
            literal("planned").label("kind"),
            *chosen.c,
            SchedulePhaseItem.id.label("item_id"),
            SchedulePhaseItem.quantity,
            null().label("current_period_start"),
            null().label("current_period_end"),
            null().label("item_created"),
            null().label("tax_rates"),
            null().label("item_anchor"),
            SchedulePhase.id.label("phase_id"),
            SchedulePhase.start_date,
            SchedulePhase.end_date,
            SchedulePhase.proration_behavior,
            SubscriptionSchedule.origin,
            SubscriptionSchedule.end_behavior,
            *PLAN_COLUMNS,
        )
        .select_from(chosen)
        .join(SubscriptionSchedule, schedule_of_it)
        .join(SchedulePhase, phase_to_come)
        .join(SchedulePhaseItem, SchedulePhaseItem.phase_id == SchedulePhase.id)
        .join(Price, Price.id == SchedulePhaseItem.price_id)
        .join(Product, Product.id == Price.product_id)
    )


# All subscriptions of the customer: those billed first decide what is left of balance and coupons for the others. The
# page of one subscription may be about an ended one.
ROWS = _rows()
_ONE = Subscription.id == bindparam("subscription_id")
ROWS_BESIDE_ONE = _rows(or_(_ONE, and_(*(Subscription.status != status for status in ENDED))), first=_ONE)
_FIRST_STEP = select(func.min(Subscription.step_at)).where(*_OWN).scalar_subquery()
DISCOUNTS = (
    select(*DISCOUNT_COLUMNS, Discount.promotion_code, Coupon.id.label("coupon_id"), Coupon.name)
    .join(Coupon, and_(Coupon.account_id == Discount.account_id, Coupon.id == Discount.coupon_id))
    .where(
        Discount.account_id == bindparam("account_id"),
        Discount.customer_id == bindparam("customer_id"),
        # What is billed late has the discounts of its date.
        or_(Discount.end.is_(None), Discount.end > bindparam("at"), Discount.end > _FIRST_STEP),
    )
    .order_by(Discount.start, Discount.id)
)
_LINE = (
    InvoiceLineItem.id,
    InvoiceLineItem.subscription_id,
    InvoiceLineItem.subscription_item_id,
    InvoiceLineItem.quantity,
    InvoiceLineItem.period_start,
    InvoiceLineItem.period_end,
    InvoiceLineItem.amount,
    InvoiceLineItem.proration,
    InvoiceLineItem.discount_amounts,
    InvoiceLineItem.taxes,
    InvoiceLineItem.share_left,
    InvoiceLineItem.share_whole,
    InvoiceLineItem.share_amount,
    InvoiceLineItem.credited_line_id,
    InvoiceLineItem.position,
)
# In this order, so that SQLite uses the index of open invoices instead of reading all of the customer's.
_OPEN_INVOICES = (
    select(Invoice.id)
    .where(
        Invoice.account_id == bindparam("account_id"),
        Invoice.customer_id == bindparam("customer_id"),
        Invoice.status == literal_column("'open'"),
    )
    .order_by(Invoice.created.desc(), Invoice.id.desc())
    .limit(literal_limit(MOST))
)
# Pending lines, and lines of open invoices that were pending before: they are pending again if the invoice is voided.
LINES = (
    select(InvoiceLineItem.invoice_id, *_LINE, *PLAN_COLUMNS)
    .join(Subscription, Subscription.id == InvoiceLineItem.subscription_id)
    .join(Price, Price.id == InvoiceLineItem.price_id)
    .join(Product, Product.id == Price.product_id)
    .where(*_OWN, InvoiceLineItem.customer_id == bindparam("customer_id"), InvoiceLineItem.invoice_id.is_(None))
    .union_all(
        select(InvoiceLineItem.invoice_id, *_LINE, *PLAN_COLUMNS)
        .join(Price, Price.id == InvoiceLineItem.price_id)
        .join(Product, Product.id == Price.product_id)
        .where(
            InvoiceLineItem.customer_id == bindparam("customer_id"),
            InvoiceLineItem.invoice_id.in_(_OPEN_INVOICES),
            InvoiceLineItem.pending_since.is_not(None),
        )
    )
)
# Whether an invoice for the current period is a draft or uncollectible: then nothing can be changed.
UNCOLLECTED = (
    select(Invoice.id)
    .join(InvoiceLineItem, InvoiceLineItem.invoice_id == Invoice.id)
    .where(
        Invoice.account_id == bindparam("account_id"),
        Invoice.customer_id == bindparam("customer_id"),
        Invoice.subscription_id == bindparam("subscription_id"),
        or_(Invoice.status == "draft", Invoice.status == "uncollectible"),
        InvoiceLineItem.period_end > bindparam("at"),
        InvoiceLineItem.amount > 0,
    )
    .limit(literal_limit(1))
)
