"""The discount that a period's invoice carried belongs to the period, whatever became of the coupon since.

A change inside the period credits what was paid. So the unused share of the discount moves to the new lines: otherwise less
of what was free would cost money, because the coupon was used up by the period's invoice.
"""

from collections import defaultdict
from dataclasses import replace
from decimal import ROUND_CEILING, Decimal

from portal_site.billing.rules.amounts import discounts
from portal_site.billing.rules.amounts.allocation import allocate
from portal_site.billing.rules.amounts.discounts import Discountable, DiscountTerms
from portal_site.billing.rules.invoicing.invoices import InvoiceLine
from portal_site.billing.rules.subscriptions.snapshot import SubscriptionSnapshot


def moved_to(line: InvoiceLine, before: SubscriptionSnapshot, at: int) -> InvoiceLine:
    """The charge for the rest of an item's period, with the unused share of the discounts that are used up or over.

    A percentage takes off the new amount at most its own rate. What the period had no discount of, such as added seats, has
    the discounts in force now. A classic subscription is credited at its current price, as if there had been no such discount,
    so nothing moves.
    """
    unused = {} if before.billing_mode == "classic" else _unused(before, line.item_id, at)
    if not unused:
        return line
    in_force = {discount.id: discount for discount in before.discounts_in_force(at)}
    if not unused.keys() - in_force.keys():
        return line
    of_period = [pair for pair in line.discounts if pair[0] in unused]
    taken, rest = list(of_period), line.amount - sum(amount for _, amount in of_period)
    for discount_id, (share, base) in unused.items():
        if discount_id not in in_force:
            most = share if rest >= base else _at_most(before, discount_id, share, base, rest)
            taken.append((discount_id, min(rest, share, most)))
            rest -= taken[-1][1]
    for discount_id, amount in line.discounts:
        if discount_id not in unused:
            taken.append((discount_id, _again(in_force[discount_id], line, amount, rest, before.currency)))
            rest -= taken[-1][1]
    return replace(line, discounts=tuple(pair for pair in taken if pair[1]))


def _again(terms: DiscountTerms, line: InvoiceLine, amount: int, rest: int, currency: str) -> int:
    """What a discount in force takes off the rest of a line, of which it took `amount` before."""
    if terms.coupon.percent_off is None:
        return min(amount, rest)
    return discounts.reductions([Discountable(rest, line.offer.product_id, line.item_id)], [terms], currency)[0][0]


def _unused(before: SubscriptionSnapshot, item_id: str, at: int) -> dict[str, tuple[int, int]]:
    """By discount id: the share for the unused time in minor units, and the amount that it was taken off."""
    shares: dict[str, tuple[int, int]] = defaultdict(lambda: (0, 0))
    for debit in before.creditable_lines:
        if debit.item_id != item_id or not debit.discounts:
            continue
        factor = debit.factor_after(at)
        gross = factor.of(debit.amount)
        # What is not credited of the gross amount, so that nothing is lost to rounding.
        parts = allocate(gross - factor.of(debit.amount - debit.discount), [amount for _, amount in debit.discounts])
        for (discount_id, _), part in zip(debit.discounts, parts, strict=True):
            share, base = shares[discount_id]
            shares[discount_id] = share + part, base + gross
            gross -= part  # discounts apply one after the other
    return shares


def _at_most(before: SubscriptionSnapshot, discount_id: str, share: int, base: int, amount: int) -> int:
    """The most that the discount may take off a smaller amount: its percentage, rounded up; a discount of an amount, all of it.

    Without the coupon's terms, the rate is the one at which it was taken off.
    """
    terms = next((terms for terms in before.past_discounts if terms.id == discount_id), None)
    if terms is None:
        rate = Decimal(share) / max(1, base)
    elif terms.coupon.percent_off is None:
        return amount
    else:
        rate = terms.coupon.percent_off / 100
    return int((amount * rate).quantize(Decimal(1), ROUND_CEILING))
