"""Changes of plan: what they cost, when they take effect, what the buttons say."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from portal_site.billing.rules.amounts.items import Item, PricedPlan
from portal_site.billing.rules.subscriptions.plan_change import NewDiscount, Quote
from portal_site.billing.rules.subscriptions.statuses import SubscriptionStatus
from portal_site.billing.translation_marks import N_
from portal_site.portal.changes.plan_change_forms import NONE, AddOnChoice, ItemChoice
from portal_site.portal.reads.subscriptions import SubscriptionView
from portal_site.portal.wording import invoices, prices
from portal_site.web.rendering.filters import date, every, money, number
from portal_site.web.rendering.i18n import gettext as _

if TYPE_CHECKING:
    from portal_site.portal.changes.plan_changes import ChangePage

BILLED = {
    "day": N_("Billed daily"),
    "week": N_("Billed weekly"),
    "month": N_("Billed monthly"),
    "year": N_("Billed yearly"),
}
UNLIMITED = 999_999  # a maximum that stands for none


def announcement(page: "ChangePage") -> str:
    """What is read aloud when the quote changes."""
    if page.form.wrong:
        return " ".join(page.form.summary.values())
    if page.refusal:
        return page.refusal
    if page.quote is None:
        return _("Nothing changes.")
    if page.quote.invoiced:
        bill = page.quote.invoice
        return _("Due today: %(amount)s.", amount=money(bill.amount_due, bill.currency))
    return _("Nothing is due today.")


def outlook(page: "ChangePage") -> list[str]:
    """When the change takes effect and what comes after it; what a deferred one replaces stands above this."""
    assert page.quote is not None
    sentences = [_effect(page), "" if page.quote.invoiced else _("Nothing is due today."), _without_credit(page)]
    if page.quote.next_invoice:
        sentences.append(invoices.upcoming(page.quote.next_invoice))
    return [sentence for sentence in sentences if sentence]


def _without_credit(page: "ChangePage") -> str:
    if not page.lacks_invoice or not page.lines or page.quote is None or page.quote.deferred:
        return ""
    return _("Nothing is credited for the current period, because its invoice is not stored here.")


def _effect(page: "ChangePage") -> str:
    quote = page.quote
    assert quote is not None
    if quote.deferred:
        return ""
    if page.subscription.status == SubscriptionStatus.TRIALING and page.trial_ends:
        return _("Your free trial ends with this change.")
    if page.subscription.status == SubscriptionStatus.TRIALING:
        return _("Your free trial continues until %(date)s.", date=date(quote.trial_end or 0))
    if not page.lines:
        return _("This takes effect now. The new price applies from your next invoice.")
    return ""


def price_before(item: Item, subscription: SubscriptionView) -> str:
    """What an item costs until a deferred change; nothing where that stays the same."""
    before = next((view for view in subscription.items if view.id == item.id), None)
    if before is None or before.amount is None:
        return ""
    other_interval = before.offer.length != item.offer.length
    if before.amount == item.amount and not other_interval:
        return ""
    amount = money(before.amount, before.currency)
    return f"{amount} {every(before.interval, before.interval_count)}" if other_interval else amount


def confirm(quote: Quote) -> str:
    """The button that agrees to a quote."""
    if quote.invoice.amount_due:
        amount = money(quote.invoice.amount_due, quote.invoice.currency)
        return _("Change plan and pay %(amount)s", amount=amount)
    if quote.deferred:
        return _("Change plan on %(date)s", date=date(quote.effective_at))
    return _("Change plan")


def billed(offer: PricedPlan) -> str:
    """How often the offers of a group are billed."""
    if offer.interval_count == 1:
        return _(BILLED[offer.interval])
    return _("Billed %(every)s", every=every(offer.interval, offer.interval_count))


def offer_price(offer: PricedPlan, choice: ItemChoice) -> tuple[str, str]:
    """What an offer for an item costs, and what for."""
    return prices.of_offer(offer, several=choice.adjustable or choice.item.quantity != 1)


@dataclass(frozen=True)
class AddOnOption:
    """A way to have an add-on, or to go without it: the value of its radio button, and its text."""

    price_id: str
    title: str
    is_current: bool


def add_on_options(choice: AddOnChoice) -> list[AddOnOption]:
    """The prices of an add-on; going without it is one of them where there is no field for the quantity."""
    titles = {} if choice.adjustable else {NONE: _("Not included")}
    titles |= {plan.price_id: add_on_price(choice, plan) for plan in choice.add_on.plans}
    return [AddOnOption(price_id, title, price_id == choice.current_price_id) for price_id, title in titles.items()]


def add_on_price(choice: AddOnChoice, plan: PricedPlan) -> str:
    """What an add-on costs, such as “€3.00 per month each”."""
    return " ".join(filter(None, prices.of_offer(plan, several=choice.adjustable)))


def add_on_range(choice: AddOnChoice) -> str:
    """How many of an add-on one may have."""
    limits = choice.add_on.limits
    if limits.maximum >= UNLIMITED:
        return _("Enter 0 for none.")
    if limits.minimum > 1:
        least, most = number(limits.minimum), number(limits.maximum)
        return _("From %(least)s to %(most)s, or 0 for none.", least=least, most=most)
    return _("Up to %(most)s. Enter 0 for none.", most=number(limits.maximum))


def item_title(choice: ItemChoice, page: "ChangePage") -> str:
    """The name of an item's part of the form: the item's own, where there are several."""
    return choice.item.offer.product if len(page.form.items) > 1 else _("Plan")


def quantity_label(choice: ItemChoice | AddOnChoice) -> str:
    """The label of the field for how many."""
    return _("Quantity (%(unit)s)", unit=choice.unit_label) if choice.unit_label else _("Quantity")


def quantity_range(choice: ItemChoice) -> str:
    """How many one may choose, where that is limited."""
    limits = choice.range
    if limits is None or limits.maximum >= UNLIMITED:
        return ""
    return _("From %(least)s to %(most)s", least=number(limits.minimum), most=number(limits.maximum))


def replaces(subscription: SubscriptionView) -> str:
    """What another change does to one that is planned already."""
    planned = subscription.planned
    if planned is None or not planned.by_customer:
        return ""
    return _("A change is scheduled for %(date)s. What you choose now will replace it.", date=date(planned.date))


def code_instead(code: NewDiscount) -> str:
    """What a code does to other discounts."""
    sentences = [_("This code replaces your current discount.")] if code.replaces else []
    if code.costs:
        sentences.append(_("Some of your upcoming invoices will be higher with this code than without it."))
    return " ".join(sentences)


def checking() -> str:
    """What is said while nobody knows yet whether a change is paid."""
    return _(
        "We are checking the payment for your change with the bank. You will not be charged twice. "
        "Until then, your plan stays as it is."
    )


def link(can_change_price: bool) -> str:
    """What leads to the page."""
    return _("Change plan") if can_change_price else _("Update quantity")


def reactivate(quote: Quote) -> str:
    """The button that begins an ended subscription again."""
    if not quote.invoice.amount_due:
        return _("Resubscribe")
    return _("Resubscribe and pay %(amount)s", amount=money(quote.invoice.amount_due, quote.invoice.currency))
