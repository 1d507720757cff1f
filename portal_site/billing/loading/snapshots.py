"""Loads snapshots of subscriptions for pages, quotes and billing runs.

`build` is the only function that creates a SubscriptionSnapshot from rows. A page passes it the rows of its own PageQuery;
operations call `load`, which reads the same columns.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby
from typing import Any, Protocol, cast

from sqlalchemy import BindParameter, and_, bindparam, or_, select

from portal_site.billing.errors import NotFound
from portal_site.billing.loading import plans, stored_lines
from portal_site.billing.loading.awaiting import load_awaiting
from portal_site.billing.loading.plans import Reader
from portal_site.billing.models import (
    Coupon,
    Customer,
    Discount,
    SchedulePhase,
    SchedulePhaseItem,
    Subscription,
    SubscriptionItem,
    SubscriptionSchedule,
)
from portal_site.billing.rules.amounts.discounts import CouponTerms, DiscountTerms
from portal_site.billing.rules.amounts.items import Item, PricedPlan
from portal_site.billing.rules.amounts.taxes import UNTAXED, TaxRate
from portal_site.billing.rules.invoicing.invoices import InvoiceLine
from portal_site.billing.rules.subscriptions import pauses
from portal_site.billing.rules.subscriptions.pending_update import PendingUpdate
from portal_site.billing.rules.subscriptions.snapshot import AwaitingPayment, PlannedPhase, SubscriptionSnapshot
from portal_site.billing.rules.subscriptions.statuses import ENDED, SubscriptionStatus
from portal_site.billing.translation_marks import N_
from portal_site.db.page_query import as_namespaces

SUBSCRIPTION_COLUMNS = (
    Subscription.id,
    Subscription.account_id,
    Subscription.customer_id,
    Subscription.on_behalf_of,
    Subscription.livemode,
    Subscription.created,
    Subscription.description,
    Subscription.status,
    Subscription.currency,
    Subscription.collection_method,
    Subscription.days_until_due,
    Subscription.billing_mode,
    Subscription.billing_cycle_anchor,
    Subscription.trial_start,
    Subscription.trial_end,
    Subscription.cancel_at,
    Subscription.cancel_at_period_end,
    Subscription.canceled_at,
    Subscription.ended_at,
    Subscription.cancellation_details,
    Subscription.pause_collection,
    Subscription.status_details,
    Subscription.pending_update,
    Subscription.default_tax_rates,
    Subscription.automatic_tax,
    Subscription.default_payment_method_id,
    Subscription.latest_invoice_id,
    Subscription.step_at.label("step_at"),
)
ITEM_COLUMNS = (
    SubscriptionItem.id,
    SubscriptionItem.subscription_id,
    SubscriptionItem.price_id,
    SubscriptionItem.quantity,
    SubscriptionItem.current_period_start,
    SubscriptionItem.current_period_end,
    SubscriptionItem.tax_rates,
    SubscriptionItem.created,
    SubscriptionItem.billing_cycle_anchor,
)
DISCOUNT_COLUMNS = (
    Discount.id,
    Discount.customer_id,
    Discount.subscription_id,
    Discount.subscription_item_id,
    Discount.start,
    Discount.end,
    Coupon.duration,
    Coupon.percent_off,
    Coupon.amount_off,
    Coupon.currency.label("coupon_currency"),
    Coupon.applies_to_products,
)
PHASE_COLUMNS = (
    SchedulePhase.id.label("phase_id"),
    SubscriptionSchedule.subscription_id,
    SubscriptionSchedule.origin,
    SubscriptionSchedule.end_behavior,
    SchedulePhase.start_date,
    SchedulePhase.end_date,
    SchedulePhase.proration_behavior,
    SchedulePhaseItem.quantity,
    SchedulePhaseItem.price_id,
)


class CustomerTerms(Protocol):
    """The members of a customer that decide an amount."""

    @property
    def balance(self) -> int: ...
    @property
    def currency(self) -> str | None: ...
    @property
    def tax_exempt(self) -> str: ...


@dataclass(frozen=True, slots=True)
class Parts:
    """The parts of a snapshot besides the subscription's and the customer's columns.

    `reserved` maps the ids of reserved discounts to the id of the subscription whose pending update will consume them.
    """

    items: Sequence[Item] = ()
    discounts: Sequence[DiscountTerms] = ()
    pending_lines: Sequence[InvoiceLine] = ()
    phases: Sequence[PlannedPhase] = ()
    awaiting_payment: AwaitingPayment | None = None
    reserved: Mapping[str, str] = field(default_factory=dict)


def build(row: Subscription, customer: CustomerTerms, parts: Parts) -> SubscriptionSnapshot:
    """The snapshot of a subscription's row with the attributes of SUBSCRIPTION_COLUMNS."""
    taxed = customer.tax_exempt not in UNTAXED
    items = tuple(parts.items if taxed else (replace(item, tax_rates=()) for item in parts.items))
    end = min((item.period_end for item in items), default=None) if row.cancel_at_period_end else None
    pause_collection, paused = row.pause_collection, (row.status_details or {}).get("paused") or {}
    reserved = frozenset(discount for discount, owner in parts.reserved.items() if owner != row.id)
    return SubscriptionSnapshot(
        id=row.id,
        currency=row.currency,
        status=SubscriptionStatus(row.status),
        anchor=row.billing_cycle_anchor,
        items=items,
        collection_method=row.collection_method,
        billing_mode=row.billing_mode,
        trial_end=row.trial_end,
        due_at=row.step_at,
        cancel_at=row.cancel_at or end,
        pause_collection=None if pause_collection is None else pause_collection.get("behavior") or "void",
        resumes_at=pauses.resumes_at(row.status_details, pause_collection),
        paused_at=paused.get("transitioned_at"),
        suspended_ends=tuple((paused.get("discount_ends") or {}).items()),
        discounts=tuple(parts.discounts),
        reserved_discounts=reserved,
        tax_rates=tuple(map(TaxRate.of, row.default_tax_rates)) if taxed else (),
        balance=customer.balance,
        balance_currency=customer.currency,
        pending_lines=tuple(parts.pending_lines),
        phases=tuple(parts.phases),
        awaiting_payment=parts.awaiting_payment,
    )


