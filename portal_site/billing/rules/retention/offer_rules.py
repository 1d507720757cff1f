"""Which offer fits a customer who wants to leave, and what it would bring; whether the offer may be made is not decided here."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from portal_site.billing.rules.amounts.discounts import DiscountTerms
from portal_site.billing.rules.amounts.items import Item, PricedPlan
from portal_site.billing.rules.amounts.periods import AVERAGE_MONTH, DAY
from portal_site.billing.rules.portal.portal_features import Retention, RetentionCondition, RetentionOffer
from portal_site.billing.rules.subscriptions.forecast import NextInvoice, next_invoice
from portal_site.billing.rules.subscriptions.snapshot import SubscriptionSnapshot
from portal_site.billing.rules.subscriptions.statuses import SubscriptionStatus

OFFER_LIFETIME = DAY  # seconds for which an attempt to cancel, and an offer made in it, stand


@dataclass(frozen=True, slots=True)
class CancellingCustomer:
    """A customer on the way out: the subscription, when it began, and the reason, if one was given."""

    snapshot: SubscriptionSnapshot
    started: int
    reason: str | None = None

    def monthly_amount(self) -> int:
        """What the subscription costs in an average month, before discounts and tax, in minor units, rounded down."""
        return sum(item.amount * AVERAGE_MONTH // item.offer.length for item in self.snapshot.items)


def fitting(features: Retention, leaver: CancellingCustomer, at: int) -> Iterator[RetentionOffer]:
    """The offers whose rules fit, in the merchant's order."""
    return (rule.offer for rule in features.all_rules if _fits(rule.when, leaver, at))


def _fits(when: RetentionCondition, leaver: CancellingCustomer, at: int) -> bool:
    items = leaver.snapshot.items
    return (
        (not when.reasons or leaver.reason in when.reasons)
        and (not when.products or any(item.offer.product_id in when.products for item in items))
        and (not when.prices or any(item.offer.price_id in when.prices for item in items))
        and _within((at - leaver.started) // DAY, when.minimum_age_days, when.maximum_age_days)
        and when.currency in (None, leaver.snapshot.currency)
        and _within(leaver.monthly_amount(), when.minimum_monthly_amount, when.maximum_monthly_amount)
    )


def _within(value: int, least: int | None, most: int | None) -> bool:
    return (least is None or value >= least) and (most is None or value <= most)


def reduced(snapshot: SubscriptionSnapshot, discount: DiscountTerms) -> tuple[NextInvoice, NextInvoice] | None:
    """The next invoice as it is and with the discount, or None where that takes nothing off.

    A subscription's own discounts stand in for the customer's, so a smaller new one could even make it dearer.
    """
    usual = next_invoice(snapshot)
    cheaper = next_invoice(replace(snapshot, discounts=(*snapshot.discounts, discount)))
    if usual is None or cheaper is None or _before_balance(cheaper) >= _before_balance(usual):
        return None
    return usual, cheaper


def _before_balance(invoice: NextInvoice) -> int:
    return invoice.subtotal - invoice.discount + invoice.tax


def longer_trial(snapshot: SubscriptionSnapshot, days: int, at: int) -> int | None:
    """Until when a free trial would last with so many more days, or None where none runs."""
    end = snapshot.trial_end
    if snapshot.status != SubscriptionStatus.TRIALING or end is None or end <= at:
        return None
    return end + days * DAY


def is_cheaper(item: Item, offer: PricedPlan) -> bool:
    """Whether the same quantity costs less for the same time at the offer's price."""
    # Crosswise, so that no division rounds.
    return offer.amount(item.quantity) * item.offer.length < item.amount * offer.length
