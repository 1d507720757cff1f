"""Loads snapshots of subscriptions for pages, quotes and billing runs.

`build` is the only function that creates a SubscriptionSnapshot from rows. A page passes it the rows of its own PageQuery;
operations call `load`, which reads the same columns.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol, TypedDict, cast

from sqlalchemy import BindParameter, and_, bindparam, select

from portal_site.billing.errors import NotFound
from portal_site.billing.loading import plans, stored_lines
from portal_site.billing.loading.awaiting import load_awaiting
from portal_site.billing.loading.planned_phases import load_phases
from portal_site.billing.loading.plans import Reader
from portal_site.billing.models import (
    Coupon,
    Customer,
    Discount,
    Subscription,
    SubscriptionItem,
)
from portal_site.billing.rules.amounts.discounts import CouponTerms, DiscountTerms
from portal_site.billing.rules.amounts.items import Item, PricedPlan
from portal_site.billing.rules.amounts.taxes import UNTAXED, TaxRate
from portal_site.billing.rules.invoicing.balances import as_others
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
    Subscription.billed_elsewhere,
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


class DiscountRow(TypedDict):
    """A row with the columns of DISCOUNT_COLUMNS, by name."""

    id: str
    customer_id: str
    subscription_id: str | None
    subscription_item_id: str | None
    start: int
    end: int | None
    duration: str
    percent_off: str | None
    amount_off: int | None
    coupon_currency: str | None
    applies_to_products: list[str] | None


class CustomerTerms(Protocol):
    """The members of a customer that decide an amount."""

    @property
    def balance(self) -> int: ...
    @property
    def currency(self) -> str | None: ...
    @property
    def other_balances(self) -> Mapping[str, int] | None: ...
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
        billed_elsewhere=row.billed_elsewhere,
        cancel_at=row.cancel_at or end,
        pause_collection=None if pause_collection is None else pause_collection.get("behavior") or "void",
        resumes_at=pauses.resumes_at(row.status_details, pause_collection),
        paused_at=paused.get("transitioned_at"),
        suspended_ends=tuple((paused.get("discount_ends") or {}).items()),
        discounts=tuple(parts.discounts),
        reserved_discounts=_reserved_for_others(parts, row.id),
        tax_rates=tuple(map(TaxRate.of, row.default_tax_rates)) if taxed else (),
        balance=customer.balance,
        balance_currency=customer.currency,
        other_balances=as_others(customer.other_balances),
        pending_lines=tuple(parts.pending_lines),
        phases=tuple(parts.phases),
        awaiting_payment=parts.awaiting_payment,
    )


def _reserved_for_others(parts: Parts, subscription_id: str) -> frozenset[str]:
    """The customer's discounts that a pending update of another subscription will consume; others are not shared."""
    if not parts.reserved:
        return frozenset()
    shared = {discount.id for discount in parts.discounts if discount.subscription_id is None}
    return frozenset(name for name, owner in parts.reserved.items() if owner != subscription_id and name in shared)


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


def due_since(steps: Iterable[int | None], at: int) -> int:
    """The earliest instant of what is due: discounts that ended since then were in force on it, as a billing run has it."""
    return min([at, *(step for step in steps if step is not None)])


def item_of(row: SubscriptionItem, plan: PricedPlan) -> Item:
    """The Item of a row with the columns of ITEM_COLUMNS."""
    rates = tuple(map(TaxRate.of, row.tax_rates)) if row.tax_rates else ()
    period = row.current_period_start, row.current_period_end
    return Item(row.id, plan, row.quantity, *period, rates, row.created, row.billing_cycle_anchor)


_ITEMS = stored_lines.of_subscriptions(select(*ITEM_COLUMNS), SubscriptionItem.subscription_id, stored_lines.IDS)


def _load_items(reader: Reader, ids: Sequence[str]) -> dict[str, list[Item]]:
    rows = sorted(as_namespaces(reader.execute(_ITEMS, {"ids": ids})), key=lambda row: (row.created, row.id))
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
        discounts[row.customer_id].append(discount_of(cast(DiscountRow, row._mapping), at))
    return discounts


