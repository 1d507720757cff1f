"""Changing plans and quantities: the preview and the change load the same snapshot and use the same rule."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from portal_site.billing.changes import plan_options
from portal_site.billing.changes.plan_options import PlanChangeOptions
from portal_site.billing.errors import BillingError, StateChanged
from portal_site.billing.loading import confirmations, ownership, payment_state, snapshots
from portal_site.billing.loading.confirmations import Confirmation, quote_fingerprint
from portal_site.billing.loading.plans import Reader
from portal_site.billing.models import Customer, PlanChange, Subscription
from portal_site.billing.rules.amounts import promotion_codes as code_rules
from portal_site.billing.rules.amounts.discounts import DiscountTerms
from portal_site.billing.rules.amounts.items import Item
from portal_site.billing.rules.amounts.promotion_codes import CodeTerms
from portal_site.billing.rules.portal.portal_features import SubscriptionUpdate
from portal_site.billing.rules.subscriptions import plan_change
from portal_site.billing.rules.subscriptions.plan_change import ItemChange, ProrationPolicy, Quote
from portal_site.billing.rules.subscriptions.snapshot import SubscriptionSnapshot
from portal_site.billing.rules.subscriptions.statuses import ChangeOutcome
from portal_site.billing.subscriptions import (
    accepted_offers,
    applied_discounts,
    pending_updates,
    promotion_codes,
    schedules,
)
from portal_site.billing.translation_marks import N_
from portal_site.db.transactions import reading, transaction


@dataclass(frozen=True)
class PlanChangeRequest:
    """A requested change: (price id, quantity) by item id, None for unchanged, and the id of a promotion code."""

    items: Mapping[str, tuple[str | None, int | None]]
    code_id: str | None = None


def options(customer_id: str, subscription_id: str, features: SubscriptionUpdate, at: int) -> PlanChangeOptions:
    """A customer's subscription and the plans that it may change to. Raises NotFound."""
    with reading() as reader:
        row, customer = snapshots.load_owned_rows(reader, customer_id, subscription_id)
        return plan_options.load(reader, row, customer, features, at)


def preview(
    change_options: PlanChangeOptions,
    features: SubscriptionUpdate,
    customer_id: str,
    request: PlanChangeRequest,
    at: int,
) -> Quote:
    """The quote for the requested change. Raises BillingError if it is not possible, with the form's field as `param`."""
    with reading() as reader:
        code = _code(reader, customer_id, request)
        return _quote(reader, customer_id, change_options, features, request, code, at)


def change_plan(
    customer_id: str,
    subscription_id: str,
    features: SubscriptionUpdate,
    request: PlanChangeRequest,
    confirmation: Confirmation,
    at: int,
    attempt_id: str = "",
) -> PlanChange:
    """Make the change on the confirmed terms. A second call with the same confirmation returns the same change.

    If an amount is due now, an open invoice is written, and the change is pending in `pending_update` until that is paid.
    `attempt_id` is the cancellation attempt in which a cheaper plan was offered, if any. Raises NotFound, BillingError if the
    change is not possible, and StateChanged if its terms have changed.
    """
    with transaction() as session:
        customer = ownership.lock_customer(session, customer_id)
        existing = confirmations.find_by_confirmation_key(session, customer_id, confirmation.key)
        if existing is not None:
            return existing
        subscription = ownership.get_owned(session, Subscription, customer_id, subscription_id, lock=True)
        confirmation.check_time(at)
        change_options = plan_options.load(session, subscription, customer, features, confirmation.at)
        if (refusal := plan_change.why_not_changeable(change_options.snapshot, at)) is not None:
            raise StateChanged(refusal.message, refusal.code)  # the period ended after the quote
        code = _code(session, customer_id, request)
        quote = _quote(session, customer_id, change_options, features, request, code, confirmation.at)
        confirmation.check(quote_fingerprint(quote))
        is_pending = bool(quote.invoice.amount_due) and not quote.deferred
        if change_options.planned and not is_pending:
            schedules.release_portal_schedules(session, subscription, at)
        change = _make_change(session, customer, subscription, quote, code, confirmation.key, at)
        if subscription.pending_update:
            # The planned change is only released when the pending update that replaces it is applied.
            more = {"attempt": attempt_id, "replaces_plan": bool(change_options.planned)}
            subscription.pending_update = {**subscription.pending_update, **more}
        else:
            accepted_offers.accept_price_offer(
                session, subscription, attempt_id, [item.offer.price_id for item in quote.items], at
            )
        return change


def withdraw(customer_id: str, subscription_id: str, at: int) -> None:
    """Discard a pending update. Raises NotFound, and StateChanged if there is none or its payment is in progress."""
    with transaction() as session:
        customer = ownership.lock_customer(session, customer_id)
        subscription = ownership.get_owned(session, Subscription, customer_id, subscription_id, lock=True)
        if not subscription.pending_update:
            raise StateChanged(N_("There is no change left to undo."), "no_pending_update")
        if payment_state.unsettled_attempt(session, customer_id, subscription.pending_update.get("invoice")):
            raise StateChanged(
                N_("The payment for this change is in progress. Please try again in a moment."), "payment_under_way"
            )
        pending_updates.discard(session, customer, subscription, at)


# --- the quote --------------------------------------------------------------------------------------------------------


