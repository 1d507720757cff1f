"""Which offer fits a customer who wants to leave, and what it would bring; whether the offer may be made is not decided here."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from portal_site.billing.rules.agreements import Agreement
from portal_site.billing.rules.discounts import DiscountTerms
from portal_site.billing.rules.items import Item, Offer
from portal_site.billing.rules.lifecycle import SubscriptionStatus
from portal_site.billing.rules.next_invoice import NextInvoice, next_invoice
from portal_site.billing.rules.periods import AVERAGE_MONTH, DAY
from portal_site.billing.rules.portal_features import Retention, RetentionCondition, RetentionOffer

OFFER_LIFE = DAY  # seconds for which an attempt to cancel, and an offer made in it, stand


@dataclass(frozen=True, slots=True)
class Leaver:
    """A customer on the way out: the subscription, when it began, and the reason, if one was given."""

    agreement: Agreement
    started: int
    reason: str | None = None

    def monthly_amount(self) -> int:
        """What the subscription costs in an average month, before discounts and tax, in minor units, rounded down."""
        return sum(item.amount * AVERAGE_MONTH // item.offer.length for item in self.agreement.items)


def fitting(features: Retention, leaver: Leaver, at: int) -> Iterator[RetentionOffer]:
    """The offers whose rules fit, in the merchant's order."""
    return (rule.offer for rule in features.all_rules if _fits(rule.when, leaver, at))


def _fits(when: RetentionCondition, leaver: Leaver, at: int) -> bool:
    items = leaver.agreement.items
    return (
        (not when.reasons or leaver.reason in when.reasons)
        and (not when.products or any(item.offer.product_id in when.products for item in items))
        and (not when.prices or any(item.offer.price_id in when.prices for item in items))
        and _within((at - leaver.started) // DAY, when.minimum_age_days, when.maximum_age_days)
        and when.currency in (None, leaver.agreement.currency)
        and _within(leaver.monthly_amount(), when.minimum_monthly_amount, when.maximum_monthly_amount)
    )


def _within(value: int, least: int | None, most: int | None) -> bool:
    return (least is None or value >= least) and (most is None or value <= most)


def reduced(agreement: Agreement, discount: DiscountTerms) -> tuple[NextInvoice, NextInvoice] | None:
    """The next invoice as it is and with the discount, or None where that takes nothing off.

    A subscription's own discounts stand in for the customer's, so a smaller new one could even make it dearer.
    """
    usual = next_invoice(agreement)
    cheaper = next_invoice(replace(agreement, discounts=(*agreement.discounts, discount)))
    if usual is None or cheaper is None or _before_balance(cheaper) >= _before_balance(usual):
        return None
    return usual, cheaper


def _before_balance(invoice: NextInvoice) -> int:
    return invoice.subtotal - invoice.discount + invoice.tax


def longer_trial(agreement: Agreement, days: int, at: int) -> int | None:
    """Until when a free trial would last with so many more days, or None where none runs."""
    end = agreement.trial_end
    if agreement.status != SubscriptionStatus.TRIALING or end is None or end <= at:
        return None
    return end + days * DAY


def is_cheaper(item: Item, offer: Offer) -> bool:
    """Whether the same quantity costs less for the same time at the offer's price."""
    # Crosswise, so that no division rounds.
    return offer.amount(item.quantity) * item.offer.length < item.amount * offer.length
