"""Flows of portal sessions: whether a flow can be begun when its link is made, and that it is completed once."""

from sqlalchemy import or_, select, update
from sqlalchemy.orm import Session

from portal_site.billing.changes import plan_changes, plan_options
from portal_site.billing.changes.plan_options import PlanChangeOptions
from portal_site.billing.errors import BillingError, NotFound
from portal_site.billing.loading import snapshots
from portal_site.billing.models import (
    Account,
    Coupon,
    Customer,
    PortalConfiguration,
    PortalSession,
    PromotionCode,
    Subscription,
    SubscriptionSchedule,
    TestClock,
)
from portal_site.billing.rules.portal import flows as rules
from portal_site.billing.rules.portal import portal_features
from portal_site.billing.rules.portal.flows import Flow
from portal_site.billing.rules.portal.portal_features import Features
from portal_site.billing.rules.portal.safe_urls import Returns
from portal_site.billing.rules.subscriptions import cancellation, pauses
from portal_site.billing.rules.subscriptions.portal_policy import PlanChangeRequest
from portal_site.db.transactions import transaction

_DISABLED = {
    "payment_method_update": "This customer's payment methods cannot be updated because the payment method update feature",
    "customer_update": "This customer cannot be updated because the customer update feature",
    "subscription_cancel": "This subscription cannot be canceled because the subscription cancellation feature",
    "subscription_pause": "This subscription cannot be paused because the subscription pause feature",
    "subscription_update": "This subscription cannot be updated because the subscription update feature",
}


def check(
    session: Session,
    customer: Customer,
    configuration: PortalConfiguration,
    on_behalf_of: str | None,
    flow: Flow,
    at: int,
) -> None:
    """Raise BillingError, with the API's text and `param`, for a flow that this customer could not go through.

    Its pages check everything again: the configuration or the subscription may change before the link is followed.
    """
    features = portal_features.read(configuration.features)
    if flow.feature is not None and not features.allows(flow.feature):
        raise BillingError(f"{_DISABLED[flow.feature]} in the portal configuration is disabled.", "", "flow_data[type]")
    _check_completion(session, configuration, flow)
    if flow.subscription_id is None:
        return
    row = session.scalar(
        select(Subscription).where(
            Subscription.customer_id == customer.id, Subscription.id == flow.subscription_id.replace("\0", "")
        )
    )
    param = f"flow_data[{flow.type}][subscription]"
    if row is None or (on_behalf_of is not None and row.on_behalf_of != on_behalf_of):
        raise NotFound("No such subscription: '%(id)s'", "resource_missing", param, id=flow.subscription_id)
    clock = select(TestClock.frozen_time).where(
        TestClock.account_id == customer.account_id, TestClock.id == customer.test_clock_id
    )
    frozen = session.scalar(clock) if customer.test_clock_id else None
    now = at if frozen is None else frozen
    if flow.type == rules.SUBSCRIPTION_CANCEL:
        _check_cancellation(session, customer, row, flow, now)
    elif flow.type == rules.SUBSCRIPTION_PAUSE:
        refusal = pauses.why_not_pausable(
            snapshots.load_for_quote(session, row, customer, now), row.pending_update is not None, now
        )
        _refuse(refusal, param)
    else:
        _check_update(session, customer, configuration, row, features, flow, now)


def _refuse(refusal: BillingError | None, param: str) -> None:
    if refusal is not None:
        raise BillingError(str(refusal), refusal.code, param)


def _check_completion(session: Session, configuration: PortalConfiguration, flow: Flow) -> None:
    url = flow.completion.return_url
    if url is None:
        return
    registered = session.get_one(Account, configuration.account_id).return_hosts
    returns = Returns.of(configuration.livemode, registered, configuration.default_return_url)
    returns.check(url, "flow_data[after_completion][redirect][return_url]")


def _check_cancellation(session: Session, customer: Customer, row: Subscription, flow: Flow, at: int) -> None:
    param = f"flow_data[{flow.type}][subscription]"
    if row.cancel_at_period_end:
        raise BillingError(
            "The subscription `%(id)s` is already set to be canceled at period end.", "", param, id=row.id
        )
    _refuse(cancellation.why_not_cancelable(snapshots.load_for_quote(session, row, customer, at)), param)
    _check_no_schedule(session, row, "any cancelation behavior", param)
    if flow.retention_coupon is not None:
        _check_coupon(
            session, customer, flow.retention_coupon, f"flow_data[{flow.type}][retention][coupon_offer][coupon]"
        )


