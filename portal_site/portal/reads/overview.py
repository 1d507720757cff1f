"""The overview and its sections, read with one PageQuery, and what needs attention."""

from dataclasses import dataclass, replace

from portal_site.billing.errors import Unreadable
from portal_site.billing.rules.subscriptions.snapshot import SubscriptionSnapshot
from portal_site.db.page_query import PageQuery
from portal_site.portal.access.visitors import Visitor
from portal_site.portal.reads import billing_information, invoices, payment_methods, subscription_rows, subscriptions
from portal_site.portal.reads.billing_information import TaxIdView
from portal_site.portal.reads.invoices import InvoicePage, InvoiceSummary
from portal_site.portal.reads.payment_methods import PaymentMethodView
from portal_site.portal.reads.subscriptions import SubscriptionView

TRIAL_NOTICE = 7 * 24 * 60 * 60
_OVERVIEW = PageQuery(
    subscriptions=subscription_rows.ROWS,
    discounts=subscription_rows.DISCOUNTS,
    lines=subscription_rows.LINES,
    methods=payment_methods.METHODS,
    invoices=invoices.RECENT_AND_OPEN,
    tax_ids=billing_information.TAX_IDS,
)
_SUBSCRIPTION = PageQuery(
    subscriptions=subscription_rows.ROWS_BESIDE_ONE,
    discounts=subscription_rows.DISCOUNTS,
    lines=subscription_rows.LINES,
    uncollected=subscription_rows.UNCOLLECTED,
    methods=payment_methods.METHODS,
    open=invoices.OPEN_OF_ONE,
    written_off=invoices.WRITTEN_OFF_OF_ONE,
    awaited=invoices.AWAITED,
    under_way=invoices.UNDER_WAY,
)


@dataclass(frozen=True, slots=True)
class Overview:
    """The whole page."""

    subscriptions: list[SubscriptionView]
    unreadable: tuple[str, ...]  # ids of subscriptions whose rows are invalid
    methods: list[PaymentMethodView]
    recent: InvoicePage
    open: list[InvoiceSummary]
    tax_ids: list[TaxIdView]
    expiring: list[PaymentMethodView]
    trials_ending: list[SubscriptionView]
    default_method_id: str | None

    def method_of(self, subscription: SubscriptionView) -> PaymentMethodView | None:
        """The payment method to which a subscription is charged."""
        charged = subscription.payment_method_id or self.default_method_id
        return next((method for method in self.methods if method.id == charged), None)


def find(visitor: Visitor, at: int) -> Overview:
    """The overview of this customer."""
    rows = _OVERVIEW.fetch(**visitor.scope, at=at)
    open_rows = [row for row in rows["invoices"] if row["list"] == "open"]
    readable, unreadable = subscriptions.build(rows, open_rows, visitor.payer, at)
    unpaid = {row["subscription_id"] for row in open_rows}
    subs = [_standing(each, has_open_invoice=each.id in unpaid) for each in _shown(readable, visitor)]
    methods = payment_methods.build(rows["methods"], visitor.default_payment_method_id, subs, at)
    recent, still_open = invoices.split(rows["invoices"])
    return Overview(
        subscriptions=subs,
        unreadable=unreadable,
        methods=methods,
        recent=recent,
        open=still_open,
        tax_ids=billing_information.build(rows["tax_ids"]),
        expiring=[m for m in methods if m.expiry and (m.is_default or m.used_by)],
        trials_ending=[s for s in subs if _ends_soon(s, at)],
        default_method_id=visitor.default_payment_method_id,
    )


def _standing(
    subscription: SubscriptionView, *, has_open_invoice: bool, has_uncollected: bool = False
) -> SubscriptionView:
    """The subscription with the data in other rows that decides whether its plan can be changed."""
    arranged = subscription.planned is not None and not subscription.planned.by_customer
    if not (has_open_invoice or has_uncollected or arranged):
        return subscription
    snapshot = replace(
        subscription.snapshot,
        has_open_invoice=has_open_invoice,
        has_uncollected_invoice=has_uncollected,
        managed_by_merchant_schedule=arranged,
    )
    return replace(subscription, snapshot=snapshot)


def _shown(subs: list[SubscriptionView], visitor: Visitor) -> list[SubscriptionView]:
    """The subscriptions that this portal shows: a session on behalf of a connected account shows only that account's."""
    owner = visitor.on_behalf_of
    return subs if owner is None else [each for each in subs if each.on_behalf_of == owner]


def _ends_soon(subscription: SubscriptionView, at: int) -> bool:
    trial_end = subscription.trial_end
    return subscription.status == "trialing" and trial_end is not None and at <= trial_end <= at + TRIAL_NOTICE


def find_subscription(
    visitor: Visitor, subscription_id: str, at: int
) -> tuple[SubscriptionView, PaymentMethodView | None] | None:
    """A customer's own subscription with its payment method, or None. Raises Unreadable if its row is invalid."""
    rows = _SUBSCRIPTION.fetch(**visitor.scope, at=at, subscription_id=subscription_id)
    readable, unreadable = subscriptions.build(rows, rows["awaited"], visitor.payer, at)
    if subscription_id in unreadable:
        raise Unreadable(subscription_id)
    subs = _shown(readable, visitor)
    subscription = next((each for each in subs if each.id == subscription_id), None)
    if subscription is None:
        return None
    default = visitor.default_payment_method_id
    charged = subscription.payment_method_id or default
    methods = payment_methods.build(rows["methods"], default, subs, at)
    under_way = {row["invoice_id"]: row for row in rows["under_way"]}
    unpaid = tuple(map(invoices.summary, rows["open"]))
    standing = _standing(subscription, has_open_invoice=bool(unpaid), has_uncollected=bool(rows["uncollected"]))
    snapshot = replace(standing.snapshot, siblings=_siblings(readable, subscription_id))
    written_off = tuple(map(invoices.summary, rows["written_off"]))
    is_whole = len(rows["subscriptions"]) < subscription_rows.MOST and len(rows["awaited"]) < invoices.MOST_AWAITED
    shown = replace(
        standing, snapshot=snapshot, open_invoices=unpaid, written_off=written_off, under_way=under_way,
        has_all_siblings=is_whole and not unreadable,
    )  # fmt: skip
    return shown, next((method for method in methods if method.id == charged), None)


def _siblings(subs: list[SubscriptionView], subscription_id: str) -> tuple[SubscriptionSnapshot, ...]:
    """The customer's other subscriptions as `loading.snapshots` has them, also those that this portal does not show."""
    others = (each.snapshot for each in subs if each.id != subscription_id)
    return tuple(sorted(others, key=lambda snapshot: snapshot.id))
