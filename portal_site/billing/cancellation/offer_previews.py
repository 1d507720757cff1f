"""The effect of a retention offer on a subscription, or that it does not apply. `retention` makes and accepts offers."""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import cast

from sqlalchemy import or_, select

from portal_site.billing.changes import plan_options
from portal_site.billing.loading.confirmations import hash_terms
from portal_site.billing.loading.plans import Reader
from portal_site.billing.models import Account, Coupon, Customer, Discount, Subscription
from portal_site.billing.models.columns import values
from portal_site.billing.rules.amounts.discounts import CouponTerms, DiscountTerms, discount_end
from portal_site.billing.rules.amounts.items import Item, PricedPlan
from portal_site.billing.rules.portal.portal_features import Features, QuantityLimits, RetentionOffer
from portal_site.billing.rules.portal.safe_urls import is_safe
from portal_site.billing.rules.retention import offer_rules
from portal_site.billing.rules.retention.offer_rules import PlanComparison
from portal_site.billing.rules.subscriptions import cancellation, pauses
from portal_site.billing.rules.subscriptions.forecast import NextInvoice
from portal_site.billing.rules.subscriptions.snapshot import SubscriptionSnapshot
from portal_site.db.json_columns import JsonObject

COUPON_TERMS = ("percent_off", "amount_off", "applies_to_products")


@dataclass(frozen=True)
class Support:
    """The merchant's contacts. `url` is one that is safe to link."""

    url: str | None
    email: str | None
    phone: str | None


@dataclass(frozen=True)
class OfferPreview:
    """A retention offer with its effect. Only the members of the offer's type are set.

    For a coupon, `invoices` are the next invoice without and with the discount. For a trial extension, `trial_end` is the new
    end. For a cheaper plan, `item` would change to `plan`, and `comparison` is what each costs. For a contact offer, `support`
    holds the merchant's contacts.
    """

    offer: RetentionOffer
    coupon: Coupon | None = None
    discount: DiscountTerms | None = None
    invoices: tuple[NextInvoice, NextInvoice] | None = None
    trial_end: int | None = None
    item: Item | None = None
    plan: PricedPlan | None = None
    comparison: PlanComparison | None = None
    support: Support | None = None

    @property
    def fingerprint(self) -> str:
        """A fingerprint of the terms that the customer confirms by accepting, in 64 characters."""
        amounts = [(invoice.date, invoice.amount_due) for invoice in self.invoices or ()]
        return hash_terms([document(self.offer), amounts, self.trial_end])


@dataclass(frozen=True)
class OfferContext:
    """A subscription that is about to be cancelled. The id of an offered discount is derived from `key`, the attempt's id."""

    reader: Reader
    row: Subscription
    customer: Customer
    snapshot: SubscriptionSnapshot
    features: Features
    at: int
    key: str


def preview(case: OfferContext, offer: RetentionOffer) -> OfferPreview | None:
    """The effect of accepting the offer, or None if it cannot be accepted."""
    if cancellation.why_not_cancelable(case.snapshot) is not None or not case.snapshot.status.renews:
        return None
    return _PREVIEWS[offer.type](case, offer)


def _coupon(case: OfferContext, offer: RetentionOffer) -> OfferPreview | None:
    coupon = _redeemable_coupon(case, offer.coupon)
    if coupon is None or _has_discount_of(case, coupon):
        return None
    # The id is fixed before the discount exists, because the preview of the next invoice already refers to it.
    discount_id = "di_" + hashlib.sha256(case.key.encode()).hexdigest()[:24]
    terms = CouponTerms.of({**values(coupon, *COUPON_TERMS), "coupon_currency": coupon.currency})
    end = discount_end(coupon.duration, coupon.duration_in_months, case.at)
    discount = DiscountTerms(discount_id, terms, coupon.duration, end=end, subscription_id=case.row.id)
    invoices = offer_rules.reduced(case.snapshot, discount)
    return OfferPreview(offer, coupon=coupon, discount=discount, invoices=invoices) if invoices else None


