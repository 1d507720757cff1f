"""Plan changes: their costs, when they take effect, and the labels of buttons."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from portal_site.billing.rules.amounts.items import Item, PricedPlan
from portal_site.billing.rules.subscriptions.plan_change import NewDiscount, Quote
from portal_site.billing.rules.subscriptions.statuses import SubscriptionStatus
from portal_site.billing.translation_marks import N_
from portal_site.portal.changes.plan_change_forms import NONE, AddOnChoice, ItemChoice
from portal_site.portal.reads.subscriptions import SubscriptionView
from portal_site.portal.wording import frame, invoices, prices
from portal_site.web.rendering import units
from portal_site.web.rendering.filters import date, every, money, number
from portal_site.web.rendering.i18n import gettext as _
from portal_site.web.rendering.i18n import ngettext

if TYPE_CHECKING:
    from portal_site.portal.changes.plan_changes import ChangePage

BILLED = {
    "day": N_("Billed daily"),
    "week": N_("Billed weekly"),
    "month": N_("Billed monthly"),
    "year": N_("Billed yearly"),
}
INTERVALS = {"day": N_("Daily"), "week": N_("Weekly"), "month": N_("Monthly"), "year": N_("Yearly")}
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


def heading(page: "ChangePage") -> str:
    """The heading of the page."""
    return _("Confirm your change") if page.form.is_fixed else _("Change plan")


def page_name(page: "ChangePage") -> str:
    """Its title, after a warning if the form has errors."""
    return frame.title(heading(page), page.problem or page.form.wrong)


def no_change(page: "ChangePage") -> str:
    """What stands in place of a quote as long as nothing would change."""
    if page.form.is_fixed:
        return _("There is nothing to confirm: your plan is like this already.")
    return _("Choose another plan or quantity to see what it costs.")


def outlook(page: "ChangePage") -> list[str]:
    """When the change takes effect and what follows. What a deferred change replaces is shown above this."""
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
        return ""
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


def price_after(item: Item) -> str:
    """The price of an item after a deferred change."""
    if item.offer.terms.metered:
        return _("Price varies with usage")
    often = every(item.offer.interval, item.offer.interval_count)
    return f"{money(item.amount, item.offer.terms.currency)} {often}"


def longer_after(item: Item, subscription: SubscriptionView) -> str:
    """What the price after a deferred change comes to in the item's present interval, if that is longer."""
    before = next((view for view in subscription.items if view.id == item.id), None)
    if before is None or item.offer.terms.metered:
        return ""
    return _in_all(item.amount, item.offer, before.offer)


def _in_all(amount: int, offer: PricedPlan, other: PricedPlan) -> str:
    longer = prices.over_interval_of(amount, offer, other)
    return _("%(amount)s in all", amount=longer) if longer else ""


def confirm_short(quote: Quote) -> str:
    """The same button where the amount is shown next to it."""
    return _("Pay and change") if quote.invoice.amount_due else _("Change plan")


def confirm(quote: Quote) -> str:
    """The button that confirms a quote."""
    if quote.invoice.amount_due:
        amount = money(quote.invoice.amount_due, quote.invoice.currency)
        return _("Change plan and pay %(amount)s", amount=amount)
    if quote.deferred:
        return _("Change plan on %(date)s", date=date(quote.effective_at))
    return _("Change plan")


def billed(offer: PricedPlan) -> str:
    """The billing interval of an offer."""
    if offer.interval_count == 1:
        return _(BILLED[offer.interval])
    return _("Billed %(every)s", every=every(offer.interval, offer.interval_count))


def interval(offer: PricedPlan) -> str:
    """The name of a billing interval as an option."""
    if offer.interval_count == 1:
        return _(INTERVALS[offer.interval])
    return every(offer.interval, offer.interval_count)


