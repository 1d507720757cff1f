"""The discount amounts of an invoice's lines. Whether a customer may redeem a coupon is decided in `promotion_codes`."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from typing import Any, NamedTuple

from portal_site.billing.rules.amounts.allocation import allocate
from portal_site.billing.rules.amounts.periods import months_after


@dataclass(frozen=True, slots=True)
class CouponTerms:
    """A coupon's percentage or amount (minor units) off. `products` restricts it to these product ids; None means all."""

    percent_off: Decimal | None
    amount_off: int | None
    currency: str | None
    products: frozenset[str] | None = None

    @classmethod
    def of(cls, coupon: Mapping[str, Any]) -> "CouponTerms":
        """The terms from the columns of the `coupons` table, with `currency` as `coupon_currency`."""
        products = coupon["applies_to_products"]
        return cls(
            percent_off=Decimal(coupon["percent_off"]) if coupon["percent_off"] is not None else None,
            amount_off=coupon["amount_off"],
            currency=coupon["coupon_currency"],
            products=frozenset(products) if products else None,
        )

    def covers(self, product: str, currency: str) -> bool:
        """Whether the coupon applies to this product in this currency. A percentage applies in any currency."""
        right_currency = self.amount_off is None or self.currency == currency
        return right_currency and (self.products is None or product in self.products)


def discount_end(duration: str, months: int | None, start: int) -> int | None:
    """When a discount that starts at `start` ends. None for durations other than `repeating`: `forever` and `once`."""
    return months_after(start, months or 1) if duration == "repeating" else None


class Discountable(NamedTuple):
    """A line that discounts can apply to: its amount in minor units, its product and its subscription item."""

    amount: int
    product_id: str
    item_id: str = ""


@dataclass(frozen=True, slots=True)
class DiscountTerms:
    """A coupon applied to an item, a subscription or, if neither is set, to a customer, until `end` (None: indefinitely).

    `start` is later than the present for one that a schedule has planned, else 0.
    """

    id: str
    coupon: CouponTerms
    duration: str = "forever"
    start: int = 0
    end: int | None = None
    subscription_id: str | None = None
    item_id: str | None = None

    @property
    def single_use(self) -> bool:
        """Whether it applies to one invoice only: the first that it reduces."""
        return self.duration == "once"

    def covers(self, line: Discountable, currency: str) -> bool:
        """Whether the discount applies to this line."""
        return self.item_id in (None, line.item_id) and self.coupon.covers(line.product_id, currency)


def discounts_in_force(discounts: Iterable[DiscountTerms], subscription_id: str, at: int) -> tuple[DiscountTerms, ...]:
    """The discounts on an invoice of this subscription at `at`, in Stripe's order: item discounts, then subscription discounts.

    The customer's discounts apply only if the subscription has none (docs.stripe.com/billing/subscriptions/coupons). One for a
    single invoice that has been used has an end, and is not used again for an invoice of an earlier date that is written late.
    """
    running = [d for d in discounts if d.start <= at and (d.end is None or (d.end > at and not d.single_use))]
    subscription_discounts = [discount for discount in running if discount.subscription_id == subscription_id]
    chosen = subscription_discounts or [discount for discount in running if discount.subscription_id is None]
    return tuple(sorted(chosen, key=lambda discount: discount.item_id is None))


def reductions(lines: Sequence[Discountable], discounts: Sequence[DiscountTerms], currency: str) -> list[list[int]]:
    """For each discount, the amount that it takes off each line, in minor units ≥ 0.

    The discounts apply in the given order, each to the amounts that the earlier ones left. No line falls below zero, and a
    credit (negative line) is not discounted.
    """
    remaining = [max(0, line.amount) for line in lines]
    amounts_by_discount = []
    for discount in discounts:
        base = [rest if discount.covers(line, currency) else 0 for rest, line in zip(remaining, lines, strict=True)]
        amounts = allocate(_amount_off(discount.coupon, sum(base)), base)
        remaining = [rest - amount for rest, amount in zip(remaining, amounts, strict=True)]
        amounts_by_discount.append(amounts)
    return amounts_by_discount


def _amount_off(coupon: CouponTerms, base: int) -> int:
    """What a coupon takes off `base` minor units; a percentage is rounded half up."""
    if coupon.percent_off is not None:
        return min(base, int((base * coupon.percent_off / 100).to_integral_value(ROUND_HALF_UP)))
    return min(base, coupon.amount_off or 0)
