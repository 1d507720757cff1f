"""Subscriptions: how they stand, what comes next, what they contain."""

from collections.abc import Sequence

from portal_site.billing.rules.portal.portal_features import Features
from portal_site.billing.rules.subscriptions.forecast import NextInvoice
from portal_site.billing.rules.subscriptions.statuses import SubscriptionStatus
from portal_site.portal.reads.subscriptions import DiscountView, ItemView, PlannedChange, SubscriptionView
from portal_site.portal.wording import invoices, retention
from portal_site.web.rendering.filters import date, every, money, number
from portal_site.web.rendering.i18n import gettext as _
from portal_site.web.rendering.i18n import ngettext


def section_title(subscriptions: Sequence[SubscriptionView]) -> str:
    """The heading of the list, which begins with those that run."""
    if not subscriptions or subscriptions[0].status.ended:
        return _("Subscriptions")
    return ngettext("Current subscription", "Subscriptions", len(subscriptions))


def ending(subscription: SubscriptionView) -> str:
    """When a cancelled one ends."""
    assert subscription.cancel_at is not None
    return _("Ends on %(date)s and will not renew.", date=date(subscription.cancel_at))


def before_the_end(following: NextInvoice | None) -> str:
    """What is still billed until then; nothing where nothing is."""
    if following is None:
        return ""
    return _("Before then, your next invoice, on %(date)s, will be %(amount)s.", **_when_and_how_much(following))


def outlook(subscription: SubscriptionView, now: int) -> list[str]:
    """What happens next with one that is not cancelled: a sentence, or none where a planned change says it."""
    upcoming = subscription.next_invoice
    sentence = _standing(subscription)
    if not sentence and upcoming is not None:
        sentence = _preparing(upcoming) if upcoming.date <= now else _renewal(subscription.status, upcoming)
        if not upcoming.renews:
            sentence = invoices.upcoming(upcoming)
    return [sentence] if sentence else []


def _standing(subscription: SubscriptionView) -> str:
    if subscription.status.ended:
        ended = subscription.ended_at
        nothing = _("Ended. You will not be billed again.")
        return _("Ended on %(date)s. You will not be billed again.", date=date(ended)) if ended else nothing
    if subscription.status == SubscriptionStatus.PAUSED:
        if subscription.resumes_at is None:
            return _("Paused. You will not be billed until it resumes.")
        return _("Paused until %(date)s. You will not be billed until then.", date=date(subscription.resumes_at))
    if subscription.status == SubscriptionStatus.INCOMPLETE:
        return _("It starts as soon as the first invoice is paid.")
    if subscription.status == SubscriptionStatus.UNPAID:
        return _("It is on hold because an invoice is unpaid.")
    return ""


def where_to_pay(features: Features) -> tuple[str, str]:
    """The page that has the invoices of one on hold, by its endpoint, and the words of the link to it."""
    if features.invoice_history.enabled:
        return "portal.show_invoices", _("See your invoices")
    return "portal.show_overview", _("See what is due")


def _preparing(upcoming: NextInvoice) -> str:
    return _("Your renewal of %(date)s for %(amount)s is being processed.", **_when_and_how_much(upcoming))


def _renewal(status: SubscriptionStatus, upcoming: NextInvoice) -> str:
    values = _when_and_how_much(upcoming)
    if status == SubscriptionStatus.TRIALING:
        free = _("Free until %(date)s.", date=values["date"])
        return f"{free} {_after_trial(upcoming, values['amount'])}"
    if upcoming.varies and upcoming.subtotal == 0:
        return _("Your next invoice is on %(date)s. Its amount depends on your usage.", date=values["date"])
    if upcoming.varies:
        return _("Your plan renews on %(date)s for %(amount)s plus your usage.", **values)
    return _("Your plan renews on %(date)s for %(amount)s.", **values)


def _after_trial(upcoming: NextInvoice, amount: str) -> str:
    if upcoming.varies:
        return _("After that, %(amount)s plus your usage.", amount=amount)
    return _("After that, your first payment is %(amount)s.", amount=amount)


def _when_and_how_much(invoice: NextInvoice) -> dict[str, str]:
    return {"date": date(invoice.date), "amount": money(invoice.amount_due, invoice.currency)}


def balance_notes(subscription: SubscriptionView, now: int) -> list[str]:
    """What of the next payment comes from before it or is left for later, and whether it is all."""
    upcoming = subscription.next_invoice
    if upcoming is None or upcoming.date <= now or subscription.cancel_at:
        return []
    credit, carried = (money(abs(amount), upcoming.currency) for amount in (upcoming.credit_used, upcoming.carried))
    notes = [
        (subscription.automatic_tax, _("Tax will be added to this amount.")),
        (upcoming.credit_used > 0, _("%(credit)s of your credit has already been deducted.", credit=credit)),
        (upcoming.credit_used < 0, _("%(credit)s of credit will be kept for your next invoices.", credit=credit)),
        (
            upcoming.carried > 0,
            _("%(amount)s is too small to charge and will be added to a later invoice.", amount=carried),
        ),
        (upcoming.carried < 0, _("This includes %(amount)s carried over from an earlier invoice.", amount=carried)),
    ]
    return [note for applies, note in notes if applies]


def discount(view: DiscountView) -> str:
    """A discount in force, and for how long it is."""
    values = {"name": view.label, "off": retention.off(view.percent_off, view.amount_off, view.currency)}
    if view.end:
        return _("%(name)s: %(off)s off until %(date)s", date=date(view.end), **values)
    if view.duration == "once":
        return _("%(name)s: %(off)s off your next invoice", **values)
    return _("%(name)s: %(off)s off", **values)


def planned_item(item: ItemView) -> str:
    """One item of what a schedule will make of it, with how many and what they cost."""
    name = item.product if item.quantity in (None, 1) else f"{item.product} × {number(item.quantity or 0)}"
    if item.amount is None:
        return name
    return f"{name}, {money(item.amount, item.currency)} {every(item.interval, item.interval_count)}"


def planned_by(change: PlannedChange, business: str) -> str:
    """Who can change it; nothing where that is the customer."""
    return "" if change.by_customer else _("This change is managed by %(business)s.", business=business)


def quantity(quantity: int | None, unit_label: str | None = None, *, even_one: bool = False) -> str:
    """How many, where that is not simply one: 25 seats. `even_one` names a single unit that has a name of its own."""
    if quantity is None or (quantity == 1 and not (even_one and unit_label)):
        return ""
    count = number(quantity)
    return f"{count} {unit_label}" if unit_label and quantity != 1 else _("Quantity %(count)s", count=count)


def more_items(count: int) -> str:
    """How many are not listed."""
    return ngettext("and %(num)s more item", "and %(num)s more items", count) if count > 0 else ""