def saving(choice: ItemChoice, offer: PricedPlan) -> str:
    """What an offer saves per interval against the same product billed more often; empty if nothing."""
    other = choice.counterpart(offer)
    if other is None or other.terms.metered or offer.terms.metered or offer.length % other.length:
        return ""
    quantity = choice.typed or choice.item.quantity or 1
    apart, whole = other.amount(quantity), offer.amount(quantity)
    saved = apart * (offer.length // other.length) - whole
    if saved <= 0:
        return ""
    if apart and saved % apart == 0 and other.interval == "month" and other.interval_count == 1:
        return ngettext("%(num)s month free", "%(num)s months free", saved // apart)
    return _("Save %(amount)s", amount=money(saved, offer.terms.currency))


def offer_total(offer: PricedPlan, choice: ItemChoice) -> str:
    """The price of the chosen quantity of an offer, and what it comes to in the present interval, if that is longer."""
    if offer.terms.metered:
        return ""
    quantity = choice.typed or choice.item.quantity or 1
    found = [_several(offer, quantity) if (choice.typed or 0) > 1 else ""]
    found.append(_in_all(offer.amount(quantity), offer, choice.item.offer))
    return " · ".join(filter(None, found))


def _several(offer: PricedPlan, quantity: int) -> str:
    count = units.named(number(quantity), quantity, offer.unit_label) if offer.unit_label else f"× {number(quantity)}"
    often = every(offer.interval, offer.interval_count)
    return _(
        "%(amount)s %(often)s for %(count)s",
        amount=money(offer.amount(quantity), offer.terms.currency),
        often=often,
        count=count,
    )


def quantity_now(choice: ItemChoice) -> str:
    """The current quantity."""
    count = choice.item.quantity
    if count is None:
        return ""
    label = choice.item.offer.unit_label
    return _("you have %(count)s", count=units.named(number(count), count, label) if label else number(count))


def trial_warning(page: "ChangePage") -> str:
    """That the change ends a free trial, and its cost today; shown above the total."""
    quote = page.quote
    if (
        quote is None
        or quote.deferred
        or page.subscription.status != SubscriptionStatus.TRIALING
        or not page.trial_ends
    ):
        return ""
    bill = quote.invoice
    amount = money(bill.amount_due, bill.currency)
    return _("Your free trial ends now, and %(amount)s is charged today.", amount=amount)


def difference(page: "ChangePage") -> list[str]:
    """The changes in words, above the lines: 5 more seats, Team instead of Starter."""
    quote = page.quote
    assert quote is not None
    before = {item.id: item for item in page.subscription.snapshot.items}
    words = [_item_difference(before.pop(item.id, None), item) for item in quote.items]
    words += [_("%(product)s ends", product=item.offer.product) for item in before.values()]
    return [sentence for sentence in words if sentence]


def _item_difference(before: Item | None, after: Item) -> str:
    product, count = after.offer.product, after.quantity or 0
    if before is None:
        return _("%(what)s added", what=product if count < 2 else f"{number(count)} × {product}")
    if before.offer.product_id != after.offer.product_id:
        return _("%(product)s instead of %(before)s", product=product, before=before.offer.product)
    if before.offer.price_id != after.offer.price_id:
        return _("%(product)s, %(billed)s", product=product, billed=billed(after.offer).lower())
    more = count - (before.quantity or 0)
    if not more:
        return ""
    label = after.offer.unit_label
    values = {"what": units.of_count(abs(more), label) if label else f"× {product}", "count": number(abs(more))}
    return _("%(count)s more %(what)s", **values) if more > 0 else _("%(count)s fewer %(what)s", **values)


def sum_today(page: "ChangePage") -> tuple[str, str]:
    """The main label and amount of a quote."""
    quote = page.quote
    assert quote is not None
    if quote.invoiced:
        return _("Due today"), money(quote.invoice.amount_due, quote.invoice.currency)
    if page.deferred_invoice is not None:
        return _("Added to your next invoice"), money(page.deferred_invoice.total, page.deferred_invoice.currency)
    return _("Due today"), money(0, quote.invoice.currency)


def offer_price(offer: PricedPlan, choice: ItemChoice) -> tuple[str, str]:
    """The price of an offer for an item."""
    is_current = offer.price_id == choice.item.offer.price_id
    several = choice.limits.get(offer.price_id) is not None or (is_current and choice.item.quantity != 1)
    return prices.of_offer(offer, several=several)


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
    label = units.plural(choice.unit_label) if choice.unit_label else _("Quantity")
    return label[:1].upper() + label[1:]


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
