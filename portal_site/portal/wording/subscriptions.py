"""Subscriptions: their state, what happens next, and their items."""

from collections.abc import Sequence
from dataclasses import dataclass

from portal_site.billing.rules.subscriptions import cancellation
from portal_site.billing.rules.subscriptions.forecast import NextInvoice
from portal_site.billing.rules.subscriptions.statuses import SubscriptionStatus
from portal_site.portal.reads.payment_methods import PaymentMethodView
from portal_site.portal.reads.subscriptions import DiscountView, ItemView, PlannedChange, SubscriptionView
from portal_site.portal.wording import payment_methods, retention
from portal_site.web.rendering import units
from portal_site.web.rendering.filters import DAY, date, every, money, number, relative_date, unit_money
from portal_site.web.rendering.i18n import gettext as _
from portal_site.web.rendering.i18n import ngettext


def section_title(subscriptions: Sequence[SubscriptionView]) -> str:
    """The heading of the list, in which running subscriptions come first."""
    if not subscriptions or subscriptions[0].status.ended:
        return _("Subscriptions")
    return ngettext("Current subscription", "Subscriptions", len(subscriptions))


@dataclass(frozen=True)
class NextStep:
    """What happens next to a subscription: a label, the main text in large type, and a note."""

    label: str
    figure: str
    rest: str = ""


def next_step(subscription: SubscriptionView, method: PaymentMethodView | None, now: int) -> NextStep | None:
    """What happens next to a subscription; None if a planned change says it."""
    if subscription.status.ended:
        ended = subscription.ended_at
        return NextStep(_("Ended"), date(ended) if ended else _("Ended"), _("No further invoice will follow."))
    if subscription.cancel_at:
        ends = subscription.trial_end, subscription.cancel_at, subscription.canceled_at
        if cancellation.is_for_want_of_method(subscription.status, *ends):
            unless = _("It ends then unless you add a payment method.")
            return NextStep(_("Free until"), date(subscription.cancel_at), unless)
        return NextStep(
            _("Ends"),
            date(subscription.cancel_at),
            before_the_end(subscription.next_invoice) or _("It will not renew, and no further invoice will follow."),
        )
    upcoming = subscription.next_invoice
    return _standing(subscription) or (_payment(subscription, upcoming, method, now) if upcoming else None)


def before_the_end(following: NextInvoice | None) -> str:
    """What is still billed until a cancelled subscription ends; empty if nothing is."""
    if following is None:
        return ""
    return _("Before then, your next invoice, on %(date)s, will be %(amount)s.", **_when_and_how_much(following))


def _standing(subscription: SubscriptionView) -> NextStep | None:
    if subscription.status == SubscriptionStatus.PAUSED:
        if subscription.resumes_at is None:
            return NextStep(_("Paused"), _("Until you resume"), _("You pay nothing until then."))
        return NextStep(_("Paused until"), date(subscription.resumes_at), _("You pay nothing until then."))
    if subscription.status == SubscriptionStatus.INCOMPLETE:
        return NextStep(
            _("Not started yet"), _("Awaiting payment"), _("It starts as soon as the first invoice is paid.")
        )
    if subscription.status == SubscriptionStatus.UNPAID:
        return NextStep(_("On hold"), _("Invoice unpaid"), _("It resumes once what is due is paid."))
    return None


def _payment(
    subscription: SubscriptionView, upcoming: NextInvoice, method: PaymentMethodView | None, now: int
) -> NextStep:
    amount, usage = money(upcoming.amount_due, upcoming.currency), ""
    if upcoming.varies and upcoming.subtotal == 0:
        amount = _("Depends on your usage")
    elif upcoming.varies:
        usage = _("plus your usage, ")
    if upcoming.date <= now:
        day = date(upcoming.date)
        being = _("renewal of %(date)s, being processed", date=day)
        if not upcoming.renews:
            being = _("due on %(date)s, being processed", date=day)
        return NextStep(_("Next payment"), amount, f"{usage}{being}")
    if subscription.status == SubscriptionStatus.TRIALING:
        free = _("Free until %(date)s, then", date=relative_date(upcoming.date, now))
        return NextStep(free, amount, usage.rstrip(", ") or (_from(method) if upcoming.amount_due else ""))
    overdue = subscription.status == SubscriptionStatus.PAST_DUE
    label = _("Next payment after this one") if overdue else _("Next payment")
    return NextStep(label, amount, f"{usage}{_when_and_how(subscription, upcoming, method, now)}")


