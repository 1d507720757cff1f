"""Changing plan, quantity and items: the preview and the change load the same snapshot and ask the same rule."""

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
from portal_site.billing.loading.snapshots import Reader
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
    """What a customer asks for: a price and quantity for some items (None: as it is), and a promotion code by its id."""

    items: Mapping[str, tuple[str | None, int | None]]
    code_id: str | None = None


def options(customer_id: str, subscription_id: str, features: SubscriptionUpdate, at: int) -> PlanChangeOptions:
    """What a customer's subscription is and may become. Raises NotFound."""
    with reading() as reader:
        row, customer = snapshots.load_owned_rows(reader, customer_id, subscription_id)
        return plan_options.load(reader, row, customer, features, at)


def preview(
    situation: PlanChangeOptions, features: SubscriptionUpdate, customer_id: str, order: PlanChangeRequest, at: int
) -> Quote:
    """What the order would cost, and when. Raises BillingError for what cannot be had, with the form's field as `param`."""
    with reading() as reader:
        code = _code(reader, customer_id, order)
        return _quote(reader, customer_id, situation, features, order, code, at)


def change_plan(
    customer_id: str,
    subscription_id: str,
    features: SubscriptionUpdate,
    order: PlanChangeRequest,
    confirmation: Confirmation,
    at: int,
    attempt_id: str = "",
) -> PlanChange:
    """Make the change that was agreed to, or raise StateChanged when it is not what it was. A second call finds the first.

    A change that costs something now makes an open invoice and waits in `pending_update` until that is paid. `attempt_id` names
    the attempt to cancel in which a cheaper plan was offered.
    """
    with transaction() as session:
        customer = ownership.lock_customer(session, customer_id)
        made = confirmations.find_by_confirmation_key(session, customer_id, confirmation.key)
        if made is not None:
            return made
        subscription = ownership.get_owned(session, Subscription, customer_id, subscription_id, lock=True)
        confirmation.check_time(at)
        found = plan_options.load(session, subscription, customer, features, confirmation.at)
        if (late := plan_change.why_not_changeable(found.snapshot, at)) is not None:
            raise StateChanged(late.message, late.code)  # the period ended between quote and click
        code = _code(session, customer_id, order)
        quote = _quote(session, customer_id, found, features, order, code, confirmation.at)
        confirmation.check(quote_fingerprint(quote))
        waits = bool(quote.invoice.amount_due) and not quote.deferred
        if found.planned and not waits:
            schedules.release_portal_schedules(session, subscription, at)
        change = _make(session, customer, subscription, quote, code, confirmation.key, at)
        if subscription.pending_update:
            # What was planned goes only with the change that replaces it.
            more = {"attempt": attempt_id, "replaces_plan": bool(found.planned)}
            subscription.pending_update = {**subscription.pending_update, **more}
        else:
            accepted_offers.accept_price_offer(
                session, subscription, attempt_id, [item.offer.price_id for item in quote.items], at
            )
        return change


def withdraw(customer_id: str, subscription_id: str, at: int) -> None:
    """Give up a change that waits for its payment. What is being paid at this moment cannot be given up."""
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


# --- what is asked for ------------------------------------------------------------------------------------------------


def _quote(
    reader: Reader,
    customer_id: str,
    found: PlanChangeOptions,
    features: SubscriptionUpdate,
    order: PlanChangeRequest,
    code: CodeTerms | None,
    at: int,
) -> Quote:
    if found.refusal is not None:
        raise found.refusal
    wishes = {
        item.id: _wish(found, features, item, *order.items[item.id])
        for item in found.snapshot.items
        if item.id in order.items and not item.offer.terms.metered
    }
    if set(order.items) - {item.id for item in found.snapshot.items}:
        raise BillingError(N_("Choose an item of your subscription."), "resource_missing", "items")
    _check_doubles(found.snapshot.items, wishes)
    policy = ProrationPolicy(
        features.proration_behavior,
        features.billing_cycle_anchor or "unchanged",
        features.schedule_at_period_end,
        features.trial_update_behavior,
    )
    discount = _discount(reader, customer_id, found.snapshot, wishes, code, at) if code else None
    return plan_change.quote(found.snapshot, wishes, policy, at, discount)