def discount_of(row: DiscountRow, at: int) -> DiscountTerms:
    """The DiscountTerms of a discount and its coupon.

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
OWNER_COLUMNS = (
    Customer.id,
    Customer.account_id,
    Customer.balance,
    Customer.currency,
    Customer.other_balances,
    Customer.tax_exempt,
)
_OWNER = select(*OWNER_COLUMNS).where(Customer.id == _CUSTOMER_ID)
_OTHERS = select(*SUBSCRIPTION_COLUMNS).where(
    Subscription.customer_id == _CUSTOMER_ID,
    Subscription.id != bindparam("subscription_id"),
    Subscription.status.not_in(ENDED),
)


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
    return with_charges(reader, _with_siblings(reader, row, customer, at), at)


def load_new(
    reader: Reader, row: Subscription, items: Sequence[Item], customer: Customer, at: int
) -> SubscriptionSnapshot:
    """The same for a subscription that is not stored yet, with the items that it is to have."""
    return with_charges(reader, replace(_with_siblings(reader, row, customer, at), items=tuple(items)), at)


def _with_siblings(reader: Reader, row: Subscription, customer: Customer, at: int) -> SubscriptionSnapshot:
    others = reader.execute(_OTHERS, {"customer_id": customer.id, "subscription_id": row.id}).all()
    rows = [row, *sorted(cast(Sequence[Subscription], others), key=lambda other: other.id)]
    loaded = load(reader, rows, {customer.id: customer}, due_since((each.step_at for each in rows), at))
    phases = load_phases(reader, customer.id, at)
    awaiting = load_awaiting(reader, rows)
    complete = [
        replace(
            loaded[subscription.id],
            phases=tuple(phases.get(subscription.id, ())),
            awaiting_payment=awaiting.get(subscription.id),
        )
        for subscription in rows
    ]
    return replace(complete[0], siblings=tuple(complete[1:]))


def with_charges(reader: Reader, snapshot: SubscriptionSnapshot, at: int) -> SubscriptionSnapshot:
    """A snapshot that has its phases, what it awaits and its siblings, with what a quote needs of earlier invoices."""
    chosen = [snapshot, *(sibling for sibling in snapshot.siblings if sibling.has_prorated_phases)]
    charged = {each.id: each for each in _with_charges(reader, chosen, at)}
    siblings = tuple(charged.get(sibling.id, sibling) for sibling in snapshot.siblings)
    return replace(charged[snapshot.id], siblings=siblings)


def with_charges_for_phases(
    reader: Reader, subscriptions: Sequence[SubscriptionSnapshot], at: int
) -> list[SubscriptionSnapshot]:
    """The snapshots as a forecast needs them: those with phases that prorate know what was charged."""
    chosen = [snapshot for snapshot in subscriptions if snapshot.has_prorated_phases]
    charged = {snapshot.id: snapshot for snapshot in _with_charges(reader, chosen, at)} if chosen else {}
    return [charged.get(snapshot.id, snapshot) for snapshot in subscriptions]


_PAST_DISCOUNTS = _ANY_DISCOUNTS.where(Discount.id.in_(stored_lines.IDS)).execution_options(
    unscoped="discounts of lines that were found by their owner"
)


def _with_charges(reader: Reader, subscriptions: Sequence[SubscriptionSnapshot], at: int) -> list[SubscriptionSnapshot]:
    """The snapshots with their creditable lines, and with the discounts of these that are used up or over.

    A phase that is overdue, because the worker was not running, credits what was charged for the time after its own start.
    """
    overdue = [each.due_at for each in subscriptions if each.has_prorated_phases and each.due_at is not None]
    charged = stored_lines.with_creditable_lines(reader, subscriptions, min([at, *overdue]))
    charged = [each if each.has_prorated_phases or each.is_behind(at) else each.as_of(at) for each in charged]
    past = {snapshot.id: _past_discounts(snapshot, at) for snapshot in charged}
    if not any(past.values()):
        return charged
    rows = reader.execute(_PAST_DISCOUNTS, {"ids": sorted(frozenset().union(*past.values()))})
    terms = [discount_of(cast(DiscountRow, row._mapping), at) for row in rows]
    return [
        replace(snapshot, past_discounts=tuple(each for each in terms if each.id in past[snapshot.id]))
        for snapshot in charged
    ]


def _past_discounts(snapshot: SubscriptionSnapshot, at: int) -> frozenset[str]:
    awaiting = snapshot.awaiting_payment
    lines = (*snapshot.creditable_lines, *(awaiting.freed_lines if awaiting else ()))
    applied = {discount_id for line in lines for discount_id, _ in line.discounts}
    return frozenset(applied - {terms.id for terms in snapshot.discounts if terms.end is None or terms.end > at})
