"""What the overview says of subscriptions and invoices, where that depends on their state."""

from typing import Any, NamedTuple

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from bench.twin.filters import address_lines, day, every, money, number, plural, relative_day
from bench.twin.models import Customer, Discount, Invoice, PaymentMethod, Subscription, SubscriptionItem

DAY = 24 * 60 * 60
LABELS = {
    "trialing": ("Free trial", "note"),
    "active": ("Active", "good"),
    "past_due": ("Payment overdue", "bad"),
    "unpaid": ("On hold", "bad"),
    "incomplete": ("Awaiting first payment", "warning"),
    "incomplete_expired": ("Not started", "quiet"),
    "paused": ("Paused", "warning"),
    "canceled": ("Ended", "quiet"),
}
INVOICE_LABELS = {"uncollectible": ("Uncollectible", "bad"), "void": ("Void", "quiet")}


class Step(NamedTuple):
    """What happens next to a subscription: a label, the main text in large type, and a note."""

    label: str
    figure: str
    rest: str = ""


def section_title(subscriptions: list[Subscription]) -> str:
    """The heading of the list, in which running subscriptions come first."""
    if not subscriptions or subscriptions[0].ended:
        return _("Subscriptions")
    return ngettext("Current subscription", "Subscriptions", len(subscriptions))


def badge(subscription: Subscription) -> dict[str, str]:
    """The badge of a subscription: its state, or when it ends."""
    if subscription.ends_at and not subscription.ended:
        test = "subscription-cancel-at-period-end-badge"
        return {"words": _("Ends %(date)s") % {"date": day(subscription.ends_at)}, "tone": "warning", "test": test}
    label, tone = LABELS[subscription.state]
    return {"words": _(label), "tone": tone}


def contents(item: SubscriptionItem, several: bool) -> str:
    """The price of an item with its calculation."""
    price, often = item.price, every(item.price)
    if item.quantity is None or item.quantity == 1:
        return f"{money(item.amount, price.currency)} {often}"
    count, label = number(item.quantity), price.product.unit_label
    count = f"{count} {plural(label)}" if label else _("Quantity %(count)s") % {"count": count}
    if several:
        return f"{count} · {money(item.amount, price.currency)} {often}"
    each = money(price.unit_amount, price.currency)
    return _("%(count)s · %(each)s each %(often)s") % {"count": count, "each": each, "often": often}


def next_step(subscription: Subscription, now: int) -> Step | None:
    """What happens next to a subscription; None if a planned change says it."""
    if subscription.ended:
        ended = subscription.ended_at
        return Step(_("Ended"), day(ended) if ended else _("Ended"), _("No further invoice will follow."))
    if subscription.ends_at:
        return _end(subscription)
    if subscription.state == "paused":
        until = subscription.resumes_at
        label, figure = (_("Paused until"), day(until)) if until else (_("Paused"), _("Until you resume"))
        return Step(label, figure, _("You pay nothing until then."))
    if subscription.state == "incomplete":
        return Step(_("Not started yet"), _("Awaiting payment"), _("It starts as soon as the first invoice is paid."))
    if subscription.state == "unpaid":
        return Step(_("On hold"), _("Invoice unpaid"), _("It resumes once what is due is paid."))
    return _payment(subscription, subscription.next_invoice, now) if subscription.next_invoice else None


def _end(subscription: Subscription) -> Step:
    end, upcoming = day(subscription.ends_at), subscription.next_invoice
    nobody_asked = subscription.canceled_at is None and subscription.cancel_at == subscription.trial_end
    if subscription.status == "trialing" and subscription.cancel_at and nobody_asked:
        return Step(_("Free until"), end, _("It ends then unless you add a payment method."))
    if upcoming is None:
        return Step(_("Ends"), end, _("It will not renew, and no further invoice will follow."))
    values = {"date": day(upcoming["date"]), "amount": money(upcoming["amount"], subscription.currency)}
    return Step(_("Ends"), end, _("Before then, your next invoice, on %(date)s, will be %(amount)s.") % values)


