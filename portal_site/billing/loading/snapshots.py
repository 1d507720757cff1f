"""Loads subscriptions as the rules see them: one for a quote, hundreds for a billing run, by the same selects."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import and_, select
from sqlalchemy.engine import Connection
from sqlalchemy.orm import Session, aliased

from portal_site.billing.errors import NotFound
from portal_site.billing.models import (
    Coupon,
    Customer,
    Discount,
    Invoice,
    InvoiceLineItem,
    Price,
    Product,
    Subscription,
    SubscriptionItem,
)
from portal_site.billing.rules.amounts.discounts import CouponTerms, DiscountTerms
from portal_site.billing.rules.amounts.items import Item, PricedPlan
from portal_site.billing.rules.amounts.pricing import PriceTerms
from portal_site.billing.rules.amounts.proration import ProrationFactor
from portal_site.billing.rules.amounts.taxes import UNTAXED, Tax, TaxRate
from portal_site.billing.rules.invoicing.invoices import InvoiceLine, LineKind
from portal_site.billing.rules.subscriptions.snapshot import SubscriptionSnapshot
from portal_site.billing.rules.subscriptions.statuses import SubscriptionStatus
from portal_site.billing.translation_marks import N_
from portal_site.db.page_query import as_namespaces

Reader = Session | Connection
PLAN_COLUMNS = (
    Price.id,
    Price.currency,
    Price.billing_scheme,
    Price.unit_amount,
    Price.unit_amount_decimal,
    Price.tiers_mode,
    Price.tiers,
    Price.transform_quantity,
    Price.usage_type,
    Price.interval,
    Price.interval_count,
    Price.tax_behavior,
    Price.product_id,
    Product.name.label("product"),
    Product.unit_label,
)
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
    Subscription.default_payment_method_id,
    Subscription.latest_invoice_id,
    Subscription.due_at,
)


def priced_plan(row: Any) -> PricedPlan:
    """The offer in the columns of OFFER."""
    return PricedPlan(
        price_id=row["id"],
        product_id=row["product_id"],
        product=row["product"],
        terms=PriceTerms.of(row),
        interval=row["interval"] or "month",
        interval_count=row["interval_count"] or 1,
        unit_label=row["unit_label"],
        tax_behavior=row["tax_behavior"],
    )


def load_plans(reader: Reader, account_id: str | None, price_ids: Iterable[str], *only: Any) -> dict[str, PricedPlan]:
    """The offers with these prices, by price; of one account, or (None) of those that own what refers to them."""
    wanted = sorted(set(price_ids))
    query = select(*PLAN_COLUMNS).join(Product, Product.id == Price.product_id).where(Price.id.in_(wanted), *only)
    if account_id is not None:
        query = query.where(Price.account_id == account_id)
    else:
        query = query.execution_options(unscoped="prices that a subscription of ours refers to")
    return {row.id: priced_plan(row._mapping) for row in reader.execute(query)}


def load(
    reader: Reader, subscriptions: Sequence[Any], customers: Mapping[str, Any], at: int
) -> dict[str, SubscriptionSnapshot]:
    """The snapshots of these subscriptions (rows with the columns of SUBSCRIPTION), by id.

    `customers` are their rows by id, with `balance`, `currency` and `tax_exempt`. Debits are left out: see `with_debits`.
    """
    ids = [row.id for row in subscriptions]
    items = _items(reader, ids)
    discounts = _discounts(reader, list({row.customer_id for row in subscriptions}), at)
    promised = _reserved_discounts(reader, discounts)
    waiting = _pending(reader, ids)
    found = {}
    for row in subscriptions:
        customer = customers[row.customer_id]
        taxed = customer.tax_exempt not in UNTAXED
        found[row.id] = SubscriptionSnapshot(
            id=row.id,
            currency=row.currency,
            status=SubscriptionStatus(row.status),
            anchor=row.billing_cycle_anchor,
            items=tuple(item if taxed else replace(item, tax_rates=()) for item in items[row.id]),
            collection_method=row.collection_method,
            billing_mode=row.billing_mode,
            trial_end=row.trial_end,
            due_at=row.due_at,
            cancel_at=row.cancel_at or (_end(items[row.id]) if row.cancel_at_period_end else None),
            collection_paused=row.pause_collection is not None,
            discounts=tuple(one for one in discounts[row.customer_id] if promised.get(one.id, row.id) == row.id),
            tax_rates=tuple(map(TaxRate.of, row.default_tax_rates)) if taxed else (),
            balance=customer.balance if customer.currency in (None, row.currency) else 0,
            balance_in_other_currency=bool(customer.balance) and customer.currency not in (None, row.currency),
            pending_lines=tuple(waiting[row.id]),
        )
    return found


def _end(items: Iterable[Item]) -> int | None:
    return min((item.period_end for item in items), default=None)


def _of_subscriptions(query: Any, column: Any, ids: Sequence[str]) -> Any:
    return query.where(column.in_(ids)).execution_options(unscoped="of subscriptions that were found by their owner")


def _items(reader: Reader, ids: Sequence[str]) -> dict[str, list[Item]]:
    columns = (
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
    query = _of_subscriptions(select(*columns), SubscriptionItem.subscription_id, ids)
    rows = as_namespaces(reader.execute(query.order_by(SubscriptionItem.created, SubscriptionItem.id)))
    known = load_plans(reader, None, (row.price_id for row in rows))
    items: dict[str, list[Item]] = defaultdict(list)
    for row in rows:
        rates = tuple(map(TaxRate.of, row.tax_rates)) if row.tax_rates else ()
        period = row.current_period_start, row.current_period_end
        items[row.subscription_id].append(
            Item(row.id, known[row.price_id], row.quantity, *period, rates, row.created, row.billing_cycle_anchor)
        )
    return items


def _discounts(reader: Reader, customer_ids: Sequence[str], at: int) -> dict[str, list[DiscountTerms]]:
    query = (
        select(
            Discount.id,
            Discount.customer_id,
            Discount.subscription_id,
            Discount.subscription_item_id,
            Discount.end,
            Coupon.duration,
            Coupon.percent_off,
            Coupon.amount_off,
            Coupon.currency.label("coupon_currency"),
            Coupon.applies_to_products,
        )
        .join(Coupon, and_(Coupon.account_id == Discount.account_id, Coupon.id == Discount.coupon_id))
        .where(Discount.customer_id.in_(customer_ids), Discount.end.is_(None) | (Discount.end > at))
        .order_by(Discount.start, Discount.id)
    )
    found: dict[str, list[DiscountTerms]] = defaultdict(list)
    for row in reader.execute(query):
        found[row.customer_id].append(discount_of(row._mapping))
    return found


def _reserved_discounts(reader: Reader, discounts: Mapping[str, Sequence[DiscountTerms]]) -> dict[str, str]:
    """The discounts for one invoice that a change uses which waits for its payment, with that change's subscription."""
    owners = [
        name
        for name, found in discounts.items()
        if any(one.single_use and one.subscription_id is None for one in found)
    ]
    if not owners:
        return {}
    waiting = Subscription.customer_id.in_(owners), Subscription.pending_update.is_not(None)
    rows = reader.execute(select(Subscription.id, Subscription.pending_update).where(*waiting))
    return {discount: name for name, change in rows for discount in (change or {}).get("spent", ())}


