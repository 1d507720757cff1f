"""The page after a payment: what was paid, and its effect."""

from portal_site.portal.reads.invoices import InvoiceView
from portal_site.portal.reads.subscriptions import SubscriptionView
from portal_site.portal.wording import invoices, payment_methods
from portal_site.web.rendering import units
from portal_site.web.rendering.filters import date, money, number
from portal_site.web.rendering.i18n import gettext as _


def title(what: str, subscription: SubscriptionView | None) -> str:
    """The title: the state after the payment."""
    if what == "plan_change" and subscription is not None:
        return _what_one_has(subscription)
    return {
        "resumption": _("Your subscription has resumed"),
        "first_invoice": _("Welcome back"),
        "final_invoice": _("Your last invoice is paid"),
        "plan_change": _("Your plan was changed"),
    }.get(what, _("The invoice is paid"))


def _what_one_has(subscription: SubscriptionView) -> str:
    if len(subscription.items) != 1:
        return _("Your plan was changed")
    item = subscription.items[0]
    if item.quantity is None or item.quantity == 1 or not item.unit_label:
        return _("You now have %(what)s", what=item.product)
    return _("You now have %(what)s", what=units.named(number(item.quantity), item.quantity, item.unit_label))


def sentences(what: str, invoice: InvoiceView, subscription: SubscriptionView | None) -> list[str]:
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
