"""Subscriptions as a customer sees them: what, how much, until when, and what is planned."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from portal_site.billing.errors import BillingError
from portal_site.billing.loading.snapshots import discount_of
from portal_site.billing.rules.amounts import discounts as discount_rules
from portal_site.billing.rules.amounts.discounts import DiscountTerms
from portal_site.billing.rules.amounts.items import Item, PricedPlan
from portal_site.billing.rules.amounts.pricing import PriceTerms
from portal_site.billing.rules.amounts.taxes import UNTAXED, TaxRate
from portal_site.billing.rules.invoicing.invoices import InvoiceLine, LineKind
from portal_site.billing.rules.subscriptions import cancellation, next_invoice, pauses, plan_change
from portal_site.billing.rules.subscriptions.next_invoice import NextInvoice
from portal_site.billing.rules.subscriptions.snapshot import SubscriptionSnapshot
from portal_site.billing.rules.subscriptions.statuses import SubscriptionStatus
from portal_site.portal.reads.invoices import InvoiceSummary


@dataclass(frozen=True, slots=True)
class ItemView:
    """A line of a subscription; `amount` is what the whole quantity costs each interval, None when usage decides."""

    id: str
    offer: PricedPlan
    quantity: int | None
    amount: int | None
    since: int
    until: int
    tax_rates: tuple[TaxRate, ...] = ()
    anchor: int | None = None

    @property
    def product(self) -> str:
        """What is sold."""
        return self.offer.product

    @property
    def unit_label(self) -> str | None:
        """What one of it is called."""
        return self.offer.unit_label

    @property
    def currency(self) -> str:
        """The currency of `amount`."""
        return self.offer.terms.currency

    @property
    def interval(self) -> str:
        """day, week, month or year."""
        return self.offer.interval

    @property
    def interval_count(self) -> int:
        """How many of them between two invoices."""
        return self.offer.interval_count


@dataclass(frozen=True, slots=True)
class DiscountView:
    """A discount in force on a subscription."""

    label: str
    percent_off: str | None
    amount_off: int | None
    currency: str | None
    duration: str
    end: int | None
    terms: DiscountTerms


@dataclass(frozen=True, slots=True)
class PlannedChange:
    """What a schedule will make of the subscription at `date`; the customer's own choice or the merchant's."""

    date: int
    items: tuple[ItemView, ...]
    by_customer: bool


@dataclass(frozen=True, slots=True)
class SubscriptionView:
    """All that the portal shows of a subscription. `next_invoice` is None when nothing more will be billed, and when
    a planned change decides what it will be.

    `open_invoices`, and of those that are being paid the attempts `under_way`, are there where one subscription has a page of
    its own.
    """

    id: str
    status: SubscriptionStatus
    currency: str
    created: int
    description: str | None
    collection_method: str
    anchor: int
    tax_rates: tuple[TaxRate, ...]
    pending: int
    pending_update: Mapping[str, Any] | None
    trial_end: int | None
    cancel_at: int | None
    canceled_at: int | None
    can_be_kept: bool
    ended_at: int | None
    resumes_at: int | None
    payment_method_id: str | None
    items: tuple[ItemView, ...]
    discounts: tuple[DiscountView, ...]
    planned: PlannedChange | None
    next_invoice: NextInvoice | None
    open_invoices: tuple[InvoiceSummary, ...] = ()
    under_way: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    @property
    def waiting_invoice(self) -> InvoiceSummary | None:
        """What a change that waits for its payment costs."""
        wanted = (self.pending_update or {}).get("invoice")
        return next((invoice for invoice in self.open_invoices if invoice.id == wanted), None)

    @property
    def waiting_payment(self) -> Mapping[str, Any] | None:
        """The attempt to pay for a change that is not settled yet."""
        return self.under_way.get((self.pending_update or {}).get("invoice") or "")

    @property
    def products(self) -> list[str]:
        """The names of what it contains."""
        return list(dict.fromkeys(item.product for item in self.items))

    def snapshot(self, balance: int = 0) -> SubscriptionSnapshot:
        """The subscription as the rules see it, with the items that will be billed next."""
        items = tuple(
            Item(item.id, item.offer, item.quantity, item.since, item.until, item.tax_rates, anchor=item.anchor)
            for item in _items_at_renewal(self)
        )
        return SubscriptionSnapshot(
            id=self.id,
            currency=self.currency,
            status=self.status,
            anchor=self.anchor,
            items=items,
            collection_method=self.collection_method,
            cancel_at=self.cancel_at,
            discounts=tuple(discount.terms for discount in self.discounts),
            tax_rates=self.tax_rates,
            balance=balance,
            pending_lines=_pending(self, items[0]),
            managed_by_merchant_schedule=self.planned is not None and not self.planned.by_customer,
        )

    def change_refusal(self, at: int) -> BillingError | None:
        """Why its plan cannot be changed now, as far as the page's own data tells."""
        if not self.items:
            return None
        return plan_change.why_not_changeable(replace(self.snapshot(), has_open_invoice=bool(self.open_invoices)), at)


@dataclass(frozen=True, slots=True)
class CustomerBalance:
    """What of the customer decides an amount: its balance, of which currency that is, and whether it is taxed."""

    balance: int = 0
    currency: str | None = None
    tax_exempt: str = "none"