def discount_of(row: Any) -> DiscountTerms:
    """The discount in columns named as above."""
    return DiscountTerms(
        id=row["id"],
        coupon=CouponTerms.of(row),
        duration=row["duration"],
        end=row["end"],
        subscription_id=row["subscription_id"],
        item_id=row["subscription_item_id"],
    )


def _pending(reader: Reader, ids: Sequence[str]) -> dict[str, list[InvoiceLine]]:
    query = _of_subscriptions(select(InvoiceLineItem.__table__), InvoiceLineItem.subscription_id, ids)
    query = query.where(InvoiceLineItem.invoice_id.is_(None)).order_by(InvoiceLineItem.position, InvoiceLineItem.id)
    return _lines(reader, query)


def _lines(reader: Reader, query: Any) -> dict[str, list[InvoiceLine]]:
    rows = reader.execute(query).all()
    known = load_plans(reader, None, (row.price_id for row in rows if row.price_id)) if rows else {}
    lines: dict[str, list[InvoiceLine]] = defaultdict(list)
    for row in rows:
        if row.price_id in known:
            lines[row.subscription_id].append(line_of(row, known[row.price_id]))
    return lines


def line_of(row: Any, offer: PricedPlan) -> InvoiceLine:
    """A stored line as the rules see it."""
    kind = LineKind.CYCLE if not row.proration else LineKind.UNUSED if row.amount < 0 else LineKind.REMAINING
    return InvoiceLine(
        kind=kind,
        offer=offer,
        item_id=row.subscription_item_id or "",
        quantity=row.quantity,
        period_start=row.period_start,
        period_end=row.period_end,
        amount=row.amount,
        discounts=tuple((str(part["discount"]), part["amount"]) for part in row.discount_amounts),
        taxes=tuple(map(_tax, row.taxes)),
        proration=ProrationFactor(row.share_left, row.share_whole) if row.share_whole else None,
        full_amount=row.share_amount or 0,
        credits=row.credited_line_id,
        id=row.id,
    )