def _payment(subscription: Subscription, upcoming: dict[str, Any], now: int) -> Step:
    at, amount, method = upcoming["date"], money(upcoming["amount"], subscription.currency), subscription.method
    if not upcoming["amount"]:
        method = None
    if at <= now:
        return Step(_("Next payment"), amount, _("renewal of %(date)s, being processed") % {"date": day(at)})
    values = {"date": relative_day(at, now), "method": _short_name(method)}
    if subscription.status == "trialing":
        rest = _("from %(method)s") % values if method else ""
        return Step(_("Free until %(date)s, then") % values, amount, rest)
    label = _("Next payment after this one") if subscription.status == "past_due" else _("Next payment")
    if subscription.collection_method == "send_invoice":
        return Step(label, amount, _("on %(date)s, by invoice") % values)
    return Step(label, amount, (_("on %(date)s, from %(method)s") if method else _("on %(date)s")) % values)


def _short_name(method: PaymentMethod | None) -> str:
    return f"{method.name} •••• {method.last4}" if method else ""


def trial_progress(subscription: Subscription, now: int) -> dict[str, Any] | None:
    """The elapsed and total days of a free trial, or None without a trial."""
    if subscription.status != "trialing" or not subscription.trial_end:
        return None
    began = min((item.current_period_start for item in subscription.lines), default=subscription.created)
    whole = max(1, round((subscription.trial_end - began) / DAY))
    over = min(whole, max(0, (now - began) // DAY))
    words = _("%(over)s of %(whole)s free days used") % {"over": number(over), "whole": number(whole)}
    return {"over": over, "whole": whole, "words": words}


def notes(subscription: Subscription, now: int) -> list[str]:
    """What else there is to say of the next payment. The data has no credit and nothing carried over."""
    upcoming = subscription.next_invoice
    applies = subscription.automatic_tax and upcoming and upcoming["date"] > now and not subscription.ends_at
    return [_("Tax will be added to this amount.")] if applies else []


def discount(discount: Discount) -> str:
    """A discount in force, with its duration."""
    values = {"name": discount.promotion_code or discount.coupon.name, "off": f"{discount.coupon.percent_off}%"}
    if discount.end:
        return _("%(name)s: %(off)s off until %(date)s") % {"date": day(discount.end), **values}
    if discount.coupon.duration == "once":
        return _("%(name)s: %(off)s off your next invoice") % values
    return _("%(name)s: %(off)s off") % values


def facts(customer: Customer) -> list[dict[str, Any]]:
    """The stored billing information, each fact with its label."""
    shipping = customer.shipping or {}
    recipient = [shipping["name"]] if shipping.get("name") else []
    found = (
        {"label": _("Name"), "text": customer.name},
        {"label": _("Email"), "text": customer.email},
        {"label": _("Billing address"), "lines": address_lines(customer.address)},
        {"label": _("Phone"), "text": customer.phone},
        {"label": _("Shipping address"), "lines": recipient + address_lines(shipping.get("address"))},
    )
    return [fact for fact in found if fact.get("text") or fact.get("lines")]


def missing(customer: Customer, allowed: list[str]) -> list[tuple[str, str]]:
    """The missing billing information that the customer may add, as words with a route."""
    links = (
        ("name", _("Add name"), customer.name, "edit_billing_information"),
        ("email", _("Add email"), customer.email, "edit_billing_information"),
        ("address", _("Add billing address"), customer.address, "edit_billing_information"),
        ("phone", _("Add phone number"), customer.phone, "edit_billing_information"),
        ("shipping", _("Add shipping address"), customer.shipping, "edit_billing_information"),
        ("tax_id", _("Add a tax ID"), None, "new_tax_id"),
    )
    return [(words, route) for name, words, known, route in links if name in allowed and not known]


def invoice_state(invoice: Invoice, now: int) -> tuple[str, str]:
    """The status of an invoice as text and tone. Settled states have no colour."""
    if invoice.status == "open":
        if invoice.amount_remaining > 0 and invoice.due_date and invoice.due_date > now:
            return _("Due %(date)s") % {"date": day(invoice.due_date, "medium")}, "warning"
        return _("Unpaid"), "bad"
    if invoice.status != "paid":
        label, tone = INVOICE_LABELS[invoice.status]
        return _(label), tone
    if invoice.total < 0:
        return _("Credit"), "settled"
    carried = invoice.total > 0 and not invoice.amount_due and (invoice.ending_balance or 0) >= invoice.total
    return (_("Carried over"), "quiet") if carried else (_("Paid"), "settled")
