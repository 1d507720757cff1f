"""Subscriptions for pages: items, amounts, periods and planned changes."""

import logging
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from typing import Any, TypeVar, cast

from portal_site.billing.errors import BillingError
from portal_site.billing.loading import awaiting, planned_phases, plans, snapshots, stored_lines
from portal_site.billing.loading.plans import PlanRow
from portal_site.billing.loading.snapshots import DiscountRow, Parts
from portal_site.billing.models import InvoiceLineItem, Subscription
from portal_site.billing.rules.amounts import discounts as discount_rules
from portal_site.billing.rules.amounts.discounts import DiscountTerms
from portal_site.billing.rules.amounts.items import Item, PricedPlan
from portal_site.billing.rules.amounts.taxes import TaxRate
from portal_site.billing.rules.invoicing.balances import Balances, as_others
from portal_site.billing.rules.invoicing.invoices import InvoiceLine
from portal_site.billing.rules.subscriptions import cancellation, forecast, plan_change
from portal_site.billing.rules.subscriptions.forecast import CustomerState, NextInvoice
from portal_site.billing.rules.subscriptions.pending_update import PendingUpdate
from portal_site.billing.rules.subscriptions.snapshot import PlannedPhase, SubscriptionSnapshot
from portal_site.billing.rules.subscriptions.statuses import SubscriptionStatus
from portal_site.db.page_query import NotJson
from portal_site.db.transactions import reading
from portal_site.portal.reads.invoices import InvoiceSummary

Rows = Sequence[Mapping[str, Any]]
T = TypeVar("T")
log = logging.getLogger("portal_site")


@dataclass(frozen=True, slots=True)
class ItemView:
    """An item of a subscription, now or after a planned change."""

    id: str
    offer: PricedPlan
    quantity: int | None

    @property
    def amount(self) -> int | None:
        """The price of the whole quantity per interval, or None for a metered item."""
        return None if self.offer.terms.metered else self.offer.amount(self.quantity)

    @property
    def product(self) -> str:
        """The name of the product."""
        return self.offer.product

    @property
    def unit_label(self) -> str | None:
        """The unit label."""
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
        """The number of intervals between two invoices."""
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
    """The items after the schedule phase that starts at `date`; planned by the customer or by the merchant."""

    date: int
    items: tuple[ItemView, ...]
    by_customer: bool


@dataclass(frozen=True, slots=True)
class SubscriptionView:
    """A subscription with everything that pages show.

    `snapshot` is the input of the rules, and `next_invoice` their forecast: None if nothing more will be billed, while it is
    paused, and if it depends on the proration of a planned change. `open_invoices`, those `written_off`, and the
    attempts `under_way` to pay an open one are only loaded for the page of one subscription; so are the siblings of its
    snapshot, all of them if `has_all_siblings`.
    """

    snapshot: SubscriptionSnapshot
    status: SubscriptionStatus
    created: int
    description: str | None
    pending_update: PendingUpdate | None
    canceled_at: int | None
    can_be_kept: bool
    ended_at: int | None
    payment_method_id: str | None
    on_behalf_of: str | None
    items: tuple[ItemView, ...]
    discounts: tuple[DiscountView, ...]
    planned: PlannedChange | None
    livemode: bool
    automatic_tax: bool = False
    has_all_siblings: bool = False
    next_invoice: NextInvoice | None = None
    open_invoices: tuple[InvoiceSummary, ...] = ()
    written_off: tuple[InvoiceSummary, ...] = ()
    under_way: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    @property
    def id(self) -> str:
        """The subscription's id."""
        return self.snapshot.id

    @property
    def currency(self) -> str:
        """The currency of all its amounts."""
        return self.snapshot.currency

    @property
    def collection_method(self) -> str:
        """How its invoices are collected: charge_automatically or send_invoice."""
        return self.snapshot.collection_method

    @property
    def trial_end(self) -> int | None:
        """When its free trial ends or has ended."""
        return self.snapshot.trial_end

    @property
    def cancel_at(self) -> int | None:
        """When it will end."""
        return self.snapshot.cancel_at

    @property
    def resumes_at(self) -> int | None:
        """When its pause ends automatically."""
        return self.snapshot.resumes_at

    @property
    def waiting_invoice(self) -> InvoiceSummary | None:
        """The open invoice that its pending update awaits."""
        if self.pending_update is None:
            return None
        invoice_id = self.pending_update.invoice_id
        return next((invoice for invoice in self.open_invoices if invoice.id == invoice_id), None)

    @property
    def first_invoice(self) -> InvoiceSummary | None:
        """The newest open invoice: of an incomplete subscription, its first one."""
        return self.open_invoices[0] if self.open_invoices else None

    @property
    def waiting_payment(self) -> Mapping[str, Any] | None:
        """The unsettled payment attempt of its pending update."""
        return self.under_way.get(self.pending_update.invoice_id or "") if self.pending_update else None

    @property
    def products(self) -> list[str]:
        """The names of its products."""
        return list(dict.fromkeys(item.product for item in self.items))

    def change_refusal(self, at: int, *, has_add_ons: bool) -> BillingError | None:
        """Why its plan cannot be changed now, or None. `has_add_ons` says whether add-ons are offered."""
        return plan_change.why_not_changeable(self.snapshot, at, has_add_ons=has_add_ons) if self.items else None