def build(
    lines: Iterable[Mapping[str, Any]], discounts: Iterable[Mapping[str, Any]], payer: CustomerBalance, at: int
) -> list[SubscriptionView]:
    """The subscriptions in those rows: running ones first, then newest first.

    Credit is used by whichever is billed first, so each next invoice shows what will be left for it.
    """
    groups: dict[str, list[Mapping[str, Any]]] = {}
    for line in lines:
        groups.setdefault(line["id"], []).append(line)
    discount_views = [_discount(row) for row in discounts]
    found = [_subscription(group, discount_views, payer, at) for group in groups.values()]
    found.sort(key=lambda view: (view.status.ended, -view.created, view.id))
    return _with_next_invoices(found, payer)


def _subscription(
    group: Sequence[Mapping[str, Any]], discounts: Sequence[DiscountView], payer: CustomerBalance, at: int
) -> SubscriptionView:
    first = group[0]
    items = tuple(sorted((_item(row) for row in group if row["kind"] == "item"), key=lambda item: item.product))
    period_end = min((item.until for item in items), default=None)
    taxed = payer.tax_exempt not in UNTAXED
    return SubscriptionView(
        id=first["id"],
        status=_status(first),
        currency=first["currency"],
        created=first["created"],
        description=first["description"],
        collection_method=first["collection_method"],
        anchor=first["billing_cycle_anchor"],
        tax_rates=tuple(map(TaxRate.of, first["default_tax_rates"])) if taxed else (),
        pending=first["pending"],
        pending_update=first["pending_update"],
        trial_end=first["trial_end"],
        cancel_at=first["cancel_at"] or (period_end if first["cancel_at_period_end"] else None),
        canceled_at=first["canceled_at"],
        can_be_kept=cancellation.can_be_kept(
            first["status"], first["cancel_at"], first["cancel_at_period_end"], first["cancellation_details"]
        ),
        ended_at=first["ended_at"],
        resumes_at=pauses.resumes_at(first["status_details"], first["pause_collection"]),
        payment_method_id=first["default_payment_method_id"],
        items=items if taxed else tuple(replace(item, tax_rates=()) for item in items),
        discounts=_running(discounts, first["id"], at),
        planned=_planned([row for row in group if row["kind"] == "planned"]),
        next_invoice=None,
    )


def _running(discounts: Sequence[DiscountView], subscription_id: str, at: int) -> tuple[DiscountView, ...]:
    chosen = (
        discount_rules.discounts_in_force((view.terms for view in discounts), subscription_id, at) if discounts else ()
    )
    views = {view.terms.id: view for view in discounts}
    return tuple(views[terms.id] for terms in chosen)


def _status(row: Mapping[str, Any]) -> SubscriptionStatus:
    """As the customer has to see it: what collects nothing is paused, though the field calls it active."""
    status = SubscriptionStatus(row["status"])
    return SubscriptionStatus.PAUSED if status == SubscriptionStatus.ACTIVE and row["pause_collection"] else status


def _item(row: Mapping[str, Any]) -> ItemView:
    terms = PriceTerms.of({**row, "currency": row["price_currency"]})
    offer = PricedPlan(
        price_id=row["price_id"],
        product_id=row["product_id"],
        product=row["product"],
        terms=terms,
        interval=row["interval"] or "month",
        interval_count=row["interval_count"] or 1,
        unit_label=row["unit_label"],
        tax_behavior=row["tax_behavior"],
    )
    return ItemView(
        id=row["item_id"],
        offer=offer,
        quantity=row["quantity"],
        amount=None if terms.metered else offer.amount(row["quantity"]),
        since=row["since"],
        until=row["until"],
        tax_rates=tuple(map(TaxRate.of, row["tax_rates"] or ())),
        anchor=row["own_anchor"],
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
        label=row["promotion_code"] or row["name"] or row["coupon_id"],
        percent_off=row["percent_off"],
        amount_off=row["amount_off"],
        currency=row["coupon_currency"],
        duration=row["duration"],
        end=row["end"],
        terms=discount_of(row),
    )


def _with_next_invoices(views: Sequence[SubscriptionView], payer: CustomerBalance) -> list[SubscriptionView]:
    first_billed = sorted(views, key=lambda view: min((item.until for item in view.items), default=0))
    invoices: dict[str, NextInvoice | None] = {}
    balance = payer.balance
    for view in first_billed:
        usable = balance if payer.currency in (None, view.currency) else 0
        invoices[view.id] = invoice = _next_invoice(view, usable)
        if invoice is not None:
            balance += invoice.balance_used
    return [replace(view, next_invoice=invoices[view.id]) for view in views]


def _next_invoice(view: SubscriptionView, balance: int) -> NextInvoice | None:
    if not view.status.renews or not view.items:
        return None
    if view.planned is not None and view.planned.date < _period_end(view):
        return None  # a change inside the period: what it credits and charges is only known then
    return next_invoice.next_invoice(view.snapshot(balance))


def _pending(view: SubscriptionView, item: Item) -> tuple[InvoiceLine, ...]:
    if not view.pending:
        return ()
    span = item.period_start, item.period_end
    return (InvoiceLine(LineKind.REMAINING, item.offer, item.id, None, *span, view.pending),)


def _items_at_renewal(view: SubscriptionView) -> Sequence[ItemView]:
    """The items that will be billed next: the planned ones if the change comes with the renewal."""
    if view.planned is not None and view.planned.date == _period_end(view):
        return view.planned.items
    return view.items


def _period_end(view: SubscriptionView) -> int:
    return min((item.until for item in view.items), default=0)
