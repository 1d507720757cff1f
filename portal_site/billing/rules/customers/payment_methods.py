"""When a payment method may be removed, and when a card expires."""

from calendar import timegm

from portal_site.billing.errors import BillingError
from portal_site.billing.translation_marks import N_

EXPIRY_NOTICE = 31 * 24 * 60 * 60


def why_not_removable(*, is_default: bool, others: int, needed: bool) -> BillingError | None:
    """Why a payment method cannot be removed, or None if it can.

    `others` is the number of the customer's other payment methods; `needed` is true if a running subscription is charged
    automatically.
    """
    if others == 0 and needed:
        return BillingError(
            N_("Your subscription is paid with this payment method. Add another one before you remove this one."),
            "payment_method_required",
        )
    if is_default and others:
        return BillingError(
            N_("This is your default payment method. Make another one the default before you remove this one."),
            "payment_method_default",
        )
    return None


def expires_at(exp_month: int, exp_year: int) -> int:
    """The instant from which a card is refused: the start of the month after its expiry month, in UTC."""
    year, month = (exp_year, exp_month + 1) if exp_month < 12 else (exp_year + 1, 1)
    return timegm((year, month, 1, 0, 0, 0))


def expiry_state(exp_month: int | None, exp_year: int | None, at: int) -> str:
    """`expired`, `expiring` (within 31 days), or an empty string."""
    if not exp_month or not exp_year:
        return ""
    end = expires_at(exp_month, exp_year)
    if at >= end:
        return "expired"
    return "expiring" if at >= end - EXPIRY_NOTICE else ""