@dataclass(frozen=True, slots=True)
class CustomerBalance:
    """The members of a customer that decide an amount: the balance with its currency, and the tax exemption."""

    balance: int = 0
    currency: str | None = None
    tax_exempt: str = "none"
    other_balances: Mapping[str, int] | None = None


def build(
    rows: Mapping[str, Rows], open_invoices: Rows, customer: CustomerBalance, at: int
) -> tuple[list[SubscriptionView], tuple[str, ...]]:
    """The customer's subscriptions, running ones first, then newest first, each with its forecast; and the ids of those whose
    rows are invalid.

    `rows` are those of subscription_rows, by name: subscriptions, discounts and lines.
    """
    groups: dict[str, list[Mapping[str, Any]]] = {}
    for row in rows["subscriptions"]:
        groups.setdefault(row["id"], []).append(row)
    since = snapshots.due_since((group[0]["step_at"] for group in groups.values()), at)
    discounts = [_discount(row, since) for row in rows["discounts"]]
    whole = [group for group in groups.values() if not _has_broken_documents(group)]
    parts = _Parts.of(whole, rows["lines"], open_invoices, [view.terms for view in discounts])
    views = [view for group in whole if (view := _unless_broken(_view, group, parts, discounts, customer, at))]
    views.sort(key=lambda view: (view.status.ended, -view.created, view.id))
    state = CustomerState(Balances(customer.balance, customer.currency, as_others(customer.other_balances)))
    try:
        views = _with_next_invoices(views, state, at)
    except Exception:  # one of them stands in the way of all: it is found by itself
        views = _with_next_invoices(
            [view for view in views if _unless_broken(_with_next_invoices, [view], state, at)], state, at
        )
    return views, tuple(sorted(groups.keys() - {view.id for view in views}))


def _has_broken_documents(group: Rows) -> bool:
    return any(isinstance(value, NotJson) for row in group for value in row.values())


def _unless_broken(make: Callable[..., T], *given: Any) -> T | None:
    """The result of `make`, or None if the row is invalid, such as an unknown status or interval."""
    try:
        return make(*given)
    except Exception:
        log.exception("a subscription makes no sense")
        return None


@dataclass(frozen=True, slots=True)
class _Parts:
    """The parts of all subscriptions besides their own rows."""

    discounts: Sequence[DiscountTerms]
    reserved: Mapping[str, str]
    pending: Mapping[str, Sequence[InvoiceLine]]
    returned: Mapping[str, Sequence[InvoiceLine]]
    awaited: Mapping[str, Any]

    @classmethod
    def of(
        cls, groups: Iterable[Rows], lines: Rows, open_invoices: Rows, discounts: Sequence[DiscountTerms]
    ) -> "_Parts":
        changes = ((group[0]["id"], _pending_update(group[0])) for group in groups)
        return cls(
            discounts=discounts,
            reserved=snapshots.reserved_discounts(changes),
            pending=_lines([row for row in lines if row["invoice_id"] is None], "subscription_id"),
            returned=_lines([row for row in lines if row["invoice_id"] is not None], "invoice_id"),
            awaited={row["id"]: SimpleNamespace(**row) for row in open_invoices},
        )


def _lines(rows: Rows, key: str) -> Mapping[str, Sequence[InvoiceLine]]:
    """The lines by this column, in the order in which `stored_lines` loads them."""
    lines: dict[str, list[InvoiceLine]] = defaultdict(list)
    for row in sorted(rows, key=lambda row: (row["position"], row["id"])):
        line = cast(InvoiceLineItem, SimpleNamespace(**row))
        lines[row[key]].append(stored_lines.line_of(line, plans.priced_plan(cast(PlanRow, row))))
    return lines