def load(
    reader: Reader, subscriptions: Sequence[Subscription], customers: Mapping[str, CustomerTerms], at: int
) -> dict[str, SubscriptionSnapshot]:
    """The snapshots that a renewal needs, by id, of these subscriptions (rows with the columns of SUBSCRIPTION_COLUMNS).

    `customers` are the customers' rows by id. Phases, siblings and creditable lines are left out: see `load_for_quote`.
    """
    ids = [row.id for row in subscriptions]
    items = _load_items(reader, ids)
    discounts = _load_discounts(reader, list({row.customer_id for row in subscriptions}), at)
    reserved = _load_reserved_discounts(reader, discounts)
    pending = stored_lines.load_pending_lines(reader, ids)
    return {
        row.id: build(
            row,
            customers[row.customer_id],
            Parts(items[row.id], discounts[row.customer_id], pending[row.id], reserved=reserved),
        )
        for row in subscriptions
    }


def item_of(row: SubscriptionItem, plan: PricedPlan) -> Item:
    """The Item of a row with the columns of ITEM_COLUMNS."""
    rates = tuple(map(TaxRate.of, row.tax_rates)) if row.tax_rates else ()
    period = row.current_period_start, row.current_period_end
    return Item(row.id, plan, row.quantity, *period, rates, row.created, row.billing_cycle_anchor)


_ITEMS = stored_lines.of_subscriptions(
    select(*ITEM_COLUMNS), SubscriptionItem.subscription_id, stored_lines.IDS
).order_by(SubscriptionItem.created, SubscriptionItem.id)


def _load_items(reader: Reader, ids: Sequence[str]) -> dict[str, list[Item]]:
    rows = as_namespaces(reader.execute(_ITEMS, {"ids": ids}))
    plan_of = plans.load_plans(reader, None, (row.price_id for row in rows))
    items: dict[str, list[Item]] = defaultdict(list)
    for row in rows:
        items[row.subscription_id].append(item_of(row, plan_of[row.price_id]))
    return items


