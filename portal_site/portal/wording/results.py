"""What pages say once something is done: a payment, or the one thing that a visit was for."""

from flask import g, url_for

from portal_site.billing.rules.portal import flows
from portal_site.billing.rules.portal.flows import Flow
from portal_site.billing.rules.subscriptions.statuses import SubscriptionStatus
from portal_site.portal.access.visitors import PortalOwner, Visitor
from portal_site.portal.reads.invoices import InvoiceView
from portal_site.portal.reads.payment_methods import PaymentMethodView
from portal_site.portal.reads.subscriptions import SubscriptionView
from portal_site.portal.wording import invoices, payment_methods
from portal_site.web.rendering import units
from portal_site.web.rendering.filters import date, money, number
from portal_site.web.rendering.i18n import gettext as _


def payment_title(what: str, subscription: SubscriptionView | None) -> str:
    """The title: the state after the payment."""
    if what == "plan_change" and subscription is not None:
        return what_one_has(subscription)
    return {
        "resumption": _("Your subscription has resumed"),
        "first_invoice": _("Welcome back"),
        "final_invoice": _("Your last invoice is paid"),
        "plan_change": _("Your plan was changed"),
    }.get(what, _("The invoice is paid"))


def what_one_has(subscription: SubscriptionView) -> str:
    """The plan after a change."""
    if len(subscription.items) != 1:
        return _("Your plan was changed")
    item = subscription.items[0]
    if item.quantity is None or item.quantity == 1 or not item.unit_label:
        return _("You now have %(what)s", what=item.product)
    return _("You now have %(what)s", what=units.named(number(item.quantity), item.quantity, item.unit_label))


def payment_sentences(what: str, invoice: InvoiceView, subscription: SubscriptionView | None) -> list[str]:
    """The sentences: thanks, the charged amount and payment method, the time, and the next payment."""
    thanks = {
        "plan_change": _("Thank you. It is paid, and your plan was changed."),
        "resumption": _("Thank you. It is paid, and your subscription continues."),
        "first_invoice": _("Welcome back. Your subscription has begun."),
        "final_invoice": _("Thank you. Your last invoice is paid."),
    }.get(what, _("Thank you. The invoice is paid."))
    amount = money(invoice.amount_paid, invoice.currency)
    values = {"amount": amount, "date": date(invoice.paid_at or invoice.created)}
    if invoice.paid_with is None:
        charged = _("%(amount)s was paid on %(date)s.", **values)
    else:
        method = payment_methods.short_name(invoice.paid_with)
        charged = _("%(amount)s was charged to %(method)s on %(date)s.", method=method, **values)
    upcoming = subscription.next_invoice if subscription is not None and not subscription.cancel_at else None
    return [thanks, charged, *([invoices.upcoming(upcoming)] if upcoming is not None else [])]


def ways_on(invoice: InvoiceView, visitor: Visitor) -> list[tuple[str, str]]:
    """The links below, as (URL, text), the likeliest first: to the merchant's site, where the visit was for this only."""
    if visitor.flow is not None:
        back = visitor.safe_return_url
        return [(back, back_to_business(visitor))] if back else []
    found = [(url_for("portal.show_overview"), _("Back to overview"))]
    if visitor.features.invoice_history.enabled:
        found.append((url_for("portal.show_invoice", invoice_id=invoice.id), _("See the invoice")))
    return found


def flow_title(flow: Flow, subscription: SubscriptionView | None) -> str:
    """What is so now, from the present state: the page can be loaded again."""
    if flow.type == flows.PAYMENT_METHOD_UPDATE:
        return _("Your payment method was added")
    if flow.type == flows.CUSTOMER_UPDATE:
        return _("Your billing information was updated")
    if subscription is None:
        return _("This is done")
    return _of_subscription(flow, subscription)


def _of_subscription(flow: Flow, subscription: SubscriptionView) -> str:
    if subscription.status.ended:
        return _("Your subscription has ended")
    if subscription.cancel_at:
        return _("Your subscription ends on %(date)s", date=date(subscription.cancel_at))
    if subscription.status == SubscriptionStatus.PAUSED:
        return _("Your subscription is paused")
    if subscription.planned is not None and subscription.planned.by_customer:
        return _("Your plan changes on %(date)s", date=date(subscription.planned.date))
    if flow.type == flows.SUBSCRIPTION_CANCEL:
        return _("Your subscription continues")
    return _("Your plan was changed")


def flow_sentences(flow: Flow, method: PaymentMethodView | None) -> list[str]:
    """The merchant's message, else what follows."""
    if flow.completion.message:
        return [flow.completion.message]
    if flow.type == flows.PAYMENT_METHOD_UPDATE and method is not None:
        return [_("Future payments will be charged to %(name)s.", name=payment_methods.short_name(method))]
    if flow.type == flows.CUSTOMER_UPDATE:
        return [_("Changes will appear on your next invoice. Past invoices do not change.")]
    return []


def message_after_payment() -> str:
    """The merchant's message on the page after a payment that completes a flow; empty without one."""
    flow: Flow | None = g.visitor.flow
    return (flow.completion.message or "") if flow else ""


def way_on(flow: Flow, visitor: PortalOwner) -> str:
    """Where its button leads: the URL for after the flow, else the one for any time; empty without either."""
    return flow.completion.return_url or visitor.safe_return_url or ""


def back_to_business(visitor: PortalOwner) -> str:
    """The text of a link to the merchant's site."""
    return _("Return to %(business)s", business=visitor.business_name)
