"""Plan changes: their costs, when they take effect, and the labels of buttons."""

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
UNLIMITED = 999_999  # a maximum that means no limit


def announcement(page: "ChangePage") -> str:
    """What screen readers announce when the quote changes."""
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
    """When the change takes effect and what follows. What a deferred change replaces is shown above this."""
    assert page.quote is not None
    sentences = [_effect(page), "" if page.quote.invoiced else _("Nothing is due today.")]
    if page.quote.next_invoice:
        sentences.append(invoices.upcoming(page.quote.next_invoice))
    return [sentence for sentence in sentences if sentence]


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
    """What an item costs until a deferred change; empty if its price stays the same."""
    before = next((view for view in subscription.items if view.id == item.id), None)
    if before is None or before.amount is None:
        return ""
    other_interval = before.offer.length != item.offer.length
    if before.amount == item.amount and not other_interval:
        return ""
    amount = money(before.amount, before.currency)
    return f"{amount} {every(before.interval, before.interval_count)}" if other_interval else amount


def confirm(quote: Quote) -> str:
    """The button that confirms a quote."""
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
    """The price of an offer for an item."""
    return prices.of_offer(offer, several=choice.adjustable or choice.item.quantity != 1)


@dataclass(frozen=True)
class AddOnOption:
    """An option of an add-on, one of which may be not to have it: the value of its radio button, and the text."""

    price_id: str
    title: str
    is_current: bool


def add_on_options(choice: AddOnChoice) -> list[AddOnOption]:
    """The options of an add-on. Not to have it is one of them if there is no form field for the quantity."""
    titles = {} if choice.adjustable else {NONE: _("Not included")}
    titles |= {plan.price_id: add_on_price(choice, plan) for plan in choice.add_on.plans}
    return [AddOnOption(price_id, title, price_id == choice.current_price_id) for price_id, title in titles.items()]


def add_on_price(choice: AddOnChoice, plan: PricedPlan) -> str:
    """The price of an add-on, such as “€3.00 per month each”."""
    return " ".join(filter(None, prices.of_offer(plan, several=choice.adjustable)))


def add_on_range(choice: AddOnChoice) -> str:
    """The limits of the quantity of an add-on."""
    limits = choice.add_on.limits
    if limits.maximum >= UNLIMITED:
        return _("Enter 0 for none.")
    if limits.minimum > 1:
        least, most = number(limits.minimum), number(limits.maximum)
        return _("From %(least)s to %(most)s, or 0 for none.", least=least, most=most)
    return _("Up to %(most)s. Enter 0 for none.", most=number(limits.maximum))


def item_title(choice: ItemChoice, page: "ChangePage") -> str:
    """The heading of an item's part of the form: the product's name if there are several items."""
    return choice.item.offer.product if len(page.form.items) > 1 else _("Plan")


def quantity_label(choice: ItemChoice | AddOnChoice) -> str:
    """The label of the form field for the quantity."""
    return _("Quantity (%(unit)s)", unit=choice.unit_label) if choice.unit_label else _("Quantity")


def quantity_range(choice: ItemChoice) -> str:
    """The limits of the quantity, if there are any."""
    limits = choice.range
    if limits is None or limits.maximum >= UNLIMITED:
        return ""
    return _("From %(least)s to %(most)s", least=number(limits.minimum), most=number(limits.maximum))


def replaces(subscription: SubscriptionView) -> str:
    """That a further change replaces the planned one."""
    planned = subscription.planned
    if planned is None or not planned.by_customer:
        return ""
    return _("A change is scheduled for %(date)s. What you choose now will replace it.", date=date(planned.date))


def code_instead(code: NewDiscount) -> str:
    """The effect of a code on other discounts."""
    sentences = [_("This code replaces your current discount.")] if code.replaces else []
    if code.costs:
        sentences.append(_("Some of your upcoming invoices will be higher with this code than without it."))
    return " ".join(sentences)


def checking() -> str:
    """The notice while the outcome of a change's payment is unknown."""
    return _(
        "We are checking the payment for your change with the bank. You will not be charged twice. "
        "Until then, your plan stays as it is."
    )


def link(can_change_price: bool) -> str:
    """The label of the link to the page."""
    return _("Change plan") if can_change_price else _("Update quantity")


def reactivate(quote: Quote) -> str:
    """The button that reactivates a canceled subscription."""
    if not quote.invoice.amount_due:
        return _("Resubscribe")
    return _("Resubscribe and pay %(amount)s", amount=money(quote.invoice.amount_due, quote.invoice.currency))
