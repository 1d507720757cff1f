"""Changing plans and quantities: the preview and the change load the same snapshot and use the same rule."""

import hashlib
from collections.abc import Sequence
from dataclasses import replace

from sqlalchemy import select
from sqlalchemy.orm import Session

from portal_site.billing.changes import plan_options
from portal_site.billing.changes.plan_options import Owner, PlanChangeOptions
from portal_site.billing.errors import BillingError, StateChanged
from portal_site.billing.loading import confirmations, ownership, payment_state, snapshots
from portal_site.billing.loading.confirmations import Confirmation, quote_fingerprint
from portal_site.billing.loading.plans import Reader
from portal_site.billing.models import Customer, PlanChange, Subscription
from portal_site.billing.rules.amounts import promotion_codes as code_rules
from portal_site.billing.rules.amounts.discounts import DiscountTerms
from portal_site.billing.rules.amounts.items import ItemSpec
from portal_site.billing.rules.amounts.promotion_codes import CodeTerms
from portal_site.billing.rules.portal.portal_features import SubscriptionUpdate
from portal_site.billing.rules.subscriptions import plan_change
from portal_site.billing.rules.subscriptions.pending_update import PendingDiscount, PendingUpdate
from portal_site.billing.rules.subscriptions.plan_change import NewDiscount, Quote
from portal_site.billing.rules.subscriptions.portal_policy import PlanChangeRequest, PortalPolicy
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

NO_SAVING = N_("This code would not reduce any of your upcoming invoices, so it was not used.")


def options(customer_id: str, subscription_id: str, features: SubscriptionUpdate, at: int) -> PlanChangeOptions:
    """A customer's subscription and the plans that it may change to. Raises NotFound."""
    with reading() as reader:
        row, customer = snapshots.load_owned_rows(reader, customer_id, subscription_id)
        return plan_options.load(reader, row, customer, features, at)


def options_of(
    snapshot: SubscriptionSnapshot, owner: Owner, features: SubscriptionUpdate, at: int
) -> PlanChangeOptions:
    """The same for a subscription that a page has read, with its siblings."""
    with reading() as reader:
        loaded = snapshots.with_charges(reader, snapshot, at)
        return plan_options.of_snapshot(reader, loaded, owner, features, at)


def preview(change_options: PlanChangeOptions, customer_id: str, request: PlanChangeRequest, at: int) -> Quote:
    """The quote for the requested change. Raises BillingError if it is not possible, with the form's field as `param`."""
    with reading() as reader:
        return quote(reader, customer_id, change_options, request, at)


def quote(
    reader: Reader, customer_id: str, change_options: PlanChangeOptions, request: PlanChangeRequest, at: int
) -> Quote:
    """The same for a caller that reads something else too."""
    return _quote(reader, customer_id, change_options, request, _code(reader, customer_id, request), at)


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
        if (refusal := change_options.policy.why_not_changeable(at)) is not None:
            raise StateChanged(refusal.message, refusal.code)  # the period ended after the quote
        code = _code(session, customer_id, request)
        quote = _quote(session, customer_id, change_options, request, code, confirmation.at)
        confirmation.check(quote_fingerprint(quote))
        discount = _redeem(session, customer, code, quote, at) if code else None
        update = pending_updates.pending_update(change_options.snapshot, quote, discount, at)
        replaces = change_options.planned and quote.changes_items
        update = replace(update, attempt_id=attempt_id, replaces_planned_change=replaces)
        return _make_change(session, customer, subscription, quote, update, confirmation.key, at)


def withdraw(customer_id: str, subscription_id: str, at: int) -> None:
    """Discard a pending update. Raises NotFound, and StateChanged if there is none or its payment is in progress."""
    with transaction() as session:
        customer = ownership.lock_customer(session, customer_id)
        subscription = ownership.get_owned(session, Subscription, customer_id, subscription_id, lock=True)
        if not subscription.pending_update:
            raise StateChanged(N_("There is no change left to undo."), "no_pending_update")
        if payment_state.unsettled_attempt(session, customer_id, subscription.pending_update.invoice_id):
            raise StateChanged(
                N_("The payment for this change is in progress. Please try again in a moment."), "payment_under_way"
            )
        pending_updates.discard(session, customer, subscription, at)


