"""What the page of a link from an e-mail says, and its button. It shows no more than the link is for."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from portal_site.billing.portal_access.email_links import EmailLink, Purpose
from portal_site.billing.rules.portal import flows
from portal_site.billing.rules.portal.flows import Flow
from portal_site.billing.translation_marks import N_
from portal_site.portal import wording
from portal_site.portal.access.visitors import Visitor
from portal_site.portal.reads import invoices, overview
from portal_site.portal.reads.invoices import InvoiceView
from portal_site.portal.reads.subscriptions import SubscriptionView
from portal_site.web.rendering.filters import date
from portal_site.web.rendering.i18n import gettext as _


@dataclass(frozen=True)
class LinkPage:
    """A heading, what there is to know, and what the button does; without one nothing is left to do.

    `needs_code` says that the button first sends a code to the customer's own address. `state` comes back with the button: a
    second click must not undo the first.
    """

    heading: str
    sentences: tuple[str, ...] = ()
    button: str = ""
    needs_code: bool = False
    state: str = ""
    invoice: InvoiceView | None = None


_REMINDERS = {
    "trial_ending": N_("before a free trial ends"),
    "renewal_ahead": N_("before a subscription renews"),
    "card_expiring": N_("before a card expires"),
    "unpaid_reminder": N_("about unpaid invoices"),
    "pause_ending": N_("before a pause ends"),
}
_FLOWS = {
    flows.PAYMENT_METHOD_UPDATE: N_("Add a payment method"),
    flows.CUSTOMER_UPDATE: N_("Update your billing information"),
    flows.SUBSCRIPTION_CANCEL: N_("Cancel your subscription"),
    flows.SUBSCRIPTION_PAUSE: N_("Pause your subscription"),
    flows.SUBSCRIPTION_UPDATE: N_("Change your plan"),
    flows.SUBSCRIPTION_UPDATE_CONFIRM: N_("Confirm your new plan"),
}


def too_old() -> LinkPage:
    """The page of a link whose time is over."""
    explanation = _("For your security, links in emails only work for a limited time.")
    return LinkPage(_("This link has expired"), (explanation,), _("Continue with a code"), needs_code=True)


def page_of(link: EmailLink, visitor: Visitor, flow: Flow | None, muted: bool, at: int) -> LinkPage | None:
    """The page of a link that works; None if what it is about is not shown any more. `flow` is that of its session, if any."""
    if link.purpose == Purpose.REMINDERS:
        return _reminders(link, muted)
    if link.purpose == Purpose.FLOW:
        return _flow(flow) if flow is not None else LinkPage(_("Already done"))
    return _PAGES[link.purpose](link, visitor, at)


def _invoice(link: EmailLink, visitor: Visitor, _at: int) -> LinkPage | None:
    invoice = invoices.find(visitor.scope, link.object_id)
    if invoice is None:
        return None
    heading = _("Invoice %(number)s", number=invoice.number or invoice.id)
    button = wording.invoices.pay(invoice) if invoice.owed and not invoice.processing else ""
    return LinkPage(heading, button=button, invoice=invoice)


def _payment_method(link: EmailLink, visitor: Visitor, at: int) -> LinkPage | None:
    methods = overview.find(visitor, at).methods
    if not (link.object_id or methods):
        return LinkPage(_("Add a payment method"), button=_("Add a payment method"))
    method = next((each for each in methods if each.id == link.object_id), None)
    if method is None or not (method.is_default or method.used_by):
        return LinkPage(_("Already done"), (_("Another payment method has taken its place."),))
    sentence = wording.payment_methods.warning(method) if method.expiry else wording.payment_methods.short_name(method)
    return LinkPage(_("Update your payment method"), (sentence,), _("Add a payment method"))


def _subscription(link: EmailLink, visitor: Visitor, at: int) -> LinkPage | None:
    found = overview.find_subscription(visitor, link.object_id, at)
    if found is None:
        return None
    subscription, method = found
    contents = tuple(wording.subscriptions.contents(item, len(subscription.items) > 1) for item in subscription.items)
    step = wording.subscriptions.next_step(subscription, method, at)
    upcoming = (f"{step.label}: {step.figure} {step.rest}",) if step is not None else ()
    button = _("Manage your subscription")
    return LinkPage(_products(subscription), (*contents, *upcoming), button, needs_code=True)


def _keep(link: EmailLink, visitor: Visitor, at: int) -> LinkPage | None:
    found = overview.find_subscription(visitor, link.object_id, at)
    if found is None:
        return None
    subscription = found[0]
    values = {"products": _products(subscription)}
    if subscription.status.ended:
        return LinkPage(
            _("Your subscription has ended"), (_("Your subscription to %(products)s has ended.", **values),)
        )
    if not (subscription.can_be_kept and visitor.features.subscription_cancel.enabled):
        if subscription.cancel_at is None:
            continues = _("Your subscription to %(products)s continues.", **values)
            return LinkPage(_("Your subscription continues"), (continues,))
        return _subscription(link, visitor, at)
    ends = _("Your subscription to %(products)s ends on %(date)s.", date=date(subscription.cancel_at or 0), **values)
    return LinkPage(_("Keep your subscription?"), (ends, _continues(subscription)), _("Keep my subscription"))


def _cancel(link: EmailLink, visitor: Visitor, at: int) -> LinkPage | None:
    found = overview.find_subscription(visitor, link.object_id, at)
    if found is None:
        return None
    subscription = found[0]
    if subscription.status.ended or subscription.cancel_at is not None:
        done = _keep(link, visitor, at)
        return done and replace(done, heading=_("Already done"), button="")
    question = _("Cancel your subscription to %(products)s?", products=_products(subscription))
    next_page = _("The next page says when it ends, and asks you to confirm it.")
    return LinkPage(question, (next_page,), _("Continue"))


def _continues(subscription: SubscriptionView) -> str:
    items = tuple(wording.subscriptions.planned_item(item) for item in subscription.items)
    return _("It will then continue as before: %(items)s.", items="; ".join(items))


def _products(subscription: SubscriptionView) -> str:
    return ", ".join(subscription.products)


def _flow(flow: Flow) -> LinkPage:
    needs_code = flow.type not in flows.OF_EMAIL_LINKS
    return LinkPage(_(_FLOWS[flow.type]), button=_("Continue"), needs_code=needs_code)


def _reminders(link: EmailLink, muted: bool) -> LinkPage | None:
    if link.object_id not in _REMINDERS:
        return None
    which = _(_REMINDERS[link.object_id])
    if muted:
        stopped = _("You will get no more emails %(which)s.", which=which)
        return LinkPage(_("Already done"), (stopped,), _("Send them again"), state="muted")
    question = _("Stop the emails %(which)s? You will still get invoices and receipts.", which=which)
    return LinkPage(_("Stop these reminders?"), (question,), _("Stop these reminders"))


_PAGES: Mapping[Purpose, Callable[[EmailLink, Visitor, int], LinkPage | None]] = {
    Purpose.INVOICE: _invoice,
    Purpose.PAYMENT_METHOD: _payment_method,
    Purpose.SUBSCRIPTION: _subscription,
    Purpose.KEEP: _keep,
    Purpose.CANCEL: _cancel,
}
