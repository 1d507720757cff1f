"""How much coupons take off an invoice's lines; which coupons a customer may use is not decided here."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from portal_site.billing.rules.allocation import allocate


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


def reductions(lines: Sequence[tuple[int, str]], coupons: Sequence[CouponTerms], currency: str) -> list[list[int]]:
    """For each coupon, how much it takes off each line (amount, product), in minor units ≥ 0.

    Coupons apply one after the other, each to what the earlier ones left, in the order given; no line falls below zero,
    and a line that is credit is left alone.
    """
    left = [max(0, amount) for amount, _ in lines]
    taken = []
    for coupon in coupons:
        base = [rest if coupon.covers(product, currency) else 0 for rest, (_, product) in zip(left, lines, strict=True)]
        share = allocate(_off(coupon, sum(base)), base)
        left = [rest - part for rest, part in zip(left, share, strict=True)]
        taken.append(share)
    return taken


def _off(coupon: CouponTerms, base: int) -> int:
    if coupon.percent_off is not None:
        return min(base, int((base * coupon.percent_off / 100).quantize(Decimal(1), ROUND_HALF_UP)))
    return min(base, coupon.amount_off or 0)