# --- the quote --------------------------------------------------------------------------------------------------------


def _quote(
    reader: Reader,
    customer_id: str,
    change_options: PlanChangeOptions,
    request: PlanChangeRequest,
    code: CodeTerms | None,
    at: int,
) -> Quote:
    if change_options.refusal is not None:
        raise change_options.refusal
    snapshot, target = change_options.snapshot, change_options.policy.target(request)
    discount = _new_discount(reader, customer_id, change_options.policy, target, code, at) if code else None
    return plan_change.quote(snapshot, target, change_options.policy.proration, at, discount)


def _code(reader: Reader, customer_id: str, request: PlanChangeRequest) -> CodeTerms | None:
    if request.code_id is None and request.coupon_id is None:
        return None
    account_id = reader.execute(select(Customer.account_id).where(Customer.id == customer_id)).scalar_one()
    if request.code_id is not None:
        return promotion_codes.load(reader, account_id, request.code_id)
    return promotion_codes.load_coupon(reader, account_id, request.coupon_id or "")


def _new_discount(
    reader: Reader,
    customer_id: str,
    policy: PortalPolicy,
    target: Sequence[ItemSpec],
    code: CodeTerms,
    at: int,
) -> NewDiscount:
    """The discount of a code. Raises BillingError if it cannot be redeemed, or takes nothing off the invoices to come."""
    snapshot = policy.snapshot
    redeemer = promotion_codes.redeemer(reader, customer_id, code, snapshot.currency, target)
    refusal = code_rules.why_not_redeemable(code, redeemer, at)
    if refusal is not None:
        raise refusal
    # The id is fixed before the discount exists, because the quote's lines refer to it, and quote and charge must agree.
    id_suffix = hashlib.sha256(f"{code.id or code.coupon_id}:{snapshot.id}".encode()).hexdigest()[:24]
    terms = DiscountTerms(f"di_{id_suffix}", code.coupon, code.duration, end=code.end(at), subscription_id=snapshot.id)
    stacks = policy.features.stack_promotion_codes
    discount = NewDiscount(terms, frozenset() if stacks else plan_change.replaced_discounts(snapshot, at))
    effect = plan_change.code_effect(snapshot, target, policy.proration, at, discount)
    if not effect.saves:
        raise BillingError(NO_SAVING, "promotion_code_invalid", "promotion_code")
    return replace(discount, costs=effect.costs)


# --- the change -------------------------------------------------------------------------------------------------------


def _make_change(
    session: Session,
    customer: Customer,
    subscription: Subscription,
    quote: Quote,
    update: PendingUpdate,
    key: str,
    at: int,
) -> PlanChange:
    if quote.deferred:
        return _schedule_change(session, subscription, quote, update, key, at)
    return pending_updates.apply_or_await_payment(session, customer, subscription, quote, update, key, at)


def _schedule_change(
    session: Session, subscription: Subscription, quote: Quote, update: PendingUpdate, key: str, at: int
) -> PlanChange:
    """Plan the change for the end of the period, in a schedule of the customer's."""
    if update.replaces_planned_change:
        schedules.release_portal_schedules(session, subscription, at)
    change = PlanChange.of(subscription, key, at)
    change.outcome = ChangeOutcome.SCHEDULED
    schedules.plan(session, subscription, quote, at)
    if update.discount:
        applied_discounts.add_discount(session, subscription, update.discount, at)
    applied_discounts.end_discounts(session, subscription, update.ended_discounts, at)
    accepted_offers.accept_price_offer(
        session, subscription, update.attempt_id, [item.price_id for item in update.items], at
    )
    session.add(change)
    return change


def _redeem(session: Session, customer: Customer, code: CodeTerms, quote: Quote, at: int) -> PendingDiscount:
    """Count the redemption of the code, and return its discount. Raises BillingError if it is used up."""
    promotion_codes.redeem(session, customer.account_id, code)
    assert quote.code is not None
    return PendingDiscount(quote.code.terms.id, code.coupon_id, at, quote.code.terms.end, code.code or None, code.id)