_ANY_DISCOUNTS = (
    select(*DISCOUNT_COLUMNS)
    .join(Coupon, and_(Coupon.account_id == Discount.account_id, Coupon.id == Discount.coupon_id))
    .order_by(Discount.start, Discount.id)
)
_DISCOUNTS = _ANY_DISCOUNTS.where(
    Discount.customer_id.in_(stored_lines.IDS), Discount.end.is_(None) | (Discount.end > stored_lines.AT)
)


def _load_discounts(reader: Reader, customer_ids: Sequence[str], at: int) -> dict[str, list[DiscountTerms]]:
    discounts: dict[str, list[DiscountTerms]] = defaultdict(list)
    for row in reader.execute(_DISCOUNTS, {"ids": customer_ids, "at": at}):
        discounts[row.customer_id].append(discount_of(cast(Mapping[str, Any], row._mapping), at))
    return discounts


def discount_of(row: Mapping[str, Any], at: int) -> DiscountTerms:
    """The DiscountTerms of a row with the columns of DISCOUNT_COLUMNS.

    One that has started by `at` applies to what is billed late as well, for dates before its start.
    """
    return DiscountTerms(
        id=row["id"],
        coupon=CouponTerms.of(row),
        duration=row["duration"],
        start=row["start"] if row["start"] > at else 0,
        end=row["end"],
        subscription_id=row["subscription_id"],
        item_id=row["subscription_item_id"],
    )


_PENDING_UPDATES = select(Subscription.id, Subscription.pending_update).where(
    Subscription.customer_id.in_(stored_lines.IDS), Subscription.pending_update.is_not(None)
)


def _load_reserved_discounts(reader: Reader, discounts: Mapping[str, Sequence[DiscountTerms]]) -> dict[str, str]:
    """The customers' single-use discounts that a pending update will consume, with the id of that update's subscription."""
    owners = [
        customer_id
        for customer_id, terms in discounts.items()
        if any(discount.single_use and discount.subscription_id is None for discount in terms)
    ]
    if not owners:
        return {}
    return reserved_discounts((row[0], row[1]) for row in reader.execute(_PENDING_UPDATES, {"ids": owners}))


def reserved_discounts(changes: Iterable[tuple[str, PendingUpdate | None]]) -> dict[str, str]:
    """The subscription ids by reserved discount id, from pairs of (subscription id, `pending_update`)."""
    return {discount: owner for owner, change in changes if change for discount in change.ended_discounts}


# --- one subscription with its siblings -----------------------------------------------------------------------------------


_CUSTOMER_ID: BindParameter[str] = bindparam("customer_id")
_OWNED = select(*SUBSCRIPTION_COLUMNS).where(
    Subscription.id == bindparam("subscription_id"), Subscription.customer_id == _CUSTOMER_ID
)
_OWNER = select(Customer.id, Customer.account_id, Customer.balance, Customer.currency, Customer.tax_exempt).where(
    Customer.id == _CUSTOMER_ID
)
_OTHERS = (
    select(*SUBSCRIPTION_COLUMNS)
    .where(
        Subscription.customer_id == _CUSTOMER_ID,
        Subscription.id != bindparam("subscription_id"),
        Subscription.status.not_in(ENDED),
    )
    .order_by(Subscription.id)
)
_PAST_DISCOUNTS = _ANY_DISCOUNTS.where(Discount.customer_id == _CUSTOMER_ID, Discount.id.in_(stored_lines.IDS))


def load_owned_rows(reader: Reader, customer_id: str, subscription_id: str) -> tuple[Subscription, Customer]:
    """The rows of a customer's own subscription and of the customer, as `load_for_quote` needs them. Raises NotFound."""
    given = {"customer_id": customer_id, "subscription_id": subscription_id}
    row = reader.execute(_OWNED, given).first()
    customer = reader.execute(_OWNER, given).first()
    if row is None or customer is None:
        raise NotFound(N_("We could not find this."), "resource_missing")
    return cast(Subscription, row), cast(Customer, customer)


