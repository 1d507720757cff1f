"""Retention offers."""

from decimal import Decimal

from portal_site.billing.cancellation.offer_previews import OfferPreview
from portal_site.billing.rules.amounts.items import PricedPlan
from portal_site.portal.access.visitors import Visitor
from portal_site.portal.reads.subscriptions import SubscriptionView
from portal_site.portal.wording import prices
from portal_site.web.input import phones
from portal_site.web.rendering import filters
from portal_site.web.rendering.filters import date, every, money, percent, stretch
from portal_site.web.rendering.i18n import gettext as _


def off(percent_off: str | Decimal | None, amount_off: int | None, currency: str | None) -> str:
    """What a coupon takes off: a percentage or an amount."""
    return percent(percent_off) if percent_off else money(amount_off or 0, currency or "")


def coupon_off(proposal: OfferPreview) -> str:
    """What the offered coupon takes off."""
    coupon = proposal.coupon
    assert coupon is not None
    return off(coupon.percent_off, coupon.amount_off, coupon.currency)


def coupon_title(proposal: OfferPreview) -> str:
    """What it takes off, and for how long."""
    coupon, less = proposal.coupon, coupon_off(proposal)
    assert coupon is not None
    if coupon.duration == "once":
        return _("%(off)s off your next invoice", off=less)
    if coupon.duration == "repeating":
        return _("%(off)s off for %(time)s", off=less, time=stretch(coupon.duration_in_months or 1, "month"))
    return _("%(off)s off for as long as you stay", off=less)


def coupon_effect(proposal: OfferPreview, subscription: SubscriptionView) -> str:
    """The next invoice with the coupon; empty if it stays the same or depends on a planned change."""
    assert proposal.invoices is not None
    usual, reduced = proposal.invoices
    if reduced.amount_due == usual.amount_due or subscription.planned:
        return ""
    return _(
        "Your next invoice, on %(date)s, will be %(amount)s instead of %(usual)s.",
        date=date(reduced.date),
        amount=money(reduced.amount_due, reduced.currency),
        usual=money(usual.amount_due, usual.currency),
    )


def cheaper_plan(proposal: OfferPreview) -> str:
    """The price of the offered plan instead of the current one, each also for the longer one of their intervals."""
    item, plan, costs = proposal.item, proposal.plan, proposal.comparison
    assert item is not None
    assert plan is not None
    assert costs is not None
    sentence = _(
        "It costs %(offered)s instead of %(current)s.",
        offered=_price(costs.offered, plan, item.offer),
        current=_price(costs.current, item.offer, plan),
    )
    note = _("Your discount is taken off both, as long as it lasts.")
    return f"{sentence} {note}" if costs.is_discounted else sentence


def _price(amount: int, plan: PricedPlan, other: PricedPlan) -> str:
    price = f"{money(amount, plan.terms.currency)} {every(plan.interval, plan.interval_count)}"
    longer = prices.over_interval_of(amount, plan, other)
    return f"{price} ({longer})" if longer else price


def longer_trial(proposal: OfferPreview, subscription: SubscriptionView) -> str:
    """The end of the extended trial."""
    assert proposal.trial_end is not None
    assert subscription.trial_end is not None
    return _(
        "Your free trial will last until %(date)s instead of %(usual)s. Your first payment is due then.",
        date=date(proposal.trial_end),
        usual=date(subscription.trial_end),
    )


def contacts(proposal: OfferPreview, visitor: Visitor) -> list[tuple[str, str]]:
    """The merchant's contacts as (name, URL)."""
    assert proposal.support is not None
    site, mail, phone = proposal.support.url, proposal.support.email, proposal.support.phone
    found = [
        (_("Contact %(business)s", business=visitor.business_name), filters.safe_link(site)),
        (mail or "", f"mailto:{mail}" if mail else ""),
        (phones.pretty(phone or ""), f"tel:{phone}" if phone else ""),
    ]
    return [(name, address) for name, address in found if address]