def _tax(document: Mapping[str, Any]) -> Tax:
    rate = TaxRate.of({
        "id": (document.get("tax_rate_details") or {}).get("tax_rate") or "",
        "display_name": document.get("display_name"),
        "percentage": document.get("percentage") or 0,
        "inclusive": document.get("tax_behavior") == "inclusive",
    })  # fmt: skip
    return Tax(rate, document["amount"], document.get("taxable_amount") or 0)


def load_owned_rows(reader: Reader, customer_id: str, subscription_id: str) -> tuple[Any, Any]:
    """A customer's own subscription and the customer, as `whole` needs them. Raises NotFound."""
    mine = Subscription.id == subscription_id, Subscription.customer_id == customer_id
    row = reader.execute(select(*SUBSCRIPTION_COLUMNS).where(*mine)).first()
    columns = (Customer.id, Customer.account_id, Customer.balance, Customer.currency, Customer.tax_exempt)
    customer = reader.execute(select(*columns).where(Customer.id == customer_id)).first()
    if row is None or customer is None:
        raise NotFound(N_("We could not find this."), "resource_missing")
    return row, customer


def load_for_quote(reader: Reader, row: Any, customer: Any, at: int) -> SubscriptionSnapshot:
    """One subscription's snapshot with all that a quote needs."""
    return with_creditable_lines(reader, load(reader, [row], {customer.id: customer}, at)[row.id], at)


def with_creditable_lines(reader: Reader, snapshot: SubscriptionSnapshot, at: int) -> SubscriptionSnapshot:
    """The snapshot with what was paid for time after `at` and is not credited yet, and what is not paid."""
    credit = aliased(InvoiceLineItem)
    charged = (
        select(InvoiceLineItem.__table__)
        .outerjoin(Invoice, Invoice.id == InvoiceLineItem.invoice_id)
        .outerjoin(credit, credit.credited_line_id == InvoiceLineItem.id)
        .where(
            InvoiceLineItem.period_end > at,
            InvoiceLineItem.amount > 0,
            InvoiceLineItem.invoice_id.is_(None) | (Invoice.status == "paid"),
            credit.id.is_(None),
        )
        .order_by(InvoiceLineItem.period_start, InvoiceLineItem.id)
    )
    debits = _lines(reader, _of_subscriptions(charged, InvoiceLineItem.subscription_id, [snapshot.id]))[snapshot.id]
    # What was kept for later or written off may be paid yet, as long as its time is not over.
    ahead = select(InvoiceLineItem.id).where(
        InvoiceLineItem.invoice_id == Invoice.id, InvoiceLineItem.period_end > at, InvoiceLineItem.amount > 0
    )
    withheld = Invoice.status.in_(("draft", "uncollectible")) & ahead.correlate(Invoice).exists()
    unpaid = select(Invoice.status).where((Invoice.status == "open") | withheld)
    rows = reader.execute(_of_subscriptions(unpaid, Invoice.subscription_id, [snapshot.id]))
    found = {status for (status,) in rows}
    is_open = "open" in found
    return replace(
        snapshot,
        creditable_lines=tuple(debits),
        has_open_invoice=is_open,
        has_uncollected_invoice=bool(found - {"open"}),
    )