def _redeemable_coupon(case: OfferContext, coupon_id: str | None) -> Coupon | None:
    """The account's coupon in the customer's mode, unless it is no longer valid or used up."""
    query = select(Coupon.__table__).where(
        Coupon.account_id == case.customer.account_id,
        Coupon.id == coupon_id,
        Coupon.livemode == case.row.livemode,
        Coupon.valid,
        or_(Coupon.redeem_by.is_(None), Coupon.redeem_by > case.at),
        or_(Coupon.max_redemptions.is_(None), Coupon.times_redeemed < Coupon.max_redemptions),
    )
    return cast(Coupon | None, case.reader.execute(query).first())


def _has_discount_of(case: OfferContext, coupon: Coupon) -> bool:
    """Whether the customer has a discount of this coupon already."""
    running = (
        select(Discount.id)
        .where(Discount.customer_id == case.customer.id, Discount.coupon_id == coupon.id)
        .where(Discount.end.is_(None) | (Discount.end > case.at))
    )
    return case.reader.execute(running.limit(1)).first() is not None


def _pause(case: OfferContext, offer: RetentionOffer) -> OfferPreview | None:
    has_pending_update = case.row.pending_update is not None
    can_pause = case.features.subscription_pause.enabled and not pauses.why_not_pausable(
        case.snapshot, has_pending_update, case.at
    )
    return OfferPreview(offer) if can_pause else None


def _price(case: OfferContext, offer: RetentionOffer) -> OfferPreview | None:
    features = case.features.subscription_update
    options = plan_options.load(case.reader, case.row, case.customer, features, case.at)
    if not features.enabled or options.refusal is not None:
        return None
    for item in options.snapshot.items:
        for plan in options.policy.plans_for(item):
            fits = _is_within(features.limits(plan.product_id), item.quantity or 1)
            if plan.price_id == offer.price and fits and offer_rules.is_cheaper(item, plan):
                comparison = offer_rules.compare(options.snapshot, item, plan)
                return OfferPreview(offer, item=item, plan=plan, comparison=comparison)
    return None


def _is_within(limits: QuantityLimits | None, quantity: int) -> bool:
    """Whether the quantity is allowed. Without limits the quantity cannot be chosen, and only 1 is allowed."""
    return quantity == 1 if limits is None else limits.minimum <= quantity <= limits.maximum


def _trial(case: OfferContext, offer: RetentionOffer) -> OfferPreview | None:
    options = plan_options.load(case.reader, case.row, case.customer, case.features.subscription_update, case.at)
    has_pending_change = (
        options.planned or options.snapshot.managed_by_merchant_schedule or case.row.pending_update is not None
    )
    end = offer_rules.longer_trial(case.snapshot, offer.days or 0, case.at)
    return OfferPreview(offer, trial_end=end) if end and not has_pending_change else None


def _contact(case: OfferContext, offer: RetentionOffer) -> OfferPreview | None:
    columns = Account.support_url, Account.support_email, Account.support_phone
    account_id = case.row.on_behalf_of or case.customer.account_id
    account = case.reader.execute(select(*columns).where(Account.id == account_id)).one()
    url = offer.url or account.support_url
    support = Support(url if url and is_safe(url) else None, account.support_email, account.support_phone)
    return OfferPreview(offer, support=support) if any((support.url, support.email, support.phone)) else None


_PREVIEWS: Mapping[str, Callable[[OfferContext, RetentionOffer], OfferPreview | None]] = {
    "coupon": _coupon, "pause": _pause, "price": _price, "trial": _trial, "contact": _contact
}  # fmt: skip


def document(offer: RetentionOffer) -> JsonObject:
    """An offer as the JSON document that a cancellation attempt stores."""
    return {name: value for name, value in asdict(offer).items() if value is not None}
