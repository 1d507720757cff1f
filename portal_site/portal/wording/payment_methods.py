"""Payment methods: whether they expire, and what a customer without one is told."""

from collections.abc import Sequence

from portal_site.portal.reads.payment_methods import PaymentMethodView
from portal_site.portal.reads.subscriptions import SubscriptionView
from portal_site.web.filters import date, month
from portal_site.web.forms import translated
from portal_site.web.i18n import gettext as _


def expiry(method: PaymentMethodView) -> str:
    """When it expires, as cards have it printed; nothing for what does not."""
    if not method.exp_month:
        return ""
    printed = f"{method.exp_month:02d}/{method.exp_year}"
    if method.expiry == "expired":
        return _("Expired %(month)s", month=printed)
    return _("Expires %(month)s", month=printed)


def warning(method: PaymentMethodView) -> str:
    """That it has expired, or soon will."""
    values = {"name": method.name, "last4": method.last4}
    if method.expiry == "expired":
        return _("Your %(name)s ending in %(last4)s has expired.", **values)
    end = month((method.exp_year or 0, method.exp_month or 0))
    return _("Your %(name)s ending in %(last4)s expires at the end of %(month)s.", month=end, **values)


def trial_ends(subscription: SubscriptionView, methods: Sequence[PaymentMethodView]) -> str:
    """That a free trial ends, and what it takes for the subscription to continue."""
    products = ", ".join(subscription.products)
    ends = _(
        "Your free trial of %(product)s ends on %(date)s.", product=products, date=date(subscription.trial_end or 0)
    )
    return ends if methods else " ".join((ends, _("Add a payment method to continue without interruption.")))


def why_kept(method: PaymentMethodView, refusal: str | None) -> str:
    """Why it cannot be removed; nothing where it can."""
    return refusal or (translated(method.removal_refusal) if method.removal_refusal else "")