def load_for_quote(reader: Reader, row: Subscription, customer: Customer, at: int) -> SubscriptionSnapshot:
    """The snapshot of a subscription with everything that a quote needs, including the customer's other subscriptions."""
    others = reader.execute(_OTHERS, {"customer_id": customer.id, "subscription_id": row.id}).all()
    rows = [row, *cast(Sequence[Subscription], others)]
    loaded = load(reader, rows, {customer.id: customer}, at)
    phases = _load_phases(reader, customer.id, at)
    awaiting = load_awaiting(reader, rows)
    complete = [
        replace(
            loaded[subscription.id],
            phases=tuple(phases.get(subscription.id, ())),
            awaiting_payment=awaiting.get(subscription.id),
        )
        for subscription in rows
    ]
    return with_charges(reader, replace(complete[0], siblings=tuple(complete[1:])), customer.id, at)


def with_charges(reader: Reader, snapshot: SubscriptionSnapshot, customer_id: str, at: int) -> SubscriptionSnapshot:
    """A snapshot that has its phases, what it awaits and its siblings, with what a quote needs of earlier invoices."""
    snapshot = stored_lines.with_creditable_lines(reader, snapshot, at)
    past = _load_past_discounts(reader, snapshot, customer_id, at)
    return replace(snapshot, past_discounts=past) if past else snapshot


def _load_past_discounts(
    reader: Reader, snapshot: SubscriptionSnapshot, customer_id: str, at: int
) -> tuple[DiscountTerms, ...]:
    """The discounts of the creditable lines that are used up or over."""
    applied = {discount_id for line in snapshot.creditable_lines for discount_id, _ in line.discounts}
    past = applied - {discount.id for discount in snapshot.discounts}
    if not past:
        return ()
    rows = reader.execute(_PAST_DISCOUNTS, {"customer_id": customer_id, "ids": sorted(past)})
    return tuple(discount_of(cast(Mapping[str, Any], row._mapping), at) for row in rows)


_PHASES = (
    select(*PHASE_COLUMNS)
    .join(SubscriptionSchedule, SubscriptionSchedule.id == SchedulePhase.schedule_id)
    .join(SchedulePhaseItem, SchedulePhaseItem.phase_id == SchedulePhase.id)
    .join(Subscription, Subscription.id == SubscriptionSchedule.subscription_id)
    .where(
        SubscriptionSchedule.customer_id == _CUSTOMER_ID,
        SubscriptionSchedule.status == "active",
        # A phase that is overdue because the worker was not running still decides what will be billed.
        or_(SchedulePhase.start_date > stored_lines.AT, SchedulePhase.start_date >= Subscription.step_at),
    )
    .order_by(SchedulePhase.start_date, SchedulePhase.id, SchedulePhaseItem.id)
)


def _load_phases(reader: Reader, customer_id: str, at: int) -> dict[str, list[PlannedPhase]]:
    rows = reader.execute(_PHASES, {"customer_id": customer_id, "at": at}).all()
    plan_of = plans.load_plans(reader, None, (row.price_id for row in rows)) if rows else {}
    return phases_of((row, plan_of[row.price_id]) for row in rows)


def phases_of(rows: Iterable[tuple[Any, PricedPlan]]) -> dict[str, list[PlannedPhase]]:
    """The phases by subscription id, in order of their start, from pairs of a row (PHASE_COLUMNS) and its item's plan."""
    phases: dict[str, list[PlannedPhase]] = defaultdict(list)
    last: dict[str, Any] = {}
    for _, group in groupby(rows, key=lambda pair: pair[0].phase_id):
        pairs = list(group)
        first = pairs[0][0]
        items = tuple((plan, row.quantity) for row, plan in pairs)
        phase = PlannedPhase(first.start_date, items, first.origin == "portal", first.proration_behavior)
        phases[first.subscription_id].append(phase)
        last[first.subscription_id] = first
    for subscription_id, row in last.items():
        if row.end_date is not None and row.end_behavior == "cancel":
            phases[subscription_id][-1] = replace(phases[subscription_id][-1], cancels_at=row.end_date)
    return phases
