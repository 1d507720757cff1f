"""The prices of offers before a quantity is chosen: per unit if all units cost the same, else with an explanation."""

from portal_site.billing.rules.amounts.items import PricedPlan
from portal_site.billing.rules.amounts.pricing import PriceTerms
from portal_site.web.rendering.filters import every, money, number, unit_money
from portal_site.web.rendering.i18n import gettext as _


def of_offer(offer: PricedPlan, several: bool) -> tuple[str, str]:
    """An amount and what it is for, such as “€3.00” and “per month each”; for a single unit unless there can be `several`."""
    terms, often = offer.terms, every(offer.interval, offer.interval_count)
    if terms.metered:
        return _("Price varies with usage"), ""
    if not several:
        return money(offer.amount(1), terms.currency), often
    if terms.billing_scheme == "tiered":
        least = min(map(offer.amount, _cheapest_quantities(terms)))
        often = _("%(often)s, depending on the quantity", often=often)
        return _("from %(amount)s", amount=money(least, terms.currency)), often
    amount = unit_money(terms.unit_amount, terms.currency)
    if terms.divide_by == 1:
        return amount, " ".join((often, _("each")))
    units = " ".join(filter(None, (number(terms.divide_by), offer.unit_label)))
    if terms.round_up:
        return amount, _("%(often)s for each %(units)s", often=often, units=units)
    return amount, _("%(often)s for each full %(units)s", often=often, units=units)


def over_interval_of(amount: int, offer: PricedPlan, other: PricedPlan) -> str:
    """What an amount for each period of the offer comes to in a longer period of `other`, such as “€36.00 per year”.

    Empty if the other's period is not longer, or no whole number of the offer's periods.
    """
    times, rest = divmod(other.length, offer.length)
    if rest or times < 2:
        return ""
    return f"{money(amount * times, offer.terms.currency)} {every(other.interval, other.interval_count)}"


def _cheapest_quantities(terms: PriceTerms) -> list[int]:
    """The quantities whose total can be lowest: one, and the first of each tier, which may cost less than the one before."""
    starts = [1, *(tier.up_to + 1 for tier in terms.tiers if tier.up_to is not None)]
    if terms.round_up:
        return [(start - 1) * terms.divide_by + 1 for start in starts]
    return [1, *(start * terms.divide_by for start in starts)]
