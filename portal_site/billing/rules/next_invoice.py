"""The next invoice of a subscription as it stands: when it comes and what it will be. Changes are not weighed here."""

from collections.abc import Sequence
from dataclasses import dataclass

from portal_site.billing.rules import discounts, pricing
from portal_site.billing.rules.discounts import CouponTerms
from portal_site.billing.rules.pricing import PriceTerms


@dataclass(frozen=True, slots=True)
class RenewingItem:
    """An item that goes on: its price, quantity (None when metered) and the end of its period."""

    terms: PriceTerms
    product_id: str
    quantity: int | None
    period_end: int


@dataclass(frozen=True, slots=True)
class NextInvoice:
    """`amount_due` = subtotal − discount − balance_used, in minor units; `varies` when usage will be added to it."""

    date: int
    currency: str
    subtotal: int
    discount: int
    balance_used: int
    amount_due: int
    varies: bool


def settle(total: int, balance: int) -> tuple[int, int]:
    """What is due for a total, and the balance afterwards. A negative balance is credit, a positive one is owed."""
    after = total + balance
    return (after, 0) if after >= 0 else (0, after)


def next_invoice(
    items: Sequence[RenewingItem], coupons: Sequence[CouponTerms], balance: int, currency: str
) -> NextInvoice | None:
    """The invoice at the earliest period end among the items, or None when nothing renews.

    Items with a longer interval join only the invoices at their own period's end.
    """
    if not items:
        return None
    date = min(item.period_end for item in items)
    due = [item for item in items if item.period_end == date]
    lines = [
        (pricing.amount(item.terms, item.quantity or 0), item.product_id) for item in due if not item.terms.metered
    ]
    subtotal = sum(amount for amount, _ in lines)
    discount = sum(map(sum, discounts.reductions(lines, coupons, currency)))
    amount_due, after = settle(subtotal - discount, balance)
    return NextInvoice(
        date=date,
        currency=currency,
        subtotal=subtotal,
        discount=discount,
        balance_used=after - balance,
        amount_due=amount_due,
        varies=any(item.terms.metered for item in due),
    )
