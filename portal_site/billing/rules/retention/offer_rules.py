"""Which retention offers match a customer who is about to cancel, and the effect of an offer.

Whether the customer may see an offer at all is decided in `billing.cancellation.retention`.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from portal_site.billing.rules.amounts.discounts import Discountable, DiscountTerms, reductions
from portal_site.billing.rules.amounts.items import Item, PricedPlan
from portal_site.billing.rules.amounts.periods import AVERAGE_MONTH, DAY
from portal_site.billing.rules.portal.portal_features import Retention, RetentionCondition, RetentionOffer
from portal_site.billing.rules.subscriptions.forecast import NextInvoice, next_invoice
from portal_site.billing.rules.subscriptions.snapshot import SubscriptionSnapshot
from portal_site.billing.rules.subscriptions.statuses import SubscriptionStatus

OFFER_LIFETIME = DAY  # seconds after which a cancellation attempt, and the offer made in it, expire


@dataclass(frozen=True, slots=True)
class CancellingCustomer:
    """A customer who is about to cancel: the subscription, its start date, and the reason if one was given."""

    snapshot: SubscriptionSnapshot
    started: int
    reason: str | None = None

    def monthly_amount(self) -> int:
        """The subscription's cost per average month in minor units, before discounts and tax, rounded down."""
        return sum(item.amount * AVERAGE_MONTH // item.offer.length for item in self.snapshot.items)


def fitting(features: Retention, leaver: CancellingCustomer, at: int) -> Iterator[RetentionOffer]:
    """The offers of all rules that match the customer, in the merchant's order."""
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
    """The next invoice without and with the discount, or None if the discount does not make it cheaper.

    A subscription's discounts replace the customer's, so a smaller new discount could even raise the amount.
    """
    current = next_invoice(snapshot)
    discounted = next_invoice(replace(snapshot, discounts=(*snapshot.discounts, discount)))
    if current is None or discounted is None or _before_balance(discounted) >= _before_balance(current):
        return None
    return current, discounted


def _before_balance(invoice: NextInvoice) -> int:
    return invoice.subtotal - invoice.discount + invoice.tax


def longer_trial(snapshot: SubscriptionSnapshot, days: int, at: int) -> int | None:
    """The end of the free trial extended by `days`, or None if no trial is running at `at`."""
    end = snapshot.trial_end
    if snapshot.status != SubscriptionStatus.TRIALING or end is None or end <= at:
        return None
    return end + days * DAY


def is_cheaper(item: Item, offer: PricedPlan) -> bool:
    """Whether the item's quantity costs less per time at the offered price than at its current price."""
    # Cross-multiplied to avoid a division, which would round.
    return offer.amount(item.quantity) * item.offer.length < item.amount * offer.length


@dataclass(frozen=True, slots=True)
class PlanComparison:
    """What an item costs for a period of its current price and of an offered one, in minor units, before tax.

    Both are less the discounts that later invoices have too; `is_discounted` says whether they take anything off.
    """

    current: int
    offered: int
    is_discounted: bool


def compare(snapshot: SubscriptionSnapshot, item: Item, offer: PricedPlan) -> PlanComparison:
    """The item at its current price and at the offered one."""
    found = snapshot.discounts_in_force(item.period_end)
    lasting = [discount for discount in found if not discount.single_use]
    current, offered = (_less(lasting, snapshot, changed) for changed in (item, replace(item, offer=offer)))
    is_discounted = (current, offered) != (item.amount, offer.amount(item.quantity))
    return PlanComparison(current, offered, is_discounted)


def _less(discounts: Sequence[DiscountTerms], snapshot: SubscriptionSnapshot, item: Item) -> int:
    """What the item costs less these discounts, in an invoice with the other items of the subscription."""
    items = [item if other.id == item.id else other for other in snapshot.items]
    lines = [Discountable(other.amount, other.offer.product_id, other.id) for other in items]
    taken = reductions(lines, discounts, snapshot.currency)
    return item.amount - sum(amounts[items.index(item)] for amounts in taken)