def _quote(
    reader: Reader,
    customer_id: str,
    change_options: PlanChangeOptions,
    features: SubscriptionUpdate,
    request: PlanChangeRequest,
    code: CodeTerms | None,
    at: int,
) -> Quote:
    if change_options.refusal is not None:
        raise change_options.refusal
    item_changes = {
        item.id: _item_change(change_options, features, item, *request.items[item.id])
        for item in change_options.snapshot.items
        if item.id in request.items and not item.offer.terms.metered
    }
    if set(request.items) - {item.id for item in change_options.snapshot.items}:
        raise BillingError(N_("Choose an item of your subscription."), "resource_missing", "items")
    _check_duplicate_products(change_options.snapshot.items, item_changes)
    policy = ProrationPolicy(
        features.proration_behavior,
        features.billing_cycle_anchor or "unchanged",
        features.schedule_at_period_end,
        features.trial_update_behavior,
    )
    discount = _discount(reader, customer_id, change_options.snapshot, item_changes, code, at) if code else None
    return plan_change.quote(change_options.snapshot, item_changes, policy, at, discount)


def _check_duplicate_products(items: Sequence[Item], item_changes: Mapping[str, ItemChange]) -> None:
    """Raise BillingError if an item would change to a product that another item has."""
    product_ids = {
        item.id: item_changes[item.id].offer.product_id if item.id in item_changes else item.offer.product_id
        for item in items
    }
    for item in items:
        is_duplicate = list(product_ids.values()).count(product_ids[item.id]) > 1
        if is_duplicate and product_ids[item.id] != item.offer.product_id:
            raise BillingError(
                N_("Another item of your subscription already has this plan."), "duplicate_product", f"price-{item.id}"
            )


def _item_change(
    change_options: PlanChangeOptions,
    features: SubscriptionUpdate,
    item: Item,
    price_id: str | None,
    quantity: int | None,
) -> ItemChange:
    """The change of an item that the configuration allows. Raises BillingError for another price or quantity."""
    allowed = {offer.price_id: offer for offer in plan_options.plans_for_item(change_options, features, item)}
    offer = allowed.get(price_id or item.offer.price_id)
    if offer is None:
        raise BillingError(N_("Choose one of the plans on this page."), "price_not_offered", f"price-{item.id}")
    same_price = offer.price_id == item.offer.price_id
    if same_price and quantity in (None, item.quantity):
        return ItemChange(offer, item.quantity or 0)
    limits = features.limits(offer.product_id)
    param = f"quantity-{item.id}"
    quantity = item.quantity or 0 if quantity is None else quantity
    if limits is None and not same_price and quantity in (1, item.quantity):
        return ItemChange(offer, 1)  # a plan whose quantity cannot be chosen has quantity 1
    if limits is None:
        raise BillingError(N_("The quantity of this plan cannot be changed here."), "quantity_not_adjustable", param)
    if not limits.minimum <= quantity <= limits.maximum:
        raise BillingError(
            N_("Choose a quantity from %(least)s to %(most)s."), "quantity_invalid", param,
            least=limits.minimum, most=limits.maximum,
        )  # fmt: skip
    return ItemChange(offer, quantity)


def _code(reader: Reader, customer_id: str, request: PlanChangeRequest) -> CodeTerms | None:
    if request.code_id is None:
        return None
    account = select(Customer.account_id).where(Customer.id == customer_id)
    return promotion_codes.load(reader, reader.execute(account).scalar_one(), request.code_id)


def _discount(
    reader: Reader,
    customer_id: str,
    snapshot: SubscriptionSnapshot,
    item_changes: Mapping[str, ItemChange],
    code: CodeTerms,
    at: int,
) -> DiscountTerms:
    """The discount of a code on the changed subscription. Raises BillingError if the code cannot be redeemed."""
    items = tuple(
        replace(item, offer=item_changes[item.id].offer, quantity=item_changes[item.id].quantity)
        if item.id in item_changes
        else item
        for item in snapshot.items
    )
    redeemer = promotion_codes.redeemer(reader, customer_id, code, snapshot.currency, items)
    refusal = code_rules.why_not_redeemable(code, redeemer, at)
    if refusal is not None:
        raise refusal
    # The id is fixed before the discount exists, because the quote's lines refer to it, and quote and charge must agree.
    id_suffix = hashlib.sha256(f"{code.id}:{snapshot.id}".encode()).hexdigest()[:24]
    return DiscountTerms(f"di_{id_suffix}", code.coupon, code.duration, end=code.end(at), subscription_id=snapshot.id)


# --- the change -------------------------------------------------------------------------------------------------------


def _make_change(
    session: Session,
    customer: Customer,
    subscription: Subscription,
    quote: Quote,
    code: CodeTerms | None,
    key: str,
    at: int,
) -> PlanChange:
    discount = _redeem(session, customer, code, quote, at) if code else None
    if not quote.deferred:
        return pending_updates.apply_or_await_payment(session, customer, subscription, quote, discount, key, at)
    change = PlanChange.of(subscription, key, at)
    change.outcome = ChangeOutcome.SCHEDULED
    schedules.plan(session, subscription, quote, at)
    if discount:
        applied_discounts.add_discount(session, subscription, discount, at)
    session.add(change)
    return change


def _redeem(session: Session, customer: Customer, code: CodeTerms, quote: Quote, at: int) -> dict[str, Any]:
    """Count the redemption of the code, and return the columns of its discount. Raises BillingError if it is used up."""
    promotion_codes.redeem(session, customer.account_id, code)
    assert quote.code is not None
    return {
        "id": quote.code.id,
        "coupon_id": code.coupon_id,
        "promotion_code": code.code,
        "promotion_code_id": code.id,
        "start": at,
        "end": quote.code.end,
    }