def _check_no_schedule(session: Session, row: Subscription, what: str, param: str) -> None:
    """Raise BillingError if a schedule of the merchant's manages the subscription. The customer's own planned change does not."""
    schedule_id = session.scalar(
        select(SubscriptionSchedule.id).where(
            SubscriptionSchedule.customer_id == row.customer_id,
            SubscriptionSchedule.subscription_id == row.id,
            SubscriptionSchedule.status == "active",
            SubscriptionSchedule.origin != "portal",
        )
    )
    if schedule_id is not None:
        raise BillingError(
            "The subscription is managed by the subscription schedule `%(id)s`, and updating %(what)s directly is not "
            "allowed. Please update the schedule instead.",
            "", param, id=schedule_id, what=what,
        )  # fmt: skip


def _check_coupon(session: Session, customer: Customer, coupon_id: str, param: str) -> None:
    found = session.scalar(
        select(Coupon.id).where(
            Coupon.account_id == customer.account_id,
            Coupon.livemode == customer.livemode,
            Coupon.id == coupon_id.replace("\0", ""),
            Coupon.valid,
        )
    )
    if found is None:
        raise NotFound("No such coupon: '%(id)s'", "resource_missing", param, id=coupon_id)


# --- changing the plan ------------------------------------------------------------------------------------------------


def _check_update(
    session: Session,
    customer: Customer,
    configuration: PortalConfiguration,
    row: Subscription,
    features: Features,
    flow: Flow,
    at: int,
) -> None:
    param = f"flow_data[{flow.type}][subscription]"
    _check_no_schedule(session, row, "its items", param)
    options = plan_options.load(session, row, customer, features.subscription_update, at)
    _refuse(options.refusal, param)
    if flow.type == rules.SUBSCRIPTION_UPDATE_CONFIRM:
        _check_items(configuration, options, flow)
        _check_discount(session, customer, flow)
        _check_quote(session, customer, options, flow, at)


def _check_items(configuration: PortalConfiguration, options: PlanChangeOptions, flow: Flow) -> None:
    part = f"flow_data[{flow.type}][items]"
    items = {item.id: item for item in options.snapshot.items}
    for position, wanted in enumerate(flow.items):
        item = items.get(wanted.id)
        if item is None:
            raise NotFound(
                "No such subscription item: '%(id)s'", "resource_missing", f"{part}[{position}][id]", id=wanted.id
            )
        own = wanted.price in (None, item.offer.price_id)
        if not own and wanted.price not in [plan.price_id for plan in options.policy.plans_for(item)]:
            raise BillingError(
                "The item `%(item)s` cannot be updated to price `%(price)s` because the configuration `%(configuration)s` "
                "does not include the price in its `features[subscription_update][products]`.",
                "", f"{part}[{position}][price]", item=item.id, price=wanted.price, configuration=configuration.id,
            )  # fmt: skip


def _check_discount(session: Session, customer: Customer, flow: Flow) -> None:
    part = f"flow_data[{flow.type}][discounts][0]"
    if flow.coupon is not None:
        _check_coupon(session, customer, flow.coupon, f"{part}[coupon]")
    if flow.promotion_code is not None:
        owned = PromotionCode.account_id == customer.account_id, PromotionCode.livemode == customer.livemode
        wanted = PromotionCode.id == flow.promotion_code.replace("\0", "")
        if session.scalar(select(PromotionCode.id).where(*owned, wanted)) is None:
            raise NotFound(
                "No such promotion code: '%(id)s'",
                "resource_missing",
                f"{part}[promotion_code]",
                id=flow.promotion_code,
            )


def _check_quote(session: Session, customer: Customer, options: PlanChangeOptions, flow: Flow, at: int) -> None:
    try:
        plan_changes.quote(session, customer.id, options, request_of(flow), at)
    except BillingError as refusal:
        if refusal.code == "no_changes":
            raise BillingError(
                "Cannot update the subscription because there are no changes to confirm.", "", f"flow_data[{flow.type}]"
            ) from None
        is_of_discount = refusal.param == "promotion_code"
        raise BillingError(
            str(refusal), refusal.code, f"flow_data[{flow.type}]{'[discounts]' if is_of_discount else '[items]'}"
        ) from None


def request_of(flow: Flow) -> PlanChangeRequest:
    """The change that `subscription_update_confirm` asks the customer to confirm."""
    wanted = {item.id: (item.price, item.quantity) for item in flow.items}
    return PlanChangeRequest(wanted, flow.promotion_code, coupon_id=flow.coupon)


def complete(account_id: str, session_id: str, at: int) -> None:
    """Record that the customer has done what the session's flow is for. A second call changes nothing.

    It is done for the expired sessions that this one replaces, too, and for other replacements of them.
    """
    with transaction() as session:
        owned = PortalSession.account_id == account_id
        replaced = session.scalar(select(PortalSession.replaces_id).where(owned, PortalSession.id == session_id))
        first = replaced or session_id
        alike = or_(PortalSession.id == first, PortalSession.replaces_id == first)
        is_open = PortalSession.flow.is_not(None), PortalSession.flow_completed_at.is_(None)
        session.execute(update(PortalSession).where(owned, alike, *is_open).values(flow_completed_at=at))