def _when_and_how(
    subscription: SubscriptionView, upcoming: NextInvoice, method: PaymentMethodView | None, now: int
) -> str:
    values = {"date": relative_date(upcoming.date, now)}
    if subscription.collection_method == "send_invoice":
        return _("on %(date)s, by invoice", **values)
    if method is None or not upcoming.amount_due:
        return _("on %(date)s", **values)
    return _("on %(date)s, from %(method)s", method=payment_methods.short_name(method), **values)


def _from(method: PaymentMethodView | None) -> str:
    return _("from %(method)s", method=payment_methods.short_name(method)) if method else ""


def trial_progress(subscription: SubscriptionView, now: int) -> tuple[int, int] | None:
    """The elapsed and total days of a free trial, or None without a trial."""
    if subscription.status != SubscriptionStatus.TRIALING or not subscription.trial_end:
        return None
    began = min((item.period_start for item in subscription.snapshot.items), default=subscription.created)
    whole = max(1, round((subscription.trial_end - began) / DAY))
    return min(whole, max(0, (now - began) // DAY)), whole


def trial_words(over: int, whole: int) -> str:
    """The same in words."""
    return _("%(over)s of %(whole)s free days used", over=number(over), whole=number(whole))


def contents(item: ItemView, several: bool) -> str:
    """The price of an item with its calculation: 3 seats · US$12.00 each per month."""
    if item.amount is None:
        return _("Price varies with usage")
    often = every(item.interval, item.interval_count)
    count = quantity(item.quantity, item.unit_label)
    if not count:
        return f"{money(item.amount, item.currency)} {often}"
    if several or item.offer.terms.billing_scheme == "tiered" or item.offer.terms.divide_by != 1:
        return f"{count} · {money(item.amount, item.currency)} {often}"
    each = unit_money(item.offer.terms.unit_amount, item.currency)
    return _("%(count)s · %(each)s each %(often)s", count=count, each=each, often=often)


def status_badge(subscription: SubscriptionView) -> tuple[str, str, str | None]:
    """The text, tone and test id of the badge. A subscription with a scheduled end says when, whatever its status."""
    if subscription.cancel_at and not subscription.status.ended:
        ends = _("Ends %(date)s", date=date(subscription.cancel_at))
        return ends, "warning", "subscription-cancel-at-period-end-badge"
    return _(subscription.status.label), subscription.status.tone, None


def _when_and_how_much(invoice: NextInvoice) -> dict[str, str]:
    return {"date": date(invoice.date), "amount": money(invoice.amount_due, invoice.currency)}


def balance_notes(subscription: SubscriptionView, now: int) -> list[str]:
    """What of the next payment is credit or carried over, and whether tax will be added to it."""
    upcoming = subscription.next_invoice
    if upcoming is None or upcoming.date <= now or subscription.cancel_at:
        return []
    if not (subscription.automatic_tax or upcoming.credit_used or upcoming.carried):
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
    """A discount in force, with its duration."""
    values = {"name": view.label, "off": retention.off(view.percent_off, view.amount_off, view.currency)}
    if view.end:
        return _("%(name)s: %(off)s off until %(date)s", date=date(view.end), **values)
    if view.duration == "once":
        return _("%(name)s: %(off)s off your next invoice", **values)
    return _("%(name)s: %(off)s off", **values)


def planned_item(item: ItemView) -> str:
    """An item after a planned change, with quantity and price."""
    name = item.product if item.quantity in (None, 1) else f"{item.product} × {number(item.quantity or 0)}"
    if item.amount is None:
        return name
    return f"{name}, {money(item.amount, item.currency)} {every(item.interval, item.interval_count)}"


def planned_by(change: PlannedChange, business: str) -> str:
    """Who manages the planned change; empty if the customer does."""
    return "" if change.by_customer else _("This change is managed by %(business)s.", business=business)


def quantity(quantity: int | None, unit_label: str | None = None, *, even_one: bool = False) -> str:
    """The quantity, unless it is one: 25 seats. With `even_one` a single unit with a unit label is named too."""
    if quantity is None or (quantity == 1 and not (even_one and unit_label)):
        return ""
    count = number(quantity)
    return units.named(count, quantity, unit_label) if unit_label else _("Quantity %(count)s", count=count)


def more_items(count: int) -> str:
    """How many items are not listed."""
    return ngettext("and %(num)s more item", "and %(num)s more items", count) if count > 0 else ""
