"""Rules for starting a subscription: a new one of some prices, or one with the items of an ended one, at their current prices.

Both are quoted by `quote`, so a start costs the same whoever asks for it.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from portal_site.billing.errors import BillingError
from portal_site.billing.rules.amounts.items import Item, PricedPlan
from portal_site.billing.rules.amounts.periods import DAY
from portal_site.billing.rules.catalog import members
from portal_site.billing.rules.catalog.price_definitions import MOST_TRIAL_DAYS
from portal_site.billing.rules.portal.portal_features import MOST
from portal_site.billing.rules.subscriptions import plan_change
from portal_site.billing.rules.subscriptions.plan_change import NewDiscount, Quote
from portal_site.billing.rules.subscriptions.snapshot import SubscriptionSnapshot
from portal_site.billing.rules.subscriptions.statuses import SubscriptionStatus
from portal_site.billing.translation_marks import N_

MOST_ITEMS = 20  # of a subscription, as at Stripe
MOST_DAYS_UNTIL_DUE = 365
COLLECTION_METHODS = ("charge_automatically", "send_invoice")
# What happens at the end of a trial without a payment method. Stripe's third behavior, `pause`, is not here: the engine has no
# pause that a payment method ends.
MISSING_METHOD = ("create_invoice", "cancel")


@dataclass(frozen=True, slots=True)
class SoldPrice:
    """A price of the account, with what decides whether a subscription can start with it. `trial_days` are its usual trial."""

    plan: PricedPlan
    is_active: bool
    is_recurring: bool
    trial_days: int | None = None


@dataclass(frozen=True, slots=True)
class WantedPrice:
    """A price that a new subscription is to have. Without a quantity it is 1; what is billed by usage has none."""

    price_id: str
    quantity: int | None = None


@dataclass(frozen=True, slots=True)
class WantedTrial:
    """The trial of a new subscription: some days, or until an instant, or what the first price usually has; or none.

    `missing_payment_method` is what happens at its end to who has left none (one of MISSING_METHOD).
    """

    days: int | None = None
    until: int | None = None
    as_priced: bool = False
    missing_payment_method: str = MISSING_METHOD[0]


# --- a new subscription -----------------------------------------------------------------------------------------------


def new_items(
    wanted: Sequence[WantedPrice], sold: Mapping[str, SoldPrice], currency: str | None, subscription_id: str, at: int
) -> tuple[Item, ...]:
    """The items of a new subscription, whose periods begin at `at`. `currency` is the customer's, if it has one already.

    Their ids are fixed before they exist, because the lines of the quote refer to them, and quote and charge must agree. They
    sort in the order of the items. Raises BillingError for what cannot be so, with `items[0][price]` and the like as `param`.
    """
    if not 1 <= len(wanted) <= MOST_ITEMS:
        param = "items[0][price]" if not wanted else f"items[{MOST_ITEMS}][price]"
        raise BillingError(N_("Choose from 1 to %(most)s prices."), "parameter_missing", param, most=MOST_ITEMS)
    digest = hashlib.sha256(f"{subscription_id}:{at}".encode()).hexdigest()[:22]
    items: list[Item] = []
    for position, one in enumerate(wanted):
        plan = _usable(one, sold.get(one.price_id), items, currency, f"items[{position}][price]")
        quantity = _quantity(one, plan, f"items[{position}][quantity]")
        items.append(Item(f"si_{digest}{position:02}", plan, quantity, at, at, created=at))
    return tuple(items)


def _usable(
    one: WantedPrice, sold: SoldPrice | None, before: Sequence[Item], currency: str | None, param: str
) -> PricedPlan:
    """The plan of a wanted price, beside the items before it."""
    if sold is None:
        raise BillingError(N_("There is no such price."), "resource_missing", param)
    plan = sold.plan
    others = {item.offer.terms.currency for item in before} or ({currency} if currency else set())
    behaviors = {plan.tax_behavior, *(item.offer.tax_behavior for item in before)} - {"unspecified"}
    reasons = (
        (not sold.is_recurring, N_("This price is paid once. Choose one that is billed again and again.")),
        (not sold.is_active, N_("This price is archived. Choose an active one.")),
        (
            not before and bool(others - {plan.terms.currency}),
            N_("This customer pays in %(ours)s, and this price is in %(theirs)s."),
        ),
        (
            bool(others - {plan.terms.currency}),
            N_("The prices before this one are in %(ours)s, and this one is in %(theirs)s."),
        ),
        (len(behaviors) > 1, N_("This price includes tax and another one does not, or the other way round.")),
        (
            any(item.offer.price_id == plan.price_id for item in before),
            N_("This price is there already. Raise its quantity instead."),
        ),
    )
    words = next((words for applies, words in reasons if applies), None)
    if words is None:
        return plan
    ours = next(iter(others), "").upper()
    values = {"ours": ours, "theirs": plan.terms.currency.upper()} if "%(ours)s" in words else {}
    raise BillingError(words, "price_not_usable", param, **values)


def _quantity(one: WantedPrice, plan: PricedPlan, param: str) -> int | None:
    if not plan.terms.metered:
        return members.whole(1 if one.quantity is None else one.quantity, param, MOST)
    if one.quantity not in (None, 1):
        raise BillingError(N_("This price is paid by usage. Leave the quantity empty."), "", param)
    return None


def trial_end(trial: WantedTrial, usual_days: int | None, at: int) -> int | None:
    """When the trial of a subscription that starts at `at` ends; None without a trial. Raises BillingError, with `param` set."""
    members.choice(trial.missing_payment_method, "missing_payment_method", MISSING_METHOD)
    if trial.as_priced:
        return at + usual_days * DAY if usual_days else None
    if trial.days is not None:
        return at + members.whole(trial.days, "trial_period_days", MOST_TRIAL_DAYS) * DAY
    if trial.until is None:
        return None
    if trial.until <= at:
        raise BillingError(N_("Choose a time in the future."), "", "trial_end")
    if trial.until > at + MOST_TRIAL_DAYS * DAY:
        raise BillingError(N_("Let the trial end within %(most)s days."), "", "trial_end", most=MOST_TRIAL_DAYS)
    return trial.until


def days_until_due(collection_method: str, days: int | None) -> int | None:
    """The days within which invoices are to be paid, checked; None where they are charged. Raises BillingError."""
    if members.choice(collection_method, "collection_method", COLLECTION_METHODS) == "charge_automatically":
        return None
    if days is None:
        raise members.missing("days_until_due")
    return members.whole(days, "days_until_due", MOST_DAYS_UNTIL_DUE, least=0)


def why_not_payable(quote: Quote, collection_method: str, *, has_method: bool) -> BillingError | None:
    """Why the subscription cannot start on these terms though the merchant may ask for it: nobody could be charged; or None."""
    if not quote.invoice.amount_due or collection_method == "send_invoice" or has_method:
        return None
    message = N_(
        "This customer has no payment method to charge. Send invoices, begin with a trial, or email the customer a link"
        " to add a payment method first."
    )
    return BillingError(message, "resource_missing", "collection_method")


def quote(snapshot: SubscriptionSnapshot, at: int, code: NewDiscount | None = None) -> Quote:
    """The quote for starting this subscription at `at`, with the discount of a code or a coupon.

    While it is trialing nothing is invoiced before the trial is over. The customer's balance applies, and the customer's
    discounts if there is no code.
    """
    begun = _with_code(snapshot.with_shared_discounts_resumed(at), code)
    if begun.status == SubscriptionStatus.TRIALING:
        return plan_change.begin_trial(begun, at, code)
    return plan_change.restart_periods(begun, at, code)


def saves(snapshot: SubscriptionSnapshot, at: int, code: NewDiscount) -> bool:
    """Whether a code makes any invoice of this new subscription cheaper. Who tries it out is taken to stay."""
    begun = replace(snapshot.with_shared_discounts_resumed(at), cancel_at=None)
    return plan_change.effect_on_start(begun, _with_code(begun, code), at, code).saves


def _with_code(snapshot: SubscriptionSnapshot, code: NewDiscount | None) -> SubscriptionSnapshot:
    return snapshot if code is None else replace(snapshot, discounts=(*snapshot.discounts, code.terms))


# --- an ended subscription --------------------------------------------------------------------------------------------


def why_not_reactivatable(
    snapshot: SubscriptionSnapshot, offered: frozenset[str], living: frozenset[str]
) -> BillingError | None:
    """Why the subscription cannot be reactivated, or None.

    `offered` are those of its price ids that are still active; `living` are the product ids of the customer's subscriptions that
    have not ended.
    """
    product_ids = {item.offer.product_id for item in snapshot.items}
    reasons = (
        (not snapshot.status.ended, N_("This subscription is still active.")),
        (bool(product_ids & living), N_("You already have this plan.")),
        (
            not snapshot.items or any(item.offer.price_id not in offered for item in snapshot.items),
            N_("This plan is no longer available. Please contact us."),
        ),
        (
            snapshot.collection_method == "send_invoice",
            N_("You pay this subscription by invoice. Please contact us to resubscribe."),
        ),
        (snapshot.has_open_invoice, N_("An invoice for this subscription is unpaid. Pay it first.")),
    )
    return next(
        (BillingError(message, "subscription_not_restartable") for applies, message in reasons if applies), None
    )


def quote_again(snapshot: SubscriptionSnapshot, at: int) -> Quote:
    """The quote for reactivating at `at`. The customer's discounts and balance apply, those of the old subscription do not."""
    customer_discounts = tuple(
        discount for discount in snapshot.discounts if discount.subscription_id is None and discount.item_id is None
    )
    reactivated = replace(
        snapshot, status=SubscriptionStatus.ACTIVE, cancel_at=None, pause_collection=None, resumes_at=None, trial_end=None,
        phases=(), awaiting_payment=None, discounts=customer_discounts, pending_lines=(), creditable_lines=(),
    )  # fmt: skip
    return quote(reactivated, at)
