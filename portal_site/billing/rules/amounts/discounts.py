"""How much coupons take off an invoice's lines; which coupons a customer may use is not decided here."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from typing import Any, NamedTuple

from portal_site.billing.rules.amounts.allocation import allocate
from portal_site.billing.rules.amounts.periods import months_after


@dataclass(frozen=True, slots=True)
class CouponTerms:
    """A percentage or an amount in minor units off; `products` restricts it, None means all."""

    percent_off: Decimal | None
    amount_off: int | None
    currency: str | None
    products: frozenset[str] | None = None

    @classmethod
    def of(cls, coupon: Mapping[str, Any]) -> "CouponTerms":
        """The terms in a coupon's columns, named as in the `coupons` table."""
        products = coupon["applies_to_products"]
        return cls(
            percent_off=Decimal(coupon["percent_off"]) if coupon["percent_off"] is not None else None,
            amount_off=coupon["amount_off"],
            currency=coupon["coupon_currency"],
            products=frozenset(products) if products else None,
        )

    def covers(self, product: str, currency: str) -> bool:
        """Whether it takes anything off this product in this currency."""
        right_currency = self.amount_off is None or self.currency == currency
        return right_currency and (self.products is None or product in self.products)


def discount_end(duration: str, months: int | None, start: int) -> int | None:
    """Until when a discount that begins at `start` lasts; None without end, and for one that an invoice uses up."""
    return months_after(start, months or 1) if duration == "repeating" else None


class Discountable(NamedTuple):
    """A line that coupons may reduce: its amount, and of which product and item it is."""

    amount: int
    product_id: str
    item_id: str = ""


@dataclass(frozen=True, slots=True)
class DiscountTerms:
    """A coupon at work on an item, else on a subscription, else on all that a customer has, until `end` (None: for good)."""

    id: str
    coupon: CouponTerms
    duration: str = "forever"
    end: int | None = None
    subscription_id: str | None = None
    item_id: str | None = None

    @property
    def single_use(self) -> bool:
        """Whether the first invoice that it reduces uses it up."""
        return self.duration == "once"

    def covers(self, line: Discountable, currency: str) -> bool:
        """Whether it takes anything off this line."""
        return self.item_id in (None, line.item_id) and self.coupon.covers(line.product_id, currency)


def discounts_in_force(discounts: Iterable[DiscountTerms], subscription_id: str, at: int) -> tuple[DiscountTerms, ...]:
    """The discounts on an invoice of this subscription at `at`, in the field's order: its items', then its own.

    The customer's count where the subscription has none (docs.stripe.com/billing/subscriptions/coupons).
    """
    running = [discount for discount in discounts if discount.end is None or discount.end > at]
    own = [discount for discount in running if discount.subscription_id == subscription_id]
    chosen = own or [discount for discount in running if discount.subscription_id is None]
    return tuple(sorted(chosen, key=lambda discount: discount.item_id is None))


def reductions(lines: Sequence[Discountable], discounts: Sequence[DiscountTerms], currency: str) -> list[list[int]]:
    """For each discount, how much it takes off each line, in minor units ≥ 0.

    They apply one after the other, each to what the earlier ones left, in the order given; no line falls below zero, and a
    line that is credit is left alone.
    """
    left = [max(0, line.amount) for line in lines]
    taken = []
    for discount in discounts:
        base = [rest if discount.covers(line, currency) else 0 for rest, line in zip(left, lines, strict=True)]
        share = allocate(_off(discount.coupon, sum(base)), base)
        left = [rest - part for rest, part in zip(left, share, strict=True)]
        taken.append(share)
    return taken


def _off(coupon: CouponTerms, base: int) -> int:
    if coupon.percent_off is not None:
        return min(base, int((base * coupon.percent_off / 100).quantize(Decimal(1), ROUND_HALF_UP)))
    return min(base, coupon.amount_off or 0)
