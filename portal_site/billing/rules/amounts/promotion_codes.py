"""Whether a customer may redeem a promotion code.

Each reason for a refusal has its own message, except that another customer's code is reported like an unknown one.
"""

import unicodedata
from dataclasses import dataclass

from portal_site.billing.errors import BillingError
from portal_site.billing.rules.amounts.discounts import CouponTerms, discount_end
from portal_site.billing.rules.amounts.items import ItemSpec
from portal_site.billing.translation_marks import N_

LONGEST = 500
UNKNOWN = N_("We could not find this code. Check what you entered.")
USED = N_("You have already used this code.")


def normalized(code: str) -> str:
    """A code in the form used for look-ups: without surrounding blanks, case-folded and in NFKC (full-width letters too)."""
    return unicodedata.normalize("NFKC", code).strip().casefold()


@dataclass(frozen=True, slots=True)
class CodeTerms:
    """A promotion code with its coupon and the restrictions of both. `minimum_amount` is in minor units.

    For a coupon without a code, as merchants can give one, `id` is None and `code` is empty.
    """

    id: str | None
    code: str
    coupon_id: str
    coupon: CouponTerms
    duration: str = "once"
    duration_in_months: int | None = None
    active: bool = True
    customer_id: str | None = None
    expires_at: int | None = None
    max_redemptions: int | None = None
    times_redeemed: int = 0
    first_time_transaction: bool = False
    minimum_amount: int | None = None
    minimum_amount_currency: str | None = None
    coupon_valid: bool = True
    coupon_redeem_by: int | None = None
    coupon_max_redemptions: int | None = None
    coupon_times_redeemed: int = 0

    def end(self, start: int) -> int | None:
        """When its discount ends if it starts at `start`; see `discounts.discount_end`."""
        return discount_end(self.duration, self.duration_in_months, start)


@dataclass(frozen=True, slots=True)
class Redeemer:
    """The customer who wants to redeem a code, with the items of the subscription."""

    customer_id: str
    currency: str
    items: tuple[ItemSpec, ...]
    has_bought_before: bool  # has paid an invoice or had a free trial
    has_redeemed: bool  # has redeemed this code before


def unknown() -> BillingError:
    """The error for a code that does not exist for this customer."""
    return BillingError(UNKNOWN, "promotion_code_invalid", "promotion_code")


def why_not_redeemable(code: CodeTerms, who: Redeemer, at: int) -> BillingError | None:
    """Why the code cannot be redeemed, or None if it can."""
    if code.customer_id not in (None, who.customer_id):
        return unknown()
    reasons = (
        (
            not code.active or not code.coupon_valid or _over(code.expires_at, at) or _over(code.coupon_redeem_by, at),
            N_("This code has expired."),
        ),
        (who.has_redeemed, USED),
        (
            _used_up(code.times_redeemed, code.max_redemptions)
            or _used_up(code.coupon_times_redeemed, code.coupon_max_redemptions),
            N_("This code is no longer available."),
        ),
        (code.first_time_transaction and who.has_bought_before, N_("This code is for a first purchase only.")),
        (_too_little(code, who), N_("Your order is below the minimum amount for this code.")),
        (
            not any(code.coupon.covers(item.offer.product_id, who.currency) for item in who.items),
            N_("This code does not apply to your plan."),
        ),
    )
    text = next((text for holds, text in reasons if holds), None)
    if text is None:
        return None
    return BillingError(text, "promotion_code_used" if text == USED else "promotion_code_invalid", "promotion_code")


def _over(limit: int | None, at: int) -> bool:
    return limit is not None and at >= limit


def _used_up(times: int, most: int | None) -> bool:
    return most is not None and times >= most


def _too_little(code: CodeTerms, who: Redeemer) -> bool:
    if code.minimum_amount is None:
        return False
    if code.minimum_amount_currency not in (None, who.currency):
        return True
    return sum(item.amount for item in who.items) < code.minimum_amount