def _check_doubles(items: Sequence[Item], wishes: Mapping[str, ItemChange]) -> None:
    """Raise BillingError when two items would become the same product, which were not before."""
    wanted = {
        item.id: wishes[item.id].offer.product_id if item.id in wishes else item.offer.product_id for item in items
    }
    for item in items:
        again = list(wanted.values()).count(wanted[item.id]) > 1
        if again and wanted[item.id] != item.offer.product_id:
            raise BillingError(
                N_("Another item of your subscription already has this plan."), "duplicate_product", f"price-{item.id}"
            )


def _wish(
    found: PlanChangeOptions, features: SubscriptionUpdate, item: Item, price_id: str | None, quantity: int | None
) -> ItemChange:
    allowed = {offer.price_id: offer for offer in plan_options.plans_for_item(found, features, item)}
    offer = allowed.get(price_id or item.offer.price_id)
    if offer is None:
        raise BillingError(N_("Choose one of the plans on this page."), "price_not_offered", f"price-{item.id}")
    same = offer.price_id == item.offer.price_id
    if same and quantity in (None, item.quantity):
        return ItemChange(offer, item.quantity or 0)
    limits = features.limits(offer.product_id)
    param = f"quantity-{item.id}"
    quantity = item.quantity or 0 if quantity is None else quantity
    if limits is None and not same and quantity in (1, item.quantity):
        return ItemChange(offer, 1)  # of what comes in no other quantity, one
    if limits is None:
        raise BillingError(N_("The quantity of this plan cannot be changed here."), "quantity_not_adjustable", param)
    if not limits.minimum <= quantity <= limits.maximum:
        raise BillingError(
            N_("Choose a quantity from %(least)s to %(most)s."), "quantity_invalid", param,
            least=limits.minimum, most=limits.maximum,
        )  # fmt: skip
    return ItemChange(offer, quantity)


def _code(reader: Reader, customer_id: str, order: PlanChangeRequest) -> CodeTerms | None:
    if order.code_id is None:
        return None
    account = select(Customer.account_id).where(Customer.id == customer_id)
    return promotion_codes.load(reader, reader.execute(account).scalar_one(), order.code_id)


def _discount(
    reader: Reader,
    customer_id: str,
    snapshot: SubscriptionSnapshot,
    wishes: Mapping[str, ItemChange],
    code: CodeTerms,
    at: int,
) -> DiscountTerms:
    """The code at work on the subscription as it shall be. Raises BillingError when it may not be redeemed."""
    items = tuple(
        replace(item, offer=wishes[item.id].offer, quantity=wishes[item.id].quantity) if item.id in wishes else item
        for item in snapshot.items
    )
    who = promotion_codes.redeemer(reader, customer_id, code, snapshot.currency, items)
    refusal = code_rules.why_not_redeemable(code, who, at)
    if refusal is not None:
        raise refusal
    # Known before it exists: the lines of the quote name it, and quote and charge must agree on it.
    name = hashlib.sha256(f"{code.id}:{snapshot.id}".encode()).hexdigest()[:24]
    return DiscountTerms(f"di_{name}", code.coupon, code.duration, code.end(at), snapshot.id)


# --- what is done -----------------------------------------------------------------------------------------------------


def _make(
    session: Session,
    customer: Customer,
    subscription: Subscription,
    quote: Quote,
    code: CodeTerms | None,
    key: str,
    at: int,
) -> PlanChange:
    discount = _redeemed(session, customer, code, quote, at) if code else None
    if not quote.deferred:
        return pending_updates.apply_or_await_payment(session, customer, subscription, quote, discount, key, at)
    change = PlanChange.of(subscription, key, at)
    change.outcome = ChangeOutcome.SCHEDULED
    schedules.plan(session, subscription, quote, at)
    if discount:
        applied_discounts.add_discount(session, subscription, discount, at)
    session.add(change)
    return change


def _redeemed(session: Session, customer: Customer, code: CodeTerms, quote: Quote, at: int) -> dict[str, Any]:
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