def _view(
    group: Rows, parts: _Parts, discounts: Sequence[DiscountView], customer: CustomerBalance, at: int
) -> SubscriptionView:
    row = cast(Subscription, SimpleNamespace(**{**group[0], "pending_update": _pending_update(group[0])}))
    items = sorted(map(_item, (each for each in group if each["kind"] == "item")), key=lambda i: (i.created, i.id))
    if any(item.offer.length <= 0 for item in items):  # raises KeyError for an interval that does not exist
        raise ValueError(f"{row.id} has a period without a length")
    phases = _phases([each for each in group if each["kind"] == "planned"])
    awaited_id = awaiting.awaited_invoice_id(row) or ""
    waits = awaiting.awaiting_of(row, parts.awaited.get(awaited_id), parts.returned.get(awaited_id, ()))
    pending = parts.pending.get(row.id, ())
    snapshot = snapshots.build(row, customer, Parts(items, parts.discounts, pending, phases, waits, parts.reserved))
    return SubscriptionView(
        snapshot=snapshot,
        status=_status(snapshot),
        created=row.created,
        description=row.description,
        pending_update=row.pending_update,
        canceled_at=row.canceled_at,
        can_be_kept=cancellation.can_be_kept(
            row.status, row.cancel_at, row.cancel_at_period_end, row.cancellation_details
        ),
        ended_at=row.ended_at,
        payment_method_id=row.default_payment_method_id,
        on_behalf_of=row.on_behalf_of,
        livemode=row.livemode,
        automatic_tax=row.automatic_tax,
        items=tuple(map(_item_view, items)),
        discounts=_in_force(discounts, row.id, at),
        planned=_planned(phases),
    )


def _pending_update(row: Mapping[str, Any]) -> PendingUpdate | None:
    return PendingUpdate.of(row["pending_update"]) if row["pending_update"] else None


def _in_force(discounts: Sequence[DiscountView], subscription_id: str, at: int) -> tuple[DiscountView, ...]:
    if not discounts:
        return ()
    views = {view.terms.id: view for view in discounts}
    return tuple(
        views[terms.id]
        for terms in discount_rules.discounts_in_force((view.terms for view in discounts), subscription_id, at)
    )


def _status(snapshot: SubscriptionSnapshot) -> SubscriptionStatus:
    """The status as customers see it: with paused collection it is paused, though active at Stripe."""
    paused = snapshot.status == SubscriptionStatus.ACTIVE and snapshot.collection_paused
    return SubscriptionStatus.PAUSED if paused else snapshot.status


def _item(row: Mapping[str, Any]) -> Item:
    return Item(
        id=row["item_id"],
        offer=plans.priced_plan(cast(PlanRow, row)),
        quantity=row["quantity"],
        period_start=row["current_period_start"],
        period_end=row["current_period_end"],
        tax_rates=tuple(map(TaxRate.of, row["tax_rates"] or ())),
        created=row["item_created"],
        anchor=row["item_anchor"],
    )


def _item_view(item: Item) -> ItemView:
    return ItemView(item.id, item.offer, item.quantity)


def _phases(rows: Rows) -> Sequence[PlannedPhase]:
    if not rows:
        return ()
    in_order = sorted(rows, key=lambda row: (row["start_date"], row["phase_id"], row["item_id"]))
    # The rows of one subscription carry its own id as `id`.
    named = [
        (SimpleNamespace(**row, subscription_id=row["id"]), plans.priced_plan(cast(PlanRow, row))) for row in in_order
    ]
    return next(iter(planned_phases.phases_of(named).values()))


def _planned(phases: Sequence[PlannedPhase]) -> PlannedChange | None:
    """The next phase only; later ones do not matter on this page."""
    if not phases:
        return None
    phase = phases[0]
    items = tuple(ItemView("", plan, quantity) for plan, quantity in phase.items)
    return PlannedChange(phase.start, items, phase.by_customer)


def _discount(row: Mapping[str, Any], at: int) -> DiscountView:
    return DiscountView(
        label=row["promotion_code"] or row["name"] or row["coupon_id"],
        percent_off=row["percent_off"],
        amount_off=row["amount_off"],
        currency=row["coupon_currency"],
        duration=row["duration"],
        end=row["end"],
        terms=snapshots.discount_of(cast(DiscountRow, row), at),
    )


def _with_next_invoices(views: Sequence[SubscriptionView], state: CustomerState, at: int) -> list[SubscriptionView]:
    shown = [view.id for view in views if view.status.renews and view.items]
    if not shown:
        return list(views)
    known = [view.snapshot for view in views]
    if any(snapshot.has_prorated_phases for snapshot in known):  # rare, so the page's own read is without their charges
        with reading() as reader:
            known = snapshots.with_charges_for_phases(reader, known, at)
    invoices = forecast.forecast(known, state, of=shown)
    return [replace(view, next_invoice=_unless_final(invoices.get(view.id), view)) for view in views]


def _unless_final(invoice: NextInvoice | None, view: SubscriptionView) -> NextInvoice | None:
    """The next invoice, unless it is the final settlement of a subscription that ends, which is not called so."""
    is_final = invoice is not None and view.cancel_at is not None and invoice.date >= view.cancel_at
    return None if is_final else invoice
