"""Everything that the overview and its sections show, read in one go, and what of it needs attention."""

from dataclasses import dataclass, replace

from portal_site.db.page_query import PageQuery
from portal_site.portal.reads import billing_information, invoices, payment_methods, subscription_rows, subscriptions
from portal_site.portal.reads.billing_information import TaxIdView
from portal_site.portal.reads.invoices import InvoicePage, InvoiceSummary
from portal_site.portal.reads.payment_methods import PaymentMethodView
from portal_site.portal.reads.subscriptions import SubscriptionView
from portal_site.portal.visitors import Visitor

TRIAL_NOTICE = 7 * 24 * 60 * 60
_OVERVIEW = PageQuery(
    subscriptions=subscription_rows.LINES,
    discounts=subscription_rows.DISCOUNTS,
    methods=payment_methods.METHODS,
    invoices=invoices.RECENT_AND_OPEN,
    tax_ids=billing_information.TAX_IDS,
)
_SUBSCRIPTION = PageQuery(
    subscriptions=subscription_rows.LINES_OF_ONE,
    discounts=subscription_rows.DISCOUNTS,
    methods=payment_methods.METHODS,
    open=invoices.OPEN_OF_ONE,
    under_way=invoices.UNDER_WAY,
)


@dataclass(frozen=True, slots=True)
class Overview:
    """The whole page."""

    subscriptions: list[SubscriptionView]
    methods: list[PaymentMethodView]
    recent: InvoicePage
    open: list[InvoiceSummary]
    tax_ids: list[TaxIdView]
    expiring: list[PaymentMethodView]
    trials_ending: list[SubscriptionView]


def find(visitor: Visitor, at: int) -> Overview:
    """What this customer has."""
    rows = _OVERVIEW.fetch(**visitor.scope, at=at)
    subs = subscriptions.build(rows["subscriptions"], rows["discounts"], visitor.payer, at)
    methods = payment_methods.build(rows["methods"], visitor.default_payment_method_id, subs, at)
    recent, still_open = invoices.split(rows["invoices"])
    return Overview(
        subscriptions=subs,
        methods=methods,
        recent=recent,
        open=still_open,
        tax_ids=billing_information.build(rows["tax_ids"]),
        expiring=[m for m in methods if m.expiry and (m.is_default or m.used_by)],
        trials_ending=[s for s in subs if _ends_soon(s, at)],
    )


def _ends_soon(subscription: SubscriptionView, at: int) -> bool:
    trial_end = subscription.trial_end
    return subscription.status == "trialing" and trial_end is not None and at <= trial_end <= at + TRIAL_NOTICE


def find_subscription(
    visitor: Visitor, subscription_id: str, at: int
) -> tuple[SubscriptionView, PaymentMethodView | None] | None:
    """A customer's own subscription and what it is charged to, or None."""
    rows = _SUBSCRIPTION.fetch(**visitor.scope, at=at, subscription_id=subscription_id)
    subs = subscriptions.build(rows["subscriptions"], rows["discounts"], visitor.payer, at)
    if not subs:
        return None
    default = visitor.default_payment_method_id
    charged = subs[0].payment_method_id or default
    methods = payment_methods.build(rows["methods"], default, subs, at)
    under_way = {row["invoice_id"]: row for row in rows["under_way"]}
    subscription = replace(subs[0], open_invoices=tuple(map(invoices.summary, rows["open"])), under_way=under_way)
    return subscription, next((method for method in methods if method.id == charged), None)
